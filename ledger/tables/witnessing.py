"""Witnessing, both ways: the logs we cosign, and the witnesses that cosign ours.

What we cosigned must never be rolled back, so it is operational, and no backup of it is ever restored (protocol 33):
after a restore the witness's keys are retired. `witness_policies` is a projection of `witnesses.set` entries.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from ledger.tables.base import OPERATIONAL, PROJECTION, Instant, metadata

witness_identity = Table(
    "witness_identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("vkeys", Text, nullable=False, comment="verifier keys of the witness this database belongs to"),
    Column("made_at", Instant, nullable=False),
    info=OPERATIONAL,
)

witnessed_logs = Table(
    "witnessed_logs",
    metadata,
    Column("origin", String(255), primary_key=True),
    Column("origin_hash", String(64), nullable=False, unique=True, comment="SHA-256 of the origin, hex"),
    Column("size", BigInteger, nullable=False, comment="largest size cosigned; never goes back"),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False, comment="the log's checked lines and our cosignatures"),
    Column("cosigned_at", Instant, nullable=False, comment="never goes back"),
    info=OPERATIONAL,
)

watched_logs = Table(
    "watched_logs",
    metadata,
    Column("origin", String(255), primary_key=True),
    Column("vkeys", Text, nullable=False, comment="JSON array; all of them must sign"),
    Column("added_at", Instant, nullable=False),
    info=OPERATIONAL,
)

misbehaviour = Table(
    "misbehaviour",
    metadata,
    # SQLite counts only a plain INTEGER primary key upwards by itself.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("origin", String(255), nullable=False),
    Column("kind", String(32), nullable=False, comment="fork, rollback, equivocation …"),
    Column("detail", Text, nullable=False),
    Column("evidence", Text, nullable=False, comment="JSON: what was signed, verbatim"),
    Column("digest", LargeBinary(32), nullable=False, unique=True, comment="SHA-256 of the evidence: kept once"),
    Column("seen_at", Instant, nullable=False),
    Index("ix_misbehaviour_origin", "origin", "seq"),
    info=OPERATIONAL,
)

witness_policies = Table(
    "witness_policies",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False, comment="entry that set it"),
    Column("policy", Text, nullable=False, comment="C2SP tlog-policy file"),
    Column("secret", LargeBinary, nullable=False, comment="gives the refs of these entries; the same in every row"),
    info=PROJECTION,
)

cosigners = Table(
    "cosigners",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("size", BigInteger, nullable=False, comment="largest size of our log it is known to have cosigned"),
    Column("answered_at", Instant, comment="last good cosignature"),
    Column("tried_at", Instant),
    Column("skew_s", Integer, nullable=False, comment="our clock less the time in that cosignature as it arrived"),
    Column("failures", Integer, nullable=False, comment="rounds in a row without a cosignature"),
    Column("error", Text, nullable=False, comment="why the last round failed; empty where it did not"),
    info=OPERATIONAL,
)

witnessed_checkpoints = Table(
    "witnessed_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False, comment="signed by the log and cosigned by the policy's quorum"),
    Column("cosigned_at", Instant, nullable=False, comment="when the quorum was complete"),
    Index("ix_witnessed_checkpoints_cosigned_at", "cosigned_at"),
    info=OPERATIONAL,
)
