"""Keep no more of a licence in the projections than somebody asks for.

Identifiers are kept as what the licence does not say of them, found by a short key; indexes nobody searches are gone;
on SQLite small tables lie in their primary key. Services of the release before cannot write to this schema: they are
stopped first. Tables are copied, so the disk needs room for the largest of them once more.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COPY = "kept_by_0007"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.drop_index("ix_licences_identifier", table_name="licences")
    _shorten_identifiers(sqlite)
    op.drop_column("licences", "identifier")
    if sqlite:
        _lay_in_primary_keys()
        return
    op.drop_index("uq_thing_events_idx", table_name="thing_events")
    _index_later_events()
    op.drop_index("ix_record_subjects_subject_idx", table_name="record_subjects")
    op.drop_constraint("pk_record_subjects", "record_subjects")
    op.create_primary_key("pk_record_subjects", "record_subjects", ["subject", "idx", "part"])
    op.execute("ANALYZE licence_versions")
    op.execute("ANALYZE record_subjects")


def _shorten_identifiers(sqlite: bool) -> None:
    if sqlite:
        raw: Any = op.get_bind().connection.driver_connection
        raw.create_function("elicence_key", 1, lambda text: sha256(text.encode()).digest()[:12], deterministic=True)
        key, number = "elicence_key(v.identifier)", "printf('%03d', v.version)"
    else:
        key = "substring(sha256(convert_to(v.identifier, 'UTF8')) from 1 for 12)"
        number = "lpad(v.version::text, greatest(3, length(v.version::text)), '0')"
    known = f"'1.2.156.3005.2.' || l.type || '.' || l.issuer || '.' || l.serial || '.' || {number} || '.'"
    tail = (
        f"CASE WHEN substr(v.identifier, 1, length({known})) = {known}"
        f" THEN substr(v.identifier, length({known}) + 1) ELSE '=' || v.identifier END"
    )
    before = "licence, version, idx, change, minor"
    after = "list_num, slot, jws_digest, code_digest, kid_licence, kid_code, valid_from, valid_until, superseded_idx"
    these = ", ".join(f"v.{name}" for name in f"{before}, {after}".split(", "))
    op.execute(
        f"CREATE TABLE {_COPY} AS SELECT {these}, {key} AS identifier_key, {tail} AS identifier_tail"  # noqa: S608 (names of our own)
        " FROM licence_versions v JOIN licences l ON l.id = v.licence"
    )
    op.drop_table("licence_versions")
    _create_versions()
    _take_back("licence_versions", f"{before}, identifier_key, identifier_tail, {after}", "idx")


def _create_versions() -> None:
    op.create_table(
        "licence_versions",
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column(
            "change", sa.String(length=8), nullable=False, comment="issue, import, correct, amend, renew or reissue"
        ),
        sa.Column("minor", sa.Integer(), nullable=False),
        sa.Column(
            "identifier_key",
            sa.LargeBinary(length=12),
            nullable=False,
            comment="first bytes of the identifier's SHA-256",
        ),
        sa.Column(
            "identifier_tail",
            sa.Text(),
            nullable=False,
            comment="what the licence does not say of it (ledger.identifiers)",
        ),
        sa.Column("list_num", sa.Integer(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("jws_digest", sa.LargeBinary(), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("kid_licence", sa.String(length=22), nullable=False),
        sa.Column("kid_code", sa.String(length=22), nullable=False),
        sa.Column("valid_from", sa.String(length=10), nullable=False),
        sa.Column("valid_until", sa.String(length=10), nullable=True),
        sa.Column("superseded_idx", sa.BigInteger(), nullable=True, comment="entry of the version that took its place"),
        sa.PrimaryKeyConstraint("licence", "version", name=op.f("pk_licence_versions")),
        sa.UniqueConstraint("code_digest", name=op.f("uq_licence_versions_code_digest")),
        sa.UniqueConstraint("idx", name=op.f("uq_licence_versions_idx")),
        sa.UniqueConstraint("jws_digest", name=op.f("uq_licence_versions_jws_digest")),
        sa.UniqueConstraint("list_num", "slot", name=op.f("uq_licence_versions_list_num_slot")),
    )
    op.create_index("uq_licence_versions_identifier_key", "licence_versions", ["identifier_key"], unique=True)


def _index_later_events() -> None:
    later = sa.text("n > 0")
    op.create_index("ix_thing_events_later", "thing_events", ["idx"], sqlite_where=later, postgresql_where=later)


def _lay_in_primary_keys() -> None:
    """Make again what SQLite keeps as a table and an index beside it, as one tree."""
    _put_aside("thing_events")
    op.create_table(
        "thing_events",
        sa.Column("thing", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("thing", "n", name=op.f("pk_thing_events")),
        sqlite_with_rowid=False,
    )
    _take_back("thing_events", "thing, n, idx", "thing, n")
    _index_later_events()
    _put_aside("record_subjects")
    op.create_table(
        "record_subjects",
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "idx", "part", name=op.f("pk_record_subjects")),
        sqlite_with_rowid=False,
    )
    _take_back("record_subjects", "idx, part, subject", "subject, idx, part")
    _put_aside("subjects")
    op.create_table(
        "subjects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subjects")),
        sqlite_with_rowid=False,
    )
    _take_back("subjects", "id, kind, created_idx", "id")
    _put_aside("licence_holders")
    op.create_table(
        "licence_holders",
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("licence", "ord", name=op.f("pk_licence_holders")),
        sqlite_with_rowid=False,
    )
    _take_back("licence_holders", "licence, ord, subject, kind, role", "licence, ord")
    op.create_index("ix_licence_holders_subject", "licence_holders", ["subject", "licence"])


def _put_aside(table: str) -> None:
    op.execute(f"CREATE TABLE {_COPY} AS SELECT * FROM {table}")  # noqa: S608 (names of our own)
    op.drop_table(table)


def _take_back(table: str, columns: str, order: str) -> None:
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {_COPY} ORDER BY {order}")  # noqa: S608 (names of our own)
    op.drop_table(_COPY)
