"""What a stranger gets: the wheel alone, in an environment with nothing of the service."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_architecture import EXTRAS

ROOT = Path(__file__).parent.parent
# The direct dependencies and what they need themselves.
CORE = ["cryptography", "orjson", "python-stdnum", "cffi", "pycparser", "typing-extensions"]


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the project's wheel and source archive."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Python of a fresh environment with the wheel and the core dependencies, by hash, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    _run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements" / "service.txt").read_text().strip())
    kept = [block for block in blocks if block.partition("==")[0] in CORE]
    (folder / "core.txt").write_text("\n".join(kept) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "--require-hashes", "-r", folder / "core.txt", cwd=folder)
    _run(*pip, "--no-deps", "--no-index", next(built.glob("*.whl")), cwd=folder)
    return python


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    """Five packages, their data files and the metadata: no tests, no examples, no private keys."""
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    top = {name.partition("/")[0] for name in names}

    assert {t for t in top if not t.endswith(".dist-info")} == {"keys", "verifiers", "ledger", "api", "migrations"}
    assert not [name for name in names if name.endswith((".pyc", ".pem", ".key", ".db"))]


def test_the_wheel_is_typed_and_carries_its_data(built: Path) -> None:
    """Every file of the five packages that is in the checkout is in the wheel."""
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    packages = ["keys", "verifiers", "ledger", "api", "migrations"]
    files = {
        p.relative_to(ROOT).as_posix()
        for package in packages
        for p in (ROOT / package).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }

    assert files - names == set()


def test_the_source_archive_can_run_the_tests(built: Path) -> None:
    """The sdist brings tests, examples, lock files and the Makefile."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    inside = {name.partition("/")[2] for name in names}

    assert {"Makefile", "README.md", "tests/conftest.py", "requirements/dev.txt"} <= inside


def test_a_bare_install_has_nothing_of_the_service(bare: Path) -> None:
    """No web framework, database or picture library comes with the verifier."""
    script = f"from importlib.util import find_spec; print([m for m in {EXTRAS!r} if find_spec(m)])"

    assert _run(bare, "-c", script, cwd=bare.parent).strip() == "[]"


def test_a_bare_install_imports_every_verifier(bare: Path) -> None:
    """All of `verifiers`, with what it takes from `keys`, loads with the core dependencies only."""
    script = (
        "import pkgutil, importlib, verifiers, keys.public_key, keys.certificates\n"
        "names = [m.name for m in pkgutil.iter_modules(verifiers.__path__, 'verifiers.')]\n"
        "[importlib.import_module(n) for n in names]\n"
        "print(len(names), verifiers.__file__)"
    )

    count, place = _run(bare, "-c", script, cwd=bare.parent).split(maxsplit=1)

    assert int(count) > 15
    assert str(ROOT) not in place


def test_a_bare_install_checks_a_signature(bare: Path) -> None:
    """The pure half of `keys` makes a key from its text and refuses a wrong signature."""
    script = (
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K\n"
        "from keys import BadSignature, PublicKey\n"
        "k = K.generate(); p = PublicKey.from_raw('Ed25519', k.public_key().public_bytes_raw())\n"
        "p.check(b'm', k.sign(b'm'))\n"
        "try:\n    p.check(b'n', k.sign(b'm'))\nexcept BadSignature:\n    print('refused')"
    )

    assert _run(bare, "-c", script, cwd=bare.parent).strip() == "refused"


def test_elicence_verify_runs_from_a_bare_install(bare: Path) -> None:
    """The checker's command explains itself with nothing else installed."""
    shown = _run(bare.parent / "elicence-verify", "--help", cwd=bare.parent)

    assert "--trust" in shown
    assert "--root" in shown


def test_the_services_command_says_what_is_missing(bare: Path) -> None:
    """`elicence` without the extras ends with one line that names the extra, not with a stack of calls."""
    done = subprocess.run([bare.parent / "elicence", "--help"], capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "elicence-ledger[service]" in done.stderr
    assert "Traceback" not in done.stderr
