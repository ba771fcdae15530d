"""`python -m api.preparer <descriptor>`: one process that prepares licences for the service that started it.

It is told all it needs over the descriptor, a socket whose other end only that service holds, and it ends when that
end is closed, however that came about. Signals of a terminal or a service manager go to the whole group; this process
waits for its parent to finish what is under way, and ignores them. It imports little, because it starts with the
service and beside it.
"""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from keys.file_store import FileKeyStore
from ledger.config import RegionConfig
from ledger.preparer import Annex
from ledger.preparer_wire import LIMIT, receive


@dataclass(frozen=True, slots=True)
class Begin:
    """What a preparer is told first: the region, its key store, and the log it works for."""

    config: RegionConfig
    origin: str
    keystore: Path
    password: str | None = field(repr=False)


async def launch() -> tuple["subprocess.Popen[bytes]", asyncio.StreamReader, asyncio.StreamWriter]:
    """Start such a process and return it with the two directions of the pipe. Raises `OSError`."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.to_thread(_start, theirs.fileno())
    return process, *(await asyncio.open_unix_connection(sock=ours, limit=LIMIT))


def _start(descriptor: int) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "api.preparer", str(descriptor)],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
    )


def main() -> None:
    """Serve the descriptor named on the command line until its other end is closed."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    asyncio.run(_work(socket.socket(fileno=int(sys.argv[1]))))


async def _work(ours: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LIMIT)
    begin: Begin = await receive(reader)
    store = await asyncio.to_thread(FileKeyStore.open, begin.keystore, begin.password)
    annex = Annex(begin.config, store, begin.origin)
    # As in the service: what lives as long as the process is not looked at by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    await annex.work(reader, writer)
    writer.close()
    annex.database.close()


if __name__ == "__main__":
    main()
