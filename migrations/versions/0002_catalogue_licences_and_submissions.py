"""Catalogue, licences and submissions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "causes",
        sa.Column("id", sa.String(length=200), nullable=False, comment="<origin>:<entry> or <origin>:<entry>:<n>"),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column(
            "root",
            sa.String(length=200),
            nullable=False,
            comment="id of the cause this one comes from; its own where direct",
        ),
        sa.Column("kind", sa.String(length=9), nullable=False, comment="direct or inherited"),
        sa.Column("effect", sa.String(length=9), nullable=False, comment="notice, suspended or revoked"),
        sa.Column("act", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column("basis", sa.String(length=13), nullable=True),
        sa.Column("appealable_until", sa.String(length=10), nullable=True),
        sa.Column("effective_from", sa.String(length=10), nullable=False),
        sa.Column(
            "until",
            sa.String(length=10),
            nullable=True,
            comment="last day a freeze counts; empty means until it is closed",
        ),
        sa.Column("opened_idx", sa.BigInteger(), nullable=False),
        sa.Column("closed_idx", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False, comment="what the act says of itself, as JSON"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_causes")),
    )
    op.create_index("ix_causes_licence", "causes", ["licence"], unique=False)
    op.create_index("ix_causes_opened_idx", "causes", ["opened_idx"], unique=False)
    op.create_index("ix_causes_root", "causes", ["root"], unique=False)
    op.create_table(
        "client_assertions",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("jti", sa.String(length=128), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, comment="Unix seconds; forgotten a while later"),
        sa.PrimaryKeyConstraint("client", "jti", name=op.f("pk_client_assertions")),
    )
    op.create_index("ix_client_assertions_expires", "client_assertions", ["expires"], unique=False)
    op.create_table(
        "clients",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False, comment="sorted JSON array"),
        sa.Column(
            "areas",
            sa.Text(),
            nullable=False,
            comment="sorted JSON array of area codes; empty means those of the grants",
        ),
        sa.Column("jwks", sa.Text(), nullable=False, comment="public keys only"),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.String(length=20), nullable=False, comment="RFC 3339, whole seconds, UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_table(
        "departments",
        sa.Column("id", sa.String(length=18), nullable=False, comment="unified social credit code"),
        sa.Column("num", sa.Integer(), nullable=False, comment="small number the static code uses"),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False, comment="active, merged or closed"),
        sa.Column("successor", sa.String(length=18), nullable=True),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="gives the refs of this department's later entries"
        ),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departments")),
        sa.UniqueConstraint("num", name=op.f("uq_departments_num")),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("type", sa.String(length=21), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column(
            "area", sa.String(length=6), nullable=False, comment="GB/T 2260; trailing zero pairs mean everything below"
        ),
        sa.Column("acts", sa.Text(), nullable=False, comment="sorted JSON array"),
        sa.Column("log_from", sa.Text(), nullable=False),
        sa.Column("closed_idx", sa.BigInteger(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_department", "grants", ["department"], unique=False)
    op.create_table(
        "imported_numbers",
        sa.Column(
            "issuer", sa.String(length=64), nullable=False, comment="the original issuer as the backlog names it"
        ),
        sa.Column("type", sa.String(length=21), nullable=False),
        sa.Column(
            "number_mac",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="keyed hash of the number; gone when it is erased",
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "type", "number_mac", "version", name=op.f("pk_imported_numbers")),
    )
    op.create_table(
        "licence_holders",
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=22), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("licence", "ord", name=op.f("pk_licence_holders")),
    )
    op.create_index("ix_licence_holders_subject", "licence_holders", ["subject", "licence"], unique=False)
    op.create_table(
        "licence_types",
        sa.Column("code", sa.String(length=21), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column("minor", sa.Integer(), nullable=False),
        sa.Column("num", sa.Integer(), nullable=False, comment="one small number per code and major"),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("vct", sa.Text(), nullable=False),
        sa.Column("integrity", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", "major", "minor", name=op.f("pk_licence_types")),
        sa.UniqueConstraint("num", "minor", name=op.f("uq_licence_types_num_minor")),
    )
    op.create_table(
        "licence_versions",
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column(
            "change", sa.String(length=8), nullable=False, comment="issue, import, correct, amend, renew or reissue"
        ),
        sa.Column("minor", sa.Integer(), nullable=False),
        sa.Column("identifier", sa.String(length=128), nullable=False),
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
    op.create_index("uq_licence_versions_identifier", "licence_versions", ["identifier"], unique=True)
    op.create_table(
        "licences",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("type", sa.String(length=21), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column(
            "department", sa.String(length=18), nullable=False, comment="the department that answers for it today"
        ),
        sa.Column("issuer", sa.String(length=18), nullable=False, comment="the department whose serial it bears"),
        sa.Column("area", sa.String(length=6), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("identifier", sa.String(length=128), nullable=False, comment="of the current version"),
        sa.Column("origin_kind", sa.String(length=8), nullable=False, comment="issued or imported"),
        sa.Column("current_version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.String(length=10), nullable=False),
        sa.Column("valid_until", sa.String(length=10), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False, comment="a word of verifiers.cascade.state_of"),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="gives the refs of this licence's entries (protocol 3)"
        ),
        sa.Column("created_idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licences")),
        sa.UniqueConstraint("type", "issuer", "serial", name=op.f("uq_licences_type_issuer_serial")),
    )
    op.create_index("ix_licences_created_idx", "licences", ["created_idx"], unique=False)
    op.create_index("ix_licences_identifier", "licences", ["identifier"], unique=False)
    op.create_table(
        "lineage",
        sa.Column("child_licence", sa.String(length=22), nullable=False),
        sa.Column("parent_kind", sa.String(length=12), nullable=False, comment="licence, submission, material …"),
        sa.Column("parent_id", sa.String(length=160), nullable=False),
        sa.Column("basis", sa.String(length=13), nullable=False, comment="identity, qualification or evidence"),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("child_licence", "parent_kind", "parent_id", "basis", name=op.f("pk_lineage")),
    )
    op.create_index("ix_lineage_idx", "lineage", ["idx"], unique=False)
    op.create_index("ix_lineage_parent", "lineage", ["parent_kind", "parent_id"], unique=False)
    op.create_table(
        "materials",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("submission", sa.String(length=22), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the file, lower-case hex"),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("taken_by", sa.String(length=64), nullable=False, comment="officer who took it in"),
        sa.Column(
            "licence", sa.String(length=22), nullable=True, comment="where the material is a licence of this ledger"
        ),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_materials")),
    )
    op.create_index("ix_materials_digest", "materials", ["digest"], unique=False)
    op.create_index("ix_materials_submission", "materials", ["submission"], unique=False)
    op.create_table(
        "matters",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("area", sa.String(length=6), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_matters")),
    )
    op.create_table(
        "registered_keys",
        sa.Column("kid", sa.String(length=22), nullable=False),
        sa.Column(
            "purpose", sa.String(length=16), nullable=False, comment="licence, code, statement, status, list or log"
        ),
        sa.Column("department", sa.String(length=18), nullable=True),
        sa.Column("suite", sa.String(length=16), nullable=False),
        sa.Column("spki", sa.LargeBinary(), nullable=False),
        sa.Column(
            "certificate",
            sa.LargeBinary(),
            nullable=True,
            comment="DER leaf; licence, code, status and list keys have one",
        ),
        sa.Column("log_from", sa.Text(), nullable=False, comment="position as JSON"),
        sa.Column(
            "closed_idx",
            sa.BigInteger(),
            nullable=True,
            comment="entry after which nothing signed by this key is taken in",
        ),
        sa.Column("revoked", sa.Text(), nullable=True, comment="{at, reason, trust_before?} as JSON"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_registered_keys")),
    )
    op.create_index("ix_registered_keys_department", "registered_keys", ["department", "purpose"], unique=False)
    op.create_table(
        "seals",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False, comment="number the seal was filed under"),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(length=18), nullable=False, comment="organisation the seal belongs to"),
        sa.Column("picture", sa.String(length=64), nullable=False, comment="SHA-256 of the picture, lower-case hex"),
        sa.Column(
            "certificate",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of the seal's certificate, lower-case hex",
        ),
        sa.Column("state", sa.String(length=9), nullable=False, comment="active, suspended or retired"),
        sa.Column("valid_from", sa.String(length=10), nullable=False),
        sa.Column("valid_until", sa.String(length=10), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seals")),
        sa.UniqueConstraint("code", name=op.f("uq_seals_code")),
    )
    op.create_index("ix_seals_holder", "seals", ["holder"], unique=False)
    op.create_table(
        "slot_status",
        sa.Column("list_num", sa.Integer(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column(
            "value", sa.SmallInteger(), nullable=False, comment="1 invalid for good, 2 invalid for now; zero has no row"
        ),
        sa.PrimaryKeyConstraint("list_num", "slot", name=op.f("pk_slot_status")),
    )
    op.create_table(
        "standing_instructions",
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("type", sa.String(length=21), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effects", sa.Text(), nullable=False, comment="basis to effect, as JSON"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("department", "type", "major", "version", name=op.f("pk_standing_instructions")),
    )
    op.create_table(
        "submission_results",
        sa.Column("submission", sa.String(length=22), nullable=False),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("submission", "licence", name=op.f("pk_submission_results")),
    )
    op.create_index("ix_submission_results_idx", "submission_results", ["idx"], unique=False)
    op.create_index("ix_submission_results_licence", "submission_results", ["licence"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("received_by", sa.String(length=18), nullable=False),
        sa.Column("decided_by", sa.String(length=18), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=22), nullable=True, comment="the applicant"),
        sa.Column("missing", sa.Text(), nullable=False, comment="JSON array: materials to be handed in later"),
        sa.Column("state", sa.String(length=12), nullable=False, comment="open, granted, refused or withdrawn"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("opened_idx", sa.BigInteger(), nullable=False),
        sa.Column("decided_idx", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_subject", "submissions", ["subject"], unique=False)
