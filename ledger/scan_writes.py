"""What scans write down before anything is shown: the use of a dynamic code, and who looked at what.

The looks of many windows go into one transaction, a statement for all of them (`ledger.grouped_writes`). One that is
refused, because its code was used before or was withdrawn, leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Final

from sqlalchemy import select

from ledger.access import Access, write_accesses
from ledger.database import Writing
from ledger.errors import Code, Refusal
from ledger.presentations import Redeemable
from ledger.tables.scans import presentations

# Presentations are locked in the order of their handles, so that no two groups wait for one another, and against a
# withdrawal that comes meanwhile.
_POSTGRES: Final = """
INSERT INTO redeemed_codes (handle, slice, at)
SELECT asked.handle, asked.slice, asked.at
FROM unnest(%b::bytea[], %b::int8[], %b::int8[]) AS asked(handle, slice, at)
JOIN (SELECT handle FROM presentations WHERE handle = ANY(%b::bytea[]) AND withdrawn_at IS NULL
      ORDER BY handle FOR UPDATE) AS given ON given.handle = asked.handle
ON CONFLICT DO NOTHING RETURNING handle, slice
"""
_SQLITE: Final = """
WITH asked(handle, slice, at) AS (VALUES {places})
INSERT INTO redeemed_codes (handle, slice, at)
SELECT asked.handle, asked.slice, asked.at FROM asked JOIN presentations AS given ON given.handle = asked.handle
WHERE given.withdrawn_at IS NULL
ON CONFLICT DO NOTHING RETURNING handle, slice
"""


@dataclass(slots=True)  # not frozen: made for every scan
class Looked:
    """One scan to be written down: the looks, the code that is used up if any, and what else belongs to it."""

    accesses: Sequence[Access] = field(repr=False)
    at: datetime
    redeemable: Redeemable | None = field(default=None, repr=False)
    beside: Callable[[Writing], None] | None = None


def write_looks(tx: Writing, scans: Sequence[Looked]) -> list[list[str] | Refusal]:
    """Write down `scans`, and return for each the ids of its access records, or why it may show nothing.

    That is code.replayed where this half-minute's code was used before, and code.withdrawn where the holder was faster.
    """
    refused = _redeem(tx, scans)
    kept = [each for each, refusal in zip(scans, refused, strict=True) if refusal is None]
    for each in kept:
        if each.beside is not None:
            each.beside(tx)
    moments = [(access, each.at) for each in kept for access in each.accesses]
    ids = iter(write_accesses(tx, moments))
    return [
        [next(ids) for _ in each.accesses] if refusal is None else refusal
        for each, refusal in zip(scans, refused, strict=True)
    ]


def _redeem(tx: Writing, scans: Sequence[Looked]) -> list[Refusal | None]:
    """Use up the codes of `scans` and return for each why that was not possible, if it was not."""
    asked: dict[tuple[bytes, int], int] = {}
    for each in scans:
        if each.redeemable is not None:
            asked.setdefault((each.redeemable.handle, each.redeemable.slice), int(each.at.timestamp()))
    if not asked:
        return [None] * len(scans)
    rows = sorted((handle, number, at) for (handle, number), at in asked.items())
    if tx.dialect.name == "sqlite":
        found = tx.exec_driver_sql(_sqlite(len(rows)), tuple(chain.from_iterable(rows)))
    else:
        handles, slices, times = map(list, zip(*rows, strict=True))
        found = tx.exec_driver_sql(_POSTGRES, (handles, slices, times, handles))
    used = {(bytes(handle), number) for handle, number in found}
    refused: list[Refusal | None] = []
    for each in scans:
        code = each.redeemable
        if code is None:
            refused.append(None)
        elif (code.handle, code.slice) in used:
            used.remove((code.handle, code.slice))  # of two with the same code, the first to come
            refused.append(None)
        else:
            refused.append(Refusal(_why(tx, code.handle), "/code"))
    return refused


def _why(tx: Writing, handle: bytes) -> Code:
    query = select(presentations.c.handle).where(
        presentations.c.handle == handle, presentations.c.withdrawn_at.is_(None)
    )
    return Code.CODE_WITHDRAWN if tx.execute(query).one_or_none() is None else Code.CODE_REPLAYED


@lru_cache(maxsize=64)
def _sqlite(count: int) -> str:
    return _SQLITE.format(places=", ".join(["(?, ?, ?)"] * count))
