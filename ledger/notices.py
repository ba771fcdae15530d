"""What a department must learn, told by polling: its licences fell or came back, or it relied on one that did.

Notices are rows that projectors write from facts of the logged step, so they can be rebuilt; only how far a department
has read (`ack`) is kept apart. A notice never names the case: an accusation cannot be followed from it (protocol 3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select

from ledger.clock import Clock
from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Database, Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.lineage import chunks
from ledger.tables.fraud import notice_acks, notices
from ledger.tables.scans import access_records
from verifiers.cascade import Consequence
from verifiers.legal_dates import format_time


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing a department must learn; `relied` says that it had used the licence, not that it owns it."""

    department: str
    kind: str
    thing: str
    facts: dict[str, Any]
    relied: bool = False


def post(tx: Writing, idx: int, items: Iterable[Notice]) -> None:
    """Write the notices that follow from the entry `idx`; called by projectors only."""
    rows = [
        (idx, ord_, item.department, item.kind, item.thing, json.dumps(item.facts, ensure_ascii=False), item.relied)
        for ord_, item in enumerate(items)
    ]
    bulk_insert(tx, notices, rows)


def notices_of(effects: Sequence[Consequence], facts: Mapping[str, Any], said: Mapping[str, Any]) -> list[Notice]:
    """Return what the owners of fallen licences learn, and those who had relied on them.

    `said` is told to everybody beside effect and cause; `facts` are those of the step: `relied`, and `review_by`.
    """
    told: dict[str, dict[str, Any]] = {
        each.licence: {"effect": each.effect.word, "cause": each.cause, **said} for each in effects
    }
    owners = [
        Notice(
            each.by,
            f"licence.{each.effect.word}",
            each.licence,
            told[each.licence] | ({"review_by": facts["review_by"]} if each.review else {}),
        )
        for each in effects
    ]
    relied = [
        Notice(department, f"licence.{told[licence]['effect']}", licence, told[licence], True)
        for department, licence in facts["relied"]
    ]
    return owners + relied


def relied_on(tx: Reading, licences: Iterable[str]) -> list[list[str]]:
    """Return sorted `[department, licence]` pairs: who was shown which of `licences` in a scan or search.

    Access records are not part of the log, so the pairs are put into the facts of the step that sends the notices.
    """
    pairs: set[tuple[str, str]] = set()
    for chunk in chunks(licences):
        rows = tx.execute(
            select(access_records.c.department, access_records.c.licence)
            .where(access_records.c.licence.in_(chunk), access_records.c.region.is_(None))
            .distinct()
        )
        pairs |= {(row[0], row[1]) for row in rows}
    return [list(pair) for pair in sorted(pairs)]


def pending(tx: Reading, department: str, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the next notices of `department` after `cursor`, or after its last acknowledgement without one.

    The answer is `{"items": […], "cursor"}`; each notice carries the cursor that acknowledges up to it.
    Raises `Refusal` with `cursor.invalid`.
    """
    at = _position(cursor) if cursor else _acknowledged(tx, department)
    table = notices
    rows = tx.execute(
        select(table)
        .where(table.c.department == department)
        .where(or_(table.c.idx > at[0], and_(table.c.idx == at[0], table.c.ord > at[1])))
        .order_by(table.c.idx, table.c.ord)
        .limit(min(limit, LIMIT_MAX))
    ).all()
    listed = [
        {
            "cursor": encode_cursor(row.idx, str(row.ord)),
            "kind": row.kind,
            "licence": row.thing,
            "relied": row.relied,
            "entry": row.idx,
            **json.loads(row.facts),
        }
        for row in rows
    ]
    return {"items": listed, "cursor": listed[-1]["cursor"] if listed else encode_cursor(at[0], str(at[1]))}


async def acknowledge(database: Database, clock: Clock, department: str, cursor: str) -> dict[str, Any]:
    """Remember that `department` has read up to `cursor`; going backwards is allowed, to read again.

    Raises `Refusal` with `cursor.invalid`.
    """
    idx, ord_ = _position(cursor)
    at = format_time(clock.now())

    def change(tx: Writing) -> None:
        tx.execute(notice_acks.delete().where(notice_acks.c.department == department))
        tx.execute(notice_acks.insert().values(department=department, idx=idx, ord=ord_, at=at))

    await database.write(change)
    return {"cursor": cursor}


def _acknowledged(tx: Reading, department: str) -> tuple[int, int]:
    row = tx.execute(
        select(notice_acks.c.idx, notice_acks.c.ord).where(notice_acks.c.department == department)
    ).one_or_none()
    return (-1, -1) if row is None else (row[0], row[1])


def _position(cursor: str) -> tuple[int, int]:
    idx, ord_ = decode_cursor(cursor)
    if not re.fullmatch(r"-1|[0-9]{1,9}", ord_) or abs(idx) >= 2**53:
        raise Refusal(Code.CURSOR_INVALID, "/cursor")
    return idx, int(ord_)
