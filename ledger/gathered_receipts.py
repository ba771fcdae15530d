"""Receipts that callers wait for: all that become ready with the same checkpoint are composed together.

A publication wakes whoever waited for it at the same moment. One look at the database and one set of tiles serves all
of them, instead of a look and a thread for each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ledger.receipts import receipts_of

if TYPE_CHECKING:
    from ledger.region import Region

TOGETHER: Final = 128
"""Most receipts composed at once: about 30 ms in which nobody of them is answered."""


class GatheredReceipts:
    """Composes the newest receipts of entries that are published; one a process, used from its event loop."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._waiting: deque[tuple[int, asyncio.Future[str]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def receipt(self, idx: int) -> str:
        """Return the receipt of one entry. Raises what `receipts_of` raises."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((idx, answer))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._together([self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))])
        finally:
            self._serving = None

    async def _together(self, taken: list[tuple[int, asyncio.Future[str]]]) -> None:
        try:
            texts = await receipts_of(self._region, [idx for idx, _ in taken])
        except Exception as error:  # noqa: BLE001 - raised where it was asked; one fault must not be everybody's
            if len(taken) > 1:
                for each in taken:
                    await self._together([each])
            elif not taken[0][1].done():  # the caller has gone
                taken[0][1].set_exception(error)
            return
        for (_, answer), text in zip(taken, texts, strict=True):
            if not answer.done():  # the caller has gone
                answer.set_result(text)
