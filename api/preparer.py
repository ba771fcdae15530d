"""`python -m api.preparer <descriptor>`: one process that prepares licences for the service that started it.

It is told all it needs over the descriptor, a socket whose other end only that service holds, and it ends when that
end is closed, however that came about. Signals of a terminal or a service manager go to the whole group; this process
waits for its parent to finish what is under way, and ignores them.
"""

import asyncio
import gc
import signal
import socket
import sys
from dataclasses import dataclass

from api.composition import open_store, region_config
from api.settings import Settings
from ledger.preparer import Annex
from ledger.preparer_wire import LIMIT, receive
from ledger.preparers import Preparers
from ledger.region import Region

MODULE = "api.preparer"


@dataclass(frozen=True)
class Begin:
    """What a preparer is told first: the service's settings, and the log it works for."""

    settings: Settings
    origin: str


def main() -> None:
    """Serve the descriptor named on the command line until its other end is closed."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    asyncio.run(_work(socket.socket(fileno=int(sys.argv[1]))))


def preparers_of(settings: Settings, region: Region) -> Preparers | None:
    """Return the processes that are to prepare licences for `region`, not started; None where there are to be none."""
    if not settings.preparers:
        return None
    return Preparers(region, settings.preparers, MODULE, Begin(settings, region.origin))


async def _work(ours: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LIMIT)
    begin: Begin = await receive(reader)
    store = await asyncio.to_thread(open_store, begin.settings)
    annex = Annex(region_config(begin.settings), store, begin.origin)
    # As in the service: what lives as long as the process is not looked at by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    await annex.work(reader, writer)
    writer.close()
    annex.database.close()


if __name__ == "__main__":
    main()
