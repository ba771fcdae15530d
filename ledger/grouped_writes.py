"""Small writes of many callers in one transaction: those that came together wait for one commit, not each for its own.

Nobody waits for others on purpose: a write that finds nothing under way begins at once, and those that come meanwhile
form the next transaction. Where one of a group is refused, nothing of the group was kept, and each is done by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ledger.database import Database, Writing
from ledger.errors import Code, Refusal

TOGETHER: Final = 64
"""Most writes in one transaction."""

_T = TypeVar("_T")
_Waiting = tuple[Callable[[Writing], Any], "asyncio.Future[Any]"]

# Of these nobody knows whether the commit went through, and the next attempt would find no better database.
_TOLD_TO_ALL: Final = frozenset({Code.DATABASE_UNAVAILABLE, Code.STORAGE_FULL})


class GroupedWrites:
    """Groups the writes to one database; one a process, used from its event loop.

    A write may be run a second time after what it did was undone, so it must do nothing outside its transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def write(self, change: Callable[[Writing], _T]) -> _T:
        """Run `change` in a transaction and return what it gave once that is committed. Raises what it raises."""
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, answer))
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

    async def _write(self, taken: list[_Waiting]) -> None:
        changes = [change for change, _ in taken]
        try:
            given = await self._database.write(lambda tx: [change(tx) for change in changes])
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
            if not answer.done():  # the caller has gone
                answer.set_result(result)
