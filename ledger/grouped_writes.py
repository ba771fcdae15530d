"""Small writes of many callers in one transaction: those that came together wait for one commit, not each for its own.

A write that finds nothing under way begins at once. Where one of a group fails, nothing of the group was kept, and each
is done by itself (`ledger.gathering`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from ledger.database import Database, Writing
from ledger.errors import Refusal
from ledger.gathering import Gathering

TOGETHER: Final = 64
"""Most writes in one transaction."""

_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")


class GroupedWrites(Generic[_Asked, _Given]):
    """Groups writes of one kind to one database; one a process, used from its event loop.

    `together` writes what it is given and returns an answer to each, a `Refusal` for what it did not write. It may be
    run a second time after what it did was undone, so it must do nothing outside its transaction.
    """

    def __init__(
        self, database: Database, together: Callable[[Writing, Sequence[_Asked]], Sequence[_Given | Refusal]]
    ) -> None:
        self._group: Gathering[_Asked, _Given] = Gathering(
            lambda asked: database.write(lambda tx: together(tx, asked)), TOGETHER
        )

    async def write(self, asked: _Asked) -> _Given:
        """Write `asked` in a transaction and return its answer once that is committed. Raises its refusal."""
        return await self._group.ask(asked)
