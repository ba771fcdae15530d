"""A load generator: many keep-alive connections in one process, small enough not to be what is measured.

One reader of answers a connection, without streams or tasks: what a request costs here is told beside what it costs the
service, because both run on the same cores. Traffic goes to loopback only, and every run ends by count or time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from uvicorn.loops.uvloop import uvloop_loop_factory

HOST = "127.0.0.1"
LAST_ANSWERS_S = 30.0
"""How long the answers under way at the end are waited for; a run that takes longer has failed."""


@dataclass(slots=True)
class Load:
    """What came of a run: answers by status, seconds for each, the seconds of the whole, CPU seconds spent here."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    broken: int = 0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return sum(count for status, count in self.statuses.items() if status < 300) / self.seconds

    @property
    def micros_each(self) -> float:
        """CPU microseconds this generator spent on each request."""
        return 1e6 * self.cpu_s / max(1, len(self.latencies))

    def quantile_ms(self, share: float) -> float:
        """Milliseconds within which `share` of the answers came."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the bytes of one request; the connection stays open after it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers)]
    if body or method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(port: int, requests: Iterator[bytes], connections: int, seconds: float = 60.0) -> Load:
    """Send `requests` over `connections` to loopback `port`, until they are used up or `seconds` are over."""
    with asyncio.Runner(loop_factory=uvloop_loop_factory()) as runner:
        return runner.run(drive(port, requests, connections, seconds))


async def drive(port: int, requests: Iterator[bytes], connections: int, seconds: float = 60.0) -> Load:
    """Do the same within a running event loop."""
    assert ip_address(HOST).is_loopback
    load, loop = Load(), asyncio.get_running_loop()
    cpu, began = time.process_time(), time.perf_counter()
    made = [Connection(requests, load, began + seconds, loop) for _ in range(connections)]
    for each in made:
        await loop.create_connection(lambda each=each: each, HOST, port)  # type: ignore[misc] # bound at once
    await asyncio.wait_for(asyncio.gather(*(each.done for each in made)), seconds + LAST_ANSWERS_S)
    load.seconds = time.perf_counter() - began
    load.cpu_s = time.process_time() - cpu
    return load


class Connection(asyncio.Protocol):
    """One connection: sends a request, reads its answer to the end, sends the next."""

    def __init__(self, requests: Iterator[bytes], load: Load, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self._requests = requests
        self._load = load
        self._until = until
        self._transport: asyncio.Transport | None = None
        self._began = 0.0
        self._held = b""
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer; nearly always it is the whole."""
        if self._held:
            data = self._held + data
        if not _is_whole(data):
            self._held = data
            return
        self._held = b""
        self._load.latencies.append(time.perf_counter() - self._began)
        self._load.statuses[int(data[9:12])] += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is the library's
        """End; a connection the server closed in the middle is counted."""
        if not self.done.done():
            self._load.broken += 1
            self.done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        message = next(self._requests, None) if self._began < self._until else None
        if message is None:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._transport.write(message)


def _is_whole(data: bytes) -> bool:
    """Whether `data` is a whole answer with a length, or in chunks."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = data.find(b"content-length: ", 0, end)
    if at >= 0:
        return len(data) >= end + 4 + int(data[at + 16 : data.index(b"\r\n", at)])
    if data.find(b"transfer-encoding: chunked", 0, end) >= 0:
        return data.endswith(b"0\r\n\r\n")
    return True


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer with a length or in chunks, and return its status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.find(b"content-length:")
    if at >= 0:
        length = int(lowered[at + 15 : lowered.index(b"\r\n", at)])
        return int(head[9:12]), await reader.readexactly(length)
    body = b""
    while b"transfer-encoding: chunked" in lowered:
        size = int((await reader.readuntil(b"\r\n")).strip(), 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if size == 0:
            break
    return int(head[9:12]), body


def repeated(make: Callable[[int], bytes], count: int) -> Iterator[bytes]:
    """Return `count` requests, made before the run, so that making them is no part of it; shared by all connections."""
    return iter([make(number) for number in range(count)])
