"""Fraud cases from the flag to the reversal, and what departments must learn from them.

Everything but `notice_acks` is a projection of sealed entries. Legal dates are calendar dates in +08:00 kept as text
`YYYY-MM-DD`.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from ledger.tables.base import OPERATIONAL, PROJECTION, metadata

fraud_flags = Table(
    "fraud_flags",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("raised_by", String(18), nullable=False),
    Column("officer", String(64), nullable=False),
    Column("state", String(9), nullable=False, comment="open, upheld, dismissed or reversed"),
    Column("secret", LargeBinary, nullable=False, comment="gives the refs of this case's entries (protocol 3)"),
    Column("opened_idx", BigInteger, nullable=False),
    Column("decided_idx", BigInteger),
    Column("reversed_idx", BigInteger),
    info=PROJECTION,
)

flag_targets = Table(
    "flag_targets",
    metadata,
    Column("flag", String(22), primary_key=True),
    Column("kind", String(12), primary_key=True, comment="submission, material or licence"),
    Column("id", String(22), primary_key=True),
    Index("ix_flag_targets_target", "kind", "id"),
    info=PROJECTION,
)

flag_subjects = Table(
    "flag_subjects",
    metadata,
    Column("flag", String(22), primary_key=True),
    Column("subject", String(22), primary_key=True, comment="whoever is told of the case: holders and applicants"),
    Index("ix_flag_subjects_subject", "subject"),
    info=PROJECTION,
)

freezes = Table(
    "freezes",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("flag", String(22), nullable=False),
    Column("ground", Text, nullable=False),
    Column("document_no", Text, nullable=False),
    Column("until", String(10), nullable=False, comment="last day it holds"),
    Column("idx", BigInteger, nullable=False),
    Column("ended_idx", BigInteger, comment="entry of its lapse, or of the decision that took its place"),
    Index("ix_freezes_flag", "flag"),
    info=PROJECTION,
)

freeze_targets = Table(
    "freeze_targets",
    metadata,
    Column("freeze", String(22), primary_key=True),
    Column("kind", String(12), primary_key=True, comment="submission, material or licence"),
    Column("id", String(22), primary_key=True),
    Index("ix_freeze_targets_target", "kind", "id"),
    info=PROJECTION,
)

flag_steps = Table(
    "flag_steps",
    metadata,
    Column("idx", BigInteger, primary_key=True),
    Column("flag", String(22), nullable=False),
    Column("step", String(9), nullable=False, comment="notice, statement or waiver"),
    Column("document_no", Text),
    Column("served_on", String(10)),
    Column("respond_by", String(10)),
    Index("ix_flag_steps_flag", "flag"),
    info=PROJECTION,
)

decisions = Table(
    "decisions",
    metadata,
    Column("flag", String(22), primary_key=True),
    Column("idx", BigInteger, nullable=False, unique=True),
    Column("outcome", String(9), nullable=False, comment="upheld or dismissed"),
    Column("by", String(18), nullable=False),
    Column("officer", String(64), nullable=False),
    Column("document_no", Text, nullable=False),
    Column("articles", Text, nullable=False, comment="JSON array"),
    Column("decided_on", String(10), nullable=False),
    Column("served_on", String(10), nullable=False),
    Column("appealable_until", String(10)),
    Column("digest", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False, comment="log size at which the preview was computed"),
    Column("root", String(200), nullable=False, comment="id of the root cause"),
    Column("settled_idx", BigInteger, comment="entry after which every licence has its own entry about the decision"),
    Column("restored_idx", BigInteger, comment="the same for the reversal"),
    info=PROJECTION,
)

decision_effects = Table(
    "decision_effects",
    metadata,
    Column("flag", String(22), primary_key=True),
    Column("ord", Integer, primary_key=True),
    Column("licence", String(22), nullable=False),
    Column("effect", String(9), nullable=False),
    Column("cause", String(9), nullable=False, comment="direct or inherited"),
    Column("basis", String(13)),
    Column("parent_kind", String(12)),
    Column("parent_id", String(160)),
    Column("by", String(18), nullable=False),
    Column("instruction", String(64)),
    Column("settled_idx", BigInteger, comment="the licence's own entry about the decision"),
    Column("restored_idx", BigInteger, comment="the licence's own entry about the reversal"),
    Index("ix_decision_effects_licence", "licence"),
    info=PROJECTION,
)

review_cases = Table(
    "review_cases",
    metadata,
    Column("id", String(45), primary_key=True, comment="<flag>:<licence>"),
    Column("flag", String(22), nullable=False),
    Column("licence", String(22), nullable=False),
    Column("department", String(18), nullable=False),
    Column("due", String(10), nullable=False),
    Column("opened_idx", BigInteger, nullable=False),
    Column("closed_idx", BigInteger),
    Column("outcome", String(9), comment="kept, restored or reversed"),
    Index("ix_review_cases_department", "department", "closed_idx"),
    Index("ix_review_cases_flag", "flag"),
    info=PROJECTION,
)

notices = Table(
    "notices",
    metadata,
    Column("idx", BigInteger, primary_key=True, comment="entry it follows from"),
    Column("ord", Integer, primary_key=True),
    Column("department", String(18), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("thing", String(22), nullable=False, comment="licence or case it speaks of"),
    Column("facts", Text, nullable=False),
    Column("relied", Boolean, nullable=False, comment="sent because the department relied on the licence"),
    Index("ix_notices_department", "department", "idx", "ord"),
    info=PROJECTION,
)

notice_acks = Table(
    "notice_acks",
    metadata,
    Column("department", String(18), primary_key=True),
    Column("idx", BigInteger, nullable=False),
    Column("ord", Integer, nullable=False),
    Column("at", String(20), nullable=False),
    info=OPERATIONAL,
)
