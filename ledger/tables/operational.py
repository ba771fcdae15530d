"""What the service needs to run and cannot recompute from the log."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table

from ledger.tables.base import OPERATIONAL, Instant, metadata

idempotency = Table(
    "idempotency",
    metadata,
    Column("slot", LargeBinary, primary_key=True),
    Column("mac", LargeBinary, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("answer", LargeBinary, nullable=True),
    Column("erased", Boolean, nullable=False),
    Index(None, "first"),
    info=OPERATIONAL,
)
"""What was answered to whom: `slot` is a keyed hash of (client, endpoint, key), `mac` a keyed hash of the body, because
keys and bodies may hold personal data; `first` and `count` name the entries; `answer` is sealed (protocol rule 9)."""
