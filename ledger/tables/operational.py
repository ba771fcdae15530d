"""What the service needs to run and cannot recompute from the log."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from ledger.tables.base import OPERATIONAL, Instant, metadata

idempotency = Table(
    "idempotency",
    metadata,
    Column("slot", LargeBinary, primary_key=True),
    Column("mac", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("indexes", Text, nullable=True),
    Column("at", Instant, nullable=False),
    Column("answer", LargeBinary, nullable=True),
    Column("erased", Boolean, nullable=False),
    Index(None, "idx"),
    info=OPERATIONAL,
)
"""What was answered to whom: `slot` is a keyed hash of (client, endpoint, key), `mac` a keyed hash of the body.

`idx` is the entry of the request's first draft, `indexes` a JSON array of all of them where there are several; `answer`
is sealed, and null once erased (protocol rule 9)."""
