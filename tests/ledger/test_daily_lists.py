"""Each department can see, day by day, what was logged in its name."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ledger.clock import ManualClock
from ledger.daily_lists import daily_list, open_daily_list
from ledger.errors import Code, Refusal
from tests.ledger import licensing
from verifiers.errors import SignatureFailed


async def test_a_department_gets_its_own_entries_of_one_day(database_url: str, tmp_path: Path) -> None:
    """Days are those of China: what is logged at 16:00 UTC belongs to the next one."""
    clock = ManualClock(datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC))
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        first = await licensing.issued(region, licensing.MARKET, licensing.food(1))
        await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
        clock.advance(1)
        second = await licensing.issued(region, licensing.MARKET, licensing.food(2))
        key = region.signer(None, "statement").public_key

        lists = {
            day: open_daily_list(await daily_list(region, licensing.MARKET, date(2026, 11, day)), key)
            for day in (20, 21, 22, 23)
        }

        issued = {
            day: [(row["idx"], row["thing"]) for row in listed["entries"] if row["event"] == "licence.issued"]
            for day, listed in lists.items()
        }
        assert issued == {20: [], 21: [(first.entry, first.id)], 22: [(second.entry, second.id)], 23: []}
        assert lists[22]["department"] == licensing.MARKET
        assert lists[22]["origin"] == region.origin


async def test_a_list_of_another_key_or_department_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    """A list that the region did not sign proves nothing; a department nobody knows has none."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        text = await daily_list(region, licensing.MARKET, date(2026, 11, 21))

        with pytest.raises(SignatureFailed):
            open_daily_list(text, region.signer(licensing.MARKET, "statement").public_key)
        with pytest.raises(Refusal) as refused:
            await daily_list(region, "0" * 18, date(2026, 11, 21))
        assert refused.value.code is Code.DEPARTMENT_UNKNOWN
