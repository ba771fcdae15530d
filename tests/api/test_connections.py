"""The web server's connections: those that say nothing, take nothing or come by the byte give their place back."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.loops.uvloop import uvloop_loop_factory

from api import connections
from api.connections import ACCEPTED_IN_TURN, Bounds, Connection, keep_to, listeners, server_options
from api.front import WHOLE
from api.settings import Settings
from api.turns import Turns

LARGE = b"x" * 50_000_000


WHOLES = {"/whole": b"plain", "/broken": b"a\r\nb: c", "/nul": b"a\0"}
"""Paths that are answered at once, with the value of a header."""


async def _app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Answer with what was sent, with very much, or at once and with what became of that."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if (value := WHOLES.get(scope["path"])) is not None:
        headers = [(b"content-length", b"5"), (b"x-value", value)]
        if WHOLE not in scope:
            body = b"parts"
        elif scope[WHOLE](200, headers, b"whole"):
            return
        else:
            body = b"never"
    answer = LARGE if scope["path"] == "/large" else body or b"empty"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    for start in range(0, len(answer), 1 << 20):
        part, last = answer[start : start + (1 << 20)], start + (1 << 20) >= len(answer)
        await send({"type": "http.response.body", "body": part, "more_body": not last})


@asynccontextmanager
async def _server(monkeypatch: pytest.MonkeyPatch, bounds: Bounds, idle_s: int = 60) -> AsyncIterator[tuple[int, Any]]:
    monkeypatch.setattr(Connection, "bounds", bounds)
    monkeypatch.setattr(connections, "LOOK_S", 0.02)
    options = server_options(Settings(port=0, idle_timeout_s=idle_s)) | {"loop": "none", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(_app, **options))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        server.should_exit = True
        await task


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> bytes:
    writer.write(said)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _Door:
    """Lets in all but those who ask for /full, and notes who was given up."""

    def __init__(self) -> None:
        self.given_up = 0

    def let_in(self, scope: MutableMapping[str, Any]) -> bytes | None:
        """Send away who asks for /full."""
        return b"HTTP/1.1 503 Full\r\ncontent-length: 4\r\n\r\nfull" if scope["path"] == "/full" else None

    def give_up(self, _: MutableMapping[str, Any]) -> None:
        """Note it."""
        self.given_up += 1


@pytest.fixture(name="door")
def _door(monkeypatch: pytest.MonkeyPatch) -> _Door:
    door = _Door()
    monkeypatch.setattr(_app, "front", door, raising=False)
    return door


FULL = b"POST /full HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"


@pytest.mark.usefixtures("door")
async def test_who_is_sent_away_keeps_his_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """His next call is answered over it, even after a while; calls behind which others wait go the long way."""
    async with _server(monkeypatch, Bounds(100, head_s=0.1)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await _ask(reader, writer, FULL) == b"full"
        await asyncio.sleep(0.4)
        assert await _ask(reader, writer, GET) == b"empty"
        writer.write(FULL + GET + FULL + FULL)

        answers = [await _ask(reader, writer, b"") for _ in range(4)]

        assert answers == [b"ab", b"empty", b"ab", b"full"]
        writer.close()


@pytest.mark.usefixtures("door")
async def test_a_call_whose_body_is_still_coming_is_left_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither let in nor sent away before there is all of it."""
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(FULL[:-1])
        await asyncio.sleep(0.05)

        assert await _ask(reader, writer, b"b") == b"ab"
        writer.close()


@pytest.mark.usefixtures("door")
async def test_an_answer_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body together, dated, and the connection goes on; one that is to end is left to the server."""
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        status, date, *rest = (await reader.readuntil(b"whole")).split(b"\r\n")
        assert status == b"HTTP/1.1 200 OK" and date.startswith(b"date: ")
        assert rest == [b"content-length: 5", b"x-value: plain", b"", b"whole"]

        assert await _ask(reader, writer, GET) == b"empty"
        assert await _ask(reader, writer, b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == b"parts"
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("path", [b"/broken", b"/nul"])
async def test_a_header_that_would_be_two_is_not_written(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets text of a caller into a header must not be able to write another one."""
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        assert await _ask(reader, writer, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n") == b"never"
        writer.close()


async def test_a_caller_who_leaves_before_his_turn_is_not_served(monkeypatch: pytest.MonkeyPatch, door: _Door) -> None:
    """His call is given up when its turn comes."""
    waiting: list[Any] = []
    monkeypatch.setattr(Turns, "begin", lambda _, call: waiting.append(call))
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, server):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        while not waiting:
            await asyncio.sleep(0.01)
        writer.close()
        while server.server_state.connections:
            await asyncio.sleep(0.01)

        waiting[0]()

        assert door.given_up == 1 and not server.server_state.tasks


SLOW_HEADS = {
    "nothing": (b"", b""),
    "line": (b"GET /", b"a"),
    "head": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a"),
    "blank lines": (b"\r\n", b"\r\n"),
}


