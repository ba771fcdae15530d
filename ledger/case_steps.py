"""One step of a sealed case: sign what the acting department says, append it, and keep the answer for the same request.

Flags, credit records, checks and reviews are things with a secret of their own; each step of one is one entry (or a
few that belong together), numbered by the thing's count of events. The count is checked again under the head lock, so
of two officers who act at the same moment one is told `stale` and prepares again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ledger.actors import Actor
from ledger.database import Reading
from ledger.drafting import Unsigned, sign_drafts
from ledger.errors import Code, Refusal
from ledger.events import SubjectPart
from ledger.ids import new_id
from ledger.proposals import Condition, EventCount, IdempotencyKey, Proposal, Replayed
from ledger.tables.log import thing_events
from verifiers import canonical

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


async def take_steps(
    region: Region,
    steps: Sequence[Unsigned],
    answer: dict[str, Any],
    *,
    conditions: Sequence[Condition] = (),
    touches: Sequence[str] | frozenset[str] = (),
    reads: Sequence[str] | frozenset[str] = (),
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Append `steps` of one department together and return `answer` with the index of the first one as `entry`.

    The same request again gets the stored answer of the first time. Raises `Refusal` as writer and conditions do.
    """
    signer = await region.signer(steps[0].by, "statement")
    drafts = await sign_drafts(region.origin, steps, signer)
    counted = tuple(EventCount(step.thing, step.n) for step in steps)
    proposal = Proposal(
        drafts=drafts,
        touches=frozenset(touches) | {step.thing for step in steps},
        reads=frozenset(reads),
        conditions=(*counted, *conditions),
        idempotency=idempotency,
        answer=canonical.encode(answer) if idempotency else None,
    )
    try:
        committed = await region.writer.append(proposal)
    except Replayed as replayed:
        stored = answer if replayed.answer is None else canonical.decode_object(replayed.answer, len(replayed.answer))
        return stored | {"entry": replayed.indexes[0]}
    return answer | {"entry": committed.indexes[0]}
