"""What follows from cosignatures: what is shown, where terms end, what the clock may say, what the audit finds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import keys_registry, positions, witnessed
from ledger.audit_report import Artefact
from ledger.auditing import Stored, audit_stored
from ledger.clock import ManualClock
from ledger.cosigning import FILE
from ledger.errors import Code, Refusal
from ledger.receipts import receipt_of, receipts_of
from tests.ledger.witnesses import (
    ahead,
    at_rest,
    ends,
    grow,
    of,
    shown,
    silent,
    trust_of,
    watch,
    watched_region,
    whole_round,
    witness,
)
from tests.region import OPERATOR
from verifiers.checkpoint import Grade
from verifiers.encoding import b64u_decode
from verifiers.receipt import check_receipt

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


async def test_open_mode_shows_checkpoints_before_they_are_cosigned(database_url: str, tmp_path: Path) -> None:
    """With every witness down the log goes on as published, receipts too; what was witnessed stays as it is."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path, a) as (region, cosigner, road):
        await cosigner.step()
        before = cosigner.size
        covered = check_receipt(await receipt_of(region, 0), region.log_policy)
        assert covered.checkpoint.grade is Grade.WITNESSED
        road.cut.add(a.name)
        size = await grow(region)
        await cosigner.step()
        await cosigner.step()

        published, kept = shown(region, "checkpoint"), shown(region)
        assert published is not None and kept is not None
        assert (published.size, published.grade, kept.size) == (size, Grade.PUBLISHED, before)
        newest = check_receipt(await receipt_of(region, size - 1, wait=True), region.log_policy)
        assert newest.checkpoint.grade is Grade.PUBLISHED
        still = check_receipt(await receipt_of(region, 0), region.log_policy)
        assert (still.checkpoint.size, still.checkpoint.grade) == (before, Grade.WITNESSED)
        ready = (await region.readiness())["witnesses"]
        assert ready == {"ready": True, "detail": "0 of 1 witnesses answer"}


async def test_closed_mode_shows_nothing_before_a_quorum_has_cosigned(database_url: str, tmp_path: Path) -> None:
    """The public checkpoint is a witnessed one; whoever waits for a receipt waits for the quorum."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, witness_mode="closed") as (region, cosigner, road):
        road.witnesses.update({one.url: one for one in (a, b)})
        await watch(region, 2, a, b)
        before = shown(region, "checkpoint")
        await at_rest(region)
        unwitnessed = shown(region, "checkpoint")
        assert before is not None and unwitnessed is not None
        assert unwitnessed.size < region.publisher.size
        last = region.publisher.size - 1
        with pytest.raises(Refusal) as pending:
            await receipts_of(region, [last])
        assert pending.value.code is Code.RECEIPT_PENDING
        waiting = asyncio.create_task(receipt_of(region, last, wait=True))

        road.cut.add(b.name)
        await cosigner.step()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert (await region.readiness())["witnesses"] == {"ready": False, "detail": "1 of 2 witnesses answer"}
        road.cut.clear()
        await whole_round(cosigner)

        async with asyncio.timeout(10):
            opened = check_receipt(await waiting, region.log_policy)
        assert opened.checkpoint.grade is Grade.WITNESSED
        public = shown(region, "checkpoint")
        assert public is not None
        assert (public.grade, public.size) == (Grade.WITNESSED, cosigner.size)
        await grow(region)
        assert (shown(region, "checkpoint") or public).size == public.size


async def test_positions_are_what_a_quorum_cosigned(database_url: str, tmp_path: Path) -> None:
    """Protocol 16: a time maps to the largest size cosigned at or before it, and terms end in witnessed trees."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(database_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        start = region.publisher.size
        at_noon = await region.database.read(lambda tx: positions.before(tx, region.origin, NOON))
        assert (at_noon.size, at_noon.watched) == (start, False)  # nobody has cosigned yet: our own word stands in
        clock.advance(60)
        await cosigner.step()
        first = cosigner.size
        clock.advance(60)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)

        def read(tx: Any) -> tuple[Any, ...]:
            return (
                positions.latest(tx, region.origin)["size"],
                positions.before(tx, region.origin, clock.now()).size,
                positions.before(tx, region.origin, NOON).size,
                positions.covering(tx, region.origin, first),
            )

        latest, now, noon, covering = await region.database.read(read)
        assert (latest, now, noon) == (first, first, start)
        assert covering is None  # the witnesses answer, so the tree that ends the old key's term will be theirs

        await cosigner.step()
        await at_rest(region)
        found = await region.database.read(lambda tx: positions.covering(tx, region.origin, first))
        row = await region.database.read(witnessed.newest)
        assert found is not None and row is not None
        kept = await region.database.read(lambda tx: witnessed.at_size(tx, found["size"]))
        assert kept is not None and b64u_decode(found["root"]) == kept.root
        document = await trust_of(region)
        assert ends(document) == [found["size"]]
        opened = check_receipt(await receipt_of(region, 0, size=found["size"]), region.log_policy)
        assert opened.checkpoint.grade is Grade.WITNESSED


