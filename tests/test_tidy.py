"""House rules that no linter has: sizes, names, clocks, swallowed errors, unfinished work."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ["keys", "verifiers", "ledger", "api", "migrations"]
EVERYTHING = [*SOURCE, "tests", "benchmarks", "examples"]
LONGEST_FILE = 400
LONGEST_FUNCTION = 70
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base_service"}
# The process clock is read in one place. SQLite has no server whose clock could be asked, files carry times of this
# machine, and commands stamp their own output.
MAY_READ_THE_CLOCK = (
    "ledger/clock.py",
    "ledger/database.py",
    "ledger/public_files.py",
    "verifiers/__main__.py",
    "api/cli/",
)
SECRETS_AND_SIGNATURES = re.compile(r"(^|_)(signature|mac|hmac|password|secret)$")
# Not secrets: whether a public signature is spelled in the one way allowed.
PUBLIC_BYTES = {"encode_dss_signature(r, s) != certificate.signature"}
# Spelled in pieces so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]) + r")\b")
# The workplace is not part of the project: no path, machine or way of working may show in what we publish.
FOREIGN = re.compile(
    "|".join(["/wo" + "rk/", "sub" + "agent", "before" + "-stop", "farm" + "-(studio|bench)", "helper" + " session"]),
    re.IGNORECASE,
)


def _python(folders: list[str]) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _trees(folders: list[str]) -> Iterator[tuple[str, ast.Module]]:
    for path in _python(folders):
        yield _name(path), ast.parse(path.read_text(encoding="utf-8"))


def _tracked() -> list[Path]:
    """Return the files of the checkout that git knows, or all text files where there is no git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = done.stdout.split("\0") if done.returncode == 0 else [_name(p) for p in _python(EVERYTHING)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_is_too_long() -> None:
    """A file that needs more than 400 lines holds more than one thing."""
    long = {_name(p): n for p in _python(EVERYTHING) if (n := p.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE}

    assert long == {}


def test_no_function_is_too_long() -> None:
    """A function fits on a screen; only migrations, which are lists, may be longer."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{name}:{node.lineno} {node.name}: {length} lines"
        for name, tree in _trees([f for f in EVERYTHING if f != "migrations"])
        for node in ast.walk(tree)
        if isinstance(node, functions) and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]

    assert long == []


def test_every_module_is_named_for_what_it_holds() -> None:
    """No file, class or function is a drawer for the rest."""
    vague = [_name(p) for p in _python(EVERYTHING) if VAGUE & set(re.split(r"[_.]", p.stem))]
    vague += [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in _trees(EVERYTHING)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Utils|Util)$", node.name)
    ]

    assert vague == []


def test_the_clock_is_read_in_one_place() -> None:
    """`datetime.now`, `utcnow`, `today` and `time.time` stand in ledger/clock.py and at the command line only."""
    banned = {"now", "utcnow", "today"}
    reads = []
    for name, tree in _trees(SOURCE):
        if name.startswith(MAY_READ_THE_CLOCK):
            continue
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = ast.unparse(node.func.value)
            clock = owner in {"datetime", "date", "dt.datetime", "dt.date", "datetime.datetime", "datetime.date"}
            if (clock and node.func.attr in banned) or (owner, node.func.attr) == ("time", "time"):
                reads.append(f"{name}:{node.lineno} {ast.unparse(node.func)}()")

    assert reads == []


def test_secrets_are_compared_in_constant_time() -> None:
    """No `==` between MACs, passwords, tokens or signatures: `hmac.compare_digest`, or a real signature check."""
    compared = [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name, tree in _trees(SOURCE)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        for side in [node.left, *node.comparators]
        if SECRETS_AND_SIGNATURES.match(ast.unparse(side).rpartition(".")[2])
        and not any(isinstance(s, ast.Constant) for s in [node.left, *node.comparators])
        and ast.unparse(node) not in PUBLIC_BYTES
    ]

    assert compared == []


def test_verifiers_open_no_file() -> None:
    """`open`, `urllib.request` and friends need no import that a contract would see."""
    banned = {"open", "input", "print", "exec", "eval", "__import__", "urllib.request", "breakpoint"}
    calls = [
        f"{name}:{node.lineno} {ast.unparse(node.func)}"
        for name, tree in _trees(["verifiers", "keys"])
        if name.startswith("verifiers/") and name != "verifiers/__main__.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in banned
    ]

    assert calls == []


def test_nothing_is_unfinished() -> None:
    """No mark of work left over, and no method that only says it is not there."""
    marks = [
        f"{_name(path)}:{number} {line.strip()}"
        for path in _python(EVERYTHING)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    assert marks == []


def test_no_error_is_swallowed_in_silence() -> None:
    """An `except` with nothing but `pass` hides a failure; `contextlib.suppress` of one narrow error says so openly."""
    broad = {"Exception", "BaseException", ""}
    swallowed = []
    for name, tree in _trees(SOURCE):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(b, ast.Pass | ast.Continue) for b in node.body):
                caught = ast.unparse(node.type) if node.type else ""
                if caught in broad or all(isinstance(b, ast.Pass) for b in node.body):
                    swallowed.append(f"{name}:{node.lineno} except {caught}")
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                swallowed += [f"{name}:{node.lineno}" for arg in node.args if ast.unparse(arg) in broad]

    assert swallowed == []


def test_nothing_speaks_of_where_it_was_written() -> None:
    """What is published names no path or tool of the place it was made in."""
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a font
        if path != Path(__file__) and (match := FOREIGN.search(text)):
            found.append(f"{_name(path)}: {match.group(0)}")

    assert found == []


@pytest.mark.parametrize("package", SOURCE)
def test_every_module_says_what_it_is_for(package: str) -> None:
    """Each file opens with a docstring; what it holds is not left to its name alone."""
    silent = [name for name, tree in _trees([package]) if not (ast.get_docstring(tree) or "").strip()]

    assert silent == []
