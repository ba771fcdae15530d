"""What scans write down: each code once, whoever comes together, and nothing of those that may show nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from ledger.access import Access
from ledger.database import Database, Writing, migrate
from ledger.errors import Code, Refusal
from ledger.grouped_writes import GroupedWrites
from ledger.presentations import Redeemable
from ledger.scan_writes import Looked, write_looks
from ledger.tables.scans import access_records, presentations, redeemed_codes

AT = datetime(2026, 11, 22, tzinfo=UTC)
PREPARED = 20
WITHDRAWN = 3


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give a ledger in which twenty presentations are prepared and one of them is withdrawn."""
    migrate(database_url)
    opened = Database.open(database_url)
    with opened.writing() as tx:
        for number in range(PREPARED):
            row = {"handle": handle(number), "id": str(number), "subject": "x", "sealed": b"", "made_at": 0}
            gone = 1 if number == WITHDRAWN else None
            tx.execute(presentations.insert().values(**row, ends_at=1, withdrawn_at=gone))
    yield opened
    opened.close()


def handle(number: int) -> bytes:
    """Return the handle of the `number`-th presentation."""
    return number.to_bytes(10)


def look(number: int, window: str = "W") -> Looked:
    """Give a scan of the `number`-th presentation's code at a window."""
    access = Access(str(number), window, "officer", "dynamic", "M", "purpose", ("a",), "valid")
    return Looked([access], AT, Redeemable(handle(number), 7, "x", None, ()))


def written(database: Database) -> tuple[list[int], list[str]]:
    """List the codes that were used up and the licences that somebody looked at."""
    with database.reading() as tx:
        used = [int.from_bytes(each) for each in tx.execute(select(redeemed_codes.c.handle)).scalars()]
        return sorted(used), sorted(tx.execute(select(access_records.c.licence)).scalars())


async def test_of_one_group_each_is_told_its_own(database: Database) -> None:
    """The second use of a code and one that was withdrawn are refused; the looks of the others are written down."""
    writes = GroupedWrites(database, write_looks)
    numbers = [1, WITHDRAWN, 2, 1, 5]

    found = await asyncio.gather(*(writes.write(look(number)) for number in numbers), return_exceptions=True)

    refused = {position: each.code for position, each in enumerate(found) if isinstance(each, Refusal)}
    assert refused == {1: Code.CODE_WITHDRAWN, 3: Code.CODE_REPLAYED}
    assert written(database) == ([1, 2, 5], ["1", "2", "5"])
    told = [each for each in found if isinstance(each, list)]
    assert [len(each) for each in told] == [1, 1, 1]


async def test_a_look_without_a_code_needs_none(database: Database) -> None:
    """What is printed may be looked at as often as one likes, in the same transactions."""
    writes = GroupedWrites(database, write_looks)
    printed = Looked(look(1).accesses, AT)

    await asyncio.gather(*(writes.write(each) for each in (printed, look(1), printed)))

    assert written(database) == ([1], ["1", "1", "1"])


async def test_what_belongs_beside_a_refused_look_is_not_written(database: Database) -> None:
    """Nothing is remembered of what nobody was shown."""
    remembered: list[int] = []

    def beside(number: int) -> Looked:
        def note(_: Writing) -> None:
            remembered.append(number)

        return Looked(look(number).accesses, AT, look(number).redeemable, note)

    writes = GroupedWrites(database, write_looks)
    await asyncio.gather(*(writes.write(beside(each)) for each in (4, WITHDRAWN)), return_exceptions=True)

    assert remembered == [4]


async def test_two_processes_that_get_the_same_codes_use_each_once(database: Database) -> None:
    """Whatever order they come in, neither waits for the other for ever."""
    numbers = [each for each in range(PREPARED) if each != WITHDRAWN]
    first, second = (GroupedWrites(database, write_looks) for _ in range(2))

    found = await asyncio.gather(
        *(first.write(look(each, "A")) for each in numbers),
        *(second.write(look(each, "B")) for each in reversed(numbers)),
        return_exceptions=True,
    )

    refused = [each.code for each in found if isinstance(each, Refusal)]
    assert refused == [Code.CODE_REPLAYED] * len(numbers)
    assert written(database) == (numbers, sorted(map(str, numbers)))
