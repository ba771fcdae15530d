"""A thief has the keys of one region: what stands and what falls there and at its peer, on line and off.

Region A loses keys, region B follows A and recognises its food licences. Three witnesses watch A's log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from keys.certificates import fingerprint
from keys.memory_store import MemoryKeyStore
from keys.private_key import PrivateKey
from keys.signer import Signer
from ledger import equivalences, keys_registry, misbehaviour
from ledger.bundles import bundle_of
from ledger.cosigning import Cosigner
from ledger.issued import Issued
from ledger.kits import make_kit
from ledger.log_signing import LogSigner
from ledger.receipts import counting_size, receipt_of
from ledger.region import Region
from ledger.region_keys import LOG_KEYS
from ledger.tables.log import entries
from ledger.trust_publishing import LATEST
from ledger.verifying import OnlineVerifier
from tests.journeys.test_stolen_key import as_it_is, dated_back, forged
from tests.ledger import cases, licensing
from tests.ledger.followed_peers import state_of
from tests.ledger.liars import Liar
from tests.ledger.licensing import FOOD, MARKET
from tests.ledger.witnesses import Road as WitnessRoad
from tests.ledger.witnesses import Witness, at_rest, watch, witness
from tests.region import OPERATOR
from tests.regions import Place, RegionsWorld, admit, regions_world
from verifiers import merkle
from verifiers.bundle import parse_bundle
from verifiers.checkpoint import Checkpoint, parse_checkpoint
from verifiers.commitment import NO_DOCUMENT, Opening, commit, doc_hash, jws_digest
from verifiers.entry import Leaf, encode
from verifiers.jws import compact
from verifiers.kit import open_kit
from verifiers.peer_view import Watch
from verifiers.policy import Policy
from verifiers.receipt import compose, parse_receipt
from verifiers.trust_list import header_segment, open_trust_list, signing_input
from verifiers.verdict import NotVerified, Verdict
from verifiers.verification import verify

A, B = "610000", "620000"
Told = tuple[str, set[str]]
VALID: Told = ("valid", set())
REFRESH: Told = ("undetermined", {"receipt.refresh"})
FALLEN: Told = ("invalid", {"key.compromised"})
UNPROVEN: Told = ("undetermined", {"receipt.missing", "key.compromised"})


@dataclass
class Robbed:
    """Both regions, A's witnesses, and the clock they share."""

    world: RegionsWorld
    clock: cases.ShiftedClock
    cosigner: Cosigner
    thief: Signer

    @property
    def a(self) -> Region:
        """The region that is robbed."""
        return self.world[A].region

    @property
    def b(self) -> Place:
        """The region next to it."""
        return self.world[B]

    async def licence(self, n: int) -> tuple[Issued, str]:
        """Issue a licence in A and have it cosigned; gives it with the receipt its holder took home."""
        issued = await licensing.issued(self.a, MARKET, licensing.food(n))
        for _ in range(100):
            await at_rest(self.a)
            await self.cosigner.step()
            if self.cosigner.size > issued.entry:
                break
            await asyncio.sleep(0.05)
        return issued, await receipt_of(self.a, issued.entry)

    async def found_out(self, since: datetime) -> None:
        """A says that the licence key was in other hands; the witnesses see that, B hears of it."""
        await keys_registry.compromise(self.a, OPERATOR, self.thief.public_key.kid, since=since)
        await self.announced(self.thief.public_key.kid)

    async def announced(self, kid: str) -> None:
        """Wait until A's list tells of the compromise, and let B look."""
        for _ in range(100):
            await self.cosigner.step()
            await self.a.trust.settled(1)
            await self.b.following.step()
            key = None if (seen := self.b.following.trust_list(A)) is None else seen.key(kid)
            if key is not None and key.revoked is not None and key.log_to is not None:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("B never heard of it")
        await self.a.status.pulse.stop()
        await self.a.status.step()
        for _ in range(2):
            await self.b.following.step()

    async def home(self, presented: str, receipt: str | None) -> Told:
        """The verdict of an offline verifier in A, with what A publishes now."""
        text = _read(self.a, LATEST)
        root = fingerprint(self.a.root_certificate)
        trust = open_trust_list(text, root_fingerprint=root, at=self.clock.now())
        kit = await make_kit(self.a, regions=[])
        return self._judged(presented, receipt, trust=trust, status=kit.kit.status, root=root)

    async def abroad(self, presented: str, receipt: str | None) -> tuple[Told, Told]:
        """The verdicts at a window of B: by its service, and without network by B's kit."""
        on_line = told(await OnlineVerifier(self.b.region).verdict(presented, receipt))
        root = fingerprint(self.b.region.root_certificate)
        kit = open_kit((await make_kit(self.b.region)).data, root, self.clock.now())
        given = {"trust": kit.trust, "status": kit.status, "peers": kit.peers}
        return on_line, self._judged(presented, receipt, root=root, **given)

    def _judged(self, presented: str, receipt: str | None, *, root: str, **inputs: Any) -> Told:
        try:
            policy = Policy(root=root)
            return told(verify(presented, receipt=receipt, at=self.clock.now(), policy=policy, **inputs).verdict)
        except NotVerified as refused:
            return told(refused.verdict)

    async def everywhere(self, presented: str, receipt: str | None) -> set[tuple[str, frozenset[str]]]:
        """What all those say who judge by lists and receipts alone."""
        found = [await self.home(presented, receipt), *await self.abroad(presented, receipt)]
        return {(outcome, frozenset(reasons)) for outcome, reasons in found}


