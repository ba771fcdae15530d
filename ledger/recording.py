"""The short way into the log for everything that is not issued in bulk: unsigned events in, committed answer out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, select

from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.database import Reading
from ledger.drafting import Unsigned, sign_drafts
from ledger.errors import Code, Refusal
from ledger.events import Draft
from ledger.proposals import Condition, EventCount, IdempotencyKey, Proposal, Replayed
from ledger.tables.log import thing_events
from verifiers import canonical

if TYPE_CHECKING:
    from ledger.region import Region


async def record(
    region: Region,
    events: Sequence[Unsigned],
    answer: dict[str, Any],
    *,
    idempotency: IdempotencyKey | None = None,
    authorise: Callable[[Catalogue], None] | None = None,
    conditions: Iterable[Condition] = (),
    touches: Iterable[str] = (),
    reads: Iterable[str] = (),
) -> dict[str, Any]:
    """Sign `events`, append them together and return `answer` with `entry`, the index of the first.

    `answer` is stored for the same request coming again. `authorise` is asked now and, if the catalogue has moved
    on, once more under the head lock. Raises `Refusal` as the writer, `authorise` or a condition does, key.unknown
    where a department has no statement key, and stale where one ended meanwhile.
    """
    catalogue = region.catalogue
    kids = {region.signer(by, "statement").public_key.kid for by in {event.by for event in events}}

    def still(current: Catalogue) -> None:
        for kid in kids:
            key = current.keys.get(kid)
            if key is not None and key.closed_idx is not None:
                raise Refusal(Code.STALE, None, kid=kid)
        if authorise is not None:
            authorise(current)

    still(catalogue)
    proposal = Proposal(
        drafts=await signed(region, events),
        touches=frozenset({*touches, *(event.thing for event in events)}),
        reads=frozenset(reads),
        conditions=(*conditions, *first_counts(events)),
        idempotency=idempotency,
        catalogue=catalogue.idx,
        authorise=still,
        answer=canonical.encode(answer),
    )
    try:
        committed = await region.writer.append(proposal)
    except Replayed as replayed:
        return stored_answer(replayed)
    return {**answer, "entry": committed.indexes[0]}


async def signed(region: Region, events: Sequence[Unsigned]) -> list[Draft]:
    """Sign events of several departments, one call per department, and return the drafts in the same order."""
    drafts: dict[int, Draft] = {}
    for by in dict.fromkeys(event.by for event in events):
        positions = [position for position, event in enumerate(events) if event.by == by]
        signer = region.signer(by, "statement")
        theirs = await sign_drafts(region.origin, [events[position] for position in positions], signer)
        drafts.update(zip(positions, theirs, strict=True))
    return [drafts[position] for position in range(len(events))]


def stored_answer(replayed: Replayed) -> dict[str, Any]:
    """Return the answer an earlier, equal request got."""
    stored: dict[str, Any] = orjson.loads(replayed.answer or b"{}")
    return {**stored, "entry": replayed.idx}


def acted(actor: Actor) -> dict[str, str]:
    """Return the members of `facts` that say who acted: the client, and the officer behind it (protocol 31)."""
    return {"client": actor.client} | ({"officer": actor.operator} if actor.operator else {})


def count_of(tx: Reading, thing: str) -> int:
    """Return how many events a thing has had so far."""
    return tx.execute(select(func.count()).where(thing_events.c.thing == thing)).scalar_one()


def first_counts(events: Iterable[Unsigned]) -> tuple[EventCount, ...]:
    """Return the conditions that each thing in `events` has had as many events as the first one here says."""
    least: dict[str, int] = {}
    for event in events:
        least[event.thing] = min(event.n, least.get(event.thing, event.n))
    return tuple(EventCount(thing, n) for thing, n in least.items())
