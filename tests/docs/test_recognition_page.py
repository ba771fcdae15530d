"""The page about recognition does what it says, command by command."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.catalogue import in_region
from api.cli.main import app
from ledger import equivalences, types
from ledger.region import Region
from tests.commanded import region_in_environment
from tests.docs.conftest import ROOT
from tests.ledger.licensing import definition
from tests.ledger.recognising import admit
from tests.region import OPERATOR
from verifiers.rule import MAX_DEPTH, MAX_NODES, MAX_TEXT
from verifiers.rule_evaluation import MAX_ITEMS, MAX_STEPS
from verifiers.rule_values import UNIT_LIMITS

PAGE = (ROOT / "docs/recognition.md").read_text("utf-8")
FORMAT = (ROOT / "docs/formats/rule.md").read_text("utf-8")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


@pytest.fixture
def region_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a region with one licence type and one peer, from settings in the environment, as an operator does."""
    asyncio.run(region_in_environment(tmp_path, monkeypatch))

    async def furnish(region: Region) -> None:
        await types.register(region, OPERATOR, definition("food-business-licence"))
        await admit(region)

    in_region(furnish)


def alike(text: str) -> str:
    """Return what is printed without times, nor whether a version that was replaced before it began has ended yet."""
    return re.sub(r"(<time>\t<time>\t)\w+", r"\1…", TIME.sub("<time>", text))


def commands() -> list[tuple[str, str]]:
    """Return each command of the page, in order, and what it prints."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in block.split("$ ")[1:]:
            line, _, printed = part.partition("\n")
            found.append((line, printed))
    return found


@pytest.mark.usefixtures("region_on_disk")
def test_every_command_of_the_page_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a region of its own, from the folder of the source; only times differ."""
    monkeypatch.chdir(ROOT)
    assert {line.split()[2] for line, _ in commands()} == {"test", "declare", "list", "show", "withdraw"}

    for line, printed in commands():
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert (result.exit_code, alike(result.stdout)) == (0, alike(printed)), (line, result.output)


@pytest.mark.usefixtures("region_on_disk")
def test_commands_refuse_with_the_reason(tmp_path: Path) -> None:
    """One line on standard error, and exit code 1; the same for people and programs."""
    broken = tmp_path / "broken.json"
    text = (ROOT / "examples/equivalences/food-business-licence.json").read_text("utf-8")
    broken.write_text(text.replace('"expect": false', '"expect": true', 1), "utf-8")
    absent = ["equivalences", "withdraw", "nothing", "--reason", "示例", "--operator", "示例操作员"]

    for arguments, code in (
        (["equivalences", "test", str(broken)], "rule.test_failed /tests/1"),
        (["equivalences", "declare", str(broken), "--operator", "示例操作员"], "rule.test_failed /tests/1"),
        (absent, "equivalence.unknown"),
        (["equivalences", "show", "nothing", "--json"], "equivalence.unknown"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1 and f"[{code}]" in result.stderr, result.output


def test_the_page_names_every_member_of_a_declaration() -> None:
    """Those that `read_declaration` takes, no more and no fewer."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert named == {
        "id",
        "peer",
        "their",
        "ours",
        "conditions",
        "tests",
        "fields",
        "names",
        "valid_from",
        "valid_until",
    }
    assert f"{equivalences.HORIZON.days // 7}" == "2" and "two weeks" in PAGE


def test_the_format_page_names_every_operator_and_limit() -> None:
    """Read from the tables of the code."""
    from verifiers.rule import _FORMS

    table = FORMAT.partition("## Operators")[2].partition("## What")[0]
    rows = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([^`]+)`", rows)) == {*_FORMS, "var"}
    numbers = [MAX_DEPTH, MAX_NODES, MAX_TEXT, MAX_ITEMS, MAX_STEPS, *UNIT_LIMITS.values()]
    for number in numbers:
        assert f"{number:,}".replace(",", " ") in FORMAT
