"""Batches that are worked off in the background: operational tables, so that a restart goes on where it stopped.

What was sent is sealed and gone as soon as its rows are done; what came of a row is its entry, or why it was refused.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from ledger.tables.base import OPERATIONAL, metadata

batches = Table(
    "batches",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("slot", LargeBinary(16), unique=True, comment="keyed hash of client and idempotency key, if there was one"),
    Column("mac", LargeBinary(32), nullable=False, comment="keyed hash of everything that was sent"),
    Column("client", String(64), nullable=False),
    Column("department", String(18), nullable=False),
    Column("officer", Text, comment="who sent it"),
    Column("areas", Text, nullable=False, comment="JSON array: where the client may act"),
    Column("kind", String(8), nullable=False, comment="issue or import"),
    Column("rule", String(8), nullable=False, comment="strict or lenient, for imports"),
    Column("state", String(10), nullable=False, comment="receiving, waiting, running or done"),
    Column("rows", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False, comment="Unix seconds"),
    Column("finished_at", BigInteger, comment="Unix seconds"),
    Column("holder", String(22), nullable=False, comment="process that works on it; empty for nobody"),
    Column("lease_until", BigInteger, nullable=False, comment="Unix seconds"),
    Index("ix_batches_state", "state"),
    info=OPERATIONAL,
)

batch_chunks = Table(
    "batch_chunks",
    metadata,
    Column("batch", String(22), nullable=False),
    Column("number", Integer, nullable=False, comment="from 0, in the order sent"),
    Column("first", Integer, nullable=False, comment="how many rows lie before it"),
    Column("rows", Integer, nullable=False),
    Column("sent", LargeBinary, comment="the rows, sealed; gone once they are done"),
    Column("outcome", LargeBinary, comment="entry or refusal of each row, sealed"),
    PrimaryKeyConstraint("batch", "number"),
    info=OPERATIONAL,
)
