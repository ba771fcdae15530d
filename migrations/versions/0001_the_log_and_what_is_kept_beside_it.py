"""The log and what is kept beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import log_guards

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_entries")),
        postgresql_partition_by="RANGE (idx)",
    )
    op.create_table(
        "erasures",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("erased_idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("idx", "part", name=op.f("pk_erasures")),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("catalogue_idx", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_head")),
    )
    op.create_table(
        "idempotency",
        sa.Column("slot", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("indexes", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_idx"), "idempotency", ["idx"], unique=False)
    op.create_table(
        "record_keys",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", "part", name=op.f("pk_record_keys")),
    )
    op.create_table(
        "record_subjects",
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("idx", "part", name=op.f("pk_record_subjects")),
    )
    op.create_index(op.f("ix_record_subjects_subject_idx"), "record_subjects", ["subject", "idx"], unique=False)
    op.create_table(
        "records",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", "part", name=op.f("pk_records")),
        postgresql_partition_by="RANGE (idx)",
    )
    op.create_table(
        "subject_index",
        sa.Column("key_id", sa.SmallInteger(), nullable=False),
        sa.Column("hmac", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "hmac", name=op.f("pk_subject_index")),
    )
    op.create_index(op.f("ix_subject_index_subject"), "subject_index", ["subject"], unique=False)
    op.create_table(
        "subjects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subjects")),
    )
    op.create_table(
        "thing_events",
        sa.Column("thing", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("thing", "n", name=op.f("pk_thing_events")),
    )
    op.create_index("uq_thing_events_idx", "thing_events", ["idx"], unique=True)
    for statement in log_guards.statements(op.get_context().dialect.name):
        op.execute(statement)