async def test_terms_end_without_witnesses_when_these_are_silent(sqlite_url: str, tmp_path: Path) -> None:
    """A compromised key must not live on because nobody cosigns; the position once named stays what it was."""
    a = witness("a", 1)
    async with watched_region(sqlite_url, tmp_path, a) as (region, cosigner, road):
        await cosigner.step()
        road.cut.add(a.name)
        await grow(region)
        await cosigner.step()
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        before = ends(await trust_of(region))
        assert len(before) == 1

        road.cut.clear()
        await whole_round(cosigner)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)
        await cosigner.step()

        after = ends(await trust_of(region))
        assert len(after) == 2 and after[0] == before[0]
        kept = await region.database.read(lambda tx: witnessed.at_size(tx, after[1]))
        assert kept is not None


async def test_thinning_keeps_what_a_trust_list_names(database_url: str, tmp_path: Path) -> None:
    """Of witnessed checkpoints the last of each minute stays after a while, and every pinned one for ever."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(database_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        sizes = []
        for _ in range(3):
            await cosigner.step()
            sizes.append(cosigner.size)
            await grow(region)
            clock.advance(1)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)
        await cosigner.step()
        [named] = ends(await trust_of(region))
        clock.advance(1)
        await cosigner.step()
        sizes += sorted({named, cosigner.size})
        later = clock.now() + timedelta(hours=1)

        await region.database.write(lambda tx: witnessed.thin(tx, later))

        def still(tx: Any) -> list[int]:
            return [size for size in sizes if witnessed.at_size(tx, size) is not None]

        kept = await region.database.read(still)
        assert kept == [size for size in sizes if size in (named, sizes[-1])]


async def test_a_clock_that_is_ahead_of_the_witnesses_stops_the_writer(database_url: str, tmp_path: Path) -> None:
    """Protocol 7: more than a minute ahead of most of them nothing is written, until a fresh answer says otherwise."""
    ours, theirs = ManualClock(NOON), ManualClock(NOON)
    a, b, c = (witness(letter, seed, clock=theirs) for seed, letter in enumerate("abc", 1))
    async with watched_region(database_url, tmp_path, a, b, c, quorum=2, clock=ours) as (region, cosigner, _):
        await cosigner.step()
        assert not ahead(cosigner)
        ours.advance(90)
        await grow(region)

        await cosigner.step()

        assert ahead(cosigner)
        with pytest.raises(Refusal) as stopped:
            await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert stopped.value.code is Code.CLOCK_AHEAD
        assert not (await region.readiness())["witnesses"]["ready"]
        a.instead = b.instead = c.instead = silent
        await whole_round(cosigner)
        assert ahead(cosigner)  # silence says nothing
        a.instead = b.instead = c.instead = None
        theirs.advance(85)
        await whole_round(cosigner)
        assert not ahead(cosigner)
        await asyncio.sleep(1.2)  # the writer looks once a second
        await keys_registry.rotate(region, OPERATOR, None, "peer")


async def test_one_wrong_clock_among_three_does_not_stop_us(sqlite_url: str, tmp_path: Path) -> None:
    """The median decides: a witness that lives in the past is outvoted."""
    ours = ManualClock(NOON)
    a, b = witness("a", 1, clock=ours), witness("b", 2, clock=ours)
    c = witness("c", 3, clock=ManualClock(NOON - timedelta(days=1)))
    async with watched_region(sqlite_url, tmp_path, a, b, c, quorum=2, clock=ours) as (region, cosigner, _):
        await cosigner.step()

        assert of(cosigner, c).skew_s > 60
        assert not ahead(cosigner)
        await grow(region)


async def test_a_republished_checkpoint_is_cosigned_again(sqlite_url: str, tmp_path: Path) -> None:
    """A log that does not grow still shows that it is alive: same tree, newer times, first time kept in the row."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(sqlite_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        await cosigner.step()
        first = await region.database.read(witnessed.newest)
        before = region.publisher.note
        clock.advance(700)
        region.publisher.pulse.wake()
        async with asyncio.timeout(10):
            while region.publisher.note == before:
                await asyncio.sleep(0.02)
        await cosigner.step()

        again = await region.database.read(witnessed.newest)
        assert first is not None and again is not None
        opened = shown(region)
        assert opened is not None and opened.cosigned_at == clock.now()
        if again.size == first.size:
            assert again.cosigned_at == first.cosigned_at


