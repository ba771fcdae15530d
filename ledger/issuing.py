"""Issuing licences: one or ten thousand, the same path (prepare → append → answer).

Nothing leaves before the commit. A row that is refused, before or under the head lock, is its own answer and takes
nobody with it; a row whose request was answered before gets that answer again, written anew from the record.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.idempotency import find_answers
from ledger.issue_requests import IssueRequest
from ledger.issued import Answered, Issued, issued_before
from ledger.preparing import SMALL, Again, Prepared, Requests, Source, prepare
from ledger.proposals import Committed, Replayed

if TYPE_CHECKING:
    from ledger.region import Region

CHUNK: Final = 256
"""Rows prepared and appended at once: while one chunk is being written the next is being signed."""

TOGETHER: Final = SMALL
"""Most single requests that are prepared together; so few go before the rows of a batch."""

FEW: Final = 4
"""So few are sooner prepared here than asked for elsewhere."""

_AHEAD: Final = 3
_ATTEMPTS: Final = 4

Outcome = Issued | Answered | Refusal
"""What becomes of a request; `Answered` where its source wants bytes."""


async def issue(region: Region, actor: Actor, requests: Sequence[IssueRequest]) -> list[Issued | Refusal]:
    """Issue a licence for each request in the actor's department, and return the outcomes in the same order."""
    turns = asyncio.Semaphore(_AHEAD)

    async def chunk(part: Sequence[IssueRequest]) -> list[Outcome]:
        async with turns:
            return await issue_from(region, actor, Requests(tuple(part)))

    parts = [requests[start : start + CHUNK] for start in range(0, len(requests), CHUNK)]
    done = await asyncio.gather(*(chunk(part) for part in parts))
    return [outcome for part in done for outcome in part if not isinstance(outcome, Answered)]


async def issue_from(region: Region, actor: Actor, source: Source) -> list[Outcome]:
    """Issue a licence for each of a chunk of requests, and return the outcomes in the same order.

    Those whom somebody else was a little faster than are prepared again.
    """
    elsewhere = region.preparers
    if len(source) <= TOGETHER or elsewhere is None:
        return await _issue(region, actor, source)
    async with elsewhere.bulk:
        return await _issue(region, actor, source)


async def _issue(region: Region, actor: Actor, source: Source) -> list[Outcome]:
    outcomes: list[Outcome] = [Refusal(Code.STALE)] * len(source)
    again: dict[int, Again] = {}
    waiting = list(range(len(source)))
    bulk = len(source) > TOGETHER
    for _ in range(_ATTEMPTS):
        part = source if len(waiting) == len(source) else source.pick(waiting)
        prepared = await _prepared(region, actor, part)
        for each in prepared.refused:
            outcomes[waiting[each.position]] = each.refusal
            if each.again is not None:
                again[waiting[each.position]] = each.again
        await _append(region, prepared, waiting, outcomes, again, bulk=bulk)
        waiting = [position for position in waiting if is_stale(outcomes[position])]
        if not waiting:
            break
    return await _or_before(region, outcomes, again)


async def _prepared(region: Region, actor: Actor, source: Source) -> Prepared:
    now, elsewhere = region.clock.now(), region.preparers
    if elsewhere is None or len(source) < FEW:
        return await prepare(region, actor, source, now)
    return await elsewhere.prepare(actor, source, now)


async def _append(
    region: Region,
    prepared: Prepared,
    waiting: Sequence[int],
    outcomes: list[Outcome],
    again: dict[int, Again],
    *,
    bulk: bool,
) -> None:
    answers = await region.writer.append_sealed([each.sealed for each in prepared.ready], bulk=bulk)
    for each, answer in zip(prepared.ready, answers, strict=True):
        position = waiting[each.position]
        if isinstance(answer, Committed):
            outcomes[position] = each.shown.at(answer.first, region.base_url)
        elif isinstance(answer, Replayed):
            outcomes[position] = await issued_before(region, answer.idx)
        else:
            outcomes[position] = answer
            key = each.sealed.proposal.idempotency
            # Of an unknown commit what can be read is no proof: the standby may lack it.
            unknown = answer.code is Code.COMMIT_UNKNOWN
            if key is not None and each.sealed.slot is not None and not unknown:
                again[position] = (each.sealed.slot, key.mac)


async def _or_before(region: Region, outcomes: list[Outcome], again: dict[int, Again]) -> list[Outcome]:
    """Answer those who were refused, but had been answered before, as they were then (protocol 9).

    What a request asks for may be no longer allowed, and the licence it once got is still its own.
    """
    slots = {
        slot: (position, mac) for position, (slot, mac) in again.items() if isinstance(outcomes[position], Refusal)
    }
    if not slots:
        return outcomes
    known = await region.database.read(lambda tx: find_answers(tx, list(slots)), cheap=True)
    for slot, found in known.items():
        position, mac = slots[slot]
        if not found.erased and secrets.compare_digest(found.mac, mac):
            outcomes[position] = await issued_before(region, found.indexes[0])
    return outcomes


def is_stale(outcome: object) -> bool:
    """Whether an outcome only says that the state moved on while it was being prepared."""
    return isinstance(outcome, Refusal) and outcome.code is Code.STALE
