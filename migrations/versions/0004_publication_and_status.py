"""Publication and status."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="the first checkpoint signed for this size"),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False, comment="named by a trust list: kept for ever"),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoints")),
    )
    op.create_index("ix_checkpoints_signed_at", "checkpoints", ["signed_at"], unique=False)
    op.create_table(
        "publication",
        sa.Column(
            "id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1: a log has one head in public"
        ),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="signed checkpoint; empty before the first"),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "token",
            sa.BigInteger(),
            nullable=False,
            comment="fencing token: rises with every change of the lease holder",
        ),
        sa.Column(
            "holder", sa.String(length=22), nullable=False, comment="publisher that holds the lease; empty for nobody"
        ),
        sa.Column("lease_until", sa.BigInteger(), nullable=False, comment="Unix milliseconds"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication")),
    )
    op.create_table(
        "slot_leases",
        sa.Column("list_num", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "uri", sa.Text(), nullable=False, comment="`sub` of the list's tokens; never changes, also when BASE does"
        ),
        sa.Column("leased", sa.BigInteger(), nullable=False, comment="counters below this were handed to some process"),
        sa.PrimaryKeyConstraint("list_num", name=op.f("pk_slot_leases")),
    )
    op.create_table(
        "status_tokens",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("list_num", sa.Integer(), nullable=False),
        sa.Column("iat", sa.BigInteger(), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False, comment="log size the bits were computed at"),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the compact token"),
        sa.Column(
            "bits", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the packed, uncompressed list"
        ),
        sa.Column(
            "token",
            sa.Text(),
            nullable=True,
            comment="compact token; dropped after the retention, the newest of a list never",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_status_tokens")),
    )
    op.create_index("ix_status_tokens_as_of", "status_tokens", ["as_of"], unique=False)
    op.create_index("ix_status_tokens_list_num", "status_tokens", ["list_num", "iat"], unique=False)
    op.create_table(
        "trust_lists",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the compact list"),
        sa.Column("list", sa.Text(), nullable=False, comment="compact JWT as served"),
        sa.Column(
            "secret",
            sa.LargeBinary(),
            nullable=False,
            comment="gives the refs of the trust lists' entries; the same in every row",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_trust_lists")),
        sa.UniqueConstraint("idx", name=op.f("uq_trust_lists_idx")),
    )
