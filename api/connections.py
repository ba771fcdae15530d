"""Connections of the web server: how many, how long one may be idle, and how slowly it may speak.

The server underneath waits for ever for a request that never comes, or comes by the byte, and for a reader that never
reads. Here one clock looks at all connections once a second: it closes those that took too long. Where all places are
taken, a new connection takes that of an idle one.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.front import WHOLE, Front
from api.settings import Settings
from api.turns import Turns

BACKLOG: Final = 2048
HEAD_MAX: Final = 1 << 16
"""Bytes after which a head, or what follows a body, has to be whole; a token and a signature take less than a tenth of
it. The server underneath would keep whatever comes."""
LOOK_S: Final = 1.0
ACCEPTED_IN_TURN: Final = 32
"""New connections that one turn of the event loop takes in."""
STALLED_S: Final = 30.0
"""How long a caller may take nothing of an answer that is being sent."""
SEARCHED: Final = 1000
"""Connections among which an idle one is looked for."""
KEPT_FILES: Final = 256
"""Files that are no connections: databases, tiles, spools."""
GRACE_S: Final = 20


_HEAD_TOO_LONG: Final = STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n"  # RFC 6585 §5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What `Connection` keeps to."""

    connections: int = 16_384
    head_s: float = 10.0
    stalled_s: float = STALLED_S


