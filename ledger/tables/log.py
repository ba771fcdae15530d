"""The log itself, and what is kept beside it by index.

`entries` and `records` never change shape; the database itself refuses to edit their rows (migrations/log_guards.py).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from ledger.errors import Code
from ledger.tables.base import LOG, OPERATIONAL, PROJECTION, Instant, metadata, refuses

entries = Table(
    "entries",
    metadata,
    Column("idx", BigInteger, autoincrement=False, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("idx"),
    info=LOG,
    postgresql_partition_by="RANGE (idx)",
)
"""The public leaves, canonical JSON, by index from 0."""

records = Table(
    "records",
    metadata,
    Column("idx", BigInteger, autoincrement=False, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    PrimaryKeyConstraint("idx", "part"),
    info=LOG,
    postgresql_partition_by="RANGE (idx)",
)
"""The private record of each entry, encrypted part by part (docs/formats/record.md)."""

record_keys = Table(
    "record_keys",
    metadata,
    Column("idx", BigInteger, autoincrement=False, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    PrimaryKeyConstraint("idx", "part"),
    info=OPERATIONAL,
)
"""The wrapped data key of each subject part; deleting the row is what erases the part."""

erasures = Table(
    "erasures",
    metadata,
    Column("idx", BigInteger, autoincrement=False, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("erased_idx", BigInteger, nullable=False),
    PrimaryKeyConstraint("idx", "part"),
    info=PROJECTION,
)
"""Which parts were erased, and by which `record.erased` entry."""

head = Table(
    "head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
    Column("catalogue_idx", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    info=PROJECTION,
)
"""The one row whose lock makes a writer: size, leaf hash of the last entry, compact range of the tree, last time.

`catalogue_idx` is the index of the last entry that changed departments, keys, grants, types or matters (-1: none)."""

thing_events = Table(
    "thing_events",
    metadata,
    Column("thing", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("idx", BigInteger, nullable=False),
    PrimaryKeyConstraint("thing", "n", info=refuses(Code.STALE)),
    # Later events are few beside first ones, and only they are ever looked for by entry.
    Index("ix_thing_events_later", "idx", sqlite_where=text("n > 0"), postgresql_where=text("n > 0")),
    info=PROJECTION,
    sqlite_with_rowid=False,
)
"""The n-th event of a thing (licence, submission, flag, …) and its entry."""
