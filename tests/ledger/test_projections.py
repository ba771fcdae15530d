"""The writer knows a projector for every event there is."""

import importlib
import pkgutil
import subprocess
import sys

import ledger
from ledger.events import projected_events

PRINT = "import ledger.region; from ledger.events import projected_events; print(*sorted(projected_events()))"


def test_a_region_alone_knows_every_projector() -> None:
    """A fresh process that only opens a region projects all that any module of the package registers."""
    for module in pkgutil.iter_modules(ledger.__path__):
        importlib.import_module(f"ledger.{module.name}")

    done = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, check=True, timeout=60)

    assert set(done.stdout.split()) == projected_events()
