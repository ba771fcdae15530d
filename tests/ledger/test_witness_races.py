"""What our witness remembers never goes back, whoever races, crashes or lies; what convicts a log is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ledger import misbehaviour
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.witnessing import EQUIVOCATION, INCONSISTENT, Outcome, Witness
from tests.ledger.watched_log import (
    FORK,
    LOG,
    NOW,
    WatchedLog,
    between_signing_and_storing,
    last,
    watching,
)
from tests.region import memory_store, region_config
from tests.verifiers.log_world import ORIGIN
from verifiers.add_checkpoint import format_request
from verifiers.checkpoint import LogPolicy, open_checkpoint


async def test_of_many_that_start_from_one_size_one_wins(database_url: str, tmp_path: Path) -> None:
    """Sixteen growths from size 5 at once: one is cosigned, the others are told its size, and nothing else was sent."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        requests = [LOG.request(5, size) for size in range(6, 22)]

        results = await asyncio.gather(*(witness.add_checkpoint(each) for each in requests))

        [won] = [size for size, result in zip(range(6, 22), results, strict=True) if result.outcome is Outcome.COSIGNED]
        assert last(region).size == won
        assert {result.body for result in results if result.outcome is Outcome.CONFLICT} == {f"{won}\n"}


async def test_of_many_first_checkpoints_one_wins(database_url: str, tmp_path: Path) -> None:
    """The first row of a log is inserted once."""
    async with watching(database_url, tmp_path) as (region, witness):
        results = await asyncio.gather(*(witness.add_checkpoint(LOG.request(0, size)) for size in range(1, 9)))

        outcomes = [result.outcome for result in results]
        assert outcomes.count(Outcome.COSIGNED) == 1 and outcomes.count(Outcome.CONFLICT) == 7
        assert last(region).size == outcomes.index(Outcome.COSIGNED) + 1


async def test_two_services_on_one_database_never_cosign_a_fork(database_url: str, tmp_path: Path) -> None:
    """An honest and a forked growth, each shown to another process over and over: all that is cosigned is one tree."""
    store = memory_store()
    async with watching(database_url, tmp_path, store=store) as (region, one):
        other = await Region.open(region_config(database_url, tmp_path), store, clock=ManualClock(NOW))
        try:
            await one.add_checkpoint(LOG.request(0, 5))
            cosigned = []
            for size in range(6, 30):
                asked = [(LOG, one), (FORK, Witness(other))]
                results = await asyncio.gather(
                    *(witness.add_checkpoint(log.request(last(region).size, size)) for log, witness in asked)
                )
                cosigned += [
                    log for (log, _), each in zip(asked, results, strict=True) if each.outcome is Outcome.COSIGNED
                ]
            assert len(cosigned) == 24 and set(map(id, cosigned)) == {id(LOG)}
        finally:
            await other.close()


async def test_a_crash_before_the_statement_leaves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was signed and not stored was never sent; the next request starts from what is stored."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        before = last(region)

        async def gone() -> None:
            raise OSError("the machine went away")

        between_signing_and_storing(monkeypatch, gone)
        with pytest.raises(OSError, match="went away"):
            await witness.add_checkpoint(LOG.request(5, 9))

        assert last(region) == before
        assert (await witness.add_checkpoint(LOG.request(5, 7))).outcome is Outcome.COSIGNED


async def test_a_clock_that_went_back_signs_nothing(database_url: str, tmp_path: Path) -> None:
    """Neither growth nor refresh before the time of the last cosignature; at that time it goes on."""
    clock = ManualClock(NOW)
    async with watching(database_url, tmp_path, clock=clock) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        before = last(region)
        clock.advance(-1)
        for body in (LOG.request(5, 9), LOG.request(5, 5)):
            with pytest.raises(Refusal) as refused:
                await witness.add_checkpoint(body)
            assert refused.value.code is Code.WITNESS_CLOCK and refused.value.facts == {"retry_after": 1}
        assert last(region) == before

        clock.advance(1)
        assert (await witness.add_checkpoint(LOG.request(5, 9))).outcome is Outcome.COSIGNED


async def test_the_statement_itself_refuses_an_older_time(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose clock is behind signs, another one with a later time is quicker: the late line is not stored."""
    clock, late = ManualClock(NOW), ManualClock(NOW)
    async with watching(database_url, tmp_path, clock=clock, store=(store := memory_store())) as (region, one):
        other = await Region.open(region_config(database_url, tmp_path), store, clock=late)
        try:
            await one.add_checkpoint(LOG.request(0, 5))

            async def overtaken() -> None:
                clock.advance(60)
                assert (await one.add_checkpoint(LOG.request(5, 5))).outcome is Outcome.COSIGNED

            late.advance(1)
            between_signing_and_storing(monkeypatch, overtaken)
            with pytest.raises(Refusal) as refused:
                await Witness(other).add_checkpoint(LOG.request(5, 5))

            assert refused.value.code is Code.WITNESS_CLOCK
            assert last(region).cosigned_at == clock.now()
        finally:
            await other.close()


async def test_what_a_log_signed_against_itself_is_kept(database_url: str, tmp_path: Path) -> None:
    """Two roots for one size, verbatim with the log's own lines, whatever old size they came with."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))

        results = [await witness.add_checkpoint(FORK.request(old, 5)) for old in (5, 0, 4)]

        assert [each.misbehaviour for each in results] == [EQUIVOCATION] * 3
        assert [each.outcome for each in results] == [Outcome.INCONSISTENT, Outcome.CONFLICT, Outcome.CONFLICT]
        with region.database.reading() as tx:
            [kept] = misbehaviour.listed(tx, ORIGIN)
        policy = LogPolicy(ORIGIN, tuple(key for key, _ in LOG.keys))
        opened = [open_checkpoint(kept["evidence"][name], policy) for name in ("cosigned", "given")]
        assert opened[0].size == opened[1].size and opened[0].root != opened[1].root
        assert kept["kind"] == EQUIVOCATION


async def test_a_log_that_went_elsewhere_is_remembered(database_url: str, tmp_path: Path) -> None:
    """A larger head whose proof starts from another tree is kept under a kind of its own, which convicts nobody."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))

        forked = await witness.add_checkpoint(FORK.request(5, 9))
        unproven = await witness.add_checkpoint(format_request(5, [], LOG.note(9)))

        assert (forked.misbehaviour, unproven.misbehaviour) == (INCONSISTENT, None)
        with region.database.reading() as tx:
            assert [each["kind"] for each in misbehaviour.listed(tx)] == [INCONSISTENT]


async def test_evidence_is_bounded(sqlite_url: str, tmp_path: Path) -> None:
    """A log gone mad fills no disk, and the many small things do not push out the one that convicts."""
    async with watching(sqlite_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        for number in range(misbehaviour.KEPT + 4):
            fork = WatchedLog(branch=f"fork {number}", forked_at=3)
            await witness.add_checkpoint(fork.request(5, 9))
            await witness.add_checkpoint(fork.request(5, 9))
        await witness.add_checkpoint(FORK.request(5, 5))

        with region.database.reading() as tx:
            kinds = [each["kind"] for each in misbehaviour.listed(tx)]
        assert kinds.count(INCONSISTENT) == misbehaviour.KEPT
        assert kinds.count(EQUIVOCATION) == 1
