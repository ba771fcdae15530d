"""New versions of a licence: what they take over, what they change, and that the old document is done with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import acts, departments, licences
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.region import Region
from ledger.tables.licences import licence_versions, slot_status
from ledger.versions import new_version
from tests.ledger import licensing
from tests.region import OPERATOR
from verifiers.licence import parse


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock at noon in China of a day in November 2026."""
    return ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        yield region


async def change(region: Region, licence: str, department: str = licensing.MARKET, **body: Any) -> Issued:
    """Make a new version of a licence of the market department."""
    return await new_version(region, licensing.actor(department), licence, body)


async def refused(region: Region, licence: str, department: str = licensing.MARKET, **body: Any) -> Refusal:
    """Ask for a new version that must be refused."""
    with pytest.raises(Refusal) as caught:
        await change(region, licence, department, **body)
    return caught.value


async def test_an_amendment_changes_what_it_names_and_nothing_else(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    """Fields, holders and validity that are not named stay; identifier, slot and version are new; both engines."""
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        first = await licensing.issued(region, licensing.MARKET, licensing.food())

        second = await change(region, first.id, change="amend", fields={"premises": "示例省示例市示例路9号"})
        before, after = parse(first.licence), parse(second.licence)

        assert (second.id, second.version) == (first.id, 2)
        assert after.identifier.split(".")[-2] == "002"
        assert after.claims["fields"] == before.claims["fields"] | {"premises": "示例省示例市示例路9号"}
        assert after.claims["holders"] == before.claims["holders"]
        assert (after.valid_from, after.valid_until) == (before.valid_from, before.valid_until)
        assert (first.status_uri, first.status_idx) != (second.status_uri, second.status_idx)
        assert await licences.compact(region, first.id) == second.licence
        assert await licences.compact(region, first.id, 1) == first.licence


async def test_the_old_document_is_invalid_for_good(region: Region) -> None:
    """The slot of a superseded document says 1, the new one's nothing; acts go on the new one."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())
    second = await change(region, first.id, change="reissue")
    act = {
        "act": "suspend",
        "authority": "示例",
        "document_no": "1",
        "decided_at": "2026-11-21",
    }
    await acts.act(region, licensing.actor(licensing.MARKET), first.id, act)

    table = licence_versions
    joined = table.outerjoin(
        slot_status, (slot_status.c.list_num == table.c.list_num) & (slot_status.c.slot == table.c.slot)
    )
    query = select(table.c.version, slot_status.c.value).select_from(joined).where(table.c.licence == first.id)
    rows = await region.database.read(lambda tx: {row.version: row.value for row in tx.execute(query)})

    assert second.version == 2
    assert rows == {1: 1, 2: 2}


async def test_a_renewal_ends_later(region: Region, clock: ManualClock) -> None:
    """A renewal needs a later end, and is the only change of a licence that has run out."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())
    clock.advance(days=365 * 5 + 10)

    same = await refused(region, first.id, change="renew", valid_until="2031-11-20")
    late = await refused(region, first.id, change="amend", fields={"premises": "新"})
    second = await change(region, first.id, change="renew", valid_from="2031-11-21", valid_until="2036-11-20")

    assert (same.code, same.pointer) == (Code.VALIDITY_RULE, "/valid_until")
    assert late.code is Code.LICENCE_STATE
    assert parse(second.licence).valid_until is not None and second.version == 2


async def test_a_licence_that_fell_gets_no_new_document(region: Region) -> None:
    """Neither a suspended licence nor another department's can be changed."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())
    act = {"act": "suspend", "authority": "示例", "document_no": "1", "decided_at": "2026-11-21"}
    foreign = await refused(region, first.id, licensing.HOUSING, change="reissue")
    await acts.act(region, licensing.actor(licensing.MARKET), first.id, act)
    suspended = await refused(region, first.id, change="reissue")

    assert foreign.code is Code.LICENCE_OTHER_DEPARTMENT
    assert suspended.code is Code.LICENCE_STATE


async def test_a_licence_cannot_come_to_rest_on_itself(region: Region) -> None:
    """A new version may add what the licence rests on, but not the licence or anything that rests on it."""
    basis = await licensing.issued(region, licensing.EDUCATION, licensing.diploma())
    edge = {"licence": basis.id, "basis": "qualification"}
    child = await licensing.issued(region, licensing.HOUSING, licensing.officer(rests_on=[edge]))

    circle = [{"licence": child.id, "basis": "qualification"}]
    cycle = await refused(region, basis.id, licensing.EDUCATION, change="correct", rests_on=circle)
    itself = await refused(
        region, child.id, licensing.HOUSING, change="correct", rests_on=[{"licence": child.id, "basis": "identity"}]
    )

    assert (cycle.code, itself.code) == (Code.BASIS_CYCLE, Code.BASIS_CYCLE)


async def test_fields_are_checked_as_in_an_issue(region: Region) -> None:
    """What the type refuses in a new licence it refuses in a new version."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())

    unknown = await refused(region, first.id, change="correct", fields={"surprise": "x"})
    missing = await refused(region, first.id, change="correct", fields={"premises": None})

    assert (unknown.code, unknown.pointer) == (Code.FIELD_UNKNOWN, "/fields/surprise")
    assert (missing.code, missing.pointer) == (Code.FIELD_MISSING, "/fields/premises")


async def test_the_same_request_makes_one_version(region: Region) -> None:
    """A repeated key gets the version it made before."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())
    body = {"change": "reissue"}
    key = licensing.key(region, "version-1", body)
    actor = licensing.actor(licensing.MARKET)

    second = await new_version(region, actor, first.id, body, idempotency=key)
    again = await new_version(region, actor, first.id, body, idempotency=key)

    assert again == second


async def test_a_successor_takes_over_custody(region: Region) -> None:
    """When departments merge the successor answers for the licences and can issue their next versions."""
    first = await licensing.issued(region, licensing.MARKET, licensing.food())

    await departments.succeed(region, OPERATOR, licensing.MARKET, licensing.HOUSING)
    closed = await refused(region, first.id, change="reissue")
    second = await change(region, first.id, licensing.HOUSING, change="reissue")

    assert closed.code is Code.LICENCE_OTHER_DEPARTMENT
    assert parse(second.licence).iss.endswith(licensing.HOUSING)
    assert await licences.compact(region, first.id, 1) == first.licence
