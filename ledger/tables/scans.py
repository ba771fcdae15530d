"""Prepared presentations behind dynamic codes, codes already redeemed, and who looked at what: operational tables.

They are backed up, not rebuilt. Access records are digested hourly into an entry, so none can be dropped or changed
unseen.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from ledger.errors import Code
from ledger.tables.base import OPERATIONAL, PROJECTION, metadata, refuses

presentations = Table(
    "presentations",
    metadata,
    Column("handle", LargeBinary(10), primary_key=True),
    Column("id", String(22), nullable=False, unique=True),
    Column("subject", String(22), nullable=False),
    Column("sealed", LargeBinary, nullable=False, comment="key, chosen licences, fields and purpose, encrypted"),
    Column("made_at", BigInteger, nullable=False, comment="Unix seconds"),
    Column("ends_at", BigInteger, nullable=False, comment="Unix seconds; at most 24 hours later"),
    Column("withdrawn_at", BigInteger),
    Index("ix_presentations_subject", "subject"),
    Index("ix_presentations_ends_at", "ends_at"),
    info=OPERATIONAL,
)

redeemed_codes = Table(
    "redeemed_codes",
    metadata,
    Column("handle", LargeBinary(10), nullable=False),
    Column("slice", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False, comment="Unix seconds"),
    PrimaryKeyConstraint("handle", "slice", info=refuses(Code.CODE_REPLAYED)),
    Index("ix_redeemed_codes_at", "at"),
    info=OPERATIONAL,
)

access_records = Table(
    "access_records",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("at", BigInteger, nullable=False, comment="Unix seconds"),
    Column("licence", String(22)),
    Column("department", String(18), nullable=False),
    Column("officer", String(64), nullable=False),
    Column("means", String(8), nullable=False, comment="static, dynamic or search"),
    Column("matter", String(64)),
    Column("purpose", Text, nullable=False),
    Column("fields", Text, nullable=False, comment="JSON array of the disclosed field names"),
    Column("outcome", String(12), nullable=False, comment="valid, invalid or undetermined"),
    Column("region", String(6), comment="region of the department where that is not this one"),
    Column("abroad", String(200), comment="region:identifier of a licence of another region"),
    Index("ix_access_records_licence", "licence", "at"),
    Index("ix_access_records_at", "at"),
    info=OPERATIONAL,
)

access_digests = Table(
    "access_digests",
    metadata,
    Column("hour", BigInteger, primary_key=True, comment="first Unix second of the hour"),
    Column("count", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("idx", BigInteger, nullable=False),
    info=PROJECTION,
)