@pytest.mark.parametrize(("said", "then"), SLOW_HEADS.values(), ids=SLOW_HEADS.keys())
async def test_a_head_that_does_not_come_is_not_waited_for(
    said: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing at all, and a head that comes by the byte, end the connection at the same time."""
    async with _server(monkeypatch, Bounds(100, head_s=0.2)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        trickle = asyncio.create_task(_trickle(writer, then))

        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""

        trickle.cancel()
        writer.close()


async def _trickle(writer: asyncio.StreamWriter, said: bytes) -> None:
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(said)
            await asyncio.sleep(0.05)


LONG_HEADS = {
    "value": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 1000),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-Many: a\r\n" * 100),
    "path": (b"GET /", b"a" * 1000),
    "trailers": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Long: ",
        b"a" * 1000,
    ),
}


@pytest.mark.parametrize(("said", "then"), LONG_HEADS.values(), ids=LONG_HEADS.keys())
async def test_a_head_without_an_end_is_not_kept(said: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the connection, with a word for who may hear one; one of sixty thousand bytes is read."""
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        sent = 0
        with suppress(ConnectionError):
            while not reader.at_eof() and sent < 10_000_000:
                writer.write(then)
                await writer.drain()
                sent += len(then)
                await asyncio.sleep(0)
            heard = await asyncio.wait_for(reader.read(), 10)
            assert heard == b"" or heard.startswith(b"HTTP/1.1 431 ")
        while server.server_state.connections:
            await asyncio.sleep(0.01)
        assert sent < 10_000_000
        writer.close()


async def test_a_long_head_and_a_long_body_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is for what makes no end, however many requests and parts of bodies come over a connection."""
    async with _server(monkeypatch, Bounds(100, head_s=60)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            assert await _ask(reader, writer, GET[:-2] + b"X-Long: " + b"a" * 60_000 + b"\r\n\r\n") == b"empty"
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"
        assert await _ask(reader, writer, head + b"b" * 400_000) == b"b" * 400_000
        writer.close()


async def test_a_body_that_takes_its_time_is_not_the_connections_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the head is whole the clock for heads stops; how long a body takes is bounded by the service."""
    async with _server(monkeypatch, Bounds(100, head_s=0.1)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        await asyncio.sleep(0.4)

        assert await _ask(reader, writer, b"b") == b"ab"
        assert await _ask(reader, writer, GET) == b"empty"
        writer.close()


async def test_an_idle_connection_is_kept_as_long_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two requests neither clock for heads runs; the server's own ends it."""
    async with _server(monkeypatch, Bounds(100, head_s=0.1), idle_s=1) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await _ask(reader, writer, GET)
        await asyncio.sleep(0.4)

        assert await _ask(reader, writer, GET) == b"empty"
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_who_takes_nothing_of_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not read keeps neither memory nor a place."""
    async with _server(monkeypatch, Bounds(100, head_s=60, stalled_s=0.2)) as (port, server):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")

        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        while server.server_state.connections:
            await asyncio.sleep(0.01)
        writer.close()


async def test_a_new_connection_takes_the_place_of_one_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones go first, the longest silent before others; then those between two requests."""
    async with _server(monkeypatch, Bounds(connections=2, head_s=60)) as (port, server):
        idle = await asyncio.open_connection("127.0.0.1", port)
        await _ask(*idle, GET)
        silent = await asyncio.open_connection("127.0.0.1", port)
        first = await asyncio.open_connection("127.0.0.1", port)
        assert await _ask(*first, GET) == b"empty"
        with suppress(ConnectionError):
            assert await asyncio.wait_for(silent[0].read(), 10) == b""

        second = await asyncio.open_connection("127.0.0.1", port)

        assert await _ask(*second, GET) == b"empty"
        assert len(server.server_state.connections) == 2
        for _, writer in (idle, silent, first, second):
            writer.close()


def test_connections_are_bounded_by_the_files_that_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound beyond what the system allows would end in refused accepts; some files are kept for databases."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(Connection, "bounds", Bounds())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))

    keep_to(Settings(max_connections=100_000, head_timeout_s=3))

    assert raised == [(4096, 4096)]
    assert Connection.bounds == Bounds(connections=4096 - connections.KEPT_FILES, head_s=3)


def test_new_connections_do_not_wait_for_a_turn_each() -> None:
    """The loop accepts one of each listening socket in a turn: a probe would wait for all who came before it."""
    waiting = 4 * ACCEPTED_IN_TURN

    async def turns() -> int:
        loop, made = asyncio.get_running_loop(), 0

        class Counted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                nonlocal made
                made += 1

        bound = socket.create_server(("127.0.0.1", 0), backlog=waiting)
        clients = [socket.create_connection(bound.getsockname()) for _ in range(waiting)]
        servers = [await loop.create_server(Counted, sock=each) for each in listeners(bound)]
        count = 0
        while made < waiting:
            await asyncio.sleep(0)
            count += 1
        for server in servers:
            server.close()
        for client in clients:
            client.close()
        return count

    with asyncio.Runner(loop_factory=uvloop_loop_factory()) as runner:
        assert runner.run(turns()) <= 8
