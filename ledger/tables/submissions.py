"""Submissions (办件), their materials and results, and registered seals: projections of logged events."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from ledger.tables.base import PROJECTION, metadata

submissions = Table(
    "submissions",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("received_by", String(18), nullable=False),
    Column("decided_by", String(18), nullable=False),
    Column("destination", Text, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("matter", String(64)),
    Column("subject", String(22), comment="the applicant"),
    Column("missing", Text, nullable=False, comment="JSON array: materials to be handed in later"),
    Column("state", String(12), nullable=False, comment="open, granted, refused or withdrawn"),
    Column("secret", LargeBinary, nullable=False),
    Column("opened_idx", BigInteger, nullable=False),
    Column("decided_idx", BigInteger),
    Index("ix_submissions_subject", "subject"),
    info=PROJECTION,
)

materials = Table(
    "materials",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("submission", String(22), nullable=False),
    Column("ord", Integer, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the file, lower-case hex"),
    Column("kind", String(32), nullable=False),
    Column("taken_by", String(64), nullable=False, comment="officer who took it in"),
    Column("licence", String(22), comment="where the material is a licence of this ledger"),
    Column("idx", BigInteger, nullable=False),
    Index("ix_materials_submission", "submission"),
    Index("ix_materials_digest", "digest"),
    info=PROJECTION,
)

submission_results = Table(
    "submission_results",
    metadata,
    Column("submission", String(22), primary_key=True),
    Column("licence", String(22), primary_key=True),
    Column("idx", BigInteger, nullable=False),
    Index("ix_submission_results_licence", "licence"),
    Index("ix_submission_results_idx", "idx"),
    info=PROJECTION,
)

seals = Table(
    "seals",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("department", String(18), nullable=False),
    Column("code", String(32), nullable=False, unique=True, comment="number the seal was filed under"),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("holder", String(18), nullable=False, comment="organisation the seal belongs to"),
    Column("picture", String(64), nullable=False, comment="SHA-256 of the picture, lower-case hex"),
    Column("certificate", String(64), comment="SHA-256 of the seal's certificate, lower-case hex"),
    Column("state", String(9), nullable=False, comment="active, suspended or retired"),
    Column("valid_from", String(10), nullable=False),
    Column("valid_until", String(10)),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Index("ix_seals_holder", "holder"),
    info=PROJECTION,
)
