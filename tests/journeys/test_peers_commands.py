"""One region admits another by commands alone, while both are running: proposed, approved twice, admitted, cut off."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.cli.demo_service import ServiceProcess, free_port
from api.cli.example_region import write_key
from api.cli.main import app
from api.cli.service import create_region
from api.settings import Settings, environment
from verifiers.trust_list import open_trust_list

PASSWORD = "示例口令"
PUBLISHED_S = 60
"""Longest wait for a trust list; it is published on a pulse, well within a second."""


@dataclass
class Place:
    """A region with a service of its own that is running."""

    settings: Settings
    root: str
    process: ServiceProcess


def made(folder: Path, region: str, name: str, database_url: str) -> Place:
    """Make a region and serve it in a process of its own."""
    folder.mkdir()
    port = free_port()
    settings = Settings(
        region=region,
        region_name_zh=name,
        region_name_en=f"Example {region}",
        base_url=f"http://127.0.0.1:{port}",
        port=port,
        database_url=database_url,
        keystore=folder / "keys",
        keystore_password=PASSWORD,  # type: ignore[arg-type] # a secret is made of it
        tiles=folder / "public",
    )
    root = asyncio.run(create_region(settings, testing_only=True))
    return Place(settings, root, ServiceProcess(settings, folder))


@pytest.fixture
def places(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Place]]:
    """Run two regions that know nothing of each other; the environment is that of the first."""
    home = made(tmp_path / "home", "610000", "示例甲省", database_url)
    other = made(tmp_path / "other", "620000", "示例乙省", f"sqlite:///{tmp_path / 'other' / 'log.sqlite'}")
    try:
        home.process.start()
        other.process.start()
        for name, value in environment(home.settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ELICENCE_OPERATOR", "示例操作员")
        yield home, other
    finally:
        home.process.stop()
        other.process.stop()


def run(*arguments: object, exit_code: int = 0) -> Any:
    """Run a command and return what it answers programs."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


def approver(folder: Path, name: str) -> Path:
    """Register an operator's client, and return the file of its key."""
    key = folder / f"{name}.jwk.json"
    write_key(key)
    public = {member: value for member, value in json.loads(key.read_text()).items() if member != "d"}
    body = folder / f"{name}.json"
    body.write_text(json.dumps({"id": name, "name": name, "scopes": ["operate"], "jwks": {"keys": [public]}}))
    run("clients", "add", body, "--operator", "示例操作员")
    return key


def test_a_region_is_admitted_and_cut_off_by_commands_while_all_services_run(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    """The commands work beside a running service on both engines; its trust list says what they did."""
    home, other = places
    first, second = approver(tmp_path, "operator-1"), approver(tmp_path, "operator-2")
    pinned, proposal = tmp_path / "root.txt", tmp_path / "proposal.json"
    pinned.write_text(other.root + "\n")

    assert run("peers", "propose", other.settings.base_url, "--root", "ab" * 32, exit_code=1)["error"] == (
        "peer.root_mismatch"
    )
    proposed = run("peers", "propose", other.settings.base_url, "--root", pinned, "--out", proposal)
    assert proposed["shows"]["region"] == "620000"
    assert run("peers", "admit", "--proposal", proposal, "--yes", exit_code=1)["error"] == "peer.approvals_missing"
    run("peers", "approve", proposal, "--client", "operator-1", "--key", first, "--yes")
    assert run("peers", "admit", "--proposal", proposal, "--yes", exit_code=1)["error"] == "peer.approvals_missing"
    run("peers", "approve", proposal, "--client", "operator-2", "--key", second, "--yes")
    assert run("peers", "admit", "--proposal", proposal, "--yes")["status"] == "active"

    [listed] = run("peers", "list")["peers"]
    assert (listed["region"], listed["base"], listed["root"]) == ("620000", other.settings.base_url, other.root)
    assert trusted(home, "active")
    assert run("peers", "suspend", "620000", "--reason", "来源待查")["status"] == "suspended"
    assert trusted(home, "suspended")
    approve = ("--approve", f"operator-1={first}", "--approve", f"operator-2={second}", "--yes")
    assert run("peers", "resume", "620000", *approve)["status"] == "active"
    shown = run("peers", "show", "620000")
    assert [each["client"] for each in shown["last_change"]["approvers"]] == ["operator-1", "operator-2"]
    assert run("peers", "withdraw", "620000", "--reason", "协议终止")["status"] == "withdrawn"
    again = run("peers", "admit", other.settings.base_url, "--root", pinned, *approve)
    assert again["status"] == "active"
    assert run("peers", "admit", other.settings.base_url, "--root", pinned, *approve, exit_code=1)["error"] == (
        "peer.exists"
    )
    assert trusted(home, "active")


def trusted(place: Place, status: str) -> bool:
    """Wait until the running service's trust list gives the peer this status."""
    until = time.monotonic() + PUBLISHED_S
    with httpx.Client(base_url=place.settings.base_url, timeout=20) as http:
        while time.monotonic() < until:
            answer = http.get("/trust-list").raise_for_status()
            trust = open_trust_list(answer.text, root_fingerprint=place.root, at=datetime.now(UTC))
            peer = trust.peer("620000")
            if peer is not None and peer.status == status:
                return True
            time.sleep(0.05)
    return False
