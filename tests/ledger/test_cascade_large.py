"""One decision over ten thousand licences: atomic, quick, and nobody else waits for it (protocol 10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from ledger.decisions import decide
from ledger.errors import Refusal
from ledger.issuing import issue
from ledger.region import Region
from ledger.reversal import reverse
from ledger.settling import settle
from ledger.tables.fraud import decision_effects
from ledger.tables.licences import licences
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL

T = TypeVar("T")

DEPENDANTS = 10_000
CHUNK = 500


async def issue_resting_on(region: Region, root: str, count: int) -> None:
    """Issue `count` licences that rest on `root`, every tenth by qualification."""
    for start in range(0, count, CHUNK):
        requests = [
            licensing.request(
                region,
                food(
                    n + 2,
                    rests_on=cases.resting_on(root, basis="identity" if n % 10 else "qualification"),
                ),
            )
            for n in range(start, min(start + CHUNK, count))
        ]
        outcomes = await issue(region, licensing.actor(MARKET), requests)
        assert not [each for each in outcomes if isinstance(each, Refusal)]


@pytest.mark.timeout(240)
async def test_ten_thousand_fall_in_one_decision_while_others_are_served(database_url: str, tmp_path: Path) -> None:
    """One entry turns every state; issuing goes on during settling; the reversal gives all of them back."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        root = (await issued(region, MARKET, food(1))).id
        await issue_resting_on(region, root, DEPENDANTS)
        flag_id = await cases.flagged(region, cases.target(root))
        await cases.notified(region, flag_id)

        seen, preview_s = await timed(cases.preview_of(region, flag_id))
        decided, decide_s = await timed(decide(region, cases.second_officer(), flag_id, cases.ruling(seen["digest"])))

        assert decided["effects"] == {"revoked": DEPENDANTS * 9 // 10 + 1, "suspended": DEPENDANTS // 10}
        assert await by_state(region) == {"annulled": DEPENDANTS * 9 // 10 + 1, "suspended": DEPENDANTS // 10}

        settling = asyncio.create_task(timed(settle(region, flag_id)))
        waits: list[float] = []
        while not settling.done():
            _, wait = await timed(issued(region, MARKET, food(DEPENDANTS + 2 + len(waits))))
            waits.append(wait)
            await asyncio.sleep(0.02)
        settled, settle_s = await settling
        assert settled == DEPENDANTS + 1
        entries = select(func.count()).where(decision_effects.c.settled_idx.is_(None))
        assert await region.database.read(lambda tx: tx.execute(entries).scalar_one()) == 0

        _, reverse_s = await timed(reverse(region, cases.second_officer(), flag_id, REVERSAL))
        assert await by_state(region) == {"valid": DEPENDANTS + 1 + len(waits)}
        waits.sort()
        print(
            f"\n{region.database.url.get_backend_name()}: preview {preview_s:.2f} s, decision {decide_s:.2f} s, "
            f"settling {settle_s:.1f} s, reversal {reverse_s:.2f} s; issuing meanwhile: {len(waits)} licences, "
            f"median {waits[len(waits) // 2] * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms"
        )


async def timed(work: Awaitable[T]) -> tuple[T, float]:
    """Await `work` and return what it gave and how many seconds it took."""
    begun = time.perf_counter()
    return await work, time.perf_counter() - begun


async def by_state(region: Region) -> dict[str, int]:
    """Count licences by state."""
    query = select(licences.c.state, func.count()).group_by(licences.c.state)
    return {row[0]: row[1] for row in await region.database.read(lambda tx: tx.execute(query).all())}
