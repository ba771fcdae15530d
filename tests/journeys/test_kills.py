"""Power failures under load: the service is killed at random moments and nothing it ever answered is lost."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.demo_service import DemoService, ServiceProcess, prepared
from api.cli.http_client import Refused
from api.composition import open_store, region_config
from benchmarks import requests
from ledger.auditing import Stored, audit_stored

WRITERS = 4
OPERATOR = "KILL-1"


class Load:
    """Clients that issue and revoke without pause, and remember every answer they were given."""

    def __init__(self, service: DemoService, seed: int) -> None:
        self._service = service
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.answers: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.sizes: list[int] = []

    def run_until_killed(self, process: ServiceProcess, seconds: float) -> None:
        """Write for `seconds`, kill the service in the middle of it, and wait for the writers to notice."""
        self._stop.clear()
        threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]
        threads.append(threading.Thread(target=self._watch))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        process.kill()
        self._stop.set()
        for thread in threads:
            thread.join(30)

    def _write(self) -> None:
        with httpx.Client(base_url=self._service.settings.base_url, timeout=20) as http:
            client = DemoService(self._service.settings, self._service.folder, http).client(requests.ISSUER)
            while not self._stop.is_set():
                with self._lock:
                    self._next += 1
                    number = self._next
                key, body = f"kill-{number}", requests.licence(number)
                self.bodies[key] = body
                try:
                    self.answers[key] = client.post("/v1/licences", body, operator=OPERATOR, key=key)
                except (httpx.HTTPError, Refused):
                    continue  # unanswered: it may be there or not, but never half

    def _watch(self) -> None:
        with httpx.Client(base_url=self._service.settings.base_url, timeout=5) as http:
            while not self._stop.is_set():
                try:
                    note = http.get("/log/checkpoint")
                except httpx.HTTPError:
                    break
                if note.status_code == 200:
                    self.sizes.append(int(note.text.split("\n")[1]))
                time.sleep(0.01)


def check(service: DemoService, load: Load) -> None:
    """Every answer ever given is given again, word for word, under its key; the log has each index once."""
    client = service.client(requests.ISSUER)
    for key, answer in load.answers.items():
        assert client.post("/v1/licences", load.bodies[key], operator=OPERATOR, key=key) == answer
    indexes = [answer["entry"] for answer in load.answers.values()]
    assert len(set(indexes)) == len(indexes)
    assert load.sizes == sorted(load.sizes), "a checkpoint stepped back"


def audited(service: DemoService) -> None:
    """Audit what is stored, from the files and the database alone."""
    stored = Stored.open(region_config(service.settings), open_store(service.settings))
    try:
        report = audit_stored(stored)
    finally:
        stored.database.close()
    assert report.passed, report.findings[:5]


def survive(folder: Path, kills: int, seed: int) -> None:
    """Kill the service `kills` times under load, checking after each restart, and audit at the end."""
    chance = random.Random(seed)
    settings = prepared(folder)
    process = ServiceProcess(settings, folder)
    with httpx.Client(base_url=settings.base_url, timeout=60) as http:
        service = DemoService(settings, folder, http)
        load = Load(service, seed)
        try:
            for _ in range(kills):
                process.start()
                load.run_until_killed(process, chance.uniform(0.3, 1.5))
            process.start()
            service = DemoService(settings, folder, http)
            check(service, load)
        finally:
            process.stop()
    assert load.answers, "nothing was ever answered"
    audited(service)


@pytest.fixture
def served_url(database_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Make services use this test's database."""
    monkeypatch.setenv("ELICENCE_DATABASE_URL", str(database_url))
    return database_url


def test_five_kills_lose_nothing(served_url: str, tmp_path: Path) -> None:
    """The short form of the promise, on both databases."""
    survive(tmp_path, 5, seed=20261121)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_kills_lose_nothing(served_url: str, tmp_path: Path) -> None:
    """The long form, with another seed each day it is run; the seed is printed."""
    seed = int(time.time())
    print(f"seed {seed}")
    survive(tmp_path, 50, seed=seed)
