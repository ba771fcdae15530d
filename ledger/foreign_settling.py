"""After a fall abroad: one entry per licence that it touched here, in shuffled batches, as after a decision.

Verdicts turned with the fall itself. These entries give every licence its own line of history, by its own department,
which whoever holds the licence can follow; where they stop they are taken up again (`ledger.settling`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Row, bindparam, select, update

from ledger.case_steps import Thread, event_counts
from ledger.database import Reading, Writing
from ledger.drafting import Unsigned
from ledger.events import Event
from ledger.foreign_judging import root_of
from ledger.recording import record
from ledger.settling import BATCH, project_fell, project_restored, spoken_by, unless_stale
from ledger.tables.licences import licences
from ledger.tables.peers import foreign_effects, foreign_falls
from verifiers.entry import REGION

if TYPE_CHECKING:
    from ledger.region import Region

SETTLED: Final = "foreign.settled"

# Neighbours in the log must not tell who fell together with whom (protocol 1, 10).
_shuffle = random.SystemRandom().shuffle


@dataclass(frozen=True, slots=True)
class _Phase:
    """One round of entries per licence: after the fall or after its restoration."""

    event: str
    name: str
    done: Column[Any]
    fall_done: Column[Any]


_FELL = _Phase("licence.fell", "fell", foreign_effects.c.settled_idx, foreign_falls.c.settled_idx)
_RESTORED = _Phase("licence.restored", "restored", foreign_effects.c.restored_idx, foreign_falls.c.restored_idx)


async def settle_falls(region: Region) -> int:
    """Bring every fall and every restoration to its end; returns the number of licences that got their entry."""
    settled = 0
    for phase in (_FELL, _RESTORED):
        for fall in await region.database.read(lambda tx, phase=phase: _unsettled(tx, phase)):  # type: ignore[misc]
            settled += await _settle(region, fall, phase)
    return settled


def _unsettled(tx: Reading, phase: _Phase) -> list[str]:
    query = select(foreign_falls.c.id).where(phase.fall_done.is_(None))
    if phase is _RESTORED:
        query = query.where(foreign_falls.c.closed_idx.is_not(None))
    return list(tx.execute(query.order_by(foreign_falls.c.opened_idx)).scalars())


async def _settle(region: Region, fall: str, phase: _Phase) -> int:
    settled = 0
    while waiting := await region.database.read(lambda tx: _waiting(tx, fall, phase)):
        _shuffle(waiting)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            steps = await region.database.read(lambda tx, batch=batch: _steps(tx, fall, batch, phase))  # type: ignore[misc]
            known = region.catalogue.departments
            steps = [step if known[step.by].status == "active" else spoken_by(step, REGION) for step in steps]
            if steps and await unless_stale(record(region, steps, {})):
                settled += len(steps)
    thread = await region.database.read(lambda tx: _thread(tx, fall))
    await unless_stale(record(region, [thread.step(REGION, SETTLED, {"phase": phase.name})], {}))
    return settled


def _waiting(tx: Reading, fall: str, phase: _Phase) -> list[int]:
    query = select(foreign_effects.c.ord).where(foreign_effects.c.fall == fall, phase.done.is_(None))
    return list(tx.execute(query).scalars())


def _steps(tx: Reading, fall: str, batch: Sequence[int], phase: _Phase) -> list[Unsigned]:
    """The entries of a batch, leaving out licences that have theirs by now."""
    row = tx.execute(select(foreign_falls).where(foreign_falls.c.id == fall)).one()
    table = foreign_effects
    effects = tx.execute(
        select(table, licences.c.secret)
        .join(licences, licences.c.id == table.c.licence)
        .where(table.c.fall == fall, table.c.ord.in_(batch), phase.done.is_(None))
    ).all()
    counts = event_counts(tx, [each.licence for each in effects])
    return [
        Thread(each.licence, counts[each.licence], bytes(each.secret)).step(
            each.by, phase.event, _facts(each, row), kind="licence.status"
        )
        for each in effects
    ]


def _facts(each: Row[Any], fall: Row[Any]) -> dict[str, Any]:
    return {
        "fall": each.fall,
        "ord": each.ord,
        "root": root_of(fall.cause),
        "foreign": {"region": fall.region, "identifier": fall.identifier},
        "effect": each.effect,
        "cause": "inherited",
        "basis": each.basis,
        "parent": None if each.parent_kind is None else [each.parent_kind, each.parent_id],
        "instruction": each.instruction,
    }


def _thread(tx: Reading, fall: str) -> Thread:
    row = tx.execute(select(foreign_falls).where(foreign_falls.c.id == fall)).one()
    return Thread(fall, event_counts(tx, [fall])[fall], bytes(row.secret))


def project_each_fell(tx: Writing, events: Sequence[Event]) -> None:
    """Note which licences have their entry about a decision here, or about a fall abroad."""
    project_fell(tx, [each for each in events if "flag" in each.facts])
    _note(tx, events, foreign_effects.c.settled_idx)


def project_each_restored(tx: Writing, events: Sequence[Event]) -> None:
    """Note which licences have their entry about a reversal here, or about a restoration abroad."""
    project_restored(tx, [each for each in events if "flag" in each.facts])
    _note(tx, events, foreign_effects.c.restored_idx)


def _note(tx: Writing, events: Sequence[Event], column: Column[Any]) -> None:
    rows = [
        {"of_fall": e.facts["fall"], "at_ord": e.facts["ord"], "by_idx": e.idx} for e in events if "fall" in e.facts
    ]
    if rows:
        theirs = (foreign_effects.c.fall == bindparam("of_fall")) & (foreign_effects.c.ord == bindparam("at_ord"))
        tx.execute(update(foreign_effects).where(theirs).values({column.name: bindparam("by_idx")}), rows)


def project_settled_abroad(tx: Writing, e: Event) -> None:
    """Note that every licence of a fall has its entry."""
    column = "settled_idx" if e.facts["phase"] == _FELL.name else "restored_idx"
    tx.execute(update(foreign_falls).where(foreign_falls.c.id == e.thing).values({column: e.idx}))
