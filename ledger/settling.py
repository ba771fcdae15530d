"""After a decision: one entry per licence, in shuffled batches, until the case is settled; and what time alone changes.

Verdicts turned with the decision itself. These entries give every licence its own line of history, by its own
department, which whoever holds the licence can follow. They are keyed (case, licence) by the projection they fill, so a
crash anywhere leaves a case that the next round continues; batches are small, so issuing keeps its place between them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Row, and_, bindparam, or_, select, update

from ledger import causes
from ledger.access import digest_accesses
from ledger.case_steps import SEALED, Thread, event_counts
from ledger.database import Reading, Writing
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.freezing import lapse_freezes
from ledger.lineage import chunks
from ledger.pacing import Pulse
from ledger.presentations import forget_old
from ledger.recording import record
from ledger.tables.fraud import decision_effects, decisions, fraud_flags
from ledger.tables.licences import causes as cause_rows
from ledger.tables.licences import licence_versions, licences, slot_status
from verifiers.cascade import state_of
from verifiers.entry import REGION
from verifiers.legal_dates import day_of, parse_date

if TYPE_CHECKING:
    from ledger.region import Region

BATCH: Final = 64
"""Licences in one proposal: a few milliseconds of the writer, so that single requests hardly notice."""

TURN_BATCH: Final = 2_000
"""Licences in one `causes.turned` entry."""

# Neighbours in the log must not tell who fell together with whom (protocol 1, 10).
_shuffle = random.SystemRandom().shuffle


@dataclass(frozen=True, slots=True)
class _Phase:
    """One round of entries per licence: after a decision (`fell`) or after its reversal (`restored`)."""

    event: str
    name: str
    done: Column[Any]
    case_done: Column[Any]


_FELL = _Phase("licence.fell", "fell", decision_effects.c.settled_idx, decisions.c.settled_idx)
_RESTORED = _Phase("licence.restored", "restored", decision_effects.c.restored_idx, decisions.c.restored_idx)


class Tending:
    """What a region does by itself: settle cases, log lapsed freezes and access digests, turn what a new day turns.

    `pulse` runs `step` soon after each commit of a sealed entry and every few seconds; several processes may do so.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._turned: date | None = None
        self.pulse = Pulse("cases", self.step, pause_s=0.2, idle_s=5.0)
        region.writer.on_commit(self._committed)

    async def step(self) -> None:
        """Do everything that is due now."""
        today = day_of(self._region.clock.now())
        await settle_cases(self._region)
        await lapse_freezes(self._region)
        await digest_accesses(self._region)
        if self._turned != today:
            await turn_causes(self._region)
            now = int(self._region.clock.now().timestamp())
            await self._region.database.write(lambda tx: forget_old(tx, now))
            self._turned = today

    def _committed(self, _size: int, kinds: frozenset[str]) -> None:
        if SEALED in kinds:
            self.pulse.wake()


async def settle_cases(region: Region) -> int:
    """Bring every decided or reversed case to its end; returns the number of licences that got their entry."""
    settled = 0
    for phase in (_FELL, _RESTORED):
        for flag_id in await region.database.read(lambda tx, phase=phase: _unsettled(tx, phase)):  # type: ignore[misc]
            settled += await _settle(region, flag_id, phase)
    return settled


async def settle(region: Region, flag_id: str) -> int:
    """Bring one case to its end, as `settle_cases` does."""
    settled = await _settle(region, flag_id, _FELL)
    return settled + await _settle(region, flag_id, _RESTORED)


def _unsettled(tx: Reading, phase: _Phase) -> list[str]:
    query = select(decisions.c.flag).where(phase.case_done.is_(None))
    if phase is _RESTORED:
        query = query.join(fraud_flags, fraud_flags.c.id == decisions.c.flag).where(fraud_flags.c.state == "reversed")
    return list(tx.execute(query.order_by(decisions.c.idx)).scalars())


async def _settle(region: Region, flag_id: str, phase: _Phase) -> int:
    if flag_id not in await region.database.read(lambda tx: _unsettled(tx, phase)):
        return 0
    settled = 0
    while waiting := await region.database.read(lambda tx: _waiting(tx, flag_id, phase)):
        _shuffle(waiting)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            if await _append_batch(region, flag_id, batch, phase):
                settled += len(batch)
    thread, by = await region.database.read(lambda tx: _case_thread(tx, flag_id))
    await unless_stale(record(region, [thread.step(by, "fraud.settled", {"phase": phase.name})], {}))
    return settled


def _waiting(tx: Reading, flag_id: str, phase: _Phase) -> list[int]:
    query = select(decision_effects.c.ord).where(decision_effects.c.flag == flag_id, phase.done.is_(None))
    return list(tx.execute(query).scalars())


async def _append_batch(region: Region, flag_id: str, batch: Sequence[int], phase: _Phase) -> bool:
    steps = await region.database.read(lambda tx: _steps(tx, flag_id, batch, phase))
    if not steps:
        return True
    _, by = await region.database.read(lambda tx: _case_thread(tx, flag_id))
    # A department that was closed since cannot sign any more; then the deciding one speaks, and says for whom.
    known = region.catalogue.departments
    steps = [step if known[step.by].status == "active" else spoken_by(step, by) for step in steps]
    return await unless_stale(record(region, steps, {}))


def spoken_by(step: Unsigned, by: str) -> Unsigned:
    """Return the step as `by` logs it for the department that no longer can."""
    facts = step.facts | {"for": step.by}
    return Unsigned(step.kind, by, step.event, step.thing, step.n, step.secret, facts, step.subjects)


