"""A fourth region joins three that run, by the commands of docs/operating/peers.md and nothing else."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import service as service_commands
from api.cli.demo_service import ServiceProcess, free_port
from api.cli.example_region import write_key
from api.cli.http_client import ServiceClient
from api.cli.main import app
from api.settings import Settings, environment
from keys.password import TESTING_ONLY

GUIDE = (Path(__file__).parents[2] / "docs" / "operating" / "peers.md").read_text("utf-8")
NAMES = {"a": "610000", "b": "620000", "c": "630000", "d": "640000"}
OPERATOR = ("--operator", "王示例")
TURNED_S = 60
"""Longest wait for what a running service does on a pulse."""


class Machine:
    """The machine of one region: its settings, a folder to work in, and its service."""

    def __init__(self, name: str, below: Path) -> None:
        self.name = name
        self.folder = below / name
        self.folder.mkdir()
        port = free_port()
        self.settings = Settings(
            region=NAMES[name],
            region_name_zh=f"示例{name}省",
            region_name_en=f"Example {name}",
            base_url=f"http://127.0.0.1:{port}",
            port=port,
            database_url=f"sqlite:///{self.folder / 'log.sqlite'}",
            keystore=self.folder / "keys",
            keystore_password="示例口令",  # type: ignore[arg-type] # a secret is made of it
            tiles=self.folder / "public",
        )
        self.process = ServiceProcess(self.settings, self.folder)
        for who in ("wang", "li"):
            write_key(self.folder / f"{who}.jwk.json")
            private = json.loads((self.folder / f"{who}.jwk.json").read_text())
            public = {member: value for member, value in private.items() if member != "d"}
            client = {"id": who, "name": who, "scopes": ["operate"], "jwks": {"keys": [public]}}
            (self.folder / f"{who}.json").write_text(json.dumps(client))

    def run(self, command: str, machines: dict[str, Machine], monkeypatch: pytest.MonkeyPatch) -> Any:
        """Run a command of the guide here, the example addresses replaced by the real ones."""
        for each in machines.values():
            command = command.replace(f"https://{each.name}.example", each.settings.base_url)
        words = shlex.split(command)
        assert words[0] == "elicence"
        with monkeypatch.context() as here:
            here.chdir(self.folder)
            for variable, value in environment(self.settings).items():
                here.setenv(variable, value)
            result = CliRunner().invoke(app, [*words[1:], "--json"])
        assert result.exit_code == 0, (command, result.output, result.exception)
        return json.loads(result.stdout.splitlines()[-1])

    def peers(self) -> list[dict[str, Any]]:
        """What the running service says of its peers to one of its operators."""
        with httpx.Client(base_url=self.settings.base_url, timeout=30) as http:
            client = ServiceClient.from_file(http, "wang", self.folder / "wang.jwk.json", self.settings.base_url)
            found: list[dict[str, Any]] = client.get("/v1/peers").json()["items"]
            return found


def blocks() -> list[list[str]]:
    """The commands of the guide, block by block."""
    found = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in found]


@pytest.fixture
def cheap_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let key stores cost no second to open: four machines' worth of commands are run here."""
    monkeypatch.setattr(service_commands, "STANDARD", TESTING_ONLY)


@pytest.fixture
def machines(tmp_path: Path, cheap_password: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Machine]]:
    """Three regions that run and recognise each other, and the bare machine of a fourth."""
    found = {name: Machine(name, tmp_path) for name in NAMES}
    running = {name: machine for name, machine in found.items() if name != "d"}
    new, joining, _ = blocks()
    with ExitStack() as stack:
        for machine in running.values():
            start(machine, found, new, monkeypatch, stack)
        for name, machine in running.items():
            for command in joining[:3]:
                if f"https://{name}.example" not in command:
                    machine.run(command, found, monkeypatch)
        yield {**found, "stack": stack}  # type: ignore[dict-item] # whoever starts the fourth leaves it to be stopped


def start(
    machine: Machine, all_: dict[str, Machine], commands: list[str], monkeypatch: pytest.MonkeyPatch, stack: ExitStack
) -> None:
    """Make a region, hand its root to the others, and start its service."""
    told = [machine.run(command, all_, monkeypatch) for command in commands]
    for other in all_.values():
        (other.folder / f"{machine.name}-root.txt").write_text(told[0]["root"] + "\n")
    machine.process.start()
    stack.callback(machine.process.stop)


def test_a_fourth_region_joins_by_the_commands_of_the_guide(
    machines: dict[str, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody ends up admitting and following everybody, while all services run."""
    stack: Any = machines.pop("stack")
    new, joining, admitting = blocks()
    start(machines["d"], machines, new, monkeypatch, stack)
    for command in joining:
        machines["d"].run(command, machines, monkeypatch)
    for name in ("a", "b", "c"):
        for command in admitting:
            machines[name].run(command, machines, monkeypatch)

    for machine in machines.values():
        others = sorted(set(NAMES.values()) - {machine.settings.region})
        until, found = time.monotonic() + TURNED_S, machine.peers()
        # The last one was admitted by a command beside the service, which notices within a second.
        while time.monotonic() < until and (len(found) < len(others) or not all(followed(each) for each in found)):
            time.sleep(0.2)
            found = machine.peers()
        assert [(each["region"], each["status"]) for each in found] == [(other, "active") for other in others]
        assert all(followed(each) for each in found), found


def followed(peer: dict[str, Any]) -> bool:
    """Whether the peer's log is followed, and all is well with it."""
    return (peer["following"] or {}).get("state") == "followed"
