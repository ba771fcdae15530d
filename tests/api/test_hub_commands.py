"""A hub's list is signed offline, countersigned by a second person, checked by anyone, and never goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.example_region import write_key
from api.cli.hub import listed
from api.cli.main import app
from ledger.errors import Code, Refusal

ROWS = [
    {
        "region": "620000",
        "names": {"zh": "示例乙省", "en": "Example Province B"},
        "base": "https://r620000.example",
        "root": "ab" * 32,
    }
]


def run(*arguments: object, exit_code: int = 0) -> Any:
    """Run a command and return what it answers programs."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


def test_a_list_is_signed_countersigned_and_checked(tmp_path: Path) -> None:
    """The whole way of a hub, with a second version, and a region's look at it."""
    anchor, second, rows = tmp_path / "anchor.jwk", tmp_path / "second.jwk", tmp_path / "rows.json"
    for key in (anchor, second):
        write_key(key)
    rows.write_text(json.dumps(ROWS, ensure_ascii=False), "utf-8")
    first, later, state = tmp_path / "list-1", tmp_path / "list-2", tmp_path / "seen.json"
    pin = run("hub", "sign", rows, "--key", anchor, "--out", first)["anchor"]
    other = run("hub", "countersign", first, "--key", second, "--anchor", pin, "--yes")["countersigner"]
    pins = ("--anchor", pin, "--countersigner", other)
    assert run("hub", "check", first, *pins, "--state", state)["seq"] == 1
    assert run("hub", "sign", rows, "--key", anchor, "--out", later, "--previous", first)["seq"] == 2
    assert run("hub", "check", later, *pins, exit_code=1)["error"] == "hub.list_invalid"
    run("hub", "countersign", later, "--key", second, "--anchor", pin, "--yes")

    assert listed(later, pin, other, state, "620000").root == "ab" * 32

    rolled_back = run("hub", "check", first, *pins, "--state", state, exit_code=1)
    assert (rolled_back["error"], rolled_back["reason"]) == ("hub.list_invalid", "region_list.rollback")
    with pytest.raises(Refusal) as unknown:
        listed(later, pin, other, state, "650000")
    assert unknown.value.code is Code.HUB_REGION_UNKNOWN


def test_nobody_countersigns_alone_or_for_a_stranger(tmp_path: Path) -> None:
    """The anchor's own key does not countersign, and another anchor's list is not countersigned."""
    anchor, stranger, rows = tmp_path / "anchor.jwk", tmp_path / "stranger.jwk", tmp_path / "rows.json"
    for key in (anchor, stranger):
        write_key(key)
    rows.write_text(json.dumps(ROWS), "utf-8")
    pin = run("hub", "sign", rows, "--key", anchor, "--out", tmp_path / "list")["anchor"]
    forged = run("hub", "sign", rows, "--key", stranger, "--out", tmp_path / "forged")["anchor"]
    assert forged != pin

    for file, key in (("list", anchor), ("forged", anchor)):
        refused = run("hub", "countersign", tmp_path / file, "--key", key, "--anchor", pin, "--yes", exit_code=1)
        assert refused["reason"] == "region_list.signature"


def test_two_lists_of_one_number_are_one_too_many(tmp_path: Path) -> None:
    """A hub that signs two different first versions is found out by whoever saw one of them."""
    anchor, second, rows = tmp_path / "anchor.jwk", tmp_path / "second.jwk", tmp_path / "rows.json"
    for key in (anchor, second):
        write_key(key)
    pins: list[str] = []
    for name, root in (("one", "ab"), ("two", "cd")):
        rows.write_text(json.dumps([ROWS[0] | {"root": root * 32}]), "utf-8")
        pin = run("hub", "sign", rows, "--key", anchor, "--out", tmp_path / name)["anchor"]
        other = run("hub", "countersign", tmp_path / name, "--key", second, "--anchor", pin, "--yes")["countersigner"]
        pins = ["--anchor", pin, "--countersigner", other, "--state", str(tmp_path / "seen.json")]
    run("hub", "check", tmp_path / "one", *pins)

    assert run("hub", "check", tmp_path / "two", *pins, exit_code=1)["error"] == "hub.list_invalid"
