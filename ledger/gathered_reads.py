"""Look-ups by key that come together, asked together: on PostgreSQL one statement answers all that wait.

So under load waking threads and waiting for the server are shared. Nobody waits for others on purpose, and nothing is
remembered from one question to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ledger.database import Database
from ledger.gathering import Gathering

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
        self._group: Gathering[object, Rows] = Gathering(self._together, TOGETHER)

    async def find(self, key: object) -> Rows:
        """Return the rows of one key. Raises `Refusal` where the database cannot be asked."""
        if self._database.is_sqlite:  # a look by key is done sooner than a thread is woken
            return self._database.rows(self._sqlite, (key,))
        return await self._group.ask(key)

    async def _together(self, keys: Sequence[object]) -> list[Rows]:
        found: list[Rows] = [[] for _ in keys]
        for place, *row in await self._database.rows_elsewhere(self._postgres, (list(keys),)):
            found[place - 1].append(tuple(row))
        return found
