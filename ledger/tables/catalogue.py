"""Who may do what in this region: departments, keys, grants, licence types and matters, and the callers' accounts.

All but `clients` are projections of logged events. `clients` is operational: an account decides who may call, never
what was decided. Documents are kept as canonical JSON text; positions are `{"origin", "size", "root"}` as in the
trust list.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ledger.errors import Code
from ledger.tables.base import OPERATIONAL, PROJECTION, metadata, refuses

departments = Table(
    "departments",
    metadata,
    Column("id", String(18), primary_key=True, comment="unified social credit code"),
    Column("num", Integer, nullable=False, unique=True, comment="small number the static code uses"),
    Column("names", Text, nullable=False),
    Column("iss", Text, nullable=False),
    Column("status", String(8), nullable=False, comment="active, merged or closed"),
    Column("successor", String(18)),
    Column("secret", LargeBinary, nullable=False, comment="gives the refs of this department's later entries"),
    Column("idx", BigInteger, nullable=False),
    info=PROJECTION,
)

registered_keys = Table(
    "registered_keys",
    metadata,
    Column("kid", String(22), primary_key=True),
    Column("purpose", String(16), nullable=False, comment="licence, code, statement, status, list or log"),
    Column("department", String(18)),
    Column("suite", String(16), nullable=False),
    Column("spki", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, comment="DER leaf; licence, code, status and list keys have one"),
    Column("log_from", Text, nullable=False, comment="position as JSON"),
    Column("closed_idx", BigInteger, comment="entry after which nothing signed by this key is taken in"),
    Column("revoked", Text, comment="{at, reason, trust_before?} as JSON"),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Index("ix_registered_keys_department", "department", "purpose"),
    info=PROJECTION,
)

grants = Table(
    "grants",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("department", String(18), nullable=False),
    Column("type", String(21), nullable=False),
    Column("major", Integer, nullable=False),
    Column("area", String(6), nullable=False, comment="GB/T 2260; trailing zero pairs mean everything below"),
    Column("acts", Text, nullable=False, comment="sorted JSON array"),
    Column("log_from", Text, nullable=False),
    Column("closed_idx", BigInteger),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Index("ix_grants_department", "department"),
    info=PROJECTION,
)

licence_types = Table(
    "licence_types",
    metadata,
    Column("code", String(21), primary_key=True),
    Column("major", Integer, primary_key=True),
    Column("minor", Integer, primary_key=True),
    Column("num", Integer, nullable=False, comment="one small number per code and major"),
    Column("definition", Text, nullable=False),
    Column("vct", Text, nullable=False),
    Column("integrity", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    UniqueConstraint("num", "minor"),
    info=PROJECTION,
)

standing_instructions = Table(
    "standing_instructions",
    metadata,
    Column("department", String(18), primary_key=True),
    Column("type", String(21), primary_key=True),
    Column("major", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("effects", Text, nullable=False, comment="basis to effect, as JSON"),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    info=PROJECTION,
)

matters = Table(
    "matters",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("department", String(18), nullable=False),
    Column("area", String(6), nullable=False),
    Column("definition", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("idx", BigInteger, nullable=False),
    info=PROJECTION,
)

client_assertions = Table(
    "client_assertions",
    metadata,
    Column("client", String(64), nullable=False),
    Column("jti", String(128), nullable=False),
    Column("expires", BigInteger, nullable=False, comment="Unix seconds; forgotten a while later"),
    PrimaryKeyConstraint("client", "jti", info=refuses(Code.ASSERTION_REPLAYED)),
    Index("ix_client_assertions_expires", "expires"),
    info=OPERATIONAL,
)

clients = Table(
    "clients",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("department", String(18)),
    Column("scopes", Text, nullable=False, comment="sorted JSON array"),
    Column("areas", Text, nullable=False, comment="sorted JSON array of area codes; empty means those of the grants"),
    Column("jwks", Text, nullable=False, comment="public keys only"),
    Column("disabled", Boolean, nullable=False),
    Column("changed_at", String(20), nullable=False, comment="RFC 3339, whole seconds, UTC"),
    info=OPERATIONAL,
)