async def test_the_audit_checks_what_was_cosigned(sqlite_url: str, tmp_path: Path) -> None:
    """Every witnessed checkpoint is opened under the policies there were; an edited row or file is named."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(sqlite_url, tmp_path, a, b, quorum=2) as (region, cosigner, _):
        await cosigner.step()
        first = cosigner.size
        await watch(region, 1, a)
        await at_rest(region)
        await cosigner.step()
        report = await asyncio.to_thread(audit_stored, Stored.of(region))
        assert (report.passed, report.counts["witnessed checkpoints"]) == (True, 2), report.findings

        row = await region.database.read(lambda tx: witnessed.at_size(tx, first))
        assert row is not None
        uncosigned = region.publisher.note or ""
        await region.database.write(lambda tx: witnessed.store(tx, replace(row, note=uncosigned)))
        region.files.write([(FILE, b"something else\n")])
        found = (await asyncio.to_thread(audit_stored, Stored.of(region))).findings

        assert [(each.artefact, each.where) for each in found] == [
            (Artefact.CHECKPOINT, f"witnessed checkpoint {first}"),
            (Artefact.CHECKPOINT, FILE),
        ]


async def test_the_audit_names_entries_older_than_a_cosignature_without_them(sqlite_url: str, tmp_path: Path) -> None:
    """Protocol 7: an entry added after witnesses saw the log without it cannot bear a time of before."""
    ours = ManualClock(NOON)
    a = witness("a", 1, clock=ManualClock(NOON + timedelta(hours=1)))
    async with watched_region(sqlite_url, tmp_path, a, clock=ours) as (region, cosigner, _):
        await cosigner.step()
        seen = cosigner.size
        size = await grow(region)

        found = (await asyncio.to_thread(audit_stored, Stored.of(region))).findings

        assert [each.where for each in found] == [f"entry {idx}" for idx in range(seen, size)]
        assert all("witness saw the log without it" in each.detail for each in found)


async def test_a_closed_region_passes_its_audit(sqlite_url: str, tmp_path: Path) -> None:
    """What is shown is the witnessed checkpoint, and the audit knows that."""
    a = witness("a", 1)
    async with watched_region(sqlite_url, tmp_path, a, witness_mode="closed") as (region, cosigner, _):
        await cosigner.step()
        await grow(region)
        await cosigner.step()
        await grow(region)

        report = await asyncio.to_thread(audit_stored, Stored.of(region))

        assert report.passed, report.findings
