"""Checkpoints of our log that a quorum of its witnesses cosigned: stored before anybody is shown them.

A row is a promise of others that this was the largest tree of the log they had seen: it is what receipts end in, what
terms of keys are named after, and what a time maps to (protocol 12, 16). The time of a row is that of its first quorum;
its note may get more cosignatures, or fresher ones, while the log does not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Row, Select, delete, func, select, type_coerce
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Reading, Writing
from ledger.publication import KEPT_S
from ledger.tables.publishing import checkpoints
from ledger.tables.witnessing import witnessed_checkpoints as table


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A witnessed checkpoint: tree of `size` leaves with `root`, the `note` with all lines, when the quorum was met."""

    size: int
    root: bytes
    note: str
    cosigned_at: datetime


def newest(tx: Reading) -> Witnessed | None:
    """Return the witnessed checkpoint of the largest tree, None before the first."""
    return _one(tx, lambda query: query)


def newest_size(tx: Reading) -> int:
    """Return the size of the largest tree that was witnessed, 0 before the first."""
    return int(tx.execute(select(func.coalesce(func.max(table.c.size), 0))).scalar_one())


def at_size(tx: Reading, size: int) -> Witnessed | None:
    """Return the witnessed checkpoint of exactly `size`, if there is one and it is kept."""
    return _one(tx, lambda query: query.where(table.c.size == size))


def at_or_before(tx: Reading, at: datetime) -> Witnessed | None:
    """Return the largest one whose quorum was complete at or before `at`."""
    return _one(tx, lambda query: query.where(table.c.cosigned_at <= at))


def not_over(tx: Reading, size: int) -> Witnessed | None:
    """Return the largest one of at most `size` entries."""
    return _one(tx, lambda query: query.where(table.c.size <= size))


def smallest_over(tx: Reading, idx: int) -> Witnessed | None:
    """Return the smallest one that contains entry `idx`."""
    query = select(table).where(table.c.size > idx).order_by(table.c.size).limit(1)
    row = tx.execute(query).one_or_none()
    return None if row is None else _witnessed(row)


def store(tx: Writing, found: Witnessed) -> None:
    """Keep `found`; where its size is known already the note is replaced and the time of the first quorum stays."""
    insert = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    row = {"size": found.size, "root": found.root, "note": found.note, "cosigned_at": found.cosigned_at}
    tx.execute(insert(table).values(row).on_conflict_do_update(index_elements=["size"], set_={"note": found.note}))


def thin(tx: Writing, at: datetime) -> int:
    """Drop what is old, as checkpoints are thinned: all but the last of each minute and those a trust list names."""
    end = at - timedelta(seconds=KEPT_S)
    old = table.c.cosigned_at.between(end - timedelta(days=1), end)
    minute = type_coerce(table.c.cosigned_at, BigInteger) // 60
    last = select(func.max(table.c.size)).where(old).group_by(minute)
    pinned = select(checkpoints.c.size).where(checkpoints.c.pinned)
    gone = tx.execute(delete(table).where(old, table.c.size.not_in(last), table.c.size.not_in(pinned)))
    return int(gone.rowcount)


def _one(tx: Reading, chosen: Callable[[Select[Any]], Select[Any]]) -> Witnessed | None:
    row = tx.execute(chosen(select(table).order_by(table.c.size.desc()).limit(1))).one_or_none()
    return None if row is None else _witnessed(row)


def _witnessed(row: Row[Any]) -> Witnessed:
    return Witnessed(row.size, bytes(row.root), row.note, row.cosigned_at)
