"""The architecture as a test: imports go one way, and what is pure stays pure. Contracts are in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["keys", "verifiers", "ledger", "api"]
# What only the extras bring; an offline verifier has none of it.
EXTRAS = [
    "alembic", "cachetools", "fastapi", "httpx", "jwt", "PIL", "prometheus_client", "psycopg", "pydantic",
    "pydantic_settings", "qrcode", "rich", "sqlalchemy", "starlette", "structlog", "typer", "typst", "uvicorn",
    "zxingcpp",
]  # fmt: skip


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_import_contracts_hold() -> None:
    """Every contract in pyproject.toml is kept."""
    done = _lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("verifiers/merkle.py", "import time", "touch no file"),
        ("verifiers/merkle.py", "import ledger.errors", "api > ledger > verifiers > keys"),
        ("keys/public_key.py", "import verifiers.merkle", "api > ledger > verifiers > keys"),
        ("keys/es256.py", "import keys.ed25519", "suites know nothing of each other"),
        ("ledger/vault.py", "import keys.file_store", "open a key store"),
        ("ledger/errors.py", "import fastapi", "knows nothing of HTTP"),
        ("verifiers/errors.py", "import verifiers.merkle", "no import cycles"),
        ("verifiers/drawer.py", "import re", "a place for every module"),
        ("verifiers/canonical.py", "import verifiers.licence", "the shape of verifiers"),
        ("api/problems.py", "import sqlalchemy", "rows never leave the ledger"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, module: str, line: str, contract: str) -> None:
    """The contracts can fail: one wrong import breaks the contract that forbids it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")

    done = _lint_imports(tmp_path)

    broken = " ".join(done.stdout.partition("Broken contracts")[2].split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert contract in broken


def test_verifiers_import_where_the_service_is_not_installed() -> None:
    """Every verifier module, and what it takes from keys, loads while each package of the extras is absent."""
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "verifiers").rglob("*.py")]
    script = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}))\n" + "\n".join(
        f"import {module.removesuffix('.__init__')}" for module in modules
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
