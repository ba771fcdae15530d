"""What is asked of the writer, and what it answers.

A proposal is prepared and signed outside the lock, from a state that may have moved on since. Everything it relies on
is therefore stated, and checked again under the head lock: conditions, the catalogue it was authorised by, and its
idempotency key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from ledger.among import rows_among
from ledger.database import Writing
from ledger.errors import Code, Refusal
from ledger.events import Draft

if TYPE_CHECKING:
    from ledger.catalogue import Catalogue

_ATTEMPTS = 5
_EVENTS_OF = "SELECT thing FROM thing_events WHERE thing {among}"


class Condition(Protocol):
    """Something that must still be true when the entry gets its place. Hashable; checked a class at a time."""

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[Self]) -> dict[Self, Refusal]:
        """Give the refusal of every condition that no longer holds; one query for the whole batch, under the lock."""
        ...


@dataclass(frozen=True, slots=True)
class EventCount:
    """The `thing` has had exactly `n` events, so the next one's ref is still right. Refused as `stale`."""

    thing: str
    n: int

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[EventCount]) -> dict[EventCount, Refusal]:
        """Compare with `thing_events`, in one query."""
        things = {condition.thing for condition in conditions}
        counts = Counter(row[0] for row in rows_among(tx, _EVENTS_OF, things))
        return {each: Refusal(Code.STALE) for each in conditions if counts[each.thing] != each.n}


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Says that a request is the same one again: who sent it where under which key, and a keyed hash of its body.

    `mac` is `Vault.body_mac` of the canonical body (protocol rule 9). A row of a batch has its own `key`.
    """

    client: str
    endpoint: str
    key: str
    mac: bytes = field(repr=False)


@dataclass(slots=True)
class Proposal:
    """Entries that are to be appended together, or not at all.

    `touches` and `reads` name things (any text): two proposals where one touches what the other touches or reads never
    share a batch, so conditions see each other's effects. `catalogue` is the catalogue index `authorise` was last run
    against; when the catalogue has moved on the writer runs `authorise` again with the newer one. `slots` are the
    status slots the entries use, as (list number, index). `answer` is stored (sealed) with the idempotency key where
    it cannot be rebuilt from the record.
    """

    drafts: list[Draft]
    touches: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    idempotency: IdempotencyKey | None = None
    catalogue: int = -1
    authorise: Callable[[Catalogue], None] | None = None
    answer: bytes | None = field(default=None, repr=False)
    slots: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)  # not frozen: made for every row
class Committed:
    """The entries have their place for ever: `indexes` in the order of the drafts, `first` the lowest."""

    first: int
    indexes: tuple[int, ...]
    at: datetime


class Replayed(Exception):
    """This very request was answered before: its entries and the stored answer, if it had one.

    `indexes` are in the order in which the drafts of the first request stood.
    """

    def __init__(self, indexes: tuple[int, ...], at: datetime, answer: bytes | None) -> None:
        self.indexes = indexes
        self.at = at
        self.answer = answer
        super().__init__(indexes)

    @property
    def idx(self) -> int:
        """The index of the first draft's entry."""
        return self.indexes[0]


_T = TypeVar("_T")


async def retrying(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Prepare and append again, up to five times, while the answer is `stale`: somebody else was faster."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except Refusal as refusal:
            if refusal.code is not Code.STALE:
                raise
    return await attempt()