class Connection(HttpToolsProtocol):
    """One connection; its `bounds` are those of the process."""

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = _crowds.setdefault(server_state, _Crowd(self.loop))
        self._door: Front | None = getattr(config.loaded_app, "front", None)
        self._reading = False
        self._read_on = False
        self._unread = 0
        self._begun: tuple[RequestResponseCycle, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server has it
        """Take a place, or that of one who does not use it; where there is none, go."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections and not self._take_place():
            transport.abort()
            return
        self._crowd.watch(self._crowd.speechless, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._crowd.speechless.pop(self, None)
        self._crowd.deaf.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; whoever is in the middle of a head is watched until it is whole."""
        self._reading, self._read_on = True, False
        super().data_received(data)
        self._reading = False
        self._unread = 0 if self._read_on else self._unread + len(data)
        if self._unread > HEAD_MAX and not self.transport.is_closing():
            self._too_long()
        begun, self._begun = self._begun, None
        if begun is not None and not self.transport.is_closing():
            self._begin(*begun)
        cycle: RequestResponseCycle | None = self.cycle  # none before the first head
        speechless = self._crowd.speechless
        if cycle is not None and cycle.scope is self.scope and (begun or not cycle.response_complete):
            speechless.pop(self, None)
        elif self not in speechless and not self.transport.is_closing():
            self._crowd.watch(speechless, self)

    def on_headers_complete(self) -> None:
        """Note that a head is whole."""
        self._read_on = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that some of a body came."""
        self._read_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._read_on = True
        super().on_message_complete()

    def _too_long(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:  # else an answer is due before this one
            self.transport.write(_HEAD_TOO_LONG)
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Whether its body has come, too, is known when what was received is read to its end.
        if self._reading:
            self._begun = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Have a call answered; one that has come whole is first let in, or sent away, which costs next to nothing."""
        plain = cycle.keep_alive and not cycle.more_body and cycle.scope["method"] != "HEAD"
        if self._door is None or not plain or self.pipeline:
            super()._start_asgi_task(cycle, app)
            return
        said = self._door.let_in(cast(MutableMapping[str, Any], cycle.scope))
        if said is None:
            self._crowd.turns.begin(partial(self._start, self._door, cycle, app))
        else:
            self._crowd.turns.say(partial(self._send_away, cycle, said))

    def _start(self, door: Front, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.disconnected:
            door.give_up(cast(MutableMapping[str, Any], cycle.scope))
        else:
            cast(MutableMapping[str, Any], cycle.scope)[WHOLE] = partial(self._answer, cycle)
            super()._start_asgi_task(cycle, app)

    def _answer(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes | memoryview,
    ) -> bool:
        """Write head and body with one call of the system instead of two, each of which wakes the caller.

        What is out of the usual way is left to the server underneath: False.
        """
        if not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused or self.transport.is_closing():
            return False
        head = b"\r\n".join([b"%b: %b" % header for header in (*cycle.default_headers, *headers)])
        lines = len(cycle.default_headers) + len(headers)
        if not head.count(b"\r") == head.count(b"\n") == lines - 1 or b"\0" in head:
            return False
        self._write(cycle, b"".join((STATUS_LINE[status], head, b"\r\n\r\n", body)))
        return True

    def _send_away(self, cycle: RequestResponseCycle, said: bytes) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        line, _, rest = said.partition(b"\r\n")
        dated = [b"%b: %b" % header for header in cycle.default_headers]
        self._write(cycle, b"\r\n".join([line, *dated, rest]))

    def _write(self, cycle: RequestResponseCycle, answer: bytes) -> None:
        self.transport.write(answer)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        self.on_response_complete()

    def pause_writing(self) -> None:
        """Watch a caller who does not take the answer."""
        super().pause_writing()
        self._crowd.watch(self._crowd.deaf, self)

    def resume_writing(self) -> None:
        """Go on; a caller who takes some of the answer has time again."""
        self._crowd.deaf.pop(self, None)
        super().resume_writing()

    def _take_place(self) -> bool:
        """Close a connection that is not used: the one that said nothing for longest, or one between two requests."""
        longest = next(iter(self._crowd.speechless), None)
        if longest is not None:
            self._crowd.speechless.pop(longest)
            longest.transport.abort()
            return True
        for other in islice(self.connections, SEARCHED):
            if isinstance(other, Connection) and other.timeout_keep_alive_task is not None:
                other.transport.close()
                return True
        return False


class _Crowd:
    """The connections of one server: those that are watched, since when, the longest first; and what waits its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.turns = Turns(loop)
        self._clock: asyncio.TimerHandle | None = None
        self.speechless: dict[Connection, float] = {}
        self.deaf: dict[Connection, float] = {}

    def watch(self, among: dict[Connection, float], connection: Connection) -> None:
        among[connection] = self._loop.time()
        if self._clock is None:
            self._clock = self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        now, bounds = self._loop.time(), Connection.bounds
        for watched, seconds in ((self.speechless, bounds.head_s), (self.deaf, bounds.stalled_s)):
            late = list(takewhile(lambda each: each[1] <= now - seconds, watched.items()))  # noqa: B023 - used at once
            for connection, _ in late:
                del watched[connection]
                connection.transport.abort()
        left = self.speechless or self.deaf
        self._clock = self._loop.call_later(LOOK_S, self._look) if left else None


_crowds: WeakKeyDictionary[ServerState, _Crowd] = WeakKeyDictionary()


def keep_to(settings: Settings) -> None:
    """Let this process open as many files as it may, and bound its connections by the settings and by that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, settings.max_connections + KEPT_FILES)
    with suppress(ValueError, OSError):  # not ours to raise: what there is has to do
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    most = max(64, min(settings.max_connections, soft - KEPT_FILES))
    Connection.bounds = Bounds(most, settings.head_timeout_s)


def listeners(bound: socket.socket) -> list[socket.socket]:
    """Return the listening socket as many times as connections may be accepted in one turn of the event loop.

    The loop accepts one connection of each listening socket in a turn (libuv since 1.45). Under load a turn is long,
    and who comes with a new connection, such as a probe, would wait for as many turns as others came before.
    """
    return [bound, *(bound.dup() for _ in range(ACCEPTED_IN_TURN - 1))]


def server_options(settings: Settings) -> dict[str, Any]:
    """Return how the web server is run: nothing is done for a call that nobody asked for."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": Connection,
        "ws": "none",
        "loop": "uvloop",
        "proxy_headers": False,  # no answer depends on a caller's address or scheme
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": settings.idle_timeout_s,
        "timeout_graceful_shutdown": GRACE_S,
    }
