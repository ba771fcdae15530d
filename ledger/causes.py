"""Why licences are not simply valid: causes opened, closed, and the state and status bits that follow from them.

Shared by acts, fraud decisions and their reversal. State is a pure function of the open causes and the day
(`verifiers.cascade.state_of`, protocol 20); the only memory is that a slot which once said 1 says 1 for ever. All
writing is set-based, so a decision over 10,000 licences is a handful of statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Text, and_, any_, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.database import Reading, Writing, bulk_insert
from ledger.ids import BETWEEN
from ledger.tables.licences import causes, licence_versions, licences, slot_status
from verifiers.cascade import Effect, LicenceState, OpenCause, next_turn, state_of

_CHUNK: Final = 20_000
"""Ids in one statement, so that none waits for megabytes."""

FINAL_SLOT: Final = 1
"""Invalid for good."""

PASSING_SLOT: Final = 2
"""Invalid for now."""


class CauseRow(NamedTuple):
    """One cause to open, in the order of the table's columns; dates are text `YYYY-MM-DD`, `facts` JSON text."""

    id: str
    licence: str
    root: str
    kind: str
    effect: str
    act: str
    by: str
    basis: str | None
    appealable_until: str | None
    effective_from: str
    until: str | None
    opened_idx: int
    closed_idx: None
    facts: str


def open_causes(tx: Writing, rows: Sequence[CauseRow]) -> None:
    """Take down new causes; `recompute` must follow for their licences."""
    bulk_insert(tx, causes, rows)


def close_causes(tx: Writing, which: ColumnElement[bool], idx: int, today: date) -> list[str]:
    """Close the open causes that `which` (a condition on table `causes`) picks, and return their licences.

    A revocation among them that had become final by `today` leaves its 1 in the slot for good: relief is then a new
    version (protocol 20). `recompute` must follow for the licences returned.
    """
    still_open = and_(which, causes.c.closed_idx.is_(None))
    affected = sorted(set(tx.execute(select(causes.c.licence).where(still_open)).scalars()))
    final = and_(
        still_open,
        causes.c.effect == Effect.REVOKED.word,
        causes.c.effective_from <= today.isoformat(),
        or_(causes.c.until.is_(None), causes.c.until >= today.isoformat()),
        or_(causes.c.appealable_until.is_(None), causes.c.appealable_until < today.isoformat()),
    )
    _set_slots(tx, sorted(set(tx.execute(select(causes.c.licence).where(final)).scalars())), FINAL_SLOT)
    tx.execute(update(causes).where(still_open).values(closed_idx=idx))
    return affected


def recompute(tx: Writing, ids: Iterable[str], today: date) -> None:
    """Set `licences.state` and the slots of the current versions of `ids` to what their open causes say on `today`."""
    for chunk in _chunks(ids):
        by_state: dict[LicenceState, list[str]] = defaultdict(list)
        found = _open_of(tx, chunk)
        states: dict[tuple[int, ...], LicenceState] = {}
        for licence in chunk:
            # The causes that a decision gives thousands of licences are one object each (`_open_of`).
            theirs = found.get(licence, ())
            key = tuple(map(id, theirs))
            if key not in states:
                states[key] = state_of(theirs, today)
            by_state[states[key]].append(licence)
        for (state, slot), members in by_state.items():
            others = and_(_among(tx, licences.c.id, members), licences.c.state != state)
            tx.execute(update(licences).where(others).values(state=state))
            if slot:
                _set_slots(tx, members, slot)
            else:
                _clear_passing(tx, members)


def recompute_new(tx: Writing, since: int, ids: Collection[str], today: date) -> None:
    """Recompute those of the just inserted `ids` for which a cause of entry `since` or later is already there.

    Where a slice of a replay ends is up to the caller, so causes may be projected before the licence they are about.
    """
    newer = set(tx.execute(select(causes.c.licence).where(causes.c.opened_idx >= since)).scalars())
    if early := newer.intersection(ids):
        recompute(tx, early, today)


def turn(tx: Writing, since: date, today: date) -> int:
    """Bring licences up to date whose state changed by the mere passing of time after `since`, and count them.

    Run on start and once a day: a suspension that begins or lapses, an appeal period that ends.
    """
    first, last = since.isoformat(), today.isoformat()
    begun = and_(causes.c.effective_from > first, causes.c.effective_from <= last)
    lapsed = and_(causes.c.until >= first, causes.c.until < last)
    final = and_(causes.c.appealable_until >= first, causes.c.appealable_until < last)
    query = select(causes.c.licence).where(causes.c.closed_idx.is_(None), or_(begun, lapsed, final)).distinct()
    ids = list(tx.execute(query).scalars())
    recompute(tx, ids, today)
    return len(ids)


