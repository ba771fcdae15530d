"""What goes wrong under the writer, and that everybody hears the truth about it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from ledger.clock import SystemClock
from ledger.committing import Result
from ledger.database import Database, Writing
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.proposals import Committed, Proposal, Replayed
from tests.ledger.small_log import SmallLog, draft, head_held, key, note, queued, small_log
from tests.postgres_server import Cluster, PostgresServer

pytestmark = pytest.mark.timeout(60)


@projector("small.refused")
def _refuse(_tx: Writing, _events: Sequence[Event]) -> None:
    """Stands for a projector that finds the batch impossible."""
    raise Refusal(Code.CONFLICT)


@projector("small.broken")
def _break(_tx: Writing, _events: Sequence[Event]) -> None:
    """Stands for a mistake of ours."""
    raise ZeroDivisionError


async def together(log: SmallLog, url: str, proposals: list[Proposal]) -> list[object]:
    """Append proposals so that they share one batch, and give what each of their callers gets."""
    with head_held(url):
        first = asyncio.create_task(log.writer.append(note()))
        await queued(log, 1)
        await asyncio.sleep(0.05)
        tasks = [asyncio.create_task(log.writer.append(each)) for each in proposals]
        await queued(log, 1 + len(proposals))
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Proposal([draft("taken")]), Code.STALE),
        (Proposal([draft(), draft(event="small.refused")]), Code.CONFLICT),
        (Proposal([draft(event="small.broken")]), None),
        (Proposal([draft(kind="no.such.kind")]), None),
    ],
)
async def test_one_bad_proposal_does_not_sink_the_others(
    database_url: str, bad: Proposal, code: Code | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What will not go in is refused alone, whether a constraint, a projector or a mistake (logged) stopped it."""
    async with small_log(database_url) as log:
        await log.writer.append(note("taken"))

        outcomes = await together(log, database_url, [*(note() for _ in range(20)), bad, *(note() for _ in range(20))])

        unlucky = outcomes.pop(20)
        assert all(isinstance(each, Committed) for each in outcomes)
        assert isinstance(unlucky, Exception) and not isinstance(unlucky, Replayed)
        assert isinstance(unlucky, Refusal) is (code is not None)
        if isinstance(unlucky, Refusal):
            assert unlucky.code is code
        assert ("could not be appended" in caplog.text) is (code is None)
        assert log.writer.trouble is None
        assert await log.check() == 42


def test_the_trouble_of_either_half_is_that_of_the_whole() -> None:
    """The newer one, where both have some."""
    older, newer = Refusal(Code.STORAGE_FULL), Refusal(Code.DATABASE_UNAVAILABLE)
    nothing, full, gone = Result([]), Result([older], trouble=older), Result([newer], trouble=newer)
    assert (nothing.add(full).trouble, full.add(nothing).trouble, full.add(gone).trouble) == (older, older, newer)
    assert full.add(gone).outcomes == [older, newer]


def lose_connection_at_commit(database: Database, *, after: bool, then: Callable[[], None] | None = None) -> None:
    """Have the next commit of the writer end as if the connection broke, `after` it took effect or before."""
    with database.writing() as tx:
        dialect: Any = tx.dialect
    commit = dialect.do_commit

    def once(connection: Any) -> None:
        del dialect.do_commit
        if after:
            commit(connection)
        connection.driver_connection.close()
        if then is not None:
            then()
        raise dialect.loaded_dbapi.OperationalError("disk I/O error: the connection is lost")

    dialect.do_commit = once


async def test_commit_that_happened_is_answered_as_committed(database_url: str) -> None:
    """The connection dies after the commit took effect: the outcome is read back, and nothing is written twice."""
    async with small_log(database_url) as log:
        await log.writer.append(note())
        lose_connection_at_commit(log.database, after=True)
        again = key(log.vault, "k")

        committed = await log.writer.append(note(idempotency=again, answer=b"a"))

        assert committed.first == 1
        with pytest.raises(Replayed):
            await log.writer.append(note(idempotency=again))
        assert (await log.writer.append(note())).first == 2
        assert await log.check() == 3


async def test_commit_that_did_not_happen_is_refused(database_url: str) -> None:
    """The connection dies before the commit took effect: the caller hears so, and the same request works later."""
    async with small_log(database_url) as log:
        await log.writer.append(note())
        lose_connection_at_commit(log.database, after=False)
        again = key(log.vault, "k")

        with pytest.raises(Refusal) as refused:
            await log.writer.append(note("thing", idempotency=again))

        assert refused.value.code is Code.DATABASE_UNAVAILABLE
        assert (await log.writer.append(note("thing", idempotency=again))).first == 1
        assert log.writer.trouble is None
        assert await log.check() == 2


@pytest.mark.postgres
@pytest.mark.parametrize("after", [True, False])
async def test_outcome_that_cannot_be_found_out_is_called_unknown(
    postgres_url: str, postgres_server: Cluster, after: bool
) -> None:
    """While the server stays away nobody is told yes or no; the same request learns it when the server is back."""
    if not isinstance(postgres_server, PostgresServer):
        pytest.skip("the server is not ours to stop")
    async with small_log(postgres_url, resolve_s=0.5) as log:
        lose_connection_at_commit(log.database, after=after, then=postgres_server.stop)
        again = key(log.vault, "k")
        try:
            with pytest.raises(Refusal) as refused:
                await log.writer.append(note("thing", idempotency=again))
        finally:
            postgres_server.start()

        assert refused.value.code is Code.COMMIT_UNKNOWN and log.writer.trouble is refused.value
        [outcome] = await log.writer.append_many([note("thing", idempotency=again)])
        assert isinstance(outcome, Replayed if after else Committed)
        assert await log.check() == 1


