"""A load that does not wait: so many requests a second, whatever the service can do; a process of its own.

Each connection has one request under way. Whenever the clock says that the next requests are due they are sent over
connections that are free; what then has no connection is not sent, and counted. Without a rate every connection sends
as soon as it was answered. What is accepted is written down, one line each, so that it can be asked for again.

`python -m tests.soak.offering` reads an `Offer` as JSON and prints what came of it, as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import orjson
from uvicorn.loops.uvloop import uvloop_loop_factory

from benchmarks import requests
from benchmarks.load import HOST, LAST_ANSWERS_S, request

TICK_S = 0.01
OPENED_TOGETHER = 200
KINDS = ("issue", "verify")


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered: `rate` a second (0: as fast as answers come), half of it licences to issue, half to verify."""

    port: int
    rate: float
    seconds: float
    connections: int
    headers: list[tuple[str, str]]
    first: int
    presented: list[str]
    accepted: str
    seed: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of it: answers by kind and status, milliseconds of each accepted one, and what must not be."""

    sent: int = 0
    unsent: int = 0
    broken: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    answers: dict[str, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    taken_ms: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused_ms: list[int] = field(default_factory=list)
    untold: int = 0
    """Refusals without `Retry-After`, or that are no problem document."""
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        """How many were answered at all."""
        return sum(sum(counts.values()) for counts in self.answers.values())

    @property
    def good(self) -> int:
        """How many were answered with what they asked for."""
        return sum(len(each) for each in self.taken_ms.values())

    def statuses(self) -> Counter[int]:
        """Answers by status, of all kinds."""
        return sum(self.answers.values(), Counter[int]())

    def quantile_ms(self, kind: str, share: float) -> int:
        """Milliseconds within which `share` of the accepted requests of a kind were answered."""
        ordered = sorted(self.taken_ms[kind])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


class Offering:
    """The connections, what they have under way, and what came of it."""

    def __init__(self, offer: Offer, accepted: Any) -> None:
        self.offer = offer
        self.outcome = Outcome()
        self.free: list[_Line] = []
        self.lines: list[_Line] = []
        self._accepted = accepted
        self._random = random.Random(offer.seed)
        self._numbers: Iterator[int] = iter(range(offer.first, offer.first + 10_000_000))
        self._verify = [request("POST", "/v1/verify", orjson.dumps({"presented": each})) for each in offer.presented]

    def next(self) -> tuple[str, int, bytes]:
        """Return the kind, the number and the bytes of a request."""
        if self._random.random() < 0.5:
            return "verify", 0, self._random.choice(self._verify)
        number = next(self._numbers)
        return "issue", number, issue_request(number, self.offer.headers)

    def note(self, kind: str, number: int, seconds: float, head: bytes, body: bytes) -> None:
        """Count an answer, and write an accepted licence down; of what was asked to be heard nothing is noted."""
        if not kind:
            return
        status = int(head[9:12])
        self.outcome.answers[kind][status] += 1
        if status < 300:
            self.outcome.taken_ms[kind].append(round(1000 * seconds))
            if kind == "issue":
                self._accepted.write(f"{number} {digest(body)} {orjson.loads(body)['entry']}\n")
            return
        self.outcome.refused_ms.append(round(1000 * seconds))
        lowered = head.lower()
        told = b"retry-after: " in lowered and b"application/problem+json" in lowered
        self.outcome.untold += status != 503 or not told
        with suppress(ValueError, KeyError):
            self.outcome.codes[orjson.loads(body)["code"]] += 1

    async def run(self) -> Outcome:
        """Offer it all, and wait for the last answers."""
        for start in range(0, self.offer.connections, OPENED_TOGETHER):
            more = range(start, min(start + OPENED_TOGETHER, self.offer.connections))
            await asyncio.gather(*(self._connect() for _ in more))
        await self._all_heard()
        cpu, began = time.process_time(), time.perf_counter()
        if self.offer.rate:
            await self._openly(began)
        else:
            await self._closely(began)
        self.outcome.seconds = time.perf_counter() - began
        for line in self.lines:
            line.again = False
        until = time.perf_counter() + LAST_ANSWERS_S
        while any(line.busy for line in self.lines) and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        self.outcome.broken += sum(line.busy for line in self.lines)
        for line in self.lines:
            line.close()
        self.outcome.cpu_s = time.process_time() - cpu
        return self.outcome

    async def _closely(self, began: float) -> None:
        for line in self.lines:
            line.again = True
            line.send(*self.next())
        await asyncio.sleep(max(0.0, began + self.offer.seconds - time.perf_counter()))

    async def _openly(self, began: float) -> None:
        due = 0
        while (passed := time.perf_counter() - began) < self.offer.seconds:
            now_due = int(passed * self.offer.rate)
            for _ in range(now_due - due):
                if not self.free:
                    self.outcome.unsent += 1
                else:
                    self.free.pop().send(*self.next())
            due = now_due
            await asyncio.sleep(TICK_S)

    async def _all_heard(self) -> None:
        """Ask once over every connection, so that all have been taken in when the clock starts."""
        for line in self.lines:
            line.send("", 0, request("GET", "/healthz"))
        until = time.perf_counter() + LAST_ANSWERS_S
        while any(line.busy for line in self.lines) and time.perf_counter() < until:
            await asyncio.sleep(TICK_S)
        self.free = [line for line in self.lines if not line.busy]
        self.outcome.sent = 0

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: _Line(self), HOST, self.offer.port)
        self.lines.append(line)


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, offering: Offering) -> None:
        self._offering = offering
        self._held = b""
        self._began = 0.0
        self._asked = ("", 0)
        self.busy = False
        self.again = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, kind: str, number: int, message: bytes) -> None:
        """Send one request."""
        self._asked, self._began, self.busy = (kind, number), time.perf_counter(), True
        self._offering.outcome.sent += 1
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer; nearly always it is the whole."""
        data = self._held + data if self._held else data
        end = data.find(b"\r\n\r\n") + 4
        length = data.find(b"content-length: ", 0, end)
        whole = end > 3 and len(data) >= end + int(data[length + 16 : data.index(b"\r\n", length)])
        if not whole:
            self._held = data
            return
        self._held, self.busy = b"", False
        self._offering.note(*self._asked, time.perf_counter() - self._began, data[:end], data[end:])
        if self.again:
            self.send(*self._offering.next())
        else:
            self._offering.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that was closed in the middle of a request."""
        self._offering.outcome.broken += self.busy
        self.busy = self.again = False
        if self in self._offering.free:
            self._offering.free.remove(self)

    def close(self) -> None:
        """Go, without being counted as closed by the server."""
        self.busy = self.again = False
        self._transport.close()


def issue_request(number: int, headers: list[tuple[str, str]]) -> bytes:
    """Return the request for the licence of this number, the same bytes each time."""
    key = ("Idempotency-Key", f"offered-{number}")
    return request("POST", "/v1/licences", orjson.dumps(requests.licence(number)), [*headers, key])


def digest(body: bytes) -> str:
    """Return the digest of an answer's bytes."""
    return hashlib.sha256(body).hexdigest()


