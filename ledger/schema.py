"""Brings a database to the newest schema, and says whether it is there.

On PostgreSQL the schema belongs to an owner's role of its own; the service's role is given what it needs and no more
(docs/storage.md). Only the migrator imports Alembic.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, inspect, text

from ledger.engines import normal_url, postgres_engine, sqlite_engine
from ledger.errors import Code, Refusal
from ledger.tables import metadata

FOLDER: Final = Path(__file__).resolve().parent.parent / "migrations"

_LOCK = 0x656C6963  # "elic": one migrator at a time

# What the service's role may do, by class of table; what is not named here it may not.
_RIGHTS: Final = {"log": "SELECT, INSERT", "projection": "SELECT, INSERT, UPDATE, DELETE"}
_RIGHTS_OF: Final = {
    "records": "SELECT, INSERT, UPDATE (blob)",
    "head": "SELECT, INSERT, UPDATE",
    "erasures": "SELECT, INSERT",
    "record_keys": "SELECT, INSERT, DELETE",
}


def migrate(url: str | URL, *, service_role: str | None = None, revision: str = "head") -> str:
    """Bring the database at `url` to `revision` and give the revision it is at then.

    `url` is the owner's (`ELICENCE_MIGRATION_DATABASE_URL`); `service_role` is a PostgreSQL role that then gets exactly
    the rights the service needs. All in one transaction: it is done or nothing is.
    """
    from alembic import command
    from alembic.config import Config

    address = normal_url(url)
    sqlite = address.get_backend_name() == "sqlite"
    engine = sqlite_engine(address, write=True) if sqlite else postgres_engine(address, write=True)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with engine.begin() as connection:
            if not sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            if service_role is not None and not sqlite:
                grant_rights(connection, service_role)
            return current_revision(connection) or ""
    finally:
        engine.dispose()


def newest_revision() -> str:
    """Give the revision this code was written for: the last of `migrations/versions`, whose names sort."""
    return sorted(path.name for path in (FOLDER / "versions").glob("[0-9]*.py"))[-1].split("_")[0]


def current_revision(connection: Connection) -> str | None:
    """Give the revision a database is at, or `None` for one without a schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def require_newest(connection: Connection) -> None:
    """Refuse a database that was not migrated to what this code expects, or that is newer than it."""
    found, wanted = current_revision(connection), newest_revision()
    if found is None or found < wanted:
        raise Refusal(Code.SCHEMA_OUTDATED, found=found or "none", wanted=wanted)


def grant_rights(connection: Connection, role: str) -> None:
    """Give the PostgreSQL `role` the service's rights on every table, after taking away whatever it had."""
    quote = connection.dialect.identifier_preparer.quote
    name, schema = quote(role), quote(connection.scalar(text("SELECT current_schema()")) or "public")
    statements = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}",
        f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {name}",
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {name}",
        f"GRANT SELECT ON alembic_version TO {name}",
    ]
    for table in metadata.sorted_tables:
        rights = _RIGHTS_OF.get(table.name) or _RIGHTS.get(table.info["class"]) or _RIGHTS["projection"]
        statements.append(f"GRANT {rights} ON {quote(table.name)} TO {name}")
    for statement in statements:
        connection.execute(text(statement))
