"""What all steps of sealed things share: where a thing's history stands, who acts, and answering a request once.

Flags, credit records, checks and reviews are things with a secret of their own; each step of one is one entry (or a
few that belong together), numbered by the thing's count of events. The count is checked again under the head lock, so
of two officers who act at the same moment one is told `stale` and prepares again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ledger.actors import Actor
from ledger.database import Reading
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import SubjectPart
from ledger.idempotency import find_answers
from ledger.ids import new_id
from ledger.proposals import IdempotencyKey, Replayed, retrying
from ledger.recording import stored_answer
from ledger.tables.log import thing_events

if TYPE_CHECKING:
    from ledger.region import Region

SEALED = "sealed"
"""The public kind of everything about fraud, credit and reviews: from outside they all look alike (protocol rule 1)."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thing and where its history stands: `n` events so far, `secret` (32 bytes) gives their refs."""

    thing: str
    n: int
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Thread:
        """Begin a history."""
        return cls(new_id(), 0, os.urandom(32))

    def step(
        self, by: str, event: str, facts: dict[str, Any], subjects: tuple[SubjectPart, ...] = (), kind: str = SEALED
    ) -> Unsigned:
        """Return the next event of the thing, not yet signed."""
        return Unsigned(kind, by, event, self.thing, self.n, self.secret, facts, subjects)


def event_counts(tx: Reading, things: Sequence[str]) -> dict[str, int]:
    """Return how many events each of at most a few thousand `things` has had; a thing without any is left out."""
    query = select(thing_events.c.thing, func.count()).where(thing_events.c.thing.in_(things))
    return {row[0]: row[1] for row in tx.execute(query.group_by(thing_events.c.thing))}


def officer_of(actor: Actor) -> str:
    """Return the officer behind a call. Raises `Refusal` with `operator.missing`."""
    if not actor.operator:
        raise Refusal(Code.OPERATOR_MISSING)
    return actor.operator


async def once(
    region: Region, idempotency: IdempotencyKey | None, attempt: Callable[[], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the answer this request got before, or run `attempt` until it is not `stale`.

    The look comes first because a repeated decision would otherwise be refused for having been made. Raises `Refusal`
    with idempotency.conflict or answer.erased, or as `attempt` does.
    """
    if idempotency is not None:
        slot = region.vault.idempotency_slot(idempotency.client, idempotency.endpoint, idempotency.key)
        found = (await region.database.read(lambda tx: find_answers(tx, [slot]), cheap=True)).get(slot)
        if found is not None:
            if not secrets.compare_digest(found.mac, idempotency.mac):
                raise Refusal(Code.IDEMPOTENCY_CONFLICT)
            if found.erased:
                raise Refusal(Code.ANSWER_ERASED)
            answer = None if found.answer is None else region.vault.open_answer(found.answer)
            return stored_answer(Replayed(found.indexes, found.at, answer))
    return await retrying(attempt)
