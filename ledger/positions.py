"""Places in the log that outsiders can check: `{"origin", "size", "root"}` of a checkpoint this log has signed.

Where a policy names witnesses these are checkpoints that a quorum cosigned (protocol 16), as far as there are any;
else the log's own word stands in for theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import select

from ledger import witness_states, witnessed
from ledger.database import Reading
from ledger.tables.publishing import checkpoints
from ledger.witness_policies import policy_in
from verifiers.encoding import b64u_encode


def start(origin: str) -> dict[str, Any]:
    """Return the position of an empty log."""
    return {"origin": origin, "size": 0, "root": b64u_encode(sha256(b"").digest())}


def latest(tx: Reading, origin: str) -> dict[str, Any]:
    """Return the newest witnessed position, else that of the newest signed checkpoint, `start` before the first."""
    found = witnessed.newest(tx) if policy_in(tx).quorum else None
    return _signed(tx, origin) if found is None else _position(origin, found)


@dataclass(frozen=True, slots=True)
class Before:
    """What of the log is good when something went wrong at a moment: all that `position` contains.

    `at` is when that tree was cosigned or, where nobody watched (`watched` false), signed; `None` for the empty log.
    """

    position: dict[str, Any]
    at: datetime | None
    watched: bool

    @property
    def size(self) -> int:
        """The number of entries that stay good."""
        return int(self.position["size"])


def before(tx: Reading, origin: str, since: datetime | int) -> Before:
    """Return the largest position cosigned at or before a time, or the largest that ends before entry number `since`.

    From before the first quorum only the log's own signatures are left to go by (protocol 16).
    """
    if policy_in(tx).quorum:
        found = witnessed.not_over(tx, since) if isinstance(since, int) else witnessed.at_or_before(tx, since)
        if found is not None:
            return Before(_position(origin, found), found.cosigned_at, watched=True)
    limit = checkpoints.c.size <= since if isinstance(since, int) else checkpoints.c.signed_at <= since
    columns = select(checkpoints.c.size, checkpoints.c.root, checkpoints.c.signed_at)
    row = tx.execute(columns.where(limit).order_by(checkpoints.c.size.desc()).limit(1)).one_or_none()
    if row is None:
        return Before(start(origin), None, watched=False)
    return Before(_position(origin, row), row.signed_at, watched=False)


def covering(tx: Reading, origin: str, idx: int) -> dict[str, Any] | None:
    """Return the smallest position that contains entry `idx`, or `None` while there is none.

    A position that a trust list has named already is found again, whatever the policy says since. Where a quorum is
    asked for and its witnesses answer, the first witnessed position is waited for; where they are silent the log's own
    checkpoint stands in, because a key must end without them too.
    """
    query = select(checkpoints.c.size, checkpoints.c.root).where(checkpoints.c.size > idx)
    first = query.order_by(checkpoints.c.size).limit(1)
    named = tx.execute(first.where(checkpoints.c.pinned)).one_or_none()
    if named is not None:
        return _position(origin, named)
    row = tx.execute(first).one_or_none()
    if row is None:
        return None
    own = _position(origin, row)
    policy = policy_in(tx)
    if not policy.quorum:
        return own
    found = witnessed.smallest_over(tx, idx)
    if found is not None:
        return _position(origin, found)
    return None if witness_states.alive(tx, policy) else own


def _signed(tx: Reading, origin: str) -> dict[str, Any]:
    query = select(checkpoints.c.size, checkpoints.c.root).order_by(checkpoints.c.size.desc()).limit(1)
    row = tx.execute(query).one_or_none()
    return start(origin) if row is None else _position(origin, row)


def _position(origin: str, row: Any) -> dict[str, Any]:
    return {"origin": origin, "size": row.size, "root": b64u_encode(bytes(row.root))}
