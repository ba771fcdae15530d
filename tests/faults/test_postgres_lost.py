"""PostgreSQL dies, loses its word on a commit, or is replaced by its standby: nothing acknowledged is lost, no fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.database import migrate
from ledger.public_files import served_size
from tests.faults.load import Load, running
from tests.faults.nursery import Nursery
from tests.faults.proxy import Cut, Proxy
from tests.faults.standby import Standby, either, primary
from tests.faults.subject import BATCH, Place, until
from tests.postgres_server import PostgresServer
from verifiers.note import parse_note

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]
Report = Callable[[str, object], None]

if os.environ.get("ELICENCE_TEST_POSTGRES_URL"):
    pytest.skip("the server is not ours to kill", allow_module_level=True)


@pytest.fixture
def first() -> Iterator[PostgresServer]:
    """Give a server that may be killed, and that keeps what it says it has kept."""
    server = primary()
    yield server
    server.close()


def prepared(nursery: Nursery, server: PostgresServer, folder: Path) -> str:
    """Lay a region down on a server of its own, and give the name of its database."""
    folder.mkdir()
    name = server.create_database()
    migrate(server.url(name))
    nursery.sound("prepare", server.url(name), folder)
    return name


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.faults)])
async def test_a_server_killed_in_the_middle_of_batches(
    nursery: Nursery, first: PostgresServer, tmp_path: Path, kills: int, record_property: Report
) -> None:
    """Killed by SIGKILL and started again: the service comes back by itself, every answer is given again."""
    name = await asyncio.to_thread(prepared, nursery, first, tmp_path / "place")
    place = Place(first.url(name), tmp_path / "place")

    def kill_and_start() -> None:
        first.kill9()
        first.start()

    async with running(place) as subject:
        load = Load(subject.region)
        for _ in range(kills):
            await load.during(kill_and_start, 0.5, 0.3)
            known = await load.settle()
    assert load.refusals <= {"database.unavailable", "commit.unknown", "writer.busy"}
    await asyncio.to_thread(nursery.sound, "judge", place.url, place.folder)
    seen = f"{known} answered, {', '.join(sorted(load.refusals)) or 'no refusal'}"
    record_property("row", ["postgresql", "batches", f"server killed {kills} times", "nothing acknowledged lost", seen])


@pytest.mark.parametrize(
    "away",
    [pytest.param(False, id="and comes back"), pytest.param(True, id="and stays away", marks=pytest.mark.faults)],
)
@pytest.mark.parametrize("cut", Cut)
async def test_the_word_on_a_commit_is_lost(
    nursery: Nursery, place_on: Callable[[str], Place], cut: Cut, away: bool, record_property: Report
) -> None:
    """What came of it is read back, never guessed; where it cannot be read, the same request learns it later."""
    direct = await asyncio.to_thread(place_on, "postgresql")
    with Proxy(direct.url) as proxy:
        place = Place(proxy.url, direct.folder)
        async with running(place) as subject:
            told: dict[str, dict[str, Any]] = {}
            proxy.arm(cut, then_closed=away)
            await subject.ask(BATCH, told)
            proxy.closed = False
            assert proxy.cuts == 1
            heard = {str(answer.get("refused", "committed")) for answer in told.values()}
            assert await until(subject.is_reachable)
            stored = await subject.count()
            again: dict[str, dict[str, Any]] = {}
            assert await subject.quiet()
            await subject.ask(BATCH, again)
            assert all("ok" in answer for answer in again.values()), again
            assert all(again[name] == answer for name, answer in told.items() if "ok" in answer)
            assert await subject.count() == len(BATCH)
    happened = len(BATCH) if cut is Cut.AFTER else 0
    sure = "committed" if cut is Cut.AFTER else "database.unavailable"
    expected = ({"commit.unknown"} if away else {sure}, happened)
    assert (heard, stored) == expected
    await asyncio.to_thread(nursery.sound, "judge", direct.url, direct.folder)
    fault = f"{cut}; the server {'stays away' if away else 'is there again at once'}"
    seen = f"{', '.join(heard)}; {stored} stored"
    record_property("row", ["postgresql", "COMMIT", fault, f"{', '.join(expected[0])}; {happened} stored", seen])


@pytest.mark.parametrize("how", ["on", pytest.param("remote_apply", marks=pytest.mark.faults)])
async def test_a_synchronous_standby_takes_over(
    nursery: Nursery, first: PostgresServer, tmp_path: Path, how: str, record_property: Report
) -> None:
    """The first server is lost for good: the service finds the second by itself, with all that was acknowledged."""
    name = await asyncio.to_thread(prepared, nursery, first, tmp_path / "place")
    second = await asyncio.to_thread(Standby, first)
    try:
        await asyncio.to_thread(second.follow, how)
        place = Place(either(first, second, name), tmp_path / "place")

        def fail_over() -> None:
            first.kill9()
            second.take_over()

        async with running(place) as subject:
            load = Load(subject.region)
            await load.during(fail_over, 1.0, 0.5)
            before = served_size(subject.region.files.checkpoint() or "")
            known = await load.settle()
            assert await subject.quiet()
            after = served_size(subject.region.files.checkpoint() or "")
        assert before <= after and known > 0
        await asyncio.to_thread(nursery.sound, "judge", second.url(name), place.folder)
    finally:
        await asyncio.to_thread(second.close)
    seen = f"{known} answered, checkpoint {before} then {after}, {', '.join(sorted(load.refusals)) or 'no refusal'}"
    fault = f"primary killed, standby promoted ({how})"
    record_property("row", ["postgresql", "batches", fault, "nothing acknowledged lost, no fork", seen])


@pytest.mark.faults
async def test_nothing_is_shown_that_the_standby_may_lack(
    nursery: Nursery, first: PostgresServer, tmp_path: Path, record_property: Report
) -> None:
    """While waits for the standby are cancelled callers hear `commit.unknown`, and no new checkpoint is shown."""
    name = await asyncio.to_thread(prepared, nursery, first, tmp_path / "place")
    second = await asyncio.to_thread(Standby, first)
    try:
        await asyncio.to_thread(second.follow, "on")
        place = Place(either(first, second, name), tmp_path / "place")
        async with running(place) as subject:
            before = served_size(subject.region.files.checkpoint() or "")
            await asyncio.to_thread(second.stop)
            cancelled = asyncio.create_task(asyncio.to_thread(cancel_waits, first, 2.5))
            told: dict[str, dict[str, Any]] = {}
            await subject.ask(BATCH, told)
            await cancelled
            heard = {answer.get("refused") for answer in told.values()}
            notes = [subject.region.files.checkpoint() or ""]
            shown = served_size(notes[0])
            await asyncio.to_thread(first.kill9)  # also so that no commit waits for ever
            assert heard == {"commit.unknown"}, told
            assert shown == before, "shown, and the standby does not have it"
            await asyncio.to_thread(second.start)
            await asyncio.to_thread(second.take_over)
            assert await subject.quiet(), await subject.region.readiness()
            stored = await subject.count()
            await subject.ask(BATCH, told)
            assert all("ok" in answer for answer in told.values()), told
        # What was signed here and thrown away unseen is no fork: nobody has it.
        seen_by_others = [parse_note(note).text for note in notes]
        await asyncio.to_thread(nursery.sound, "judge", second.url(name), place.folder, shown=seen_by_others)
    finally:
        await asyncio.to_thread(second.close)
    seen = f"commit.unknown; checkpoint stayed at {shown}; {stored} stored on the other server"
    record_property("row", ["postgresql", "COMMIT", "wait for the standby cancelled, primary lost", "no fork", seen])


def cancel_waits(server: PostgresServer, seconds: float) -> None:
    """Cancel every wait for the standby, as an operator in a hurry would."""
    question = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with psycopg.connect(server.url("postgres", "postgresql"), autocommit=True) as connection:
        for _ in range(int(seconds / 0.02)):
            connection.execute(question)
            connection.execute("SELECT pg_sleep(0.02)")
