"""Whom the records are about: subjects, how to find them without storing their numbers, and their record parts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy import Index as SqlIndex

from ledger.tables.base import PROJECTION, metadata

subjects = Table(
    "subjects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("created_idx", BigInteger, nullable=False),
    info=PROJECTION,
    sqlite_with_rowid=False,
)
"""A person or an organisation, known by a random id; `kind` is `person` or `organisation`."""

subject_index = Table(
    "subject_index",
    metadata,
    Column("key_id", SmallInteger, nullable=False),
    Column("hmac", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    PrimaryKeyConstraint("key_id", "hmac"),
    SqlIndex(None, "subject"),
    info=PROJECTION,
)
"""Blind index: keyed hash of an identifier → subject (protocol rule 34)."""

record_subjects = Table(
    "record_subjects",
    metadata,
    Column("idx", BigInteger, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("subject", Text, nullable=False),
    PrimaryKeyConstraint("subject", "idx", "part"),
    info=PROJECTION,
    sqlite_with_rowid=False,
)
"""Which record part is about whom; kept after erasure, when the subject id leads nowhere. Looked through by subject."""
