"""Small writes of many callers in one transaction: those that came together wait for one commit, not each for its own.

Nobody waits for others on purpose: a write that finds nothing under way begins at once, and those that come meanwhile
form the next transaction. Where one of them fails, nothing of the group was kept, and each is done by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from ledger.database import Database, Writing
from ledger.errors import Code, Refusal

TOGETHER: Final = 64
"""Most writes in one transaction."""

_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")

# Of these nobody knows whether the commit went through, and the next attempt would find no better database.
_TOLD_TO_ALL: Final = frozenset({Code.DATABASE_UNAVAILABLE, Code.STORAGE_FULL})


class GroupedWrites(Generic[_Asked, _Given]):
    """Groups writes of one kind to one database; one a process, used from its event loop.

    `together` writes what it is given and returns an answer to each, a `Refusal` for what it did not write. It may be
    run a second time after what it did was undone, so it must do nothing outside its transaction.
    """

    def __init__(
        self, database: Database, together: Callable[[Writing, Sequence[_Asked]], Sequence[_Given | Refusal]]
    ) -> None:
        self._database = database
        self._together = together
        self._waiting: deque[tuple[_Asked, asyncio.Future[_Given]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def write(self, asked: _Asked) -> _Given:
        """Write `asked` in a transaction and return its answer once that is committed. Raises its refusal."""
        answer: asyncio.Future[_Given] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
                await self._write(taken)
        finally:
            self._serving = None

    async def _write(self, taken: list[tuple[_Asked, asyncio.Future[_Given]]]) -> None:
        asked = [each for each, _ in taken]
        try:
            given = await self._database.write(lambda tx: self._together(tx, asked))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            if len(taken) > 1 and not (isinstance(error, Refusal) and error.code in _TOLD_TO_ALL):
                for each in taken:
                    await self._write([each])
                return
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(taken, given, strict=True):
            if answer.done():  # the caller has gone
                continue
            if isinstance(result, Refusal):
                answer.set_exception(result)
            else:
                answer.set_result(result)
