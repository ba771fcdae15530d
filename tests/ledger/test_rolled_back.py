"""A restored database waits for the word of its log's witnesses, and writes nothing that would be a second history."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import keys_registry, witness_states
from ledger.cosigning import Cosigner
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.sequencing import read_head
from tests.ledger.witnesses import Road, at_rest, watched_region, witness
from tests.region import OPERATOR


async def refused(region: Region) -> Code:
    """Try to write, and give the reason for which that is refused."""
    with pytest.raises(Refusal) as refusal:
        await keys_registry.rotate(region, OPERATOR, None, "peer")
    return refusal.value.code


async def restored(region: Region, road: Road) -> Cosigner:
    """Make the region one that was just restored from a backup of this very moment, and begins to look back."""
    await region.database.write(witness_states.forget)
    cosigner = Cosigner(region, road)
    region.cosigner = cosigner
    await region.look_back()
    return cosigner


async def test_a_restored_region_waits_until_a_quorum_was_heard(database_url: str, tmp_path: Path) -> None:
    """While they are silent nobody knows whether something is missing; after their word all goes on, for good."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, a, b, quorum=2) as (region, cosigner, road):
        await cosigner.step()
        road.cut = {a.name, b.name}
        again = await restored(region, road)
        assert await refused(region) is Code.LOG_UNCONFIRMED
        ready = await region.readiness()
        assert (ready["log"]["ready"], ready["log"]["detail"]) == (False, "log.unconfirmed")

        road.cut = {b.name}
        await again.step()
        assert await refused(region) is Code.LOG_UNCONFIRMED

        road.cut = set()
        await again.step()
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert await at_rest(region) == region.publisher.size
        assert not await region.database.read(witness_states.is_restored)


async def test_a_witness_that_only_says_more_is_not_a_word_for_us(database_url: str, tmp_path: Path) -> None:
    """One number stops no log that runs; one that was just restored does not go on against it."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path, a, quorum=1) as (region, cosigner, road):
        await cosigner.step()
        a.size += 1000
        again = await restored(region, road)
        await again.step()
        assert await refused(region) is Code.LOG_UNCONFIRMED
        assert region.seen.size <= (await region.database.read(read_head)).size


async def test_operators_may_go_on_without_witnesses_that_are_gone(database_url: str, tmp_path: Path) -> None:
    """That is a decision of theirs, and no start makes it for them."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path, a, quorum=1) as (region, cosigner, road):
        await cosigner.step()
        road.cut = {a.name}
        again = await restored(region, road)
        await region.look_back()
        assert await refused(region) is Code.LOG_UNCONFIRMED

        await region.database.write(witness_states.heard)
        await again.step()
        await keys_registry.rotate(region, OPERATOR, None, "peer")


async def test_a_log_without_witnesses_waits_for_nobody(database_url: str, tmp_path: Path) -> None:
    """What it published lies in its own folder, and in other people's hands, whom nobody can ask."""
    async with watched_region(database_url, tmp_path) as (region, _, road):
        await restored(region, road)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
