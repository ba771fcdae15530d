"""Receipts, bundles and trust lists: what the ledger hands out is accepted by the verifier everybody has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from keys.certificates import fingerprint
from ledger import acts, grants, keys_registry, receipts
from ledger import region as regions
from ledger.bundles import bundle_of
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.receipts import receipt_of, receipts_of
from ledger.region import Region
from ledger.tables.publishing import checkpoints
from ledger.trust_publishing import FOLDER, LATEST, catalogue_position, newest, payload_of, trust_list_at
from tests.ledger import licensing
from tests.ledger.test_acts import body as act_body
from tests.region import OPERATOR
from verifiers.bundle import parse_bundle
from verifiers.checkpoint import LogPolicy
from verifiers.note import NoteKey
from verifiers.policy import Policy
from verifiers.receipt import check_receipt, parse_receipt
from verifiers.trust_list import TrustList, open_trust_list
from verifiers.verdict import NotVerified, Outcome
from verifiers.verification import verify

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region with departments, types and grants, on each engine."""
    async with licensing.licensing_region(database_url, tmp_path, clock=ManualClock(NOON)) as region:
        yield region


def policy(region: Region) -> LogPolicy:
    """Demand every key of the region's log."""
    return LogPolicy(region.origin, tuple(NoteKey.from_text(vkey) for vkey in region.vkeys))


async def settled(region: Region) -> TrustList:
    """Wait until trust list and status lists speak of everything that was committed, and open the trust list."""
    for _ in range(400):
        await asyncio.sleep(0.02)
        row = await region.database.read(newest)
        served = region.files.read(LATEST)
        if row is None or served != row.list.encode() or row.idx >= region.publisher.size:
            continue
        if await region.database.read(catalogue_position) < row.idx:
            pinned = fingerprint(region.root_certificate)
            return open_trust_list(row.list, root_fingerprint=pinned, at=region.clock.now())
    raise AssertionError("no trust list was served within eight seconds")


def outcome(bundle: bytes, root: Policy, at: datetime) -> Outcome:
    """Verify a bundle with nothing else at hand."""
    try:
        return verify(bundle, trust=None, at=at, policy=root).verdict.outcome
    except NotVerified as refused:
        return refused.verdict.outcome


async def test_a_receipt_opens_the_entry_under_every_log_key(region: Region) -> None:
    """Inclusion, both signatures and the commitment are checked by the public verifier."""
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))

    opened = check_receipt(await receipt_of(region, issued.entry, wait=True), policy(region))

    assert opened.index == issued.entry
    assert (opened.leaf.kind, opened.leaf.by) == ("licence.issued", licensing.MARKET)


async def test_every_entry_has_a_receipt_under_one_checkpoint(region: Region) -> None:
    """Many receipts at once end in the same note; entries without a document have one too."""
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    await region.publisher.published(issued.entry)

    texts = await receipts_of(region, range(issued.entry + 1))

    assert [check_receipt(text, policy(region)).index for text in texts] == list(range(issued.entry + 1))
    assert len({parse_receipt(text).checkpoint for text in texts}) == 1


async def test_those_who_wait_together_get_each_their_own(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look serves all; who left, and an entry that cannot be read, are nobody else's matter."""
    issued = [await licensing.issued(region, licensing.MARKET, licensing.food(number)) for number in range(1, 6)]
    await region.publisher.published(issued[-1].entry)
    looks: list[list[int]] = []
    compose = receipts.receipts_of

    async def counted(of: Region, indexes: Sequence[int]) -> list[str]:
        looks.append(list(indexes))
        return await compose(of, indexes)

    monkeypatch.setattr(regions, "receipts_of", counted)
    waiting = [asyncio.create_task(receipt_of(region, each.entry, wait=True)) for each in issued]
    missing = asyncio.create_task(region.receipts.ask(10_000))
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting[1:], missing, return_exceptions=True)

    opened = [check_receipt(text, policy(region)).index for text in found[:-1] if isinstance(text, str)]
    assert opened == [each.entry for each in issued[1:]]
    assert isinstance(found[-1], Refusal) and found[-1].code is Code.RECORD_UNKNOWN
    assert sorted(looks[0]) == sorted([*(each.entry for each in issued), 10_000])


async def test_a_receipt_can_end_in_an_older_checkpoint(region: Region) -> None:
    """Protocol 16: what a retired key signed is shown under the tree in which its term ended."""
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    note = await region.publisher.published(issued.entry)
    size = int(note.split("\n")[1])
    later = await licensing.issued(region, licensing.MARKET, licensing.food(2))
    await region.publisher.published(later.entry)

    opened = check_receipt(await receipt_of(region, issued.entry, size=size), policy(region))

    assert opened.checkpoint.size == size < region.publisher.size


async def test_what_has_no_receipt_is_refused_by_its_own_reason(region: Region) -> None:
    """An entry there is not, one not published yet, and a tree nobody signed are told apart."""
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    note = await region.publisher.published(issued.entry)
    await region.publisher.pulse.stop()
    unpublished = await licensing.issued(region, licensing.MARKET, licensing.food(2))
    size = int(note.split("\n")[1])

    for idx, wanted, code in (
        (unpublished.entry + 1, None, Code.RECORD_UNKNOWN),
        (unpublished.entry, None, Code.RECEIPT_PENDING),
        (unpublished.entry, size, Code.RECEIPT_PENDING),
        (issued.entry, 10_000, Code.CHECKPOINT_UNKNOWN),
    ):
        with pytest.raises(Refusal) as refused:
            await receipt_of(region, idx, size=wanted)
        assert refused.value.code is code


