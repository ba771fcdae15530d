"""Reading and writing on both engines, and what their failures are called."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Table, insert, select, text
from sqlalchemy.exc import DBAPIError

from ledger.database import Database, bulk_insert, now
from ledger.engines import normal_url
from ledger.errors import Code, Refusal
from ledger.tables.log import entries, erasures, head, records, thing_events
from ledger.tables.operational import idempotency
from ledger.vault import erased
from tests.ledger.small_log import prepare
from tests.postgres_server import Cluster, PostgresServer

AT = datetime(2026, 11, 21, 8, 0, 1, tzinfo=UTC)
LIVE = b"\x02" + bytes(32) + b"ciphertext"
ANSWERS = [
    (os.urandom(16), bytes(32), 2**40, None, AT, None, False),
    (os.urandom(16), bytes(32), 1, "[1,2]", AT, b"\0\xff", True),
]


def test_rows_come_back_as_they_went_in(database_url: str) -> None:
    """`bulk_insert` stores integers, bytes, text, times, truth values and nulls alike on both engines."""
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, idempotency, ANSWERS)
    with database.reading() as tx:
        found = {tuple(row) for row in tx.execute(select(idempotency))}

    assert found == set(ANSWERS)
    database.close()


def test_reader_cannot_write(database_url: str) -> None:
    """The database itself refuses what a reading transaction tries to change."""
    database = Database.open(database_url)
    with pytest.raises((DBAPIError, Refusal)), database.reading() as tx:
        tx.execute(insert(entries).values(idx=0, bytes=b"{}"))
    database.close()


def test_reader_sees_one_state(database_url: str) -> None:
    """What is committed while a reader is at work does not appear to it."""
    database = Database.open(database_url)
    with database.reading() as tx:
        assert tx.execute(select(entries)).all() == []
        with database.writing() as writer:
            bulk_insert(writer, entries, [(0, b"{}")])
        assert tx.execute(select(entries)).all() == []
    with database.reading() as tx:
        assert len(tx.execute(select(entries)).all()) == 1
    database.close()


def test_failed_block_leaves_nothing(database_url: str) -> None:
    """A transaction whose block raises is rolled back whole."""
    database = Database.open(database_url)

    def fail() -> None:
        with database.writing() as tx:
            bulk_insert(tx, entries, [(0, b"{}")])
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with database.reading() as tx:
        assert tx.execute(select(entries)).all() == []
    database.close()


@pytest.mark.parametrize("bulk", [True, False])
def test_constraint_names_its_refusal(database_url: str, bulk: bool) -> None:
    """Running into a constraint that declares a refusal gives that one, any other gives `conflict`."""
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, thing_events, [("a", 0, 0)])
        bulk_insert(tx, entries, [(0, b"{}")])

    def insert_row(table: Table, row: tuple[object, ...]) -> None:
        with database.writing() as tx:
            if bulk:
                tx.execute(select(entries.c.idx)).all()  # PostgreSQL's COPY goes another way once a transaction runs
                bulk_insert(tx, table, [row])
            else:
                tx.execute(insert(table).values(row))

    def collide(table: Table, row: tuple[object, ...]) -> Code:
        with pytest.raises(Refusal) as refused:
            insert_row(table, row)
        return refused.value.code

    assert collide(thing_events, ("a", 0, 1)) is Code.STALE
    assert collide(entries, (0, b"{}")) is Code.CONFLICT
    database.close()


async def test_async_readers_and_writers_share_the_database(database_url: str) -> None:
    """`read` and `write` run on other threads and return what their function returns."""
    database = Database.open(database_url)

    await database.write(lambda tx: bulk_insert(tx, entries, [(0, b"{}"), (1, b"{}")]))

    assert await database.read(lambda tx: len(tx.execute(select(entries)).all())) == 2
    assert await database.read(lambda tx: len(tx.execute(select(entries)).all()), cheap=True) == 2
    database.close()


def test_clock_of_the_database_is_utc(database_url: str) -> None:
    """The database's time is aware, and close to ours."""
    database = Database.open(database_url)
    with database.reading() as tx:
        moment = now(tx)

    assert abs((moment - datetime.now(UTC)).total_seconds()) < 60
    database.close()


def test_missing_file_is_unavailable(tmp_path: Path) -> None:
    """A SQLite file that cannot be opened is said to be unavailable."""
    database = Database.open(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
    with pytest.raises(Refusal) as refused, database.reading():
        pass

    assert refused.value.code is Code.DATABASE_UNAVAILABLE and refused.value.facts["retry_after"] > 0
    database.close()


@pytest.mark.postgres
def test_server_that_went_away_comes_back(postgres_url: str, postgres_server: Cluster) -> None:
    """While the server is down callers are told so; once it is back nothing has to be restarted."""
    if not isinstance(postgres_server, PostgresServer):
        pytest.skip("the server is not ours to stop")
    database = Database.open(postgres_url)
    with database.reading() as tx:
        tx.execute(select(head))
    postgres_server.stop()
    try:
        with pytest.raises(Refusal) as refused, database.reading() as tx:
            tx.execute(select(head))
    finally:
        postgres_server.start()

    assert refused.value.code is Code.DATABASE_UNAVAILABLE
    with database.reading() as tx:
        assert tx.execute(select(head)).all() == []
    database.close()


def test_other_products_are_refused() -> None:
    """Only a SQLite file and PostgreSQL are supported, and an in-memory SQLite is no ledger."""
    for url in ("mysql://x/y", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match="SQLite file or a PostgreSQL"):
            normal_url(url)


def test_entries_cannot_be_edited(database_url: str) -> None:
    """UPDATE and DELETE of entries are refused by the database, whatever the service does."""
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, entries, [(0, b"{}")])
    for edit in ("UPDATE entries SET bytes = bytes", "DELETE FROM entries", "UPDATE entries SET idx = 5"):
        with pytest.raises(DBAPIError), database.writing() as tx:
            tx.execute(text(edit))
    database.close()


def test_records_change_only_by_being_erased(database_url: str) -> None:
    """A record part can become its erased form while `erasures` names it, once, and nothing else."""
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, records, [(0, 0, LIVE), (0, 1, LIVE)])

    def change(blob: bytes, part: int = 1, *, named: bool = False) -> None:
        with database.writing() as tx:
            if named:
                bulk_insert(tx, erasures, [(0, part, 9)])
            here = (records.c.idx == 0) & (records.c.part == part)
            tx.execute(records.update().where(here).values(blob=blob))

    for blob, named in ((erased(LIVE), False), (LIVE + b"x", True), (b"", True)):
        with pytest.raises(DBAPIError):
            change(blob, named=named)
    with pytest.raises(DBAPIError), database.writing() as tx:
        tx.execute(records.delete())

    change(erased(LIVE), named=True)

    for blob, part in ((LIVE, 1), (erased(LIVE), 1), (erased(LIVE), 0)):
        with pytest.raises(DBAPIError):
            change(blob, part)
    database.close()


def test_head_never_steps_back(database_url: str) -> None:
    """The head's size only rises, its origin stays, and the row cannot be removed."""
    database = Database.open(database_url)
    with database.writing() as tx:
        prepare(tx)
        tx.execute(head.update().values(size=5))
    for edit in ("UPDATE head SET size = 4", "UPDATE head SET origin = 'x'", "DELETE FROM head"):
        with pytest.raises(DBAPIError), database.writing() as tx:
            tx.execute(text(edit))
    database.close()
