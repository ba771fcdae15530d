"""Batches worked off in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_chunks",
        sa.Column("batch", sa.String(length=22), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="from 0, in the order sent"),
        sa.Column("first", sa.Integer(), nullable=False, comment="how many rows lie before it"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("sent", sa.LargeBinary(), nullable=True, comment="the rows, sealed; gone once they are done"),
        sa.Column("outcome", sa.LargeBinary(), nullable=True, comment="entry or refusal of each row, sealed"),
        sa.PrimaryKeyConstraint("batch", "number", name=op.f("pk_batch_chunks")),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column(
            "slot",
            sa.LargeBinary(length=16),
            nullable=True,
            comment="keyed hash of client and idempotency key, if there was one",
        ),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False, comment="keyed hash of everything that was sent"),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("officer", sa.Text(), nullable=True, comment="who sent it"),
        sa.Column("areas", sa.Text(), nullable=False, comment="JSON array: where the client may act"),
        sa.Column("kind", sa.String(length=8), nullable=False, comment="issue or import"),
        sa.Column("rule", sa.String(length=8), nullable=False, comment="strict or lenient, for imports"),
        sa.Column("state", sa.String(length=10), nullable=False, comment="receiving, waiting, running or done"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.Column("finished_at", sa.BigInteger(), nullable=True, comment="Unix seconds"),
        sa.Column("holder", sa.String(length=22), nullable=False, comment="process that works on it; empty for nobody"),
        sa.Column("lease_until", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("slot", name=op.f("uq_batches_slot")),
    )
    op.create_index("ix_batches_state", "batches", ["state"], unique=False)
