"""The drill of docs/operating/backup.md, by its own commands: back up while issuing, lose the machine, come back."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import service as service_commands
from api.cli.demo_service import DemoService, ServiceProcess, prepared
from api.cli.http_client import Refused
from api.cli.main import app
from api.settings import Settings, environment
from benchmarks import requests
from keys.password import TESTING_ONLY

GUIDE = (Path(__file__).parents[2] / "docs" / "operating" / "backup.md").read_text("utf-8")
OPERATOR = "DRILL-1"
TURNED_S = 60


class Machine:
    """The machine of one region; databases come and go, the settings stay but for the database's address."""

    def __init__(self, folder: Path, new_database: Callable[[], str]) -> None:
        self.folder = folder
        self._new_database = new_database
        self.settings: Settings = prepared(folder, database_url=new_database())
        self.process = ServiceProcess(self.settings, folder)
        self.http = httpx.Client(base_url=self.settings.base_url, timeout=60)

    def run(self, command: str, settings: Settings | None = None) -> Any:
        """Run one line of the guide and return its answer; a line that begins with `!` must be refused."""
        fails = command.startswith("! ")
        words = shlex.split(command.removeprefix("! ").replace("<backup>", str(self.newest())))
        assert words[0] == "elicence"
        with pytest.MonkeyPatch.context() as here:
            here.chdir(self.folder)
            for variable, value in environment(settings or self.settings).items():
                here.setenv(variable, value)
            result = CliRunner().invoke(app, [*words[1:], "--json"])
        assert (result.exit_code != 0) is fails, (command, result.output, result.exception)
        return json.loads(result.stdout.splitlines()[-1])

    def newest(self) -> Path:
        """The newest backup."""
        return max((self.folder / "backups").glob("[!.]*/manifest.json"), default=self.folder).parent

    def lose_database(self) -> None:
        """Go on with an empty database in place of the one there was."""
        self.settings = self.settings.model_copy(update={"database_url": self._new_database()})
        self.process = ServiceProcess(self.settings, self.folder)

    def client(self) -> Any:
        """A client that may issue."""
        return DemoService(self.settings, self.folder, self.http).client(requests.ISSUER)

    def issue(self, number: int) -> dict[str, Any]:
        """Issue the licence of that number, or get the answer that was given."""
        answer: dict[str, Any] = self.client().post(
            "/v1/licences", requests.licence(number), operator=OPERATOR, key=f"drill-{number}"
        )
        return answer

    def size(self) -> int:
        """The size of the checkpoint that is served."""
        return int(self.http.get("/log/checkpoint").text.split("\n")[1])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A region with example data on either database; its key store costs no second to open."""
    monkeypatch.setattr(service_commands, "STANDARD", TESTING_ONLY)
    made: list[str] = []
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None

    def new_database() -> str:
        if server is None:
            made.append("")
            return f"sqlite:///{tmp_path / f'log-{len(made)}.sqlite'}"
        made.append(server.create_database())
        return str(server.url(made[-1]))

    found = Machine(tmp_path / "machine", new_database)
    yield found
    found.process.stop()
    found.http.close()
    for name in made:
        if server is not None:
            server.drop_database(name)


def blocks() -> list[list[str]]:
    """The commands of the guide, block by block."""
    found = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    return [[re.sub(r"^(! )?\$? ?", r"\1", line) for line in block.splitlines()] for block in found]


class Load:
    """Issues licences without pause, and reads, until it is told to stop."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: dict[int, dict[str, Any]] = {}
        self.faults: list[str] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                self.answers[number] = self._machine.issue(number)
                self._machine.size()
            except (httpx.HTTPError, Refused) as fault:
                self.faults.append(repr(fault))
                return


def test_the_drill(machine: Machine) -> None:
    """Backed up under load, lost, restored, audited, served; an older backup is found out, a newer one goes on."""
    backing_up, restoring, older, refused = blocks()
    machine.process.start()
    with Load(machine) as load:
        while len(load.answers) < 3:
            time.sleep(0.05)
        before = dict(load.answers)
        [made] = [machine.run(command) for command in backing_up]
        until = time.monotonic() + TURNED_S
        while len(load.answers) < len(before) + 5 and time.monotonic() < until:
            time.sleep(0.05)
    assert not load.faults and len(load.answers) >= len(before) + 5, "issuing stood still"
    acknowledged = max(answer["entry"] for answer in before.values())
    assert acknowledged < made["size"] <= max(answer["entry"] for answer in load.answers.values()) + 20

    machine.process.kill()
    machine.lose_database()
    shutil.rmtree(machine.settings.keystore)
    shutil.rmtree(machine.settings.tiles)
    restored, audit = [machine.run(command) for command in restoring]
    assert (restored["size"], restored["audit"]) == (made["size"], "passed")
    assert audit["findings"] == []
    machine.process.start()
    for number, answer in before.items():
        assert machine.issue(number) == answer
    machine.issue(10_000)

    an_older_backup_is_found_out(machine, older, refused)


def an_older_backup_is_found_out(machine: Machine, older: list[str], refused: list[str]) -> None:
    """With the published files still there nothing is written, until a newer state is put back."""
    [made] = [machine.run(command) for command in older]
    last = machine.issue(20_000)
    until = time.monotonic() + TURNED_S
    while machine.size() <= last["entry"] and time.monotonic() < until:
        time.sleep(0.05)
    machine.process.stop()
    published = (machine.settings.tiles / "checkpoint").read_text()
    old_disk = machine.settings
    machine.lose_database()

    [told] = [machine.run(command) for command in refused]
    assert (told["error"], told["size"]) == ("log.rolled_back", made["size"])
    assert told["seen"] == int(published.split("\n")[1]) > made["size"]

    with pytest.raises(RuntimeError, match="did not get ready"):
        served_for(machine, 5)
    assert (machine.settings.tiles / "checkpoint").read_text() == published

    machine.run("elicence backup backups", old_disk)
    machine.lose_database()
    assert machine.run("elicence restore <backup>")["audit"] == "passed"
    machine.process.start()
    assert machine.issue(20_000) == last


def served_for(machine: Machine, seconds: float) -> None:
    """Serve a state that is too old, and see what is answered meanwhile."""
    answers: list[tuple[int, dict[str, Any]]] = []

    def ask() -> None:
        until = time.monotonic() + TURNED_S
        while time.monotonic() < until:
            try:
                ready = machine.http.get("/readyz")
                if ready.status_code == 503 and "log" in ready.json()["checks"]:
                    answers.append((503, ready.json()["checks"]["log"]))
                    verdict = machine.http.post("/v1/verify", json={"presented": "x"})
                    answers.append((verdict.status_code, verdict.json()))
                    try:
                        machine.issue(30_000)
                    except Refused as fault:
                        answers.append((fault.status, {"code": fault.code}))
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        time.sleep(seconds)
        machine.process.kill()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        machine.process.start()
    finally:
        asking.join()
        assert [status for status, _ in answers] == [503, 503, 503], answers
        assert [each.get("detail") or each["code"] for _, each in answers] == ["log.rolled_back"] * 3, answers
