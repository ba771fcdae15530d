"""The writer knows a projector for every event there is."""

import subprocess
import sys

TELL = "from ledger.events import projected_events; print(*sorted(projected_events()))"
REGION = f"import ledger.region; {TELL}"
EVERYTHING = (
    "import importlib, pkgutil, ledger; "
    "[importlib.import_module(f'ledger.{each.name}') for each in pkgutil.iter_modules(ledger.__path__)]; " + TELL
)


def told(program: str) -> set[str]:
    """Return the words a fresh process prints, in which no test has registered anything."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_a_region_alone_knows_every_projector() -> None:
    """A process that only opens a region projects all that any module of the package registers."""
    known = told(REGION)

    assert "fraud.flagged" in known
    assert known == told(EVERYTHING)