def many_files() -> int:
    """Let this process open as many files as it may; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def offered(offer: Offer) -> Outcome:
    """Offer it within a running loop."""
    with Path(offer.accepted).open("a") as accepted:
        return await Offering(offer, accepted).run()


def offer(what: Offer) -> Outcome:
    """Offer it from a process of its own. Raises `RuntimeError` when that does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.offering"],
        input=json.dumps(asdict(what)),
        capture_output=True,
        text=True,
        timeout=what.seconds + 10 * LAST_ANSWERS_S,
    )
    if done.returncode:
        raise RuntimeError(f"the load could not be offered: {done.stderr[-2000:]}")
    said = json.loads(done.stdout)
    said["answers"] = {
        kind: Counter({int(status): count for status, count in counts.items()})
        for kind, counts in said["answers"].items()
    }
    return Outcome(**(said | {"codes": Counter(said["codes"])}))


def main() -> None:
    """Offer what standard input says."""
    many_files()
    what = Offer(**json.loads(sys.stdin.read()))
    with asyncio.Runner(loop_factory=uvloop_loop_factory()) as runner:
        outcome = runner.run(offered(what))
    sys.stdout.write(json.dumps({each.name: getattr(outcome, each.name) for each in fields(outcome)}))


if __name__ == "__main__":
    main()
