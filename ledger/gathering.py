"""Questions of many callers asked together: those that came at the same time share one answer's work.

Nobody waits for others on purpose: a question that finds nothing under way is asked at once, and those that come
meanwhile are asked together next. Where that fails, each is asked by itself: one fault must not be everybody's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from ledger.errors import Code, Refusal
from ledger.waiting import settle

_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")

# Of these nobody knows whether anything went through, and the next attempt would find no better database.
_TOLD_TO_ALL: Final = frozenset({Code.COMMIT_UNKNOWN, Code.DATABASE_UNAVAILABLE, Code.STORAGE_FULL})


class Gathering(Generic[_Asked, _Given]):
    """Asks questions of one kind, at most `most` together; one a process, used from its event loop.

    `together` returns an answer to each question, in the same order, a `Refusal` where it has none.
    """

    def __init__(
        self, together: Callable[[Sequence[_Asked]], Awaitable[Sequence[_Given | Refusal]]], most: int
    ) -> None:
        self._together = together
        self._most = most
        self._waiting: deque[tuple[_Asked, asyncio.Future[_Given]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def ask(self, asked: _Asked) -> _Given:
        """Return the answer to one question. Raises its refusal, and whatever it fails with by itself.

        A caller that goes away does not stop what it asked for.
        """
        answer: asyncio.Future[_Given] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._answer([self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))])
        finally:
            self._serving = None

    async def _answer(self, taken: list[tuple[_Asked, asyncio.Future[_Given]]]) -> None:
        try:
            given = await self._together([asked for asked, _ in taken])
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            if len(taken) > 1 and not (isinstance(error, Refusal) and error.code in _TOLD_TO_ALL):
                for each in taken:
                    await self._answer([each])
                return
            for _, answer in taken:
                settle(answer, error)
            return
        for (_, answer), result in zip(taken, given, strict=True):
            settle(answer, result)
