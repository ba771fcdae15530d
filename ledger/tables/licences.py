"""Licences, their documents (versions), holders, what they rest on, why they fell, and the status bits that follow.

All are projections: only projectors write them and `rebuild` makes them again from entries and records. Legal dates
are calendar dates in +08:00 kept as text `YYYY-MM-DD`, which sorts as it counts and reads the same on both engines;
`None` as `valid_until` is 长期.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ledger.errors import Code
from ledger.tables.base import PROJECTION, metadata, refuses

licences = Table(
    "licences",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("type", String(21), nullable=False),
    Column("major", Integer, nullable=False),
    Column("department", String(18), nullable=False, comment="the department that answers for it today"),
    Column("issuer", String(18), nullable=False, comment="the department whose serial it bears"),
    Column("area", String(6), nullable=False),
    Column("serial", String(64), nullable=False),
    Column("origin_kind", String(8), nullable=False, comment="issued or imported"),
    Column("current_version", Integer, nullable=False),
    Column("valid_from", String(10), nullable=False),
    Column("valid_until", String(10)),
    Column("state", String(16), nullable=False, comment="a word of verifiers.cascade.state_of"),
    Column("secret", LargeBinary, nullable=False, comment="gives the refs of this licence's entries (protocol 3)"),
    Column("created_idx", BigInteger, nullable=False),
    UniqueConstraint("type", "issuer", "serial", info=refuses(Code.NUMBER_TAKEN)),
    Index("ix_licences_created_idx", "created_idx"),
    info=PROJECTION,
)

licence_versions = Table(
    "licence_versions",
    metadata,
    Column("licence", String(22), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("idx", BigInteger, nullable=False, unique=True),
    Column("change", String(8), nullable=False, comment="issue, import, correct, amend, renew or reissue"),
    Column("minor", Integer, nullable=False),
    Column("identifier_key", LargeBinary(12), nullable=False, comment="first bytes of the identifier's SHA-256"),
    Column("identifier_tail", Text, nullable=False, comment="what the licence does not say of it (ledger.identifiers)"),
    Column("list_num", Integer, nullable=False),
    Column("slot", BigInteger, nullable=False),
    Column("jws_digest", LargeBinary, nullable=False, unique=True),
    Column("code_digest", LargeBinary, nullable=False, unique=True),
    Column("kid_licence", String(22), nullable=False),
    Column("kid_code", String(22), nullable=False),
    Column("valid_from", String(10), nullable=False),
    Column("valid_until", String(10)),
    Column("superseded_idx", BigInteger, comment="entry of the version that took its place"),
    UniqueConstraint("list_num", "slot"),
    Index("uq_licence_versions_identifier_key", "identifier_key", unique=True, info=refuses(Code.NUMBER_TAKEN)),
    info=PROJECTION,
)

licence_holders = Table(
    "licence_holders",
    metadata,
    Column("licence", String(22), primary_key=True),
    Column("ord", Integer, primary_key=True),
    Column("subject", String(22), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("role", String(64), nullable=False),
    Index("ix_licence_holders_subject", "subject", "licence"),
    info=PROJECTION,
    sqlite_with_rowid=False,
)

lineage = Table(
    "lineage",
    metadata,
    Column("child_licence", String(22), primary_key=True),
    Column("parent_kind", String(12), primary_key=True, comment="licence, submission, material …"),
    Column("parent_id", String(160), primary_key=True),
    Column("basis", String(13), primary_key=True, comment="identity, qualification or evidence"),
    Column("idx", BigInteger, nullable=False),
    Index("ix_lineage_parent", "parent_kind", "parent_id"),
    Index("ix_lineage_idx", "idx"),
    info=PROJECTION,
)

causes = Table(
    "causes",
    metadata,
    Column("id", String(200), primary_key=True, comment="<origin>:<entry> or <origin>:<entry>:<n>"),
    Column("licence", String(22), nullable=False),
    Column("root", String(200), nullable=False, comment="id of the cause this one comes from; its own where direct"),
    Column("kind", String(9), nullable=False, comment="direct or inherited"),
    Column("effect", String(9), nullable=False, comment="notice, suspended or revoked"),
    Column("act", String(16), nullable=False),
    Column("by", String(18), nullable=False),
    Column("basis", String(13)),
    Column("appealable_until", String(10)),
    Column("effective_from", String(10), nullable=False),
    Column("until", String(10), comment="last day a freeze counts; empty means until it is closed"),
    Column("opened_idx", BigInteger, nullable=False),
    Column("closed_idx", BigInteger),
    Column("facts", Text, nullable=False, comment="what the act says of itself, as JSON"),
    Index("ix_causes_licence", "licence"),
    Index("ix_causes_root", "root"),
    Index("ix_causes_opened_idx", "opened_idx"),
    info=PROJECTION,
)

slot_status = Table(
    "slot_status",
    metadata,
    Column("list_num", Integer, primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("value", SmallInteger, nullable=False, comment="1 invalid for good, 2 invalid for now; zero has no row"),
    info=PROJECTION,
)

imported_numbers = Table(
    "imported_numbers",
    metadata,
    Column("issuer", String(64), nullable=False, comment="the original issuer as the backlog names it"),
    Column("type", String(21), nullable=False),
    Column("number_mac", LargeBinary(32), nullable=False, comment="keyed hash of the number; gone when it is erased"),
    Column("version", Integer, nullable=False),
    Column("licence", String(22), nullable=False),
    PrimaryKeyConstraint("issuer", "type", "number_mac", "version", info=refuses(Code.IMPORT_DUPLICATE)),
    info=PROJECTION,
)
