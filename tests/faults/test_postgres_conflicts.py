"""Other transactions get in the way: a deadlock, a statement cancelled, and why nothing can fail to serialize."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from tests.faults.load import running
from tests.faults.nursery import Nursery
from tests.faults.subject import BATCH, LATE, Place

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]
Stranger = psycopg.Connection[Any]

_WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def _deadlock(stranger: Stranger) -> None:
    """Wait for what the writer holds; the writer, which waits for what is held here, is the one to find out."""
    stranger.execute("SET deadlock_timeout = '60s'")
    stranger.execute("SELECT size FROM head FOR UPDATE")
    stranger.rollback()


def _cancel(stranger: Stranger) -> None:
    """Cancel the writer's statement, as an operator would."""
    stranger.execute(f"SELECT pg_cancel_backend(pid) FROM ({_WAITING}) AS waiting")
    time.sleep(0.2)
    stranger.rollback()


def _get_in_the_way(url: str, harm: Callable[[Stranger], None], locked: Callable[[], None]) -> None:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql", 1)) as stranger:
        stranger.execute("LOCK TABLE entries IN EXCLUSIVE MODE")
        locked()
        while not stranger.execute(_WAITING).fetchall():
            time.sleep(0.02)
        harm(stranger)


@pytest.mark.parametrize(
    "names", [pytest.param(BATCH, id="batch", marks=pytest.mark.faults), pytest.param((LATE,), id="single")]
)
@pytest.mark.parametrize("harm", [_deadlock, _cancel], ids=["deadlock", "statement cancelled"])
async def test_a_transaction_that_others_stop_is_told(
    nursery: Nursery,
    place_on: Callable[[str], Place],
    harm: Callable[[Stranger], None],
    names: tuple[str, ...],
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    """Nobody is told of a commit that was not, nobody gets an error without a name, and the same request works."""
    place = await asyncio.to_thread(place_on, "postgresql")
    async with running(place) as subject:
        locked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def announce() -> None:
            loop.call_soon_threadsafe(locked.set)

        stranger = asyncio.create_task(asyncio.to_thread(_get_in_the_way, place.url, harm, announce))
        await locked.wait()
        told: dict[str, dict[str, Any]] = {}
        await subject.ask(names, told)
        await stranger
        stored = await subject.count()
        again: dict[str, dict[str, Any]] = {}
        await subject.ask(names, again)
        assert all("ok" in answer for answer in again.values()), again
        assert await subject.count() == len(names)
    heard = {str(answer.get("refused", "committed")) for answer in told.values()}
    assert (heard, stored) == ({"database.unavailable"}, 0)
    await asyncio.to_thread(nursery.sound, "judge", place.url, place.folder)
    seen = f"{', '.join(heard)}; {stored} stored"
    fault = request.node.callspec.id
    record_property("row", ["postgresql", "insert entries", fault, "database.unavailable; 0 stored", seen])


async def test_nothing_can_fail_to_serialize(place_on: Callable[[str], Place]) -> None:
    """Writers see what was committed before each statement, readers cannot write: PostgreSQL refuses neither."""
    place = await asyncio.to_thread(place_on, "postgresql")
    asked = text("SELECT current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')")
    async with running(place) as subject:
        database = subject.region.database
        assert await database.read(lambda tx: tx.execute(asked).scalar_one()) == "repeatable read on"
        assert await database.write(lambda tx: tx.execute(asked).scalar_one()) == "read committed off"