def told(verdict: Verdict) -> Told:
    """Outcome and reasons."""
    return verdict.outcome.value, {reason.value for reason in verdict.reasons}


def one(expected: Told) -> set[tuple[str, frozenset[str]]]:
    """The same answer from everybody."""
    return {(expected[0], frozenset(expected[1]))}


def _read(region: Region, path: str) -> str:
    data = region.files.read(path)
    assert data is not None
    return data.decode("ascii")


@asynccontextmanager
async def robbed_world(
    folder: Path, urls: Callable[[str], str], *, watched: bool = True, demands: bool = False
) -> AsyncIterator[Robbed]:
    """A with its witnesses and B, which may name A's witnesses itself."""
    clock = cases.ShiftedClock()
    witnesses = [witness(letter, seed, clock=clock) for seed, letter in enumerate("abc", 1)]
    async with regions_world(folder, urls, clock=clock, recognition_notice_s=0, witness_interval_ms=400) as world:
        for place in world:
            await licensing.furnish(place.region)
        a, b = world[A].region, world[B].region
        a.cosigner = cosigner = Cosigner(a, WitnessRoad(*witnesses))
        if watched:
            await watch(a, 2, *witnesses)
        if demands:
            await admit(b, a, witnesses={"k": 2, "keys": [_row(each) for each in witnesses]})
        await world.settle()
        kind = {"type": FOOD, "major": 1}
        await equivalences.declare(b, OPERATOR, {"peer": A, "their": kind, "ours": kind, "fields": {"items": "items"}})
        clock.ahead = timedelta(seconds=2)
        await world.settle()
        yield Robbed(world, clock, cosigner, a.signer(MARKET, "licence"))


def _row(one: Witness) -> dict[str, str]:
    return {"name": one.name, "url": one.url, "vkey": one.keys[0][0].to_text()}


async def fork_of(region: Region, fake: str, keep: int) -> str:
    """A receipt for a forgery in a second past of the log: its first `keep` entries, the forgery, both log keys."""
    query = select(entries.c.bytes).where(entries.c.idx < keep).order_by(entries.c.idx)
    leaves = [bytes(row) for row in await region.database.read(lambda tx: tx.execute(query).scalars().all())]
    salt, record = bytes(32), bytes([1]) * 32
    digest = jws_digest(fake.partition("~")[0].rpartition(".")[0].encode())
    committed = commit(doc_hash(salt, digest, NO_DOCUMENT), record)
    at = region.clock.now().replace(microsecond=0) - timedelta(days=30)
    leaf = encode(Leaf("licence.issued", at, MARKET, bytes(16), committed, merkle.leaf_hash(leaves[-1])))
    hashes = [merkle.leaf_hash(each) for each in (*leaves, leaf)]

    def read(nodes: Any) -> list[bytes]:
        return [merkle.root(hashes[node.number << node.level : (node.number + 1) << node.level]) for node in nodes]

    signer = LogSigner(region.origin, tuple(region.store.signer(name) for name in LOG_KEYS))
    note = await signer.sign(Checkpoint(region.origin, keep + 1, merkle.root(hashes)), int(at.timestamp()))
    path = merkle.prove_inclusion(keep, keep + 1, read)
    return compose(Opening(salt, digest, NO_DOCUMENT, record, leaf), keep, path, note)


