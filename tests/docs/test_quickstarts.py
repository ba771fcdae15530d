"""The quick starts, tried as their readers try them: commands in a shell, code in Python, answers compared."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli.demo_service import DemoService
from tests.docs.conftest import ROOT

PAGES = sorted((ROOT / "docs/quickstart").glob("*.md"))
ADDRESS = "http://127.0.0.1:8000"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "--- next command ---"


@dataclass(frozen=True)
class Command:
    """One command of a page and what the page says that it prints; `…` stands for anything."""

    text: str
    prints: str


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return [body for kind, body in _BLOCK.findall(page.read_text("utf-8")) if kind == language]


def commands(page: Path) -> list[Command]:
    """Return the commands of a page: lines after `$ `, a backslash joins lines; other lines are what is printed."""
    found: list[Command] = []
    for block in blocks(page, "console"):
        joined = block.replace("\\\n", "")
        for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            text, _, prints = part.partition("\n")
            found.append(Command(text, prints.strip()))
    return found


def expected(prints: str) -> "re.Pattern[str]":
    """Return the pattern of what a page says is printed."""
    return re.compile(".*".join(re.escape(part) for part in prints.split("…")), re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path, service_folder: Path, artefacts: Path, service: DemoService) -> Path:
    """Give a folder that looks like a checkout after `make serve` and `make demo`."""
    for name in ("examples", "docs", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/serve").symlink_to(service_folder)
    (tmp_path / "var/demo").symlink_to(artefacts)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_quick_start_do_what_it_says(
    page: Path, desk: Path, service: DemoService, surroundings: dict[str, str]
) -> None:
    """Each command ends well and prints what the page shows."""
    told = commands(page)
    script = "\n".join(f"{command.text}\necho '{_MARK}'" for command in told)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, service.settings.base_url)],
        cwd=desk, env=surroundings, capture_output=True, text=True, timeout=200,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.replace(service.settings.base_url, ADDRESS).split(f"{_MARK}\n")
    differing = [
        (command.text, command.prints, found.strip())
        for command, found in zip(told, printed[:-1], strict=True)
        if command.prints and not expected(command.prints).fullmatch(found.strip())
    ]
    assert differing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_quick_start_runs(
    page: Path, desk: Path, service: DemoService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page in one go, as pasted into one session; their `assert`s hold."""
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setenv("ELICENCE_URL", service.settings.base_url)
    # What a page cannot bring along: the identity platform that signs for a person's phone.
    session: dict[str, Any] = {"__name__": "session", "identity_token": service.identity_token}
    for number, block in enumerate(blocks(page, "python"), 1):
        code = block.replace(ADDRESS, service.settings.base_url)
        exec(compile(code, f"{page.name}, block {number}", "exec"), session)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_quick_start_is_quick(page: Path) -> None:
    """It fits on two screens, and its links lead somewhere."""
    text = page.read_text("utf-8")
    linked = [target.partition("#")[0] for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]

    assert text.count("\n") <= 120
    assert [target for target in linked if not (page.parent / target).exists()] == []


def test_there_is_a_quick_start_for_everybody() -> None:
    """One page for each kind of user."""
    users = {"auditor", "department", "holder", "operator", "supervisor", "verifier", "window"}

    assert {page.stem for page in PAGES} == users


def test_every_make_target_that_the_documents_name_exists() -> None:
    """Nobody is sent to a target that is not there."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = {
        target
        for page in [*PAGES, ROOT / "docs/demo.md", ROOT / "examples/README.md"]
        for target in re.findall(r"`make ([a-z-]+)`", page.read_text("utf-8"))
    }

    assert named
    assert {target for target in named if f"\n{target}:" not in makefile} == set()


def test_the_python_that_runs_is_the_one_that_was_tested() -> None:
    """The pages call `python`; here that is this interpreter."""
    found = Path(sys.executable).parent / "python"

    assert found.exists() and os.access(found, os.X_OK)