def open_causes_of(tx: Reading, ids: Iterable[str]) -> dict[str, tuple[OpenCause, ...]]:
    """Return the open causes of each licence that has any, as state depends on them."""
    return {licence: found for chunk in _chunks(ids) for licence, found in _open_of(tx, chunk).items()}


def state_on(tx: Reading, licence: str, today: date) -> LicenceState:
    """Return what a licence is on `today`, whether or not a daily turn has been made."""
    return state_of(open_causes_of(tx, [licence]).get(licence, ()), today)


def turns_on(tx: Reading, licence: str, today: date) -> date | None:
    """Return the next day on which the licence's state may change by itself."""
    return next_turn(open_causes_of(tx, [licence]).get(licence, ()), today)


def history_of(tx: Reading, licence: str) -> list[dict[str, Any]]:
    """Return every cause of a licence, open and closed, oldest first."""
    rows = tx.execute(select(causes).where(causes.c.licence == licence).order_by(causes.c.opened_idx, causes.c.id))
    return [dict(row._mapping) for row in rows]


def supersede_slots(tx: Writing, slots: Sequence[tuple[int, int]]) -> None:
    """Say for good that the documents with these (list, slot) are no longer the current ones (protocol 21b)."""
    if slots:
        tx.execute(
            _insert(tx).on_conflict_do_update(index_elements=["list_num", "slot"], set_={"value": FINAL_SLOT}),
            [{"list_num": list_num, "slot": slot, "value": FINAL_SLOT} for list_num, slot in slots],
        )


def _open_of(tx: Reading, ids: Sequence[str]) -> dict[str, tuple[OpenCause, ...]]:
    columns = (causes.c.effect, causes.c.act, causes.c.effective_from, causes.c.until, causes.c.appealable_until)
    # A large decision gives thousands of licences the same cause: it comes once, with all of them, and is parsed once.
    query = (
        select(*columns, func.aggregate_strings(causes.c.licence, BETWEEN))
        .where(_among(tx, causes.c.licence, ids), causes.c.closed_idx.is_(None))
        .group_by(*columns)
    )
    found: dict[str, tuple[OpenCause, ...]] = {}
    for effect, act, start, until, appealable, theirs in tx.execute(query):
        cause = OpenCause(Effect.parse(effect), act, _day(start), _day(until), _day(appealable))
        alone = (cause,)
        for licence in theirs.split(BETWEEN):
            found[licence] = (*found[licence], cause) if licence in found else alone
    return found


def _clear_passing(tx: Writing, ids: Sequence[str]) -> None:
    slots = select(licence_versions.c.list_num, licence_versions.c.slot).where(_current(tx, ids))
    tx.execute(
        delete(slot_status).where(
            slot_status.c.value == PASSING_SLOT, tuple_(slot_status.c.list_num, slot_status.c.slot).in_(slots)
        )
    )


def _set_slots(tx: Writing, ids: Sequence[str], value: int) -> None:
    """Set the slots of current versions; a 1 stays a 1, a 2 becomes one."""
    for chunk in _chunks(ids):
        source = select(licence_versions.c.list_num, licence_versions.c.slot, literal(value)).where(_current(tx, chunk))
        statement = _insert(tx).from_select(["list_num", "slot", "value"], source)
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=["list_num", "slot"],
                set_={"value": statement.excluded.value},
                where=slot_status.c.value > statement.excluded.value,
            )
        )


def _current(tx: Reading, ids: Sequence[str]) -> ColumnElement[bool]:
    return and_(_among(tx, licence_versions.c.licence, ids), licence_versions.c.superseded_idx.is_(None))


def _among(tx: Reading, column: ColumnElement[str], ids: Sequence[str]) -> ColumnElement[bool]:
    """Whether `column` is one of `ids`, which travel as one value: thousands of variables take long to prepare."""
    if tx.dialect.name == "postgresql":
        return column == any_(literal(list(ids), postgresql.ARRAY(Text)))
    listed = func.json_each(orjson.dumps(ids).decode()).table_valued("value")
    return column.in_(select(listed.c.value))


def _insert(tx: Writing) -> Any:
    return postgresql.insert(slot_status) if tx.dialect.name == "postgresql" else sqlite.insert(slot_status)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


__all__ = [
    "CauseRow",
    "close_causes",
    "history_of",
    "open_causes",
    "open_causes_of",
    "recompute",
    "recompute_new",
    "state_on",
    "supersede_slots",
    "turn",
    "turns_on",
]