async def test_a_bundle_is_valid_offline_until_the_licence_falls(region: Region) -> None:
    """Nothing but the bundle and the pinned root is needed; a new bundle after an act says so and
    carries its receipt.
    """
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    await settled(region)
    root = Policy(root=fingerprint(region.root_certificate))

    data = await bundle_of(region, issued.id)
    assert outcome(data, root, region.clock.now()) is Outcome.VALID

    answer = await acts.act(region, licensing.actor(licensing.MARKET), issued.id, act_body("suspend"))
    await region.publisher.published(answer["entry"])
    for _ in range(200):
        await asyncio.sleep(0.02)
        data = await bundle_of(region, issued.id)
        if outcome(data, root, region.clock.now()) is not Outcome.VALID:
            break
    assert outcome(data, root, region.clock.now()) is Outcome.INVALID
    assert len(parse_bundle(data).events) == 1


async def test_a_licence_signed_by_a_retired_key_stays_valid(region: Region) -> None:
    """After a rotation the bundle ends in the tree that the trust list names for the old key (protocol 16, 17)."""
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    kid = region.catalogue.active_key(licensing.MARKET, "licence").kid
    await region.publisher.published(issued.entry)
    await keys_registry.rotate(region, OPERATOR, licensing.MARKET, "licence")
    for _ in range(50):
        trust = await settled(region)
        if (key := trust.key(kid)) is not None and key.log_to is not None:
            break
    assert key is not None and key.log_to is not None

    size = key.log_to.size
    data = await bundle_of(region, issued.id)

    assert parse_receipt(parse_bundle(data).receipt).checkpoint.split("\n")[1] == str(size)
    verify(data, trust=None, at=region.clock.now(), policy=Policy(root=fingerprint(region.root_certificate)))
    pinned = select(checkpoints.c.pinned).where(checkpoints.c.size == size)
    assert await region.database.read(lambda tx: tx.execute(pinned).scalar_one())


async def test_a_licence_under_a_grant_that_ended_stays_valid(region: Region) -> None:
    """When the department may issue no more, the bundle ends in the tree in which its grant ended
    (protocol 16, 18a).
    """
    issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    scope = (licensing.MARKET, licensing.FOOD, 1)
    for grant in region.catalogue.open_grants(*scope):
        await grants.end(region, OPERATOR, grant.id)
    for _ in range(50):
        trust = await settled(region)
        ends = [row.log_to for row in trust.grants(*scope)]
        if None not in ends:
            break

    data = await bundle_of(region, issued.id)

    assert outcome(data, Policy(root=fingerprint(region.root_certificate)), region.clock.now()) is Outcome.VALID
    assert int(parse_receipt(parse_bundle(data).receipt).checkpoint.split("\n")[1]) in [end.size for end in ends if end]


async def test_trust_lists_follow_one_another_and_each_is_in_the_log(region: Region) -> None:
    """Every version is served under its number, names the one before it, and has a receipt."""
    trust = await settled(region)
    rows = await region.database.read(lambda tx: [trust_list_at(tx, seq) for seq in range(1, trust.document.seq + 1)])

    prev = None
    for row in rows:
        document = open_trust_list(row.list, root_fingerprint=None, at=NOON).document
        opened = check_receipt(await receipt_of(region, row.idx, wait=True), policy(region))
        assert (document.seq, document.prev, opened.leaf.kind) == (row.seq, prev, "trust.published")
        prev = bytes(row.digest)
    served = [region.files.read(f"{FOLDER}/{row.seq}") for row in rows]
    assert served == [row.list.encode() for row in rows]


async def test_the_trust_list_says_what_the_catalogue_says(region: Region) -> None:
    """Departments, their keys, grants, types and log keys are all there, each with its position."""
    trust = await settled(region)
    document = trust.document

    assert {row.id for row in document.departments} >= {licensing.MARKET, licensing.HOUSING, licensing.EDUCATION}
    assert {row.purpose for row in document.keys} == {"licence", "code", "statement", "status", "list", "peer"}
    assert {(row.department, row.type) for row in document.grants} >= {(licensing.MARKET, licensing.FOOD)}
    assert all(row.area == "61" for row in document.grants)
    assert document.logs[0].keys == region.vkeys
    assert {row.code for row in document.types} >= {licensing.FOOD, licensing.DIPLOMA}


async def test_a_trust_list_is_renewed_before_it_gets_stale_and_not_before(region: Region) -> None:
    """Half of its freshness is left when the next version comes; without news or age there is none."""
    await settled(region)
    await region.trust.pulse.stop()
    clock = region.clock
    assert isinstance(clock, ManualClock)
    before = await region.database.read(newest)

    assert not await region.trust.publish_if_due()
    clock.advance(region.config.trust_list_ttl_s // 2)
    assert await region.trust.publish_if_due()

    after = await region.database.read(newest)
    assert after.seq == before.seq + 1
    assert payload_of(after.list)["iat"] == int(clock.now().timestamp())


async def test_of_two_processes_that_publish_a_version_one_is_told_it_was_late(region: Region) -> None:
    """The head lock decides: numbers are never given twice."""
    await settled(region)
    await region.trust.pulse.stop()
    clock = region.clock
    assert isinstance(clock, ManualClock)
    clock.advance(region.config.trust_list_ttl_s)
    before = await region.database.read(newest)

    done = await asyncio.gather(region.trust.publish_if_due(), region.trust.publish_if_due())

    assert sorted(done) == [False, True]
    assert (await region.database.read(newest)).seq == before.seq + 1