@pytest.mark.postgres
async def test_commit_that_no_standby_confirmed_is_called_unknown(postgres_url: str, postgres_server: Cluster) -> None:
    """When the wait for a synchronous standby is cancelled PostgreSQL still commits; we do not call that safe."""
    if not isinstance(postgres_server, PostgresServer):
        pytest.skip("the server is not ours to configure")
    superuser = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    waiting = text(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE wait_event = 'SyncRep' AND datname = current_database()"
    )
    async with small_log(postgres_url) as log:
        again = key(log.vault, "k")
        with superuser.connect() as connection:
            connection.execute(text("ALTER SYSTEM SET synchronous_standby_names = 'nobody'"))
            connection.execute(text("SELECT pg_reload_conf()"))
            try:
                await asyncio.sleep(0.2)
                asked = asyncio.create_task(log.writer.append(note(idempotency=again)))
                while not connection.execute(waiting).all():
                    await asyncio.sleep(0.02)
                with pytest.raises(Refusal) as refused:
                    await asked
            finally:
                connection.execute(text("ALTER SYSTEM RESET synchronous_standby_names"))
                connection.execute(text("SELECT pg_reload_conf()"))
        superuser.dispose()
        await asyncio.sleep(0.2)

        assert refused.value.code is Code.COMMIT_UNKNOWN
        with pytest.raises(Replayed):
            await log.writer.append(note(idempotency=again))
        assert await log.check() == 1


@pytest.mark.postgres
async def test_server_restarted_behind_our_back(postgres_url: str) -> None:
    """A connection that was cut while idle costs nobody anything: nothing had been written, so it is done again."""
    async with small_log(postgres_url) as log:
        await log.writer.append(note())
        with log.database.writing() as tx:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            tx.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))

        assert (await log.writer.append(note())).first == 1


@pytest.mark.postgres
async def test_database_that_is_gone_is_said_to_be(postgres_url: str, postgres_server: Cluster) -> None:
    """Callers are told at once while the server is away; the writer comes back by itself."""
    if not isinstance(postgres_server, PostgresServer):
        pytest.skip("the server is not ours to stop")
    async with small_log(postgres_url) as log:
        await log.writer.append(note())
        postgres_server.stop()
        try:
            with pytest.raises(Refusal) as refused:
                await log.writer.append(note())
        finally:
            postgres_server.start()

        assert refused.value.code is Code.DATABASE_UNAVAILABLE and refused.value.facts["retry_after"] > 0
        assert (await log.writer.append(note())).first == 1
        assert await log.check() == 2


async def test_full_disk_is_told_apart(sqlite_url: str) -> None:
    """No room is not the same as no database: the refusal says so, and with room again everything goes on."""
    async with small_log(sqlite_url) as log:
        await log.writer.append(note())
        pages = []

        def limit(connection: Any, _record: Any) -> None:
            pages.append(connection.execute("PRAGMA page_count").fetchone()[0])
            connection.execute(f"PRAGMA max_page_count={pages[0] + 5}")

        pool: Any = log.database._writer
        event.listen(pool, "connect", limit)
        pool.dispose()
        log.committer.close()  # the writer is idle; it will open a connection that has little room

        outcomes = await log.writer.append_many([Proposal([draft(padding=30_000)]) for _ in range(5)])
        event.remove(pool, "connect", limit)
        log.committer.close()

        assert {each.code for each in outcomes if isinstance(each, Refusal)} == {Code.STORAGE_FULL}
        assert len(outcomes) == sum(isinstance(each, Refusal) for each in outcomes) == 5
        assert (await log.writer.append(note())).first == 1
        assert await log.check() == 2


async def test_missing_and_foreign_logs_are_not_written_to(database_url: str) -> None:
    """A writer never appends to a database without a head, or to another log's."""
    async with small_log(database_url, opened=False) as log:
        [outcome] = await log.writer.append_many([note()])
        assert isinstance(outcome, Refusal) and outcome.code is Code.LOG_MISSING
        assert await log.leaves() == []
    async with small_log(database_url) as log:
        log.committer._rules = replace(log.committer._rules, origin="other.example/log")
        [outcome] = await log.writer.append_many([note()])
        assert isinstance(outcome, Refusal) and outcome.code is Code.LOG_OTHER
        assert await log.check() == 0


@pytest.mark.postgres
async def test_database_clock_far_from_ours_stops_the_writer(postgres_url: str) -> None:
    """With a server whose clock is minutes away from this machine's, somebody is wrong and nothing is dated."""

    class Fast(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=5)

    async with small_log(postgres_url, clock=Fast()) as log:
        [outcome] = await log.writer.append_many([note()])

        assert isinstance(outcome, Refusal) and outcome.code is Code.CLOCK_AHEAD
