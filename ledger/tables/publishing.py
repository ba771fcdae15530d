"""What has been published: the newest checkpoint with its lease, status lists and their tokens, and trust lists.

`publication` and the status tables are operational: they say what left the house, which no replay of the log can
tell. They are kept in backups, because a publisher must never sign less than was seen outside. `trust_lists` is a
projection of `trust.published` entries.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from ledger.tables.base import OPERATIONAL, PROJECTION, Instant, metadata

publication = Table(
    "publication",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1: a log has one head in public"),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False, comment="signed checkpoint; empty before the first"),
    Column("signed_at", Instant, nullable=False),
    Column("token", BigInteger, nullable=False, comment="fencing token: rises with every change of the lease holder"),
    Column("holder", String(22), nullable=False, comment="publisher that holds the lease; empty for nobody"),
    Column("lease_until", BigInteger, nullable=False, comment="Unix milliseconds"),
    info=OPERATIONAL,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False, comment="the first checkpoint signed for this size"),
    Column("signed_at", Instant, nullable=False),
    Column("pinned", Boolean, nullable=False, comment="named by a trust list: kept for ever"),
    Index("ix_checkpoints_signed_at", "signed_at"),
    info=OPERATIONAL,
)

slot_leases = Table(
    "slot_leases",
    metadata,
    Column("list_num", Integer, primary_key=True, autoincrement=False),
    Column("uri", Text, nullable=False, comment="`sub` of the list's tokens; never changes, also when BASE does"),
    Column("leased", BigInteger, nullable=False, comment="counters below this were handed to some process"),
    info=OPERATIONAL,
)

status_tokens = Table(
    "status_tokens",
    metadata,
    # SQLite counts only a plain INTEGER primary key upwards by itself.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("list_num", Integer, nullable=False),
    Column("iat", BigInteger, nullable=False),
    Column("exp", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False, comment="log size the bits were computed at"),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 of the compact token"),
    Column("bits", LargeBinary(32), nullable=False, comment="SHA-256 of the packed, uncompressed list"),
    Column("token", Text, comment="compact token; dropped after the retention, the newest of a list never"),
    Index("ix_status_tokens_list_num", "list_num", "iat"),
    Index("ix_status_tokens_as_of", "as_of"),
    info=OPERATIONAL,
)

trust_lists = Table(
    "trust_lists",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, nullable=False, unique=True),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 of the compact list"),
    Column("list", Text, nullable=False, comment="compact JWT as served"),
    Column(
        "secret",
        LargeBinary,
        nullable=False,
        comment="gives the refs of the trust lists' entries; the same in every row",
    ),
    info=PROJECTION,
)
