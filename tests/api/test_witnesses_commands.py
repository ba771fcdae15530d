"""`elicence witnesses`: an operator says who watches the log, and sees how they do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from tests.commanded import region_in_environment
from tests.ledger.witnesses import policy_text, witness


def _run(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["witnesses", *arguments, "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def region_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a region from settings in the environment, as an operator does."""
    asyncio.run(region_in_environment(tmp_path, monkeypatch, PEER_TIMEOUT_S="1"))


@pytest.mark.usefixtures("region_on_disk")
def test_a_policy_is_shown_set_and_extended(tmp_path: Path) -> None:
    """What `policy` shows can be given back to it; `add` puts one more witness in, and `status` lists them."""
    a, b = witness("a", 1), witness("b", 2)
    assert _run("policy")["policy"] == "quorum none\n"
    file = tmp_path / "policy.txt"
    file.write_text(policy_text(1, a), "utf-8")

    _run("policy", str(file), "--operator", "示例操作员")
    shown = _run("policy")
    file.write_text(shown["policy"], "utf-8")
    again = _run("policy", str(file), "--operator", "示例操作员")

    assert again["policy"] == shown["policy"] == policy_text(1, a)
    key = b.keys[0][0].to_text()
    added = _run("add", key, b.url, "--quorum", "2", "--operator", "示例操作员")
    assert (added["quorum"], [one["name"] for one in added["witnesses"]]) == (2, [a.name, b.name])
    status = _run("status")
    assert [(one["name"], one["counts"]) for one in status["witnesses"]] == [(a.name, True), (b.name, True)]
    assert status["witnessed"] is None
    file.write_text("quorum nobody\n", "utf-8")
    assert _run("policy", str(file), exit_code=1)["error"] == "witness_policy.invalid"
    assert _run("add", "990000", exit_code=1)["error"] == "peer.unknown"


@pytest.mark.usefixtures("region_on_disk")
def test_people_read_a_file_and_a_line_a_witness(tmp_path: Path) -> None:
    """Without `--json` the policy comes as the file it is."""
    a = witness("a", 1)
    file = tmp_path / "policy.txt"
    file.write_text(policy_text(1, a), "utf-8")
    run = CliRunner().invoke

    given = run(app, ["witnesses", "policy", str(file), "--operator", "示例操作员"])
    told = run(app, ["witnesses", "status"])

    assert (given.exit_code, given.stdout) == (0, policy_text(1, a))
    assert told.stdout.startswith(f"{a.name}\t0\t-\t")
