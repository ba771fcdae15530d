"""Waiting: for an answer, or until the log has come so far in a checkpoint that is served, or cosigned by witnesses."""

from __future__ import annotations

import asyncio
from typing import TypeVar

_Given = TypeVar("_Given")


def settle(answer: asyncio.Future[_Given], outcome: _Given | Exception) -> None:
    """Give `outcome` to who waits for `answer`, or raise it there; nobody minds when the caller has gone."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


class Waiting:
    """Those who wait for a checkpoint that covers their entry; used from one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[str]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, idx: int) -> str:
        """Return the note of the first checkpoint to come that covers entry `idx`."""
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((idx, waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            # Whoever gave up is forgotten now: the next checkpoint may be long in coming.
            self._waiting = [each for each in self._waiting if each[1] is not waiter]
            raise

    def tell(self, size: int, note: str) -> None:
        """Let those go on whose entries are among the first `size`, which `note` covers."""
        for idx, waiter in self._waiting:
            if idx < size and not waiter.done():
                waiter.set_result(note)
        self._waiting = [each for each in self._waiting if not each[1].done()]

    def end(self) -> None:
        """Let everybody go: nothing more will come."""
        for _, waiter in self._waiting:
            waiter.cancel()
        self._waiting.clear()