@pytest.mark.parametrize("demands", [False, True], ids=["witnesses declared", "witnesses demanded"])
async def test_at_home_and_abroad_the_log_tells_old_from_new(
    tmp_path: Path, sqlite_urls: Callable[[str], str], demands: bool
) -> None:
    """What a quorum had seen before the theft stands in both regions; nothing else that the key signed does."""
    async with robbed_world(tmp_path, sqlite_urls, demands=demands) as there:
        early, taken_home = await there.licence(1)
        there.clock.ahead += timedelta(minutes=5)
        since = there.clock.now()
        there.clock.ahead += timedelta(minutes=5)
        late, after = await there.licence(2)
        fakes = [await forged(there.thief, early.licence, change) for change in (as_it_is, dated_back)]
        newest = await receipt_of(there.a, early.entry)
        await there.found_out(since)

        size = await there.a.database.read(lambda tx: counting_size(tx, there.a.catalogue, there.a.origin, early.entry))
        refreshed = await receipt_of(there.a, early.entry, size=size)
        bundle = (await bundle_of(there.a, early.id)).decode()
        assert parse_receipt(parse_bundle(bundle.encode()).receipt).checkpoint == parse_receipt(refreshed).checkpoint

        for receipt in (refreshed, taken_home):
            assert await there.everywhere(early.licence, receipt) == one(VALID)
        assert await there.everywhere(bundle, None) == one(VALID)
        assert await there.everywhere(early.licence, newest) == one(REFRESH)
        assert await there.everywhere(late.licence, after) == one(FALLEN)
        for fake in fakes:
            assert await there.everywhere(fake, None) == one(UNPROVEN)
            for outcome, reasons in await there.everywhere(fake, refreshed):
                assert outcome == "invalid" and "receipt.opening" in reasons
            below = await fork_of(there.a, fake, keep=early.entry)
            grade = {"receipt.grade"} if demands else set()
            assert await there.home(fake, below) == REFRESH
            assert await there.abroad(fake, below) == (("undetermined", REFRESH[1] | grade),) * 2
            beyond = await fork_of(there.a, fake, keep=parse_checkpoint_size(refreshed))
            assert await there.home(fake, beyond) == FALLEN
            assert "key.compromised" in (await there.abroad(fake, beyond))[0][1]

        on_line = OnlineVerifier(there.a)
        assert told(await on_line.verdict(early.licence)) == VALID
        assert told(await on_line.verdict(late.licence)) == FALLEN
        for fake in fakes:
            assert "ledger.unknown" in told(await on_line.verdict(fake))[1]


def parse_checkpoint_size(receipt: str) -> int:
    """The size of the tree in which a receipt ends."""
    return parse_checkpoint(parse_receipt(receipt).checkpoint.partition("\n\n")[0] + "\n").size


async def test_where_nobody_watched_the_verdicts_say_so(tmp_path: Path, sqlite_urls: Callable[[str], str]) -> None:
    """The log's own word stands in: an honest licence is valid with a note, here and abroad."""
    async with robbed_world(tmp_path, sqlite_urls, watched=False) as there:
        issued = await licensing.issued(there.a, MARKET, licensing.food(1))
        await there.a.publisher.published(issued.entry)
        await there.a.trust.settled(10)
        there.clock.ahead += timedelta(minutes=5)
        await keys_registry.compromise(there.a, OPERATOR, there.thief.public_key.kid, since=there.clock.now())
        for _ in range(100):
            await there.a.trust.settled(1)
            await there.b.following.step()
            key = there.b.following.views()[0].trust.key(there.thief.public_key.kid)
            if key is not None and key.revoked is not None:
                break
        bundle = (await bundle_of(there.a, issued.id)).decode()
        verdict = await OnlineVerifier(there.b.region).verdict(bundle)
        assert "witness.none" in verdict.notes and "key.compromised" not in verdict.reasons


async def test_a_stolen_list_key_is_replaced_and_signs_nothing_more_abroad(
    tmp_path: Path, sqlite_urls: Callable[[str], str]
) -> None:
    """The root certifies the next list key, which B follows at once; a list of the old one is refused with evidence."""
    async with robbed_world(tmp_path, sqlite_urls) as there:
        early, _ = await there.licence(1)
        stolen = there.a.signer(None, "list")
        status = there.a.signer(None, "status").public_key.kid
        assert stolen.certificate is not None and isinstance(there.a.store, MemoryKeyStore)
        copy = PrivateKey.from_pkcs8(there.a.store._private[stolen.public_key.kid].pkcs8())
        header = header_segment(stolen.public_key.kid, stolen.certificate, there.a.root_certificate)
        past = there.b.following.views()[0].trust.document
        for kid in (stolen.public_key.kid, status):
            await keys_registry.compromise(there.a, OPERATOR, kid, since=there.clock.now())
            await there.announced(kid)

        [seen] = there.b.following.views()
        assert state_of(there.b)["state"] == Watch.FOLLOWED, state_of(there.b)
        assert seen.trust.document.seq > past.seq
        receipt = await receipt_of(there.a, early.entry)
        assert await there.abroad(early.licence, receipt) == (VALID, VALID)

        keys = [each for each in seen.trust.document.keys if each.public_key.kid != stolen.public_key.kid]
        again = next(each for each in past.keys if each.public_key.kid == stolen.public_key.kid)
        forgery = replace(seen.trust.document, seq=seen.trust.document.seq + 1, prev=seen.trust.digest)
        message = signing_input(replace(forgery, keys=(*keys, again)), header=header)
        liar = Liar(there.b.road.honest(), {"/trust-list": compact(message, copy.sign(message)).encode()})
        there.b.road.instead[A] = liar
        await there.b.following.step()

        assert state_of(there.b)["state"] == Watch.INCONSISTENT
        detail = state_of(there.b)["detail"]
        assert f"the revocation of key {stolen.public_key.kid} is taken back" in detail
        assert "signed by a list key that the list before calls revoked" in detail
        kept = await there.b.region.database.read(misbehaviour.listed)
        assert [each["kind"] for each in kept] == ["succession"]
        assert there.b.following.views()[0].trust.digest == seen.trust.digest
