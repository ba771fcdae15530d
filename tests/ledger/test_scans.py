"""Scanning static codes, and who can see afterwards that somebody looked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from ledger import access
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.scans import scan
from ledger.tables.scans import access_digests, access_records
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import EDUCATION, MARKET, food, issued


@pytest.fixture
def clock() -> cases.ShiftedClock:
    """Give a clock that can be put forward."""
    return cases.ShiftedClock()


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: cases.ShiftedClock) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types, grants and a matter."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        await cases.matter(region)
        await cases.trusted(region)
        yield region


async def scanned(region: Region, code: str, **changes: Any) -> dict[str, Any]:
    """Scan a code at another department's window."""
    body = {"code": code, "matter": cases.MATTER, "purpose": "示例办理"} | changes
    return await scan(region, OnlineVerifier(region), licensing.actor(EDUCATION, "window"), body)


async def test_a_static_code_shows_what_is_printed(region: Region) -> None:
    """Name, number and dates as on the paper; no field of the face, no number of the holder."""
    licence = await issued(region, MARKET, food())

    answer = await scanned(region, licence.code)

    [shown] = answer["licences"]
    content = shown["verdict"]["licence"]
    assert (answer["means"], answer["outcome"]) == ("static", "valid")
    assert content["name"] == "示例甲有限公司" and content["serial"] == "JY16101000000001"
    assert "fields" not in content and licensing.COMPANY["id"] not in str(answer)
    assert answer["credit"]["outcome"] == "yes"


async def test_a_static_code_of_a_fallen_licence_says_so(region: Region) -> None:
    """Paper cannot know; the window's screen does."""
    licence = await issued(region, MARKET, food())
    await cases.upheld(region, cases.target(licence.id))

    answer = await scanned(region, licence.code)

    assert answer["outcome"] == "invalid"
    reasons = [reason["code"] for reason in answer["licences"][0]["verdict"]["reasons"]]
    assert "state.annulled" in reasons


@pytest.mark.parametrize("code", ["HTTPS://REGION.EXAMPLE/V#AAAA", "HTTPS://REGION.EXAMPLE/C/AAAA", "示例"])
async def test_what_is_no_code_is_refused(region: Region, code: str) -> None:
    """And nobody is written down as having looked at anything."""
    with pytest.raises(Refusal) as refused:
        await scanned(region, code)

    assert refused.value.code is Code.CODE_MALFORMED
    assert await region.database.read(lambda tx: tx.execute(select(access_records)).all()) == []


async def test_an_unknown_matter_is_refused(region: Region) -> None:
    """A scan without a matter has no purpose."""
    licence = await issued(region, MARKET, food())

    with pytest.raises(Refusal) as refused:
        await scanned(region, licence.code, matter="EXAMPLE-SX-0")

    assert refused.value.code is Code.MATTER_UNKNOWN


async def test_the_holder_sees_who_looked_and_why(region: Region) -> None:
    """Department, means, matter and purpose; not the officer's name."""
    licence = await issued(region, MARKET, food())
    await scanned(region, licence.code)
    await scanned(region, licence.code, purpose="示例复核")
    holder = await cases.holder_of(region, licence.id)

    first = await region.database.read(lambda tx: access.accesses_to(tx, holder, limit=1))
    rest = await region.database.read(lambda tx: access.accesses_to(tx, holder, first["cursor"]))

    assert {each["purpose"] for each in first["items"] + rest["items"]} == {"示例办理", "示例复核"}
    assert {(each["department"], each["means"]) for each in first["items"]} == {(EDUCATION, "static")}
    assert "cursor" not in rest and "示例经办人" not in str(first)


async def test_each_hour_of_looks_is_digested_once_and_a_change_stands_out(
    region: Region, clock: cases.ShiftedClock
) -> None:
    """What somebody later drops or edits no longer fits the logged digest."""
    licence = await issued(region, MARKET, food())
    await scanned(region, licence.code)
    assert await access.digest_accesses(region) == 0
    clock.ahead = timedelta(hours=1, minutes=2)

    assert await access.digest_accesses(region) == 1
    assert await access.digest_accesses(region) == 0

    row = await region.database.read(lambda tx: tx.execute(select(access_digests)).one())
    fits = await region.database.read(lambda tx: access.digest_of_hour(tx, row.hour))
    await region.database.write(lambda tx: tx.execute(update(access_records).values(purpose="示例改写")))
    changed = await region.database.read(lambda tx: access.digest_of_hour(tx, row.hour))
    assert fits == (1, bytes(row.digest)) and changed != fits
