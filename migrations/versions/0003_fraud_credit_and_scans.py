"""Fraud, credit and scans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "access_digests",
        sa.Column("hour", sa.BigInteger(), nullable=False, comment="first Unix second of the hour"),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_access_digests")),
    )
    op.create_table(
        "access_records",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("officer", sa.String(length=64), nullable=False),
        sa.Column("means", sa.String(length=8), nullable=False, comment="static, dynamic or search"),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False, comment="JSON array of the disclosed field names"),
        sa.Column("outcome", sa.String(length=12), nullable=False, comment="valid, invalid or undetermined"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_records")),
    )
    op.create_index("ix_access_records_at", "access_records", ["at"], unique=False)
    op.create_index("ix_access_records_licence", "access_records", ["licence", "at"], unique=False)
    op.create_table(
        "bans",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column("type", sa.String(length=21), nullable=False, comment="licence type that may not be applied for"),
        sa.Column("article", sa.Text(), nullable=False),
        sa.Column("from_on", sa.String(length=10), nullable=False),
        sa.Column("until_on", sa.String(length=10), nullable=False, comment="last day of the ban"),
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("lifted_idx", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bans")),
    )
    op.create_index("ix_bans_flag", "bans", ["flag"], unique=False)
    op.create_index("ix_bans_subject", "bans", ["subject", "type"], unique=False)
    op.create_table(
        "credit_checks",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=False, comment="yes, no or conditions"),
        sa.Column("conditions", sa.Text(), nullable=False, comment="JSON array"),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column("checked_on", sa.String(length=10), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_checks")),
    )
    op.create_index("ix_credit_checks_subject", "credit_checks", ["subject"], unique=False)
    op.create_table(
        "credit_records",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column(
            "class", sa.String(length=8), nullable=False, comment="light, ordinary or serious (轻微, 一般, 严重)"
        ),
        sa.Column("document_no", sa.Text(), nullable=False),
        sa.Column("list_entry", sa.Text(), nullable=False, comment="entry of the public list that allows the record"),
        sa.Column(
            "measures", sa.Text(), nullable=False, comment="JSON array; each cites the list entry that allows it"
        ),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column(
            "rule", sa.String(length=16), nullable=False, comment="version of the rule in force on the day of decision"
        ),
        sa.Column("decided_on", sa.String(length=10), nullable=False),
        sa.Column("served_on", sa.String(length=10), nullable=False),
        sa.Column(
            "domain",
            sa.String(length=16),
            nullable=True,
            comment="special field with a longer minimum under older rules",
        ),
        sa.Column("flag", sa.String(length=22), nullable=True, comment="the fraud case it comes from"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("repaired_on", sa.String(length=10), nullable=True),
        sa.Column("withdrawn_idx", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_records")),
    )
    op.create_index("ix_credit_records_flag", "credit_records", ["flag"], unique=False)
    op.create_index("ix_credit_records_subject", "credit_records", ["subject"], unique=False)
    op.create_table(
        "decision_effects",
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("effect", sa.String(length=9), nullable=False),
        sa.Column("cause", sa.String(length=9), nullable=False, comment="direct or inherited"),
        sa.Column("basis", sa.String(length=13), nullable=True),
        sa.Column("parent_kind", sa.String(length=12), nullable=True),
        sa.Column("parent_id", sa.String(length=160), nullable=True),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column("instruction", sa.String(length=64), nullable=True),
        sa.Column("settled_idx", sa.BigInteger(), nullable=True, comment="the licence's own entry about the decision"),
        sa.Column("restored_idx", sa.BigInteger(), nullable=True, comment="the licence's own entry about the reversal"),
        sa.PrimaryKeyConstraint("flag", "ord", name=op.f("pk_decision_effects")),
    )
    op.create_index("ix_decision_effects_licence", "decision_effects", ["licence"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=9), nullable=False, comment="upheld or dismissed"),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column("officer", sa.String(length=64), nullable=False),
        sa.Column("document_no", sa.Text(), nullable=False),
        sa.Column("articles", sa.Text(), nullable=False, comment="JSON array"),
        sa.Column("decided_on", sa.String(length=10), nullable=False),
        sa.Column("served_on", sa.String(length=10), nullable=False),
        sa.Column("appealable_until", sa.String(length=10), nullable=True),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="log size at which the preview was computed"),
        sa.Column("root", sa.String(length=200), nullable=False, comment="id of the root cause"),
        sa.Column(
            "settled_idx",
            sa.BigInteger(),
            nullable=True,
            comment="entry after which every licence has its own entry about the decision",
        ),
        sa.Column("restored_idx", sa.BigInteger(), nullable=True, comment="the same for the reversal"),
        sa.PrimaryKeyConstraint("flag", name=op.f("pk_decisions")),
        sa.UniqueConstraint("idx", name=op.f("uq_decisions_idx")),
    )
    op.create_table(
        "flag_steps",
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("step", sa.String(length=9), nullable=False, comment="notice, statement or waiver"),
        sa.Column("document_no", sa.Text(), nullable=True),
        sa.Column("served_on", sa.String(length=10), nullable=True),
        sa.Column("respond_by", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_flag_steps")),
    )
    op.create_index("ix_flag_steps_flag", "flag_steps", ["flag"], unique=False)
    op.create_table(
        "flag_subjects",
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column(
            "subject",
            sa.String(length=22),
            nullable=False,
            comment="whoever is told of the case: holders and applicants",
        ),
        sa.PrimaryKeyConstraint("flag", "subject", name=op.f("pk_flag_subjects")),
    )
    op.create_index("ix_flag_subjects_subject", "flag_subjects", ["subject"], unique=False)
    op.create_table(
        "flag_targets",
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False, comment="submission, material or licence"),
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.PrimaryKeyConstraint("flag", "kind", "id", name=op.f("pk_flag_targets")),
    )
    op.create_index("ix_flag_targets_target", "flag_targets", ["kind", "id"], unique=False)
    op.create_table(
        "fraud_flags",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("raised_by", sa.String(length=18), nullable=False),
        sa.Column("officer", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False, comment="open, upheld, dismissed or reversed"),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="gives the refs of this case's entries (protocol 3)"
        ),
        sa.Column("opened_idx", sa.BigInteger(), nullable=False),
        sa.Column("decided_idx", sa.BigInteger(), nullable=True),
        sa.Column("reversed_idx", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_flags")),
    )
    op.create_table(
        "freeze_targets",
        sa.Column("freeze", sa.String(length=22), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False, comment="submission, material or licence"),
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.PrimaryKeyConstraint("freeze", "kind", "id", name=op.f("pk_freeze_targets")),
    )
    op.create_index("ix_freeze_targets_target", "freeze_targets", ["kind", "id"], unique=False)
    op.create_table(
        "freezes",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("document_no", sa.Text(), nullable=False),
        sa.Column("until", sa.String(length=10), nullable=False, comment="last day it holds"),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column(
            "ended_idx",
            sa.BigInteger(),
            nullable=True,
            comment="entry of its lapse, or of the decision that took its place",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    op.create_index("ix_freezes_flag", "freezes", ["flag"], unique=False)
    op.create_table(
        "notice_acks",
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("department", name=op.f("pk_notice_acks")),
    )
    op.create_table(
        "notices",
        sa.Column("idx", sa.BigInteger(), nullable=False, comment="entry it follows from"),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("thing", sa.String(length=22), nullable=False, comment="licence or case it speaks of"),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("relied", sa.Boolean(), nullable=False, comment="sent because the department relied on the licence"),
        sa.PrimaryKeyConstraint("idx", "ord", name=op.f("pk_notices")),
    )
    op.create_index("ix_notices_department", "notices", ["department", "idx", "ord"], unique=False)
    op.create_table(
        "presentations",
        sa.Column("handle", sa.LargeBinary(length=10), nullable=False),
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="key, chosen licences, fields and purpose, encrypted"
        ),
        sa.Column("made_at", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, comment="Unix seconds; at most 24 hours later"),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_presentations")),
        sa.UniqueConstraint("id", name=op.f("uq_presentations_id")),
    )
    op.create_index("ix_presentations_ends_at", "presentations", ["ends_at"], unique=False)
    op.create_index("ix_presentations_subject", "presentations", ["subject"], unique=False)
    op.create_table(
        "redeemed_codes",
        sa.Column("handle", sa.LargeBinary(length=10), nullable=False),
        sa.Column("slice", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.PrimaryKeyConstraint("handle", "slice", name=op.f("pk_redeemed_codes")),
    )
    op.create_index("ix_redeemed_codes_at", "redeemed_codes", ["at"], unique=False)
    op.create_table(
        "review_cases",
        sa.Column("id", sa.String(length=45), nullable=False, comment="<flag>:<licence>"),
        sa.Column("flag", sa.String(length=22), nullable=False),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("due", sa.String(length=10), nullable=False),
        sa.Column("opened_idx", sa.BigInteger(), nullable=False),
        sa.Column("closed_idx", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=9), nullable=True, comment="kept, restored or reversed"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_cases")),
    )
    op.create_index("ix_review_cases_department", "review_cases", ["department", "closed_idx"], unique=False)
    op.create_index("ix_review_cases_flag", "review_cases", ["flag"], unique=False)
