"""Callers who misbehave, all at once, in a process of their own: slow, huge, silent, gone, and very many.

Each kind counts how it was treated. `python -m tests.soak.strangers` reads a `Crowd` as JSON and prints the counts.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.load import HOST, read_answer, request
from tests.soak.offering import OPENED_TOGETHER, issue_request, many_files

GET = request("GET", "/healthz")
LARGE = request("GET", "/openapi.json")
PIPELINED = 400
MARGIN_S = 20.0
"""Beyond the service's own limit: its clocks look once a second, and the machine is busy with all of this."""
KEPT_FILES = 2_500


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many of each kind; limits are those of the service, in seconds; without `stalled_s` nobody waits for that."""

    port: int
    headers: list[tuple[str, str]]
    each: int
    idle: int
    head_s: float
    body_s: float
    stalled_s: float
    hold_s: float


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Strangers:
    """The crowd, and how each kind was treated."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self.counts: dict[str, Counter[str]] = {}
        self._idle: list[Line] = []

    async def run(self) -> dict[str, Counter[str]]:
        """Let all of them come; ends when the last has been dealt with."""
        await self._sit_down()
        kinds: dict[str, Callable[[int], Coroutine[Any, Any, str]]] = {
            "head by the byte": self._slow_head,
            "body by the byte": self._slow_body,
            "answer never read": self._deaf,
            "body declared huge": self._declared,
            "body without an end": self._endless,
            "silent": self._silent,
            "reset in a request": self._reset,
            "gone before the answer": self._gone,
        }
        began = time.monotonic()
        tasks = {name: [asyncio.create_task(do(n)) for n in range(self._crowd.each)] for name, do in kinds.items()}
        for name, running in tasks.items():
            self.counts[name] = Counter(await asyncio.gather(*running))
        await asyncio.sleep(max(0.0, began + self._crowd.hold_s - time.monotonic()))
        await self._stand_up()
        return self.counts

    async def _open(self) -> Line:
        return await asyncio.open_connection(HOST, self._crowd.port)

    async def _sit_down(self) -> None:
        """Open idle connections, each of which has asked something once."""
        counts = self.counts["idle"] = Counter()
        room = min(self._crowd.idle, many_files() - KEPT_FILES)
        if room < self._crowd.idle:
            counts["not opened: too few files"] = self._crowd.idle - room
        for start in range(0, room, OPENED_TOGETHER):
            await asyncio.gather(*(self._sit() for _ in range(start, min(start + OPENED_TOGETHER, room))))

    async def _sit(self) -> None:
        try:
            reader, writer = await self._open()
            writer.write(GET)
            status, _ = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            self.counts["idle"]["refused"] += 1
            return
        self.counts["idle"]["seated" if status == 200 else f"answered {status}"] += 1
        self._idle.append((reader, writer))

    async def _stand_up(self) -> None:
        """See which of them are still there: each that is has its next request answered."""
        for start in range(0, len(self._idle), OPENED_TOGETHER):
            await asyncio.gather(*(self._ask_again(each) for each in self._idle[start : start + OPENED_TOGETHER]))

    async def _ask_again(self, line: Line) -> None:
        reader, writer = line
        try:
            writer.write(GET)
            status, _ = await read_answer(reader)
            self.counts["idle"]["served again" if status == 200 else f"answered {status}"] += 1
        except (OSError, asyncio.IncompleteReadError):
            self.counts["idle"]["closed meanwhile"] += 1
        finally:
            writer.close()

    async def _slow_head(self, _: int) -> str:
        return await self._trickled(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", self._crowd.head_s)

    async def _slow_body(self, number: int) -> str:
        whole = issue_request(900_000_000 + number, self._crowd.headers)
        return await self._trickled(whole[: whole.index(b"\r\n\r\n") + 4], self._crowd.body_s)

    async def _trickled(self, begin: bytes, limit_s: float) -> str:
        reader, writer = await self._open()
        writer.write(begin)
        told = asyncio.create_task(_told(reader))
        until = time.monotonic() + limit_s + MARGIN_S
        while not told.done() and time.monotonic() < until:
            with suppress(ConnectionError):
                writer.write(b" ")
            await asyncio.wait([told], timeout=0.5)
        return await _finished(told, writer)

    async def _deaf(self, _: int) -> str:
        """Ask for much, again and again, and never read: the server must not keep it all for us."""
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, (HOST, self._crowd.port))
        with line:
            with suppress(TimeoutError):
                await asyncio.wait_for(loop.sock_sendall(line, LARGE * PIPELINED), 2)
            if not self._crowd.stalled_s:
                return "left"
            await asyncio.sleep(self._crowd.stalled_s + MARGIN_S)
            # What the kernel had taken comes yet; then the line ends, because the server has given it up.
            with suppress(TimeoutError):
                with suppress(ConnectionError):
                    while await asyncio.wait_for(loop.sock_recv(line, 1 << 20), MARGIN_S):
                        pass
                return "closed"
        return "kept"

    async def _declared(self, number: int) -> str:
        whole = issue_request(910_000_000 + number, self._crowd.headers)
        length = whole.index(b"Content-Length: ")
        end = whole.index(b"\r\n", length)
        reader, writer = await self._open()
        writer.write(whole[:length] + b"Content-Length: 10000000000" + whole[end:])
        return await self._fed(reader, writer, b"x" * 65536)

    async def _endless(self, number: int) -> str:
        whole = issue_request(920_000_000 + number, self._crowd.headers)
        length = whole.index(b"Content-Length: ")
        head = whole[: whole.index(b"\r\n\r\n") + 4]
        reader, writer = await self._open()
        writer.write(head[:length] + b"Transfer-Encoding: chunked\r\n\r\n")
        return await self._fed(reader, writer, b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async def _fed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, part: bytes) -> str:
        told = asyncio.create_task(_told(reader))
        until = time.monotonic() + self._crowd.body_s + MARGIN_S
        while not told.done() and time.monotonic() < until:
            with suppress(ConnectionError, TimeoutError):
                writer.write(part)
                await asyncio.wait_for(writer.drain(), 0.2)
            await asyncio.wait([told], timeout=0.01)
        return await _finished(told, writer)

    async def _silent(self, _: int) -> str:
        reader, writer = await self._open()
        told = asyncio.create_task(_told(reader))
        await asyncio.wait([told], timeout=self._crowd.head_s + MARGIN_S)
        return await _finished(told, writer)

    async def _reset(self, number: int) -> str:
        await self._left(issue_request(930_000_000 + number, self._crowd.headers)[:200])
        return "gone"

    async def _gone(self, number: int) -> str:
        await self._left(issue_request(940_000_000 + number, self._crowd.headers))
        return "gone"

    async def _left(self, said: bytes) -> None:
        """Say something, and be gone without a farewell (RST)."""
        _, writer = await self._open()
        line = writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(said)
        await asyncio.sleep(0.02)
        writer.transport.abort()


async def _told(reader: asyncio.StreamReader) -> str:
    try:
        status, _ = await read_answer(reader)
    except (ConnectionError, asyncio.IncompleteReadError):
        return "closed"
    return str(status)


async def _finished(told: asyncio.Task[str], writer: asyncio.StreamWriter) -> str:
    if not told.done():
        told.cancel()
        writer.transport.abort()
        return "kept"
    writer.transport.abort()
    return told.result()


def come(crowd: Crowd) -> dict[str, Counter[str]]:
    """Let them come from a process of their own. Raises `RuntimeError` when that does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.strangers"],
        input=json.dumps(asdict(crowd)),
        capture_output=True,
        text=True,
        timeout=crowd.hold_s + 600,
    )
    if done.returncode:
        raise RuntimeError(f"the strangers did not come: {done.stderr[-2000:]}")
    return {kind: Counter(counts) for kind, counts in json.loads(done.stdout).items()}


def main() -> None:
    """Let those come that standard input describes."""
    many_files()
    sys.stdout.write(json.dumps(asyncio.run(Strangers(Crowd(**json.loads(sys.stdin.read()))).run())))


if __name__ == "__main__":
    main()
