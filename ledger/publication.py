"""The one row that says what the region's log has shown to the outside: newest checkpoint, and who may sign the next.

Several processes may publish one log. A lease keeps them from working in vain; what keeps them from harm is the
compare-and-swap: it names the size *and the fencing token* it started from in its WHERE, so whoever lost the lease
meanwhile changes no row and throws its signature away unseen (protocol 37). The row never goes back to a smaller
size.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Row, delete, exists, func, insert, select, type_coerce, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Reading, Writing, now
from ledger.tables.publishing import checkpoints, publication
from ledger.tables.witnessing import witnessed_checkpoints

KEPT_S: Final = 600
"""Every checkpoint is kept this long; of older ones the last of each minute, and those a trust list names."""

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LeaseLost(Exception):
    """Another process publishes now; what was signed here was not stored and must not be shown to anybody."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is public: `note` is the signed checkpoint of the tree of `size` leaves; None where there never was one.

    `token` is the fencing token of the lease at the time of reading.
    """

    size: int
    note: str | None
    signed_at: datetime
    token: int


def read_publication(tx: Reading) -> Publication:
    """Return what is public now."""
    row = tx.execute(select(publication)).one_or_none()
    return Publication(0, None, NEVER, 0) if row is None else _publication(row)


def take_lease(tx: Writing, holder: str, ttl_ms: int, *, force: bool = False) -> int | None:
    """Take or renew the lease for `holder` and return the fencing token, or None while somebody else has it.

    Times are those of the database, so clocks of hosts do not matter. `force` takes it from a holder that is
    known to be gone: with SQLite there is one serving process, so who starts is the only one.
    """
    moment = int(now(tx).timestamp() * 1000)
    empty = {"id": 1, "size": 0, "note": "", "signed_at": NEVER, "token": 0, "holder": "", "lease_until": 0}
    opening = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    tx.execute(opening(publication).values(empty).on_conflict_do_nothing())
    lease = {"holder": holder, "lease_until": moment + ttl_ms}
    renewed = tx.execute(update(publication).where(publication.c.holder == holder).values(lease))
    if not renewed.rowcount:
        free = publication.c.id == 1 if force else publication.c.lease_until < moment
        taken = tx.execute(update(publication).where(free).values(**lease, token=publication.c.token + 1))
        if not taken.rowcount:
            return None
    return int(tx.execute(select(publication.c.token)).scalar_one())


def release_lease(tx: Writing, token: int) -> None:
    """Give the lease back, so that another process need not wait until it runs out."""
    mine = publication.c.token == token
    tx.execute(update(publication).where(mine).values(holder="", lease_until=0))


def swap(tx: Writing, old: Publication, size: int, root: bytes, note: str, signed_at: datetime) -> None:
    """Make `note` the newest checkpoint, if `old` still is and its lease was not taken by others; raises
    `LeaseLost`.
    """
    if size < old.size:
        raise ValueError(f"a checkpoint of size {size} after one of size {old.size}")
    unchanged = (publication.c.size == old.size) & (publication.c.token == old.token)
    swapped = tx.execute(update(publication).where(unchanged).values(size=size, note=note, signed_at=signed_at))
    if swapped.rowcount != 1:
        raise LeaseLost(f"the publication moved on from size {old.size}, token {old.token}")
    if size > old.size or old.note is None:
        row = {"size": size, "root": root, "note": note, "signed_at": signed_at, "pinned": False}
        tx.execute(insert(checkpoints).values(row))


def checkpoint_at(tx: Reading, size: int) -> str | None:
    """Return a signed checkpoint of exactly `size`, if one was published and is kept."""
    found = tx.execute(select(checkpoints.c.note).where(checkpoints.c.size == size)).scalar_one_or_none()
    return None if found is None else str(found)


def pin_checkpoints(tx: Writing, sizes: list[int]) -> None:
    """Keep the checkpoints of these sizes for ever: a trust list names them, so receipts must be able to
    end in them.
    """
    tx.execute(update(checkpoints).where(checkpoints.c.size.in_(sizes)).values(pinned=True))


def thin_checkpoints(tx: Writing, at: datetime) -> int:
    """Drop what is older than `KEPT_S` but for the last checkpoint of each minute and pinned ones; return how many."""
    # One day at a time keeps the statement short; a process that was down longer leaves a few more than needed.
    end = at - timedelta(seconds=KEPT_S)
    old = checkpoints.c.signed_at.between(end - timedelta(days=1), end)
    minute = type_coerce(checkpoints.c.signed_at, BigInteger) // 60
    last = select(func.max(checkpoints.c.size)).where(old).group_by(minute)
    # What was witnessed is thinned by itself; while it is kept, its checkpoint is, so that a trust list can pin it.
    witnessed = exists().where(witnessed_checkpoints.c.size == checkpoints.c.size)
    unneeded = ~checkpoints.c.pinned & ~witnessed & checkpoints.c.size.not_in(last)
    gone = tx.execute(delete(checkpoints).where(old, unneeded))
    return int(gone.rowcount)


def _publication(row: Row[Any]) -> Publication:
    return Publication(row.size, row.note or None, row.signed_at, row.token)
