"""Several serving processes on one PostgreSQL: one log, whoever writes, whoever publishes."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.demo_service import DemoService, ServiceProcess, free_port, prepared
from api.cli.http_client import Refused
from api.settings import Settings
from benchmarks import requests
from tests.journeys.test_kills import audited
from tests.soak.processes import below

OPERATOR = "TWO-1"
SECONDS = 8
pytestmark = pytest.mark.postgres


class Worker:
    """One caller that goes to either service at random: issues, builds on what is there, revokes, flags."""

    def __init__(self, services: list[DemoService], number: int, seed: int) -> None:
        self._services = services
        self._random = random.Random(f"{seed}-{number}")
        self._number = number
        self.answers: list[dict[str, Any]] = []
        self.codes: set[str] = set()

    def work(self, until: float) -> None:
        """Do one thing after the other until it is time to stop."""
        issuers = [service.client(requests.ISSUER) for service in self._services]
        supervisors = [service.client("education-supervisor") for service in self._services]
        count = 0
        while time.monotonic() < until:
            count += 1
            place = self._random.randrange(len(issuers))
            try:
                self._step(issuers[place], supervisors[place], self._number * 100_000 + count)
            except Refused as refused:
                self.codes.add(refused.code)

    def _step(self, issuer: Any, supervisor: Any, number: int) -> None:
        chance = self._random.random()
        body = requests.licence(number)
        if chance < 0.5 or not self.answers:
            self.answers.append(issuer.post("/v1/licences", body, operator=OPERATOR))
            return
        known = self._random.choice(self.answers)["id"]
        if chance < 0.75:
            body["rests_on"] = [{"licence": known, "basis": "identity"}]
            self.answers.append(issuer.post("/v1/licences", body, operator=OPERATOR))
        elif chance < 0.9:
            today = time.strftime("%Y-%m-%d")
            act = {
                "act": "suspend", "authority": "示例省教育厅", "articles": ["示例第一条"], "reason": "示例",
                "document_no": f"示〔2026〕{number}号", "decided_at": today, "served_at": today,
                "effective_from": today,
            }  # fmt: skip
            issuer.post(f"/v1/licences/{known}/acts", act, operator=OPERATOR)
        else:
            flag = {"targets": [{"licence": known}], "reason": "示例"}
            supervisor.post("/v1/fraud-flags", flag, operator=OPERATOR)


def test_two_services_write_one_log(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fork, nothing lost, nothing twice: both publish the same log, and every answer has an index of its own."""
    monkeypatch.setenv("ELICENCE_DATABASE_URL", str(postgres_url))
    seed = int(time.time())
    print(f"seed {seed}")
    first = prepared(tmp_path)
    port = free_port()
    second = first.model_copy(update={"port": port, "tiles": tmp_path / "other-public"})
    processes = [ServiceProcess(settings, tmp_path) for settings in (first, second)]
    try:
        for process in processes:
            process.start()
        with (
            httpx.Client(base_url=first.base_url, timeout=60) as one,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as other,
        ):
            services = [DemoService(first, tmp_path, one), DemoService(first, tmp_path, other)]
            workers = [Worker(services, number, seed) for number in range(4)]
            until = time.monotonic() + SECONDS
            with ThreadPoolExecutor(len(workers)) as pool:
                for done in [pool.submit(worker.work, until) for worker in workers]:
                    done.result()
            answers = [answer for worker in workers for answer in worker.answers]
            indexes = [answer["entry"] for answer in answers]
            assert len(indexes) > 20
            assert len(set(indexes)) == len(indexes)
            assert set().union(*(worker.codes for worker in workers)) <= {
                "basis.cause_open",
                "licence.state",
                "stale",
            }
            assert_same_log(one, other, max(indexes))
    finally:
        for process in processes:
            process.stop()
    audited(services[0])


def test_one_command_serves_with_two_processes(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is killed is replaced while the other answers; the command ends both."""
    monkeypatch.setenv("ELICENCE_DATABASE_URL", str(postgres_url))
    settings = prepared(tmp_path).model_copy(update={"workers": 2, "preparers": 0})
    process = ServiceProcess(settings, tmp_path)
    try:
        process.start()
        assert process.pid is not None
        first, second = serving(process.pid)
        entries = {issued(settings, tmp_path, number) for number in range(10)}
        os.kill(first, signal.SIGKILL)
        after = serving(process.pid, without=first)
        assert len(after) == 2 and second in after
        entries |= {issued(settings, tmp_path, number) for number in range(10, 20)}
        assert settings.base_url in (tmp_path / "service.log").read_text()  # whoever started it reads where it is
    finally:
        process.stop()
    assert len(entries) == 20
    assert not [each for each in after if Path(f"/proc/{each}").exists()]
    with httpx.Client() as http:
        audited(DemoService(settings, tmp_path, http))


def serving(pid: int, without: int | None = None) -> list[int]:
    """Wait for the two serving processes below the command's and give their ids."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = below(pid, b"spawn_main")
        if len(found) == 2 and without not in found:
            return found
        time.sleep(0.1)
    pytest.fail("there were never two serving processes")


def issued(settings: Settings, folder: Path, number: int) -> int:
    """Issue a licence over a new connection, which either process may accept; gives its entry."""
    with httpx.Client(base_url=settings.base_url, timeout=60) as http:
        client = DemoService(settings, folder, http).client(requests.ISSUER)
        return int(client.post("/v1/licences", requests.licence(number), operator=OPERATOR)["entry"])


def assert_same_log(one: httpx.Client, other: httpx.Client, last: int) -> None:
    """Wait until both serve a checkpoint that covers `last`, and compare what they serve at the same size."""
    deadline = time.monotonic() + 20
    heads: list[list[str]] = []
    while time.monotonic() < deadline:
        heads = [client.get("/log/checkpoint").text.split("\n")[:3] for client in (one, other)]
        if heads[0] == heads[1] and int(heads[0][1]) > last:
            return
        time.sleep(0.1)
    pytest.fail(f"the two services do not serve the same log: {heads}")
