"""Writes of many callers in one transaction: each gets its own answer, and one that fails takes nobody along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from ledger.database import Database, Writing, migrate
from ledger.errors import Code, Refusal
from ledger.grouped_writes import GroupedWrites
from ledger.tables.scans import redeemed_codes


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty ledger."""
    migrate(database_url)
    opened = Database.open(database_url)
    yield opened
    opened.close()


def use(number: int) -> Callable[[Writing], int]:
    """Give a write that uses up the `number`-th code once."""

    def change(tx: Writing) -> int:
        tx.execute(redeemed_codes.insert().values(handle=number.to_bytes(10), slice=1, at=1))
        return number

    return change


def each_in_turn(tx: Writing, changes: Sequence[Callable[[Writing], int]]) -> list[int | Refusal]:
    """Run each write of a group."""
    return [change(tx) for change in changes]


def used(database: Database) -> list[int]:
    """List the codes that were used up."""
    with database.reading() as tx:
        return sorted(int.from_bytes(handle) for handle in tx.execute(select(redeemed_codes.c.handle)).scalars())


async def test_each_of_those_that_come_together_gets_its_own_answer(database: Database) -> None:
    """A hundred writes take a few transactions."""
    transactions: list[Any] = []
    whole = database.write

    async def counted(change: Callable[[Writing], Any]) -> Any:
        transactions.append(change)
        return await whole(change)

    database.write = counted  # type: ignore[method-assign]
    writes = GroupedWrites(database, each_in_turn)

    found = await asyncio.gather(*(writes.write(use(number)) for number in range(100)))

    assert found == list(range(100)) == used(database)
    assert len(transactions) < 10


async def test_one_that_is_refused_takes_nobody_along(database: Database) -> None:
    """The same code twice in one group: the first use counts, the second is refused, all others are kept."""
    writes = GroupedWrites(database, each_in_turn)
    numbers = [1, 2, 3, 2, 4]

    found = await asyncio.gather(*(writes.write(use(number)) for number in numbers), return_exceptions=True)

    assert found[:3] + found[4:] == [1, 2, 3, 4] and used(database) == [1, 2, 3, 4]
    assert isinstance(found[3], Refusal) and found[3].code is Code.CODE_REPLAYED


async def test_what_a_group_itself_refuses_is_raised_where_it_was_asked(database: Database) -> None:
    """The others of its transaction are kept, and nothing is tried again."""
    groups = []

    def together(tx: Writing, numbers: Sequence[int]) -> list[int | Refusal]:
        groups.append(len(numbers))
        return [Refusal(Code.CODE_REPLAYED) if number == 2 else use(number)(tx) for number in numbers]

    writes = GroupedWrites(database, together)

    found = await asyncio.gather(*(writes.write(number) for number in range(5)), return_exceptions=True)

    assert isinstance(found[2], Refusal) and found[2].code is Code.CODE_REPLAYED
    assert used(database) == [0, 1, 3, 4] and sum(groups) == 5


@pytest.mark.parametrize("code", [Code.DATABASE_UNAVAILABLE, Code.COMMIT_UNKNOWN, Code.STORAGE_FULL])
async def test_a_database_that_is_gone_is_told_to_all_and_asked_once(database: Database, code: Code) -> None:
    """Whether the commit went through is not known, so nobody's write is tried again behind his back.

    A code that was redeemed by a commit which no standby confirmed would else be called replayed.
    """
    attempts = []

    async def gone(change: Callable[[Writing], Any]) -> Any:
        attempts.append(change)
        raise Refusal(code, retry_after=2)

    database.write = gone  # type: ignore[method-assign]
    writes = GroupedWrites(database, each_in_turn)

    found = await asyncio.gather(*(writes.write(use(number)) for number in range(5)), return_exceptions=True)

    assert [isinstance(each, Refusal) and each.code for each in found] == [code] * 5
    assert len(attempts) == 1


async def test_a_caller_that_goes_away_does_not_stop_the_others(database: Database) -> None:
    """Its own write is done all the same: it had been asked for."""
    writes = GroupedWrites(database, each_in_turn)
    tasks = [asyncio.create_task(writes.write(use(number))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()

    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert (found[0], found[2]) == (0, 2) and isinstance(found[1], asyncio.CancelledError)
    assert used(database) == [0, 1, 2]
