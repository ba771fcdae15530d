"""Credit records (信用记录), bans on applying again, and the checks that were made: projections of sealed entries.

What is visible is never stored: `ledger.credit_rules` computes it from class, dates and rule when a record is read.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text

from ledger.tables.base import PROJECTION, metadata

credit_records = Table(
    "credit_records",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("subject", String(22), nullable=False),
    Column("role", String(64), nullable=False),
    Column("class", String(8), nullable=False, comment="light, ordinary or serious (轻微, 一般, 严重)"),
    Column("document_no", Text, nullable=False),
    Column("list_entry", Text, nullable=False, comment="entry of the public list that allows the record"),
    Column("measures", Text, nullable=False, comment="JSON array; each cites the list entry that allows it"),
    Column("by", String(18), nullable=False),
    Column("rule", String(16), nullable=False, comment="version of the rule in force on the day of decision"),
    Column("decided_on", String(10), nullable=False),
    Column("served_on", String(10), nullable=False),
    Column("domain", String(16), comment="special field with a longer minimum under older rules"),
    Column("flag", String(22), comment="the fraud case it comes from"),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("repaired_on", String(10)),
    Column("withdrawn_idx", BigInteger),
    Index("ix_credit_records_subject", "subject"),
    Index("ix_credit_records_flag", "flag"),
    info=PROJECTION,
)

bans = Table(
    "bans",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("subject", String(22), nullable=False),
    Column("type", String(21), nullable=False, comment="licence type that may not be applied for"),
    Column("article", Text, nullable=False),
    Column("from_on", String(10), nullable=False),
    Column("until_on", String(10), nullable=False, comment="last day of the ban"),
    Column("flag", String(22), nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("lifted_idx", BigInteger),
    Index("ix_bans_subject", "subject", "type"),
    Index("ix_bans_flag", "flag"),
    info=PROJECTION,
)

credit_checks = Table(
    "credit_checks",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("subject", String(22), nullable=False),
    Column("matter", String(64)),
    Column("outcome", String(10), nullable=False, comment="yes, no or conditions"),
    Column("conditions", Text, nullable=False, comment="JSON array"),
    Column("by", String(18), nullable=False),
    Column("checked_on", String(10), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Index("ix_credit_checks_subject", "subject"),
    info=PROJECTION,
)
