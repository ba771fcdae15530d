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

from ledger.among import rows_among
from ledger.clock import Clock
from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Database, Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.tables.fraud import notice_acks, notices
from verifiers.cascade import Consequence, Effect
from verifiers.legal_dates import format_time

_SHOWN = "SELECT DISTINCT department, licence FROM access_records WHERE region IS NULL AND licence {among}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing a department must learn; `relied` says that it had used the licence, not that it owns it."""

    department: str
    kind: str
    thing: str
    facts: dict[str, Any]
    relied: bool = False


def post(tx: Writing, idx: int, items: Iterable[Notice], first: int = 0) -> None:
    """Write the notices that follow from the entry `idx`, numbered from `first`; called by projectors only."""
    rows: list[tuple[Any, ...]] = []
    texts: dict[int, tuple[dict[str, Any], str]] = {}  # thousands of notices may say the same thing, in one object
    for ord_, item in enumerate(items, first):
        known = texts.get(id(item.facts))
        if known is None:
            known = texts[id(item.facts)] = (item.facts, json.dumps(item.facts, ensure_ascii=False))
        rows.append((idx, ord_, item.department, item.kind, item.thing, known[1], item.relied))
    bulk_insert(tx, notices, rows)


def notices_of(effects: Sequence[Consequence], facts: Mapping[str, Any], said: Mapping[str, Any]) -> list[Notice]:
    """Return what the owners of fallen licences learn, and those who had relied on them.

    `said` is told to everybody beside effect and cause; `facts` are those of the step: `relied`, and `review_by`.
    """
    shared = said_by_kind({(each.effect, each.cause) for each in effects}, said)
    told = {each.licence: shared[each.effect, each.cause] for each in effects}
    owed = owed_by_kind(shared, facts["review_by"])
    owners = [
        Notice(each.by, f"licence.{each.effect.word}", each.licence, owed[each.effect, each.cause]) for each in effects
    ]
    return owners + notices_of_reliers(facts["relied"], told)


def said_by_kind(
    kinds: Iterable[tuple[Effect, str]], said: Mapping[str, Any]
) -> dict[tuple[Effect, str], dict[str, Any]]:
    """Return what is said of licences by effect and cause, so that thousands of notices share one object."""
    return {(effect, cause): {"effect": effect.word, "cause": cause, **said} for effect, cause in kinds}


def owed_by_kind(
    shared: Mapping[tuple[Effect, str], Mapping[str, Any]], review_by: str
) -> dict[tuple[Effect, str], dict[str, Any]]:
    """Return what owners are told beyond that: by when they must look again at what is suspended."""
    return {
        key: {**words, "review_by": review_by} if key[0] is Effect.SUSPENDED else dict(words)
        for key, words in shared.items()
    }


def notices_of_reliers(relied: Iterable[Sequence[str]], told: Mapping[str, dict[str, Any]]) -> list[Notice]:
    """Return what those learn who had relied on a licence: `relied` are pairs of department and licence."""
    return [
        Notice(department, f"licence.{told[licence]['effect']}", licence, told[licence], True)
        for department, licence in relied
    ]


def relied_on(tx: Reading, licences: Iterable[str]) -> list[list[str]]:
    """Return sorted `[department, licence]` pairs: who was shown which of `licences` in a scan or search.

    Access records are not part of the log, so the pairs are put into the facts of the step that sends the notices.
    """
    pairs = set(rows_among(tx, _SHOWN, dict.fromkeys(licences)))
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
