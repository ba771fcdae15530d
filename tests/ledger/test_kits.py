"""Offline kits made from what is stored, and windows that judge by them when the network is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from keys.certificates import fingerprint
from ledger import equivalences, keys_registry, peers
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.kits import Made, make_kit
from ledger.receipts import receipt_of
from ledger.region import Region
from ledger.status_tokens import path_of
from tests.ledger import cases, followed_peers
from tests.ledger.licensing import FOOD, MARKET, food, furnish, issued
from tests.region import OPERATOR
from tests.regions import RegionsWorld, regions_world
from verifiers.errors import Reason
from verifiers.grace import grace_table
from verifiers.kit import open_kit
from verifiers.licence import parse
from verifiers.peer_view import Watch
from verifiers.policy import Policy
from verifiers.verdict import NotVerified, Outcome, Verdict
from verifiers.verification import verify

A, B, C = "610000", "620000", "630000"


@pytest.fixture
def clock() -> cases.ShiftedClock:
    """Give a clock that can be put forward."""
    return cases.ShiftedClock()


@pytest.fixture
async def world(
    sqlite_urls: Callable[[str], str], tmp_path: Path, clock: cases.ShiftedClock
) -> AsyncIterator[RegionsWorld]:
    """Three regions that follow each other; one issues licences."""
    async with regions_world(tmp_path, sqlite_urls, count=3, clock=clock, recognition_notice_s=0) as world:
        await furnish(world[A].region)
        await world.settle()
        yield world


async def published(region: Region, n: int = 1) -> tuple[Issued, str]:
    """Issue a licence and wait until its status is served, no later than the log; gives it and its receipt."""
    licence = await issued(region, MARKET, food(n))
    receipt = await receipt_of(region, licence.entry, wait=True)
    await cases.trusted(region)
    path = path_of(int(parse(licence.licence).status_uri.rpartition("/")[2]))
    for _ in range(400):
        if region.files.exists(path):
            await followed_peers.published(region)
            return licence, receipt
        await asyncio.sleep(0.02)
    raise AssertionError("the status list was never served")


def judged(made: Made, region: Region, licence: Issued, receipt: str, later: timedelta = timedelta()) -> Verdict:
    """The verdict of a window that has the kit, the root and nothing else."""
    root, at = fingerprint(region.root_certificate), region.clock.now() + later
    kit = open_kit(made.data, root, at)
    try:
        return verify(
            licence.licence,
            trust=kit.trust,
            status=kit.status,
            receipt=receipt,
            at=at,
            policy=Policy(root=root),
            peers=kit.peers,
        ).verdict
    except NotVerified as refused:
        return refused.verdict


async def test_a_kit_checks_licences_of_its_own_region(world: RegionsWorld) -> None:
    """Made beside the running service from what it serves."""
    region = world[A].region
    licence, receipt = await published(region)
    made = await make_kit(region)

    assert [each.region for each in made.kit.manifest.regions] == [B, C]
    assert made.kit.faults == ()
    assert len(made.kit.checkpoints) == 3
    verdict = judged(made, region, licence, receipt)
    assert verdict.outcome is Outcome.VALID, verdict.findings
    late = judged(made, region, licence, receipt, timedelta(days=20))
    assert late.outcome is Outcome.UNDETERMINED


async def test_a_kit_carries_what_peers_published(world: RegionsWorld) -> None:
    """B's kit holds A's list and status; without an equivalence the licence counts for nothing there, and says why."""
    a, b = world[A].region, world[B].region
    licence, receipt = await published(a)
    await world[B].following.step()
    made = await make_kit(b, [A])

    assert [view.trust.region for view in made.kit.peers] == [A]
    assert made.kit.peers[0].logged is True
    assert any(status.root == fingerprint(a.root_certificate) for status in made.kit.status)
    assert judged(made, b, licence, receipt).reasons == (Reason.EQUIVALENCE_MISSING,)
    assert grace_table(made.kit.trust, made.kit.peers, made.kit.status, b.clock.now()) == ()


async def test_a_kit_judges_licences_of_peers_until_the_grace_is_over(
    world: RegionsWorld, clock: cases.ShiftedClock
) -> None:
    """With an equivalence A's licence is valid at B's window; revoked in A, it is not by the next kit."""
    a, b = world[A].region, world[B].region
    await furnish(b)
    kind = {"type": FOOD, "major": 1}
    await equivalences.declare(b, OPERATOR, {"peer": A, "their": kind, "ours": kind})
    clock.ahead = timedelta(seconds=2)
    licence, receipt = await published(a)
    await world.settle()
    made = await make_kit(b, None, [FOOD])

    assert [each.region for each in made.kit.manifest.regions] == [A]
    verdict = judged(made, b, licence, receipt)
    assert verdict.outcome is Outcome.VALID, verdict.findings
    assert verdict.recognition is not None and verdict.recognition.peer == A
    rows = grace_table(made.kit.trust, made.kit.peers, made.kit.status, b.clock.now(), [FOOD])
    [until] = [row.until for row in rows if row.region == A]
    assert until is not None
    late = judged(made, b, licence, receipt, until - b.clock.now() + timedelta(seconds=2))
    assert late.outcome is Outcome.UNDETERMINED

    await cases.upheld(a, cases.target(licence.id))
    await a.status.pulse.stop()
    await a.status.step()
    await followed_peers.published(a)  # a list that is ahead of the log counts once the log was followed as far
    await world[B].following.step()
    fell = judged(await make_kit(b, [A]), b, licence, receipt)
    assert (fell.outcome, fell.reasons) == (Outcome.INVALID, (Reason.SUSPENDED,))  # it can still be appealed


async def test_versions_of_kits_rise(world: RegionsWorld, clock: cases.ShiftedClock) -> None:
    """A later kit has a later version, so a window can refuse to go back."""
    first = await make_kit(world[B].region)
    clock.ahead = timedelta(minutes=1)
    second = await make_kit(world[B].region)

    assert second.kit.manifest.version > first.kit.manifest.version


async def test_a_kit_names_only_what_there_is(world: RegionsWorld) -> None:
    """Regions that are no peers, and types that nobody issues, are refused by name."""
    region = world[A].region
    with pytest.raises(Refusal) as no_peer:
        await make_kit(region, ["990000"])
    with pytest.raises(Refusal) as no_type:
        await make_kit(region, None, ["X" * 21])

    assert (no_peer.value.code, no_type.value.code) == (Code.PEER_UNKNOWN, Code.TYPE_UNKNOWN)
    assert (await make_kit(region, [A])).kit.peers == ()
    assert (await make_kit(region, None, [FOOD])).kit.manifest.regions == ()


async def test_a_suspended_peer_is_left_out_unless_asked_for(world: RegionsWorld) -> None:
    """And where it is asked for, its licences are undetermined by that kit."""
    a, b = world[A].region, world[B].region
    licence, receipt = await published(a)
    await world[B].following.step()
    await peers.suspend(b, OPERATOR, A, "示例原因")
    assert await b.trust.settled(20)

    assert [each.region for each in (await make_kit(b)).kit.manifest.regions] == [C]
    asked = await make_kit(b, [A])
    assert Reason.PEER_SUSPENDED in judged(asked, b, licence, receipt).reasons


async def test_a_kit_is_signed_by_the_key_in_force(world: RegionsWorld) -> None:
    """After a rotation the next kit has the new key, which its own trust list names."""
    region = world[A].region
    before = await make_kit(region)
    await keys_registry.rotate(region, OPERATOR, None, "statement")
    assert await region.trust.settled(20)
    after = await make_kit(region)

    assert after.kit.manifest.trust_seq > before.kit.manifest.trust_seq


async def test_what_is_known_of_a_peers_log_goes_into_the_kit(world: RegionsWorld) -> None:
    """A peer that could not be reached when the kit was made is named so, with what was fetched before."""
    world[B].road.cut.add(A)
    await world[B].following.step()
    made = await make_kit(world[B].region, [A])

    [row] = made.kit.manifest.regions
    assert (row.region, row.watch) == (A, Watch.UNREACHABLE)
    assert row.checked_at is not None
    assert made.kit.peers[0].watch is Watch.UNREACHABLE
