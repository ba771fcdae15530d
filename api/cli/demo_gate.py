"""A way out of a region that can be shut: an HTTP proxy on loopback, so that the demo can cut one region off.

It forwards plain `http` requests as they are, one service behind each connection, and stands for a line that an
excavator finds. While it is shut every connection through it ends, and none begins.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

_HEAD_MAX: Final = 65_536
_PIECE: Final = 65_536
_START_S: Final = 10


class Gate:
    """The proxy; `url` is where the region finds it."""

    def __init__(self) -> None:
        self.url = ""
        self._open = True
        self._pairs: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-gate", daemon=True)

    def shut(self) -> None:
        """Cut the line, for requests under way too."""
        self._loop.call_soon_threadsafe(self._cut)

    def reopen(self) -> None:
        """Mend the line."""
        self._loop.call_soon_threadsafe(setattr, self, "_open", True)

    def _cut(self) -> None:
        self._open = False
        for writer in list(self._pairs):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_MAX))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError("the gate did not open")

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pairs.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n")
            target = urlsplit(head.split(b" ")[1].decode("ascii"))
            if self._open and target.hostname is not None:
                answers, there = await asyncio.open_connection(target.hostname, target.port or 80)
                self._pairs.add(there)
                there.write(head)
                await asyncio.gather(_copy(reader, there), _copy(answers, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, UnicodeDecodeError, IndexError):
            writer.transport.abort()  # whoever asked finds the line dead, which is what this is for
        finally:
            for each in (writer, there):
                if each is not None:
                    self._pairs.discard(each)
                    each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextmanager
def gate() -> Iterator[Gate]:
    """Run a gate for the block; it stands open."""
    made = Gate()
    made._start()
    try:
        yield made
    finally:
        made._stop()
