"""Other regions, and witnessing both ways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("access_records") as looks:
        looks.alter_column("licence", existing_type=sa.String(length=22), nullable=True)
        looks.add_column(
            sa.Column("region", sa.String(length=6), comment="region of the department where that is not this one")
        )
        looks.add_column(
            sa.Column("abroad", sa.String(length=200), comment="region:identifier of a licence of another region")
        )
    op.create_table(
        "cosigners",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column(
            "size", sa.BigInteger(), nullable=False, comment="largest size of our log it is known to have cosigned"
        ),
        sa.Column("answered_at", sa.BigInteger(), nullable=True, comment="last good cosignature"),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column(
            "skew_s", sa.Integer(), nullable=False, comment="our clock less the time in that cosignature as it arrived"
        ),
        sa.Column("failures", sa.Integer(), nullable=False, comment="rounds in a row without a cosignature"),
        sa.Column("error", sa.Text(), nullable=False, comment="why the last round failed; empty where it did not"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cosigners")),
    )
    op.create_table(
        "equivalences",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("peer", sa.String(length=6), nullable=False),
        sa.Column("their_type", sa.String(length=21), nullable=False),
        sa.Column("their_major", sa.Integer(), nullable=False),
        sa.Column("our_type", sa.String(length=21), nullable=False),
        sa.Column("our_major", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.String(length=64), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=False, comment="JSON: our field to their field"),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True, comment="empty: until withdrawn"),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_idx", sa.BigInteger(), nullable=True, comment="entry that cut its time short"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_equivalences")),
    )
    op.create_index("ix_equivalences_peer", "equivalences", ["peer"], unique=False)
    op.create_table(
        "followed",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="of the newest checkpoint that was verified"),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="that checkpoint; empty before the first"),
        sa.Column(
            "mirrored", sa.BigInteger(), nullable=False, comment="entries that are mirrored; may be ahead of `size`"
        ),
        sa.Column("frontier", sa.LargeBinary(), nullable=False, comment="compact range of the mirrored entries"),
        sa.Column("chain", sa.LargeBinary(), nullable=False, comment="leaf hash of the last mirrored entry"),
        sa.Column("state", sa.String(length=12), nullable=False, comment="a word of verifiers.peer_view.Watch"),
        sa.Column("detail", sa.Text(), nullable=False, comment="why, in English; empty where all is well"),
        sa.Column("signed_at", sa.BigInteger(), nullable=True, comment="when the newest checkpoint says it was signed"),
        sa.Column("checked_at", sa.BigInteger(), nullable=True, comment="last attempt"),
        sa.Column(
            "good_at", sa.BigInteger(), nullable=True, comment="last attempt at which everything was fetched and held"
        ),
        sa.Column("failures", sa.Integer(), nullable=False, comment="attempts in a row that failed"),
        sa.PrimaryKeyConstraint("region", name=op.f("pk_followed")),
    )
    op.create_table(
        "followed_lists",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False, comment="fingerprint it was opened under"),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("list", sa.Text(), nullable=False, comment="compact JWT"),
        sa.Column(
            "logged_idx",
            sa.BigInteger(),
            nullable=True,
            comment="the peer's entry that announced it; empty until proven",
        ),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("region", "root", "seq", name=op.f("pk_followed_lists")),
    )
    op.create_table(
        "followed_status",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("uri", sa.String(length=512), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("iat", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False, comment="log size it shows the state of"),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False, comment="last time it was fetched or found unchanged"),
        sa.PrimaryKeyConstraint("region", "uri", name=op.f("pk_followed_status")),
    )
    op.create_table(
        "foreign_effects",
        sa.Column("fall", sa.String(length=22), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("effect", sa.String(length=9), nullable=False, comment="notice or suspended"),
        sa.Column("basis", sa.String(length=13), nullable=True),
        sa.Column("parent_kind", sa.String(length=12), nullable=True),
        sa.Column("parent_id", sa.String(length=160), nullable=True),
        sa.Column("by", sa.String(length=18), nullable=False),
        sa.Column("instruction", sa.String(length=64), nullable=True),
        sa.Column("settled_idx", sa.BigInteger(), nullable=True, comment="the licence's own entry about the fall"),
        sa.Column(
            "restored_idx", sa.BigInteger(), nullable=True, comment="the licence's own entry about the restoration"
        ),
        sa.PrimaryKeyConstraint("fall", "ord", name=op.f("pk_foreign_effects")),
    )
    op.create_index("ix_foreign_effects_licence", "foreign_effects", ["licence"], unique=False)
    op.create_table(
        "foreign_falls",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("identifier", sa.String(length=150), nullable=False),
        sa.Column("cause", sa.String(length=700), nullable=False, comment="root cause: theirs where a notice named it"),
        sa.Column("uri", sa.String(length=512), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "affected",
            sa.Integer(),
            nullable=False,
            comment="licences here that it suspended and nothing of it had before",
        ),
        sa.Column("opened_idx", sa.BigInteger(), nullable=False),
        sa.Column("closed_idx", sa.BigInteger(), nullable=True),
        sa.Column(
            "settled_idx",
            sa.BigInteger(),
            nullable=True,
            comment="entry after which every licence has its own entry about the fall",
        ),
        sa.Column("restored_idx", sa.BigInteger(), nullable=True, comment="the same for the restoration"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_foreign_falls")),
    )
    op.create_index("ix_foreign_falls_cause", "foreign_falls", ["cause"], unique=False)
    op.create_index("ix_foreign_falls_licence", "foreign_falls", ["region", "identifier"], unique=False)
    op.create_table(
        "foreign_licences",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("identifier", sa.String(length=150), nullable=False),
        sa.Column(
            "uri",
            sa.String(length=512),
            nullable=True,
            comment="its status list; empty until the peer or the document told",
        ),
        sa.Column("slot", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(length=21), nullable=True),
        sa.Column("major", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=12), nullable=False, comment="scan, issue or peer"),
        sa.Column("learned_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True, comment="when the peer learnt that we rely on it"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True, comment="when the peer is asked again"),
        sa.Column(
            "value",
            sa.SmallInteger(),
            nullable=True,
            comment="what its slot said when last looked at; empty: never seen",
        ),
        sa.Column(
            "as_of", sa.BigInteger(), nullable=True, comment="size of the peer's log that `value` shows the state of"
        ),
        sa.PrimaryKeyConstraint("region", "identifier", name=op.f("pk_foreign_licences")),
    )
    op.create_index("ix_foreign_licences_slot", "foreign_licences", ["region", "uri", "slot"], unique=False)
    op.create_table(
        "held_falls",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("identifier", sa.String(length=150), nullable=False),
        sa.Column("cause", sa.String(length=700), nullable=False),
        sa.Column("effects", sa.Integer(), nullable=False, comment="licences here that would be suspended"),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True, comment="operator who let it go on; empty while it is held"),
        sa.Column("dropped_by", sa.Text(), nullable=True, comment="operator who decided that it is not to be acted on"),
        sa.PrimaryKeyConstraint("region", "identifier", name=op.f("pk_held_falls")),
    )
    op.create_table(
        "mirrored_entries",
        sa.Column("origin", sa.String(length=200), nullable=False),
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "idx", name=op.f("pk_mirrored_entries")),
    )
    op.create_table(
        "misbehaviour",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False, comment="fork, rollback, equivocation …"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False, comment="JSON: what was signed, verbatim"),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the evidence: kept once"),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_misbehaviour")),
        sa.UniqueConstraint("digest", name=op.f("uq_misbehaviour_digest")),
    )
    op.create_index("ix_misbehaviour_origin", "misbehaviour", ["origin", "seq"], unique=False)
    op.create_table(
        "notice_cursor",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "size", sa.BigInteger(), nullable=False, comment="entries below this were looked through for peers to tell"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_cursor")),
    )
    op.create_table(
        "named_causes",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("identifier", sa.String(length=150), nullable=False),
        sa.Column("cause", sa.String(length=700), nullable=False),
        sa.Column(
            "entry",
            sa.BigInteger(),
            nullable=False,
            comment="the peer's entry that the newest notice follows from",
        ),
        sa.Column(
            "event",
            sa.String(length=8),
            nullable=False,
            comment="fell or restored; spent once the bit was seen to be zero",
        ),
        sa.PrimaryKeyConstraint("region", "identifier", "cause", name=op.f("pk_named_causes")),
    )
    op.create_table(
        "peer_nonces",
        sa.Column("kid", sa.String(length=22), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, comment="Unix seconds"),
        sa.PrimaryKeyConstraint("kid", "nonce", name=op.f("pk_peer_nonces")),
    )
    op.create_index("ix_peer_nonces_expires", "peer_nonces", ["expires"], unique=False)
    op.create_table(
        "peer_notices_in",
        sa.Column("region", sa.String(length=6), nullable=False, comment="from whom"),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="their entry it follows from"),
        sa.Column("cause", sa.String(length=700), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False, comment="waiting, acted, held or ignored"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("region", "entry", "cause", name=op.f("pk_peer_notices_in")),
    )
    op.create_table(
        "peer_notices_out",
        sa.Column("region", sa.String(length=6), nullable=False, comment="to whom"),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="our entry it follows from"),
        sa.Column("cause", sa.String(length=700), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False, comment="compact JWS"),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False, comment="what the peer said, or why it could not be reached"),
        sa.PrimaryKeyConstraint("region", "entry", "cause", name=op.f("pk_peer_notices_out")),
    )
    op.create_index("ix_peer_notices_out_due", "peer_notices_out", ["delivered_at", "next_at"], unique=False)
    op.create_table(
        "peers",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column(
            "root",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of the root certificate, hex; taken out of band",
        ),
        sa.Column("names", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("status", sa.String(length=9), nullable=False, comment="active, suspended or withdrawn"),
        sa.Column(
            "witnesses",
            sa.Text(),
            nullable=True,
            comment="JSON {k, keys}: what we demand of its checkpoints; empty: as it declares",
        ),
        sa.Column("proposal", sa.Text(), nullable=False, comment="canonical JSON of what was approved last"),
        sa.Column("admitted_idx", sa.BigInteger(), nullable=False),
        sa.Column("changed_idx", sa.BigInteger(), nullable=False, comment="entry that last changed the row"),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="gives the refs of this peer's entries (protocol 3)"
        ),
        sa.PrimaryKeyConstraint("region", name=op.f("pk_peers")),
    )
    op.create_table(
        "reliances",
        sa.Column("region", sa.String(length=6), nullable=False, comment="peer that relies on a licence of ours"),
        sa.Column("licence", sa.String(length=22), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("region", "licence", name=op.f("pk_reliances")),
    )
    op.create_index("ix_reliances_licence", "reliances", ["licence"], unique=False)
    op.create_table(
        "rules",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("logic", sa.Text(), nullable=False, comment="canonical JSON (docs/formats/rule.md)"),
        sa.Column(
            "tests", sa.Text(), nullable=False, comment="canonical JSON: cases that were run when it was published"
        ),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_rules")),
    )
    op.create_table(
        "watched_logs",
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("vkeys", sa.Text(), nullable=False, comment="JSON array; all of them must sign"),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_watched_logs")),
    )
    op.create_table(
        "witness_identity",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("vkeys", sa.Text(), nullable=False, comment="verifier keys of the witness this database belongs to"),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_witness_identity")),
    )
    op.create_table(
        "witness_policies",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False, comment="entry that set it"),
        sa.Column("policy", sa.Text(), nullable=False, comment="C2SP tlog-policy file"),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="gives the refs of these entries; the same in every row"
        ),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_witness_policies")),
    )
    op.create_table(
        "witnessed_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="signed by the log and cosigned by the policy's quorum"),
        sa.Column("cosigned_at", sa.BigInteger(), nullable=False, comment="when the quorum was complete"),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_witnessed_checkpoints")),
    )
    op.create_index("ix_witnessed_checkpoints_cosigned_at", "witnessed_checkpoints", ["cosigned_at"], unique=False)
    op.create_table(
        "witnessed_logs",
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("origin_hash", sa.String(length=64), nullable=False, comment="SHA-256 of the origin, hex"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="largest size cosigned; never goes back"),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="the log's checked lines and our cosignatures"),
        sa.Column("cosigned_at", sa.BigInteger(), nullable=False, comment="never goes back"),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_witnessed_logs")),
        sa.UniqueConstraint("origin_hash", name=op.f("uq_witnessed_logs_origin_hash")),
    )
