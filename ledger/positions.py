"""Places in the log that outsiders can check: `{"origin", "size", "root"}` of a checkpoint this log has signed."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import select

from ledger.database import Reading
from ledger.tables.publishing import checkpoints
from verifiers.encoding import b64u_encode


def start(origin: str) -> dict[str, Any]:
    """Return the position of an empty log."""
    return {"origin": origin, "size": 0, "root": b64u_encode(sha256(b"").digest())}


def latest(tx: Reading, origin: str) -> dict[str, Any]:
    """Return the position of the newest signed checkpoint, `start` before the first."""
    return _position(tx, origin, None)


def at_or_before(tx: Reading, origin: str, at: datetime) -> dict[str, Any]:
    """Return the largest position signed at or before a time an operator names (protocol 16)."""
    return _position(tx, origin, at)


def covering(tx: Reading, origin: str, idx: int) -> dict[str, Any] | None:
    """Return the smallest signed position that contains entry `idx`, or `None` while it is not published."""
    query = select(checkpoints.c.size, checkpoints.c.root).where(checkpoints.c.size > idx)
    row = tx.execute(query.order_by(checkpoints.c.size).limit(1)).one_or_none()
    return None if row is None else {"origin": origin, "size": row.size, "root": b64u_encode(bytes(row.root))}


def _position(tx: Reading, origin: str, at: datetime | None) -> dict[str, Any]:
    query = select(checkpoints.c.size, checkpoints.c.root).order_by(checkpoints.c.size.desc()).limit(1)
    if at is not None:
        query = query.where(checkpoints.c.signed_at <= at)
    row = tx.execute(query).one_or_none()
    if row is None:
        return start(origin)
    return {"origin": origin, "size": row.size, "root": b64u_encode(bytes(row.root))}
