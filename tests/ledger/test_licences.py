"""Reading licences: search under a purpose, page by page, for those who may; and the state on a given day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import acts, licences
from ledger.clock import ManualClock
from ledger.cursors import decode_cursor, encode_cursor
from ledger.errors import Code, Refusal
from ledger.issuing import issue
from ledger.region import Region
from ledger.tables.scans import access_records
from tests.ledger import licensing


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock at noon in China of a day in November 2026."""
    return ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        yield region


async def search(region: Region, department: str = licensing.MARKET, **body: Any) -> dict[str, Any]:
    """Search in the name of a department, with a purpose."""
    return await licences.search(region, licensing.actor(department), {"purpose": "办理示例事项"} | body)


async def test_search_goes_page_by_page(database_url: str, tmp_path: Path, clock: ManualClock) -> None:
    """Every licence comes once, newest first, whatever the size of the pages; both engines."""
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        requests = [licensing.request(region, licensing.food(n)) for n in range(1, 8)]
        await issue(region, licensing.actor(licensing.MARKET), requests)
        found: list[str] = []
        page = await search(region, type=licensing.FOOD, limit=3)
        found += [item["id"] for item in page["items"]]
        while "cursor" in page:
            page = await search(region, type=licensing.FOOD, limit=3, cursor=page["cursor"])
            found += [item["id"] for item in page["items"]]
        whole = await search(region, type=licensing.FOOD, limit=200)

        assert len(found) == len(set(found)) == 7
        assert found == [item["id"] for item in whole["items"]]


async def test_every_look_is_recorded_with_its_purpose(region: Region) -> None:
    """Search leaves an access record per licence that it showed."""
    answer = await licensing.issued(region, licensing.MARKET, licensing.food())
    holder = {"id_type": "001", "id": licensing.COMPANY["id"]}

    await search(region, holder=holder)

    rows = await region.database.read(lambda tx: tx.execute(select(access_records)).all())
    assert [(row.licence, row.purpose, row.means) for row in rows] == [(answer.id, "办理示例事项", "search")]


async def test_a_search_without_a_purpose_is_refused(region: Region) -> None:
    """No purpose, no search; unknown matters and broken cursors are refused too."""
    refusals = []
    for body in (
        {},
        {"purpose": "x", "matter": "nothing"},
        {"purpose": "x", "cursor": "???"},
        {"purpose": "x", "limit": 999},
    ):
        with pytest.raises(Refusal) as caught:
            await licences.search(region, licensing.actor(licensing.MARKET), body)
        refusals.append(caught.value.code)

    assert refusals == [
        Code.PURPOSE_MISSING,
        Code.MATTER_UNKNOWN,
        Code.CURSOR_INVALID,
        Code.REQUEST_MEMBER_INVALID,
    ]


async def test_departments_find_only_what_they_may_read(region: Region) -> None:
    """Another department finds nothing of a holder until it is granted to read the type."""
    answer = await licensing.issued(region, licensing.MARKET, licensing.food())
    holder = {"id_type": "001", "id": licensing.COMPANY["id"]}

    before = await search(region, licensing.HOUSING, holder=holder)
    with pytest.raises(Refusal) as caught:
        await licences.get(region, licensing.actor(licensing.HOUSING), answer.id)
    await licensing.give(region, licensing.HOUSING, licensing.FOOD, acts=["read"])
    after = await search(region, licensing.HOUSING, holder=holder)

    assert before["items"] == [] and caught.value.code is Code.GRANT_EXCEEDED
    assert [item["id"] for item in after["items"]] == [answer.id]


async def test_the_state_minds_the_calendar(region: Region, clock: ManualClock) -> None:
    """A licence is not valid before its first day and after its last, though nothing happened to it."""
    early = await licensing.issued(
        region, licensing.MARKET, licensing.food(valid_from="2026-12-01", valid_until="2027-11-30")
    )
    market = licensing.actor(licensing.MARKET)

    states = []
    for days in (0, 30, 365):
        clock.advance(days=days)
        states.append((await licences.get(region, market, early.id))["status"])

    assert states == ["not_yet_valid", "valid", "expired"]


async def test_search_by_state(region: Region) -> None:
    """Only licences in the wanted state are shown."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    second = await licensing.issued(region, licensing.MARKET, licensing.food(2))
    act = {"act": "suspend", "authority": "示例", "document_no": "1", "decided_at": "2026-11-21"}
    await acts.act(region, licensing.actor(licensing.MARKET), first.id, act)

    suspended = await search(region, status="suspended")
    valid = await search(region, status="valid")

    assert [item["id"] for item in suspended["items"]] == [first.id]
    assert [item["id"] for item in valid["items"]] == [second.id]


def test_a_cursor_reads_back() -> None:
    """What a cursor was made of comes out of it."""
    assert decode_cursor(encode_cursor(17, "A" * 22)) == (17, "A" * 22)
