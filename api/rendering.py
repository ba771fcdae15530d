"""Drawing faces and codes in threads, a few at a time, so that pictures never take the service from those who issue."""

import asyncio
from collections.abc import Callable
from typing import Final

from ledger.errors import Code, Refusal

AT_ONCE: Final = 2
"""Pictures drawn at the same time; each takes a core for some tens of milliseconds."""
MAX_WAITING: Final = 64
"""Pictures waiting before callers are asked to come back."""


class Rendering:
    """A bounded queue in front of a few threads; made inside the event loop that uses it."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def run(self, draw: Callable[[], bytes]) -> bytes:
        """Return what `draw` makes. Raises `Refusal` writer.busy where too many wait already."""
        if self._waiting >= MAX_WAITING:
            raise Refusal(Code.WRITER_BUSY, retry_after=2)
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(draw)
        finally:
            self._waiting -= 1
