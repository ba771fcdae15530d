"""Settling goes on where it stopped, time turns what it must, and nobody slips past a decision."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from ledger import settling
from ledger.decisions import decide
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.reversal import reverse
from ledger.settling import Tending, settle_cases, turn_causes
from ledger.tables.fraud import decision_effects, decisions
from ledger.tables.licences import lineage
from ledger.tables.log import entries
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL
from tests.ledger.test_cascade_large import issue_resting_on
from tests.region import memory_store, region_config, region_on
from verifiers.entry import parse


async def settled_count(region: Region) -> int:
    """Count the licences that have their own entry about a decision."""
    query = select(func.count()).where(decision_effects.c.settled_idx.is_not(None))
    return await region.database.read(lambda tx: int(tx.execute(query).scalar_one()))


async def test_a_case_that_was_left_half_settled_is_finished_after_a_restart(sqlite_url: str, tmp_path: Path) -> None:
    """Every licence gets exactly one entry, whatever was done before the process ended."""
    store, count = memory_store(), 200
    async with region_on(sqlite_url, tmp_path, store=store) as region:
        await licensing.furnish(region)
        root = (await issued(region, MARKET, food())).id
        await issue_resting_on(region, root, count)
        flag_id = await cases.upheld(region, cases.target(root))
        waiting = list(range(count + 1))
        assert await settling._append_batch(region, flag_id, waiting[:70], settling._FELL)
        assert await settled_count(region) == 70

    again = await Region.open(region_config(sqlite_url, tmp_path), store)
    try:
        assert await settle_cases(again) == count + 1 - 70
        events = await again.database.read(
            lambda tx: [parse(bytes(row[0])).kind for row in tx.execute(select(entries.c.bytes))]
        )
        assert events.count("licence.status") == count + 1
    finally:
        await again.close()


async def test_two_processes_that_settle_the_same_case_write_nothing_twice(postgres_url: str, tmp_path: Path) -> None:
    """Batches of both overlap, and every licence still has one entry."""
    store, count = memory_store(), 150
    async with region_on(postgres_url, tmp_path, store=store) as first:
        await licensing.furnish(first)
        root = (await issued(first, MARKET, food())).id
        await issue_resting_on(first, root, count)
        await cases.upheld(first, cases.target(root))
        second = await Region.open(region_config(postgres_url, tmp_path), store)
        try:
            await asyncio.gather(settle_cases(first), settle_cases(second))
        finally:
            await second.close()

        kinds = await first.database.read(
            lambda tx: [parse(bytes(row[0])).kind for row in tx.execute(select(entries.c.bytes))]
        )
        row = await first.database.read(lambda tx: tx.execute(select(decisions)).one())
        assert kinds.count("licence.status") == count + 1 == await settled_count(first)
        assert row.settled_idx is not None


async def test_what_is_issued_beside_a_decision_falls_or_is_refused(database_url: str, tmp_path: Path) -> None:
    """Issuing and deciding race: no licence stands on what has fallen without having fallen itself."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        root = await issued(region, MARKET, food())
        flag_id = await cases.flagged(region, cases.target(root.id))
        await cases.notified(region, flag_id)
        answers: list[object] = []
        in_between: set[Code] = set()

        async def issue_children() -> None:
            for n in range(2, 40):
                try:
                    answers.append(await issued(region, MARKET, food(n, rests_on=cases.resting_on(root.id))))
                except Refusal as refusal:
                    answers.append(refusal.code)

        async def decide_at_last() -> None:
            while True:
                seen = await cases.preview_of(region, flag_id)
                try:
                    await decide(region, cases.second_officer(), flag_id, cases.ruling(seen["digest"]))
                except Refusal as refusal:
                    in_between.add(refusal.code)
                    await asyncio.sleep(random.random() / 100)
                else:
                    return

        await asyncio.gather(issue_children(), decide_at_last())

        query = select(lineage.c.child_licence).where(lineage.c.parent_id == root.id)
        children = await region.database.read(lambda tx: list(tx.execute(query).scalars()))
        states = await cases.states(region, [root.id, *children])
        assert set(states.values()) == {("annulled", 2)}
        assert len(answers) == 38
        assert {each for each in answers if isinstance(each, Code)} <= {Code.BASIS_CAUSE_OPEN}
        assert in_between <= {Code.PREVIEW_CHANGED, Code.STALE}


async def test_an_appeal_that_ran_out_turns_the_bit_for_good(sqlite_url: str, tmp_path: Path) -> None:
    """The day after the last day of appeal a logged turn makes it final, once."""
    clock = cases.ShiftedClock()
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        licence = await issued(region, MARKET, food())
        last = cases.today(region).isoformat()
        await cases.upheld(region, cases.target(licence.id), appealable_until=last)
        assert await turn_causes(region) == 0
        assert await cases.states(region, [licence.id]) == {licence.id: ("annulled", 2)}
        clock.ahead = timedelta(days=1)

        assert await turn_causes(region) == 1
        assert await turn_causes(region) == 0
        assert await cases.states(region, [licence.id]) == {licence.id: ("annulled", 1)}


async def test_the_service_tends_to_it_by_itself(sqlite_url: str, tmp_path: Path) -> None:
    """A decision and its reversal are settled without anybody asking."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        tending = Tending(region)
        tending.pulse.start()
        try:
            licence = await issued(region, MARKET, food())
            flag_id = await cases.upheld(region, cases.target(licence.id))
            await reverse(region, cases.second_officer(), flag_id, REVERSAL)

            for _ in range(200):
                row = await region.database.read(lambda tx: tx.execute(select(decisions)).one())
                if row.settled_idx is not None and row.restored_idx is not None:
                    break
                await asyncio.sleep(0.05)
            assert row.restored_idx is not None and tending.pulse.fault is None
        finally:
            await tending.pulse.stop()
