"""What giving up a key costs, from when it counts, and that no later version of the trust list takes it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Update, update

from ledger import key_loss, keys_registry, positions, witnessed
from ledger.clock import ManualClock
from ledger.cosigning import Cosigner
from ledger.database import Writing
from ledger.errors import Code, Refusal
from ledger.receipts import receipt_of
from ledger.region import Region
from ledger.tables.catalogue import registered_keys
from ledger.trust_publishing import LATEST, Contradicted, payload_of
from tests.ledger import licensing
from tests.ledger.licensing import MARKET, food, issued
from tests.ledger.witnesses import at_rest, ends, grow, trust_of, watch, watched_region, witness
from tests.region import OPERATOR
from verifiers.checkpoint import Grade
from verifiers.receipt import check_receipt

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


@asynccontextmanager
async def watched_log(database_url: str, folder: Path) -> AsyncIterator[tuple[Region, Cosigner, ManualClock]]:
    """A region that issues licences, whose log a witness cosigns when the test says so."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(database_url, folder, a, clock=clock) as (region, cosigner, _):
        await licensing.furnish(region)
        await at_rest(region)
        yield region, cosigner, clock


async def cosigned(region: Region, cosigner: Cosigner) -> int:
    """Let the witness see everything; gives the size."""
    size = await at_rest(region)
    for _ in range(50):
        await cosigner.step()
        if cosigner.size >= size:
            break
        await asyncio.sleep(0.05)
    return cosigner.size


async def test_a_time_and_an_entry_lead_to_the_largest_cosigned_tree_before(database_url: str, tmp_path: Path) -> None:
    """What stands and falls is counted by entries; nothing is changed by looking."""
    async with watched_log(database_url, tmp_path) as (region, cosigner, clock):
        early = await issued(region, MARKET, food(1))
        first = await cosigned(region, cosigner)
        clock.advance(60)
        since = clock.now()
        clock.advance(60)
        late = await issued(region, MARKET, food(2))
        await at_rest(region)
        kid = key_loss.key_named(region, MARKET, "licence")

        by_time = await key_loss.foresee(region, kid, since)
        by_entry = await key_loss.foresee(region, kid, late.entry)
        from_the_start = await key_loss.foresee(region, kid, early.entry)
        unwatched = await key_loss.foresee(region, kid, NOON - timedelta(days=1))

        assert (by_time.before, by_time.stays, by_time.falls) == (by_entry.before, 1, 1)
        assert (by_time.before.size, by_time.before.watched, by_time.before.at) == (first, True, NOON)
        assert from_the_start.before.size <= early.entry and from_the_start.falls == 2
        assert (unwatched.before.size, unwatched.before.watched, unwatched.falls) == (0, False, 2)
        assert region.catalogue.keys[kid].revoked is None
        with pytest.raises(Refusal) as unknown:
            await key_loss.foresee(region, "x" * 22, since)
        assert unknown.value.code is Code.KEY_UNKNOWN

        await keys_registry.compromise(region, OPERATOR, kid, since=late.entry)
        told = await keys_registry.compromise(region, OPERATOR, kid, since=clock.now())

        assert told["revoked"]["trust_before"]["size"] == first
        assert told["revoked"]["at"] == "2026-11-21T04:00:00Z"  # when the quorum had seen that tree
        assert (await key_loss.foresee(region, kid, clock.now())).before == by_entry.before


async def test_the_position_is_kept_with_its_cosignatures(database_url: str, tmp_path: Path) -> None:
    """Receipts can end in exactly that tree for ever, with the grade it had, however old it is."""
    async with watched_log(database_url, tmp_path) as (region, cosigner, clock):
        early = await issued(region, MARKET, food(1))
        size = await cosigned(region, cosigner)
        await grow(region)
        await cosigned(region, cosigner)
        kid = key_loss.key_named(region, MARKET, "licence")
        await keys_registry.compromise(region, OPERATOR, kid, since=size)
        await region.database.write(lambda tx: witnessed.thin(tx, clock.now() + timedelta(hours=1)))

        text = await receipt_of(region, early.entry, size=size)

        opened = check_receipt(text, region.log_policy)
        assert (opened.checkpoint.size, opened.checkpoint.grade) == (size, Grade.WITNESSED)


async def test_the_end_of_a_key_stays_where_it_was_named_when_witnesses_go(database_url: str, tmp_path: Path) -> None:
    """Without a policy the first own checkpoint would do, but the list has named a witnessed one."""
    async with watched_log(database_url, tmp_path) as (region, cosigner, _):
        await cosigned(region, cosigner)
        await keys_registry.rotate(region, OPERATOR, MARKET, "licence")
        await region.publisher.published((await region.figures())["size"] - 1)
        await grow_a_little(region)
        await cosigned(region, cosigner)
        before = ends(await trust_of(region))

        await watch(region, 0)
        after = ends(await trust_of(region))

        assert before == after and len(after) == 1
        closed = max(key.closed_idx or 0 for key in region.catalogue.keys.values())
        found = await region.database.read(lambda tx: positions.covering(tx, region.origin, closed))
        assert found is not None and found["size"] == after[0]


async def grow_a_little(region: Region) -> None:
    """Publish a tree between the end of the key and the one that is cosigned next."""
    await issued(region, MARKET, food(7))
    await region.publisher.published((await region.figures())["size"] - 1)


async def test_a_list_that_takes_something_back_is_never_signed(sqlite_url: str, tmp_path: Path) -> None:
    """Whatever got into the tables: readers would refuse the list for ever, so readiness says it and nothing leaves."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        kid = key_loss.key_named(region, MARKET, "licence")
        size = await at_rest(region)
        await keys_registry.compromise(region, OPERATOR, kid, since=3)
        shown = await trust_of(region)
        higher = await region.database.read(lambda tx: positions.before(tx, region.origin, size))
        assert higher.size > 3
        revoked = json.dumps({"at": "2026-11-21T04:00:00Z", "reason": "compromised", "trust_before": higher.position})
        query = update(registered_keys).where(registered_keys.c.kid == kid)
        for statement in (query.values(revoked=revoked), query.values(revoked=None)):
            await region.database.write(partial(_execute, statement))
            region.trust._known = None
            assert await region.trust.settled(0.2) is False
            with pytest.raises(Contradicted, match="keys: "):
                await region.trust.publish_if_due()
        served = region.files.read(LATEST)
        assert served is not None and payload_of(served.decode())["seq"] == shown["seq"]


def _execute(statement: Update, tx: Writing) -> None:
    tx.execute(statement)
