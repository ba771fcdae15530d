"""The schema on both engines: how it comes to be, that it is what the code says, and who may do what to it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from ledger.database import Database, migrate
from ledger.engines import normal_url
from ledger.errors import Code, Refusal
from ledger.schema import FOLDER, current_revision, newest_revision, require_newest
from ledger.tables import metadata
from ledger.tables.log import entries, records
from migrations.log_guards import PARTITION_ROWS, PARTITIONS
from migrations.new import difference
from tests.ledger.small_log import note, small_log
from tests.postgres_server import Cluster

REVISIONS = sorted(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def schema_of(url: str) -> set[tuple[Any, ...]]:
    """Describe every table, column, index, constraint and trigger in the database's own words."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
            return {tuple(row) for row in connection.execute(text(query))}
        queries = (
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'public'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace",
            "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
            "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        )
        return {tuple(row) for query in queries for row in connection.execute(text(query))}


def connected(url: str) -> Any:
    """Open one plain connection."""
    return create_engine(normal_url(url)).connect()


def log_tables(schema: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Keep what is said about the tables of class log."""
    names = {table.name for table in metadata.tables.values() if table.info["class"] == "log"}
    assert names == {"entries", "records"}
    return {row for row in schema if any(str(part).split("_")[0] in names for part in row[:2])}


def test_schema_is_what_the_code_says(empty_database_url: str) -> None:
    """After all revisions nothing is left that the tables in the code have and the database has not, or differently."""
    assert migrate(empty_database_url) == newest_revision() == REVISIONS[-1]

    assert difference(str(normal_url(empty_database_url).render_as_string(hide_password=False))).strip() == "pass"


def test_every_table_says_its_class() -> None:
    """A table is log, projection or operational."""
    for table in metadata.tables.values():
        assert table.info.get("class") in {"log", "projection", "operational"}, table.name


def test_revision_by_revision_leads_to_the_same_schema(empty_database_url: str) -> None:
    """Whoever upgraded every time has what a new database gets, and the log's tables never changed on the way."""
    steps = []
    for revision in REVISIONS:
        assert migrate(empty_database_url, revision=revision) == revision
        steps.append(schema_of(empty_database_url))

    assert all(log_tables(step) == log_tables(steps[0]) for step in steps)
    assert log_tables(steps[0])
    assert migrate(empty_database_url) == REVISIONS[-1]
    assert schema_of(empty_database_url) == steps[-1]


def test_upgrade_keeps_what_is_there(empty_database_url: str) -> None:
    """Entries and records written under the previous revision are untouched by the newest."""
    migrate(empty_database_url, revision=REVISIONS[-2])
    database = Database.open(empty_database_url)
    with database.writing() as tx:
        tx.execute(entries.insert().values(idx=0, bytes=b"{}"))
        tx.execute(records.insert().values(idx=0, part=0, blob=b"\1"))
    database.close()

    migrate(empty_database_url)

    database = Database.open(empty_database_url)
    with database.reading() as tx:
        assert tx.execute(entries.select()).all() == [(0, b"{}")]
        assert tx.execute(records.select()).all() == [(0, 0, b"\1")]
    database.close()


def test_service_refuses_an_older_schema(empty_database_url: str) -> None:
    """A database without schema, or with an older one, is named as that; a newer one is accepted by older code."""
    with connected(empty_database_url) as connection:
        assert current_revision(connection) is None
        refuses(connection)
    migrate(empty_database_url, revision=REVISIONS[-2])
    with connected(empty_database_url) as connection:
        refuses(connection)
    migrate(empty_database_url)
    with connected(empty_database_url) as connection:
        require_newest(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        require_newest(connection)


def refuses(connection: Connection) -> None:
    """Check that the schema is refused as outdated."""
    with pytest.raises(Refusal) as refused:
        require_newest(connection)
    assert refused.value.code is Code.SCHEMA_OUTDATED and refused.value.facts["wanted"] == REVISIONS[-1]


@pytest.mark.postgres
def test_two_migrators_do_not_meet(empty_postgres_url: str) -> None:
    """Two processes that upgrade at the same time both succeed: one waits for the other."""
    code = "import sys; from ledger.database import migrate; migrate(sys.argv[1])"
    command = [sys.executable, "-c", code, empty_postgres_url]
    root = Path(__file__).parent.parent.parent
    running = [subprocess.Popen(command, cwd=root) for _ in range(2)]

    assert [process.wait(60) for process in running] == [0, 0]


@pytest.mark.postgres
def test_log_is_partitioned_from_the_start(postgres_url: str) -> None:
    """Entries fall into ranges of indexes, and those beyond the last range into the default partition."""
    database = Database.open(postgres_url)
    last = PARTITIONS * PARTITION_ROWS
    with database.writing() as tx:
        for idx in (0, PARTITION_ROWS, last - 1, last):
            tx.execute(entries.insert().values(idx=idx, bytes=b"{}"))
        rows = tx.execute(text("SELECT tableoid::regclass::text FROM entries ORDER BY idx")).scalars().all()
    database.close()

    assert rows == ["entries_p000", "entries_p001", f"entries_p{PARTITIONS - 1:03}", "entries_rest"]


@pytest.mark.postgres
async def test_service_role_can_only_add_to_the_log(empty_postgres_url: str, postgres_server: Cluster) -> None:
    """The service's role writes through the writer, but cannot edit the log, its guards, or the schema."""
    role, owner = "elicence_service_test", create_engine(normal_url(empty_postgres_url), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'example'"))
    try:
        migrate(empty_postgres_url, service_role=role)
        migrate(empty_postgres_url, service_role=role)
        url = make_url(empty_postgres_url).set(username=role, password="example")
        async with small_log(url.render_as_string(hide_password=False)) as log:
            await log.writer.append(note())
            for attempt in (
                "UPDATE entries SET bytes = bytes",
                "DELETE FROM entries",
                "TRUNCATE entries",
                "TRUNCATE entries_p000",
                "UPDATE entries_p000 SET bytes = bytes",
                "DELETE FROM records",
                "TRUNCATE records",
                "UPDATE records SET idx = 7",
                "DELETE FROM head",
                "DELETE FROM erasures",
                "ALTER TABLE entries DISABLE TRIGGER ALL",
                "ALTER TABLE entries_p000 DISABLE TRIGGER USER",
                "DROP TRIGGER entries_keep ON entries",
                "DROP TABLE entries",
                "CREATE TABLE extra (id int)",
                "SET session_replication_role = replica",
                "ALTER FUNCTION log_is_append_only() RENAME TO nothing",
                "UPDATE alembic_version SET version_num = '0000'",
            ):
                with (
                    pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
                    log.database.writing() as tx,
                ):
                    tx.execute(text(attempt))
            assert await log.check() == 1
    finally:
        with owner.connect() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
        owner.dispose()
