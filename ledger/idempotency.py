"""The same request again gets the same answer (protocol rule 9): what was answered, found by a keyed hash of who asked.

Neither the key nor the body of a request is stored, because both may hold personal data; the answer is sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy import select, update

from ledger.among import rows_among
from ledger.database import Reading, Writing
from ledger.tables.operational import idempotency

_BY_SLOT = "SELECT slot, mac, idx, indexes, at, answer, erased FROM idempotency WHERE slot {among}"

# All entries of one request lie in one batch, so their indexes are never further apart than this.
BATCH_SPAN = 65_536


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered: keyed hash of the body, entries in the order of the request, sealed answer if any."""

    mac: bytes
    indexes: tuple[int, ...]
    at: datetime
    answer: bytes | None
    erased: bool


def find_answers(tx: Reading, slots: Sequence[bytes]) -> dict[bytes, StoredAnswer]:
    """Look up what was answered under `slots` (`Vault.idempotency_slot`), in one query."""
    return {
        bytes(slot): StoredAnswer(
            bytes(mac),
            _indexes(idx, several),
            datetime.fromtimestamp(at, UTC),
            None if answer is None else bytes(answer),
            bool(erased),
        )
        for slot, mac, idx, several, at, answer, erased in rows_among(tx, _BY_SLOT, dict.fromkeys(slots))
    }


def answer_row(
    slot: bytes, mac: bytes, indexes: Sequence[int], at: datetime, answer: bytes | None
) -> tuple[bytes, bytes, int, str | None, datetime, bytes | None, bool]:
    """Make the row of `idempotency` for a request that has just got its `indexes`."""
    several = orjson.dumps(indexes).decode() if len(indexes) > 1 else None
    return slot, mac, indexes[0], several, at, answer, False


def erase_answers(tx: Writing, indexes: Iterable[int]) -> int:
    """Erase every stored answer that speaks of one of the entries `indexes`; gives how many there were.

    Whoever repeats such a request is told `answer.erased`; that the request was made stays known.
    """
    erased = 0
    for idx in set(indexes):
        near = idempotency.c.idx.between(idx - BATCH_SPAN, idx + BATCH_SPAN)
        several = tx.execute(
            select(idempotency.c.slot, idempotency.c.indexes).where(near, idempotency.c.indexes.is_not(None))
        )
        slots = [row.slot for row in several if idx in orjson.loads(row.indexes)]
        theirs = (idempotency.c.idx == idx) | idempotency.c.slot.in_(slots)
        change = update(idempotency).where(theirs, ~idempotency.c.erased).values(answer=None, erased=True)
        erased += tx.execute(change).rowcount
    return erased


def _indexes(idx: int, several: str | None) -> tuple[int, ...]:
    return (idx,) if several is None else tuple(orjson.loads(several))
