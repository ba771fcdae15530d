"""How long after one region withdrew a licence another one refuses it: two services on loopback, default intervals.

The clock of each starts when A has answered, and stops when B's `POST /v1/verify` first says `invalid`; B only follows
A, nobody tells it. Withdrawals come one after the other and overlap.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.cli.demo_neighbours import Neighbour, Place, admit, regions, until
from benchmarks import over_http, requests
from benchmarks.load import read_answer, request
from tests.postgres_server import cluster
from verifiers.peer_view import stale_bound_s

EVERY_S = 0.3
"""Least time between two withdrawals: several are under way at once."""
AT_ONCE = 5
"""Most of them that are: those who look must not be what B is busy with."""
LOOK_S = 0.02
"""Time between two questions to B about one licence."""
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from A's answer to B's refusal, one for each licence, and the bound computed from settings."""

    each: list[float]
    bound_ms: float

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.each)

    @property
    def p95(self) -> float:
        """Nineteen of twenty took no longer."""
        return over_http.p95(self.each)


def measure(engine: str, count: int) -> Delays:
    """Withdraw `count` licences in a region on `engine`, and look at another one, which is on SQLite."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder, _place(engine) as place:
        with regions(Path(folder), [place, Place({"recognition_notice_s": 0})]) as [a, b]:
            _recognise(a, b)
            licences = over_http.issued(a.service, count, 1)
            codes = [_code(a, each) for each in licences]
            for code in (codes[0], codes[-1]):
                until("B", lambda code=code: b.verify(code), _is_valid, PATIENCE_S)  # type: ignore[misc] # bound here
            found = asyncio.run(_withdrawn(a, b, licences, codes))
        settings = a.settings
        bound = stale_bound_s(settings.publish_interval_ms, b.settings.follow_interval_ms, settings.status_ttl_s)
        return Delays(found, 1000.0 * bound)


@contextmanager
def _place(engine: str) -> Iterator[Place]:
    if engine == "sqlite":
        yield Place()
        return
    server = cluster({})
    try:
        yield Place({"database_url": str(server.url(server.create_database()))})
    finally:
        server.close()


def _recognise(a: Neighbour, b: Neighbour) -> None:
    with ThreadPoolExecutor(2) as pool:
        for admitted in [pool.submit(admit, a, b), pool.submit(admit, b, a)]:
            admitted.result()
    diploma = {"type": requests.DIPLOMA, "major": 1}
    body = {"peer": a.code, "their": diploma, "ours": diploma, "fields": {}}
    b.service.client("operator").post("/v1/equivalences", body, operator=over_http.OPERATOR)


def _code(a: Neighbour, licence: dict[str, Any]) -> str:
    """The text of the licence's printed code, which its bundle holds."""
    client = a.service.client(requests.ISSUER)
    return str(client.get(f"/v1/licences/{licence['id']}/bundle", operator=over_http.OPERATOR).json()["code"])


def _is_valid(verdict: dict[str, Any]) -> bool:
    return bool(verdict["outcome"] == "valid")


async def _withdrawn(a: Neighbour, b: Neighbour, licences: list[dict[str, Any]], codes: list[str]) -> list[float]:
    client = a.service.client(requests.ISSUER)
    began = time.monotonic()
    room, running = asyncio.Semaphore(AT_ONCE), []
    for number, (licence, code) in enumerate(zip(licences, codes, strict=True)):
        await asyncio.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
        act = request(
            "POST",
            f"/v1/licences/{licence['id']}/acts",
            orjson.dumps(over_http.act("withdraw", number)),
            over_http.authorised(client, f"withdraw-{number}"),
        )
        await room.acquire()
        task = asyncio.create_task(_one(a.settings.port, act, b.settings.port, code))
        task.add_done_callback(lambda _: room.release())
        running.append(task)
    return list(await asyncio.gather(*running))


async def _one(a: int, act: bytes, b: int, code: str) -> float:
    """Withdraw one licence at port `a`, and return after how many milliseconds port `b` refuses it."""
    async with _line(a) as ask:
        status, body = await ask(act)
    began = time.perf_counter()
    if status >= 300:
        raise RuntimeError(f"the act was refused: {body.decode()}")
    question = request("POST", "/v1/verify", orjson.dumps({"presented": code}))
    async with _line(b) as ask:
        while time.perf_counter() < began + PATIENCE_S:
            _, answer = await ask(question)
            if orjson.loads(answer)["outcome"] == "invalid":
                return 1000 * (time.perf_counter() - began)
            await asyncio.sleep(LOOK_S)
    raise RuntimeError(f"B went on accepting for {PATIENCE_S:g} s")


@asynccontextmanager
async def _line(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[tuple[int, bytes]]]]:
    """Give what sends a request over one kept connection and returns status and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)

    async def ask(message: bytes) -> tuple[int, bytes]:
        writer.write(message)
        return await read_answer(reader)

    try:
        yield ask
    finally:
        writer.close()
