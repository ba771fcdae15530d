"""What departments learn by polling: as owners, and as those who relied on what fell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger import notices
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.reversal import reverse
from ledger.scans import scan
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import EDUCATION, HOUSING, MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL


async def notices_of(region: Region, department: str, **more: Any) -> list[dict[str, Any]]:
    """Poll the notices of a department."""
    answer = await region.database.read(lambda tx: notices.pending(tx, department, **more))
    items: list[dict[str, Any]] = answer["items"]
    return items


async def test_owners_and_those_who_relied_are_told(database_url: str, tmp_path: Path) -> None:
    """The owner of a dependant and the window that scanned the root each learn it, and learn of the reversal."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        await cases.matter(region)
        await cases.trusted(region)
        root = await issued(region, MARKET, food())
        foreign = await issued(region, HOUSING, cases.certificate(1, rests_on=cases.resting_on(root.id)))
        body = {"code": root.code, "matter": cases.MATTER, "purpose": "示例办理"}
        await scan(region, OnlineVerifier(region), licensing.actor(EDUCATION, "window"), body)

        flag_id = await cases.upheld(region, cases.target(root.id))
        await reverse(region, cases.second_officer(), flag_id, REVERSAL)

        theirs = [(n["kind"], n["licence"], n["relied"]) for n in await notices_of(region, HOUSING)]
        window = [(n["kind"], n["licence"], n["relied"]) for n in await notices_of(region, EDUCATION)]
        assert theirs == [("licence.suspended", foreign.id, False), ("licence.restored", foreign.id, False)]
        assert window == [("licence.revoked", root.id, True), ("licence.restored", root.id, True)]
        assert all(flag_id not in str(each) for each in await notices_of(region, HOUSING))


async def test_what_was_acknowledged_does_not_come_again(sqlite_url: str, tmp_path: Path) -> None:
    """A page at a time, from where the department stopped; an earlier place can be asked for."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        root = await issued(region, MARKET, food())
        for n in range(2, 5):
            await issued(region, MARKET, food(n, rests_on=cases.resting_on(root.id)))
        await cases.upheld(region, cases.target(root.id))

        first = await notices_of(region, MARKET, limit=3)
        await notices.acknowledge(region.database, region.clock, MARKET, first[-1]["cursor"])
        rest = await notices_of(region, MARKET)

        assert (len(first), len(rest)) == (3, 1)
        assert await notices_of(region, MARKET, cursor=first[0]["cursor"], limit=2) == first[1:]
        assert len({each["licence"] for each in first + rest}) == 4


@pytest.mark.parametrize("cursor", ["x", "WzEsIngiXQ", "W10"])
async def test_a_cursor_nobody_gave_is_refused(sqlite_url: str, tmp_path: Path, cursor: str) -> None:
    """Made-up cursors are told apart from empty pages."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        with pytest.raises(Refusal) as refused:
            await notices_of(region, MARKET, cursor=cursor)

        assert refused.value.code is Code.CURSOR_INVALID
