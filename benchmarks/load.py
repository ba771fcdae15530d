"""A load generator: many keep-alive connections in one process, small enough not to be what is measured.

Traffic goes to loopback only, and every run ends by count or time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

_READ = 1 << 16


@dataclass(slots=True)
class Load:
    """What came of a run: answers by status, seconds for each, and the seconds of the whole."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return sum(count for status, count in self.statuses.items() if status < 300) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Milliseconds within which `share` of the answers came."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the bytes of one request; the connection stays open after it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if body or method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def drive(port: int, requests: Iterator[bytes], connections: int, seconds: float = 60.0) -> Load:
    """Send `requests` over `connections` to loopback `port`, until they are used up or `seconds` are over."""
    load = Load()
    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(_one(port, requests, load, until) for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def _one(port: int, requests: Iterator[bytes], load: Load, until: float) -> None:
    host = "127.0.0.1"
    assert ip_address(host).is_loopback
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        for each in requests:
            began = time.perf_counter()
            if began > until:
                return
            writer.write(each)
            status, _ = await read_answer(reader)
            load.latencies.append(time.perf_counter() - began)
            load.statuses[status] += 1
    finally:
        writer.close()


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
    """Yield `count` requests made on the fly, shared by all connections."""
    return (make(number) for number in range(count))