async def unless_stale(appending: Awaitable[Any]) -> bool:
    """Await an append; another process or act that was faster is no failure, the next round looks again."""
    try:
        await appending
    except Refusal as refusal:
        if refusal.code is not Code.STALE:
            raise
        return False
    return True


def _steps(tx: Reading, flag_id: str, batch: Sequence[int], phase: _Phase) -> list[Unsigned]:
    """The entries of a batch, leaving out licences that have theirs by now."""
    decision = tx.execute(select(decisions).where(decisions.c.flag == flag_id)).one()
    table = decision_effects
    rows = tx.execute(
        select(table, licences.c.secret)
        .join(licences, licences.c.id == table.c.licence)
        .where(table.c.flag == flag_id, table.c.ord.in_(batch), phase.done.is_(None))
    ).all()
    counts = event_counts(tx, [row.licence for row in rows])
    return [
        Thread(row.licence, counts[row.licence], bytes(row.secret)).step(
            row.by, phase.event, _facts(row, decision), kind="licence.status"
        )
        for row in rows
    ]


def _facts(row: Row[Any], decision: Row[Any]) -> dict[str, Any]:
    return {
        "flag": row.flag,
        "ord": row.ord,
        "root": decision.root,
        "effect": row.effect,
        "cause": row.cause,
        "basis": row.basis,
        "parent": None if row.parent_kind is None else [row.parent_kind, row.parent_id],
        "instruction": row.instruction,
        "document_no": decision.document_no,
        "decided_at": decision.decided_on,
    }


def _case_thread(tx: Reading, flag_id: str) -> tuple[Thread, str]:
    row = tx.execute(select(fraud_flags).where(fraud_flags.c.id == flag_id)).one()
    return Thread(flag_id, event_counts(tx, [flag_id])[flag_id], bytes(row.secret)), row.raised_by


async def turn_causes(region: Region) -> int:
    """Log what the passing of days has changed: appeals that ran out, causes that begin or lapse; returns how many."""
    today = day_of(region.clock.now())
    due = await region.database.read(lambda tx: _due(tx, today))
    for start in range(0, len(due), TURN_BATCH):
        facts = {"licences": due[start : start + TURN_BATCH], "day": today.isoformat()}
        step = Thread.new().step(REGION, "causes.turned", facts)
        await record(region, [step], {}, touches=facts["licences"])
    return len(due)


def _due(tx: Reading, today: date) -> list[str]:
    """Licences whose stored state or bits are not what their open causes say today, because a date has passed."""
    day, c = today.isoformat(), cause_rows.c
    in_force = and_(c.effective_from <= day, or_(c.until.is_(None), c.until >= day))
    begun = and_(
        in_force,
        or_(
            and_(c.effect == "suspended", licences.c.state == "valid"),
            and_(c.effect == "revoked", licences.c.state.in_(("valid", "suspended"))),
        ),
    )
    lapsed = and_(c.until < day, licences.c.state != "valid")
    final = and_(in_force, c.effect == "revoked", c.appealable_until < day, slot_status.c.value == causes.PASSING_SLOT)
    query = (
        select(c.licence)
        .join(licences, licences.c.id == c.licence)
        .join(
            licence_versions, and_(licence_versions.c.licence == c.licence, licence_versions.c.superseded_idx.is_(None))
        )
        .join(
            slot_status,
            and_(slot_status.c.list_num == licence_versions.c.list_num, slot_status.c.slot == licence_versions.c.slot),
            isouter=True,
        )
        .where(c.closed_idx.is_(None), or_(begun, lapsed, final))
    )
    candidates = sorted(set(tx.execute(query).scalars()))
    # A lapsed suspension may lie beside one that holds: only those that really turn are logged.
    stored = {
        row[0]: row[1]
        for chunk in chunks(candidates)
        for row in tx.execute(select(licences.c.id, licences.c.state).where(licences.c.id.in_(chunk)))
    }
    turned = causes.open_causes_of(tx, candidates)
    slots = set(tx.execute(query.where(final)).scalars())
    return [each for each in candidates if each in slots or state_of(turned[each], today).state != stored[each]]


def project_fell(tx: Writing, events: Sequence[Event]) -> None:
    """Note which licences have their entry about the decision."""
    _note(tx, events, decision_effects.c.settled_idx)


def project_restored(tx: Writing, events: Sequence[Event]) -> None:
    """Note which licences have their entry about the reversal."""
    _note(tx, events, decision_effects.c.restored_idx)


_NOTE: Final = {
    column.name: update(decision_effects)
    .where(decision_effects.c.flag == bindparam("of_flag"), decision_effects.c.ord == bindparam("at_ord"))
    .values({column.name: bindparam("by_idx")})
    for column in (decision_effects.c.settled_idx, decision_effects.c.restored_idx)
}


def _note(tx: Writing, events: Iterable[Event], column: Column[Any]) -> None:
    rows = [{"of_flag": e.facts["flag"], "at_ord": e.facts["ord"], "by_idx": e.idx} for e in events]
    if rows:
        tx.execute(_NOTE[column.name], rows)


def project_settled(tx: Writing, e: Event) -> None:
    """Note that every licence of a case has its entry."""
    column = "settled_idx" if e.facts["phase"] == _FELL.name else "restored_idx"
    tx.execute(update(decisions).where(decisions.c.flag == e.thing).values({column: e.idx}))


def project_turned(tx: Writing, e: Event) -> None:
    """Recompute licences on the day that time has changed them."""
    causes.recompute(tx, e.facts["licences"], parse_date(e.facts["day"]))
