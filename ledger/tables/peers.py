"""Other regions: whom we recognise, what of theirs counts as ours, what we follow, and what goes back and forth.

`peers`, `equivalences`, `rules`, `foreign_falls` and `foreign_effects` are projections of logged events. What was
fetched from others is operational: it is evidence, so it is backed up, but it can be fetched again.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

from ledger.errors import Code
from ledger.tables.base import OPERATIONAL, PROJECTION, Instant, metadata, refuses

peers = Table(
    "peers",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("base", Text, nullable=False),
    Column("root", String(64), nullable=False, comment="SHA-256 of the root certificate, hex; taken out of band"),
    Column("names", Text, nullable=False, comment="JSON"),
    Column("status", String(9), nullable=False, comment="active, suspended or withdrawn"),
    Column("witnesses", Text, comment="JSON {k, keys}: what we demand of its checkpoints; empty: as it declares"),
    Column("proposal", Text, nullable=False, comment="canonical JSON of what was approved last"),
    Column("admitted_idx", BigInteger, nullable=False),
    Column("changed_idx", BigInteger, nullable=False, comment="entry that last changed the row"),
    Column("secret", LargeBinary, nullable=False, comment="gives the refs of this peer's entries (protocol 3)"),
    info=PROJECTION,
)

equivalences = Table(
    "equivalences",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("peer", String(6), nullable=False),
    Column("their_type", String(21), nullable=False),
    Column("their_major", Integer, nullable=False),
    Column("our_type", String(21), nullable=False),
    Column("our_major", Integer, nullable=False),
    Column("rule_id", String(64)),
    Column("rule_version", Integer),
    Column("fields", Text, nullable=False, comment="JSON: our field to their field"),
    Column("valid_from", Instant, nullable=False),
    Column("valid_until", Instant, comment="empty: until withdrawn"),
    Column("idx", BigInteger, nullable=False),
    Column("withdrawn_idx", BigInteger, comment="entry that cut its time short"),
    Column("secret", LargeBinary, nullable=False),
    Index("ix_equivalences_peer", "peer"),
    info=PROJECTION,
)

rules = Table(
    "rules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("names", Text, nullable=False, comment="JSON"),
    Column("logic", Text, nullable=False, comment="canonical JSON (docs/formats/rule.md)"),
    Column("tests", Text, nullable=False, comment="canonical JSON: cases that were run when it was published"),
    Column("idx", BigInteger, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    info=PROJECTION,
)

followed = Table(
    "followed",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False, comment="of the newest checkpoint that was verified"),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False, comment="that checkpoint; empty before the first"),
    Column("mirrored", BigInteger, nullable=False, comment="entries that are mirrored; may be ahead of `size`"),
    Column("frontier", LargeBinary, nullable=False, comment="compact range of the mirrored entries"),
    Column("chain", LargeBinary, nullable=False, comment="leaf hash of the last mirrored entry"),
    Column("state", String(12), nullable=False, comment="a word of verifiers.peer_view.Watch"),
    Column("detail", Text, nullable=False, comment="why, in English; empty where all is well"),
    Column("signed_at", Instant, comment="when the newest checkpoint says it was signed"),
    Column("checked_at", Instant, comment="last attempt"),
    Column("good_at", Instant, comment="last attempt at which everything was fetched and held"),
    Column("failures", Integer, nullable=False, comment="attempts in a row that failed"),
    info=OPERATIONAL,
)

followed_lists = Table(
    "followed_lists",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("root", String(64), primary_key=True, comment="fingerprint it was opened under"),
    Column("seq", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("list", Text, nullable=False, comment="compact JWT"),
    Column("logged_idx", BigInteger, comment="the peer's entry that announced it; empty until proven"),
    Column("fetched_at", Instant, nullable=False),
    info=OPERATIONAL,
)

followed_status = Table(
    "followed_status",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("uri", String(512), primary_key=True),
    Column("token", Text, nullable=False),
    Column("iat", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False, comment="log size it shows the state of"),
    Column("etag", Text, nullable=False),
    Column("fetched_at", Instant, nullable=False, comment="last time it was fetched or found unchanged"),
    info=OPERATIONAL,
)

mirrored_entries = Table(
    "mirrored_entries",
    metadata,
    Column("origin", String(200), primary_key=True),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary, nullable=False),
    info=OPERATIONAL,
)

foreign_licences = Table(
    "foreign_licences",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("identifier", String(150), primary_key=True),
    Column("uri", String(512), comment="its status list; empty until the peer or the document told"),
    Column("slot", BigInteger),
    Column("type", String(21)),
    Column("major", Integer),
    Column("source", String(12), nullable=False, comment="scan, issue or peer"),
    Column("learned_at", Instant, nullable=False),
    Column("told_at", Instant, comment="when the peer learnt that we rely on it"),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, comment="when the peer is asked again"),
    Column("value", SmallInteger, comment="what its slot said when last looked at; empty: never seen"),
    Column("as_of", BigInteger, comment="size of the peer's log that `value` shows the state of"),
    Index("ix_foreign_licences_slot", "region", "uri", "slot"),
    info=OPERATIONAL,
)

foreign_falls = Table(
    "foreign_falls",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("region", String(6), nullable=False),
    Column("identifier", String(150), nullable=False),
    Column("cause", String(700), nullable=False, comment="root cause: theirs where a notice named it"),
    Column("uri", String(512), nullable=False),
    Column("slot", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("affected", Integer, nullable=False, comment="licences here that it suspended and nothing of it had before"),
    Column("opened_idx", BigInteger, nullable=False),
    Column("closed_idx", BigInteger),
    Column("settled_idx", BigInteger, comment="entry after which every licence has its own entry about the fall"),
    Column("restored_idx", BigInteger, comment="the same for the restoration"),
    Column("secret", LargeBinary, nullable=False),
    Index("ix_foreign_falls_licence", "region", "identifier"),
    Index("ix_foreign_falls_cause", "cause"),
    info=PROJECTION,
)

foreign_effects = Table(
    "foreign_effects",
    metadata,
    Column("fall", String(22), primary_key=True),
    Column("ord", Integer, primary_key=True),
    Column("licence", String(22), nullable=False),
    Column("effect", String(9), nullable=False, comment="notice or suspended"),
    Column("basis", String(13)),
    Column("parent_kind", String(12)),
    Column("parent_id", String(160)),
    Column("by", String(18), nullable=False),
    Column("instruction", String(64)),
    Column("settled_idx", BigInteger, comment="the licence's own entry about the fall"),
    Column("restored_idx", BigInteger, comment="the licence's own entry about the restoration"),
    Index("ix_foreign_effects_licence", "licence"),
    info=PROJECTION,
)

named_causes = Table(
    "named_causes",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("identifier", String(150), primary_key=True),
    Column("cause", String(700), primary_key=True),
    Column("entry", BigInteger, nullable=False, comment="the peer's entry that the newest notice follows from"),
    Column("event", String(8), nullable=False, comment="fell or restored; spent once the bit was seen to be zero"),
    info=OPERATIONAL,
)

held_falls = Table(
    "held_falls",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("identifier", String(150), primary_key=True),
    Column("cause", String(700), nullable=False),
    Column("effects", Integer, nullable=False, comment="licences here that would be suspended"),
    Column("since", Instant, nullable=False),
    Column("released_by", Text, comment="operator who let it go on; empty while it is held"),
    Column("dropped_by", Text, comment="operator who decided that it is not to be acted on"),
    info=OPERATIONAL,
)

reliances = Table(
    "reliances",
    metadata,
    Column("region", String(6), primary_key=True, comment="peer that relies on a licence of ours"),
    Column("licence", String(22), primary_key=True),
    Column("at", Instant, nullable=False),
    Index("ix_reliances_licence", "licence"),
    info=OPERATIONAL,
)

peer_notices_out = Table(
    "peer_notices_out",
    metadata,
    Column("region", String(6), primary_key=True, comment="to whom"),
    Column("entry", BigInteger, primary_key=True, comment="our entry it follows from"),
    Column("cause", String(700), primary_key=True),
    Column("notice", Text, nullable=False, comment="compact JWS"),
    Column("made_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),
    Column("delivered_at", Instant),
    Column("answer", Text, nullable=False, comment="what the peer said, or why it could not be reached"),
    Index("ix_peer_notices_out_due", "delivered_at", "next_at"),
    info=OPERATIONAL,
)

peer_notices_in = Table(
    "peer_notices_in",
    metadata,
    Column("region", String(6), primary_key=True, comment="from whom"),
    Column("entry", BigInteger, primary_key=True, comment="their entry it follows from"),
    Column("cause", String(700), primary_key=True),
    Column("notice", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("state", String(9), nullable=False, comment="waiting, acted, held or ignored"),
    Column("detail", Text, nullable=False),
    info=OPERATIONAL,
)

notice_cursor = Table(
    "notice_cursor",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False, comment="entries below this were looked through for peers to tell"),
    info=OPERATIONAL,
)

peer_nonces = Table(
    "peer_nonces",
    metadata,
    Column("kid", String(22), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("expires", BigInteger, nullable=False, comment="Unix seconds"),
    PrimaryKeyConstraint("kid", "nonce", info=refuses(Code.PEER_SIGNATURE_REPLAYED)),
    Index("ix_peer_nonces_expires", "expires"),
    info=OPERATIONAL,
)
