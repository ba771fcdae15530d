"""Look-ups by key that come together, asked together: on PostgreSQL one statement answers all that wait.

So under load waking threads and waiting for the server are shared. Nobody waits for others on purpose, and nothing is
remembered from one question to the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from ledger.database import Database

TOGETHER: Final = 256
"""Most questions in one statement."""

Rows = list[tuple[Any, ...]]


class GatheredReads:
    """Asks one question of one database for many keys; one a process, used from its event loop.

    `sqlite` takes one key as its only parameter. `postgres` takes an array of them, `unnest(…) WITH ORDINALITY`, and
    gives beside the same columns, first, the place of the key its row answers; rows come in the order of the places.
    """

    def __init__(self, database: Database, sqlite: str, postgres: str) -> None:
        self._database = database
        self._sqlite, self._postgres = sqlite, postgres
        self._waiting: deque[tuple[object, asyncio.Future[Rows]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def find(self, key: object) -> Rows:
        """Return the rows of one key. Raises `Refusal` where the database cannot be asked."""
        if self._database.is_sqlite:  # a look by key is done sooner than a thread is woken
            return self._database.rows(self._sqlite, (key,))
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        """Ask for all that wait, one statement after the other, until nobody does."""
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
                found: list[Rows] = [[] for _ in taken]
                try:
                    keys = [key for key, _ in taken]
                    for place, *row in await self._database.rows_elsewhere(self._postgres, (keys,)):
                        found[place - 1].append(tuple(row))
                except Exception as error:  # noqa: BLE001 - raised where it was asked, for each who asked
                    for _, answer in taken:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), rows in zip(taken, found, strict=True):
                    if not answer.done():  # the caller has gone
                        answer.set_result(rows)
        finally:
            self._serving = None
