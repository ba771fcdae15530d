"""Witnesses in the same process, honest and otherwise, and the road on which a region reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger import witness_policies, witness_states
from ledger.clock import Clock, SystemClock
from ledger.cosigning import FILE, Cosigner
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.region import Region
from ledger.trust_publishing import LATEST, payload_of
from tests.region import OPERATOR, region_on
from tests.verifiers.log_world import Signing, ed25519, mldsa
from verifiers.add_checkpoint import origin_hash, parse_request
from verifiers.checkpoint import Checkpoint, SignedCheckpoint, message, open_checkpoint, parse_checkpoint
from verifiers.errors import ProofFailed
from verifiers.merkle import EMPTY_ROOT, check_consistency
from verifiers.note import KeyType, SignatureLine, parse_note, signature_line
from verifiers.witness_policy import PolicyWitness, WitnessPolicy, format_policy

Answering = Callable[[bytes], "Answer"]


def line_of(signing: Signing, head: Checkpoint, at: int) -> SignatureLine:
    """Cosign `head` at a POSIX time."""
    key, sign = signing
    return signature_line(key, sign(message(key, head.to_text(), at)), at)


@dataclass
class Witness:
    """An honest C2SP witness; `answer` may be replaced by something less honest, which is awaited before anything."""

    name: str
    keys: tuple[Signing, ...]
    clock: Clock = field(default_factory=SystemClock)
    size: int = 0
    root: bytes = EMPTY_ROOT
    asked: list[int] = field(default_factory=list)
    shown: str | None = None
    instead: Callable[[bytes], Any] | None = None

    @property
    def url(self) -> str:
        """Its submission prefix."""
        return f"https://{self.name}"

    async def post(self, body: bytes) -> Answer:
        """Answer `POST …/add-checkpoint`."""
        request = parse_request(body)
        self.asked.append(request.old)
        if self.instead is not None:
            return await self.instead(body)  # type: ignore[no-any-return]
        return self.honest(body)

    def honest(self, body: bytes) -> Answer:
        """Check and cosign as the specification says."""
        request = parse_request(body)
        head = parse_checkpoint(parse_note(request.note_text).text)
        if request.old != self.size:
            return Answer(409, f"{self.size}\n".encode(), None, "text/x.tlog.size")
        try:
            check_consistency(request.old, self.root, head.size, head.root, list(request.proof))
        except ProofFailed:
            return Answer(422, b"")
        self.size, self.root = head.size, head.root
        return Answer(200, self.cosign(head))

    def cosign(self, head: Checkpoint) -> bytes:
        """Give the cosignature lines of all its keys."""
        at = int(self.clock.now().timestamp())
        return "".join(line_of(key, head, at).to_text() for key in self.keys).encode()


class Road(Outside):
    """Leads to witnesses by their address; everything else is out of reach."""

    def __init__(self, *witnesses: Witness) -> None:
        self.witnesses = {one.url: one for one in witnesses}
        self.cut: set[str] = set()

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch the checkpoint that a witness shows."""
        witness = self._of(url)
        name = url.removeprefix(f"{witness.url}/").removesuffix("/checkpoint")
        if witness.shown is None or name != origin_hash(witness.shown.split("\n")[0]):
            return Answer(404, b"")
        return Answer(200, witness.shown.encode())

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Ask for a cosignature."""
        answer = await self._of(url.removesuffix("/add-checkpoint")).post(body)
        if len(answer.body) > limit:
            raise Unreachable(f"an answer longer than {limit} bytes")
        return answer

    async def close(self) -> None:
        """Nothing is open."""

    def _of(self, url: str) -> Witness:
        found = next((one for base, one in self.witnesses.items() if url.startswith(base)), None)
        if found is None or found.name in self.cut:
            raise Unreachable("nobody answers there")
        return found


def witness(letter: str, seed: int, *, quantum: bool = False, clock: Clock | None = None) -> Witness:
    """A witness with an Ed25519 key, and an ML-DSA key beside it if asked for."""
    name = f"{letter}.witness.example"
    keys = [ed25519(name, seed, KeyType.ED25519_COSIGNATURE)]
    if quantum:
        keys.append(mldsa(name, seed + 100))
    return Witness(name, tuple(keys), clock or SystemClock())


def policy_text(quorum: int, *witnesses: Witness) -> str:
    """The policy file that asks for `quorum` of `witnesses`."""
    rows = tuple(
        PolicyWitness(one.name, tuple(key for key, _ in one.keys), one.url, counts=quorum > 0) for one in witnesses
    )
    return format_policy(WitnessPolicy(rows, quorum))


async def watch(region: Region, quorum: int, *witnesses: Witness) -> None:
    """Put the policy in force."""
    await witness_policies.set_policy(region, OPERATOR, {"policy": policy_text(quorum, *witnesses)})


async def grow(region: Region) -> int:
    """Append an entry that changes nothing, wait until it is published, and give the size."""
    text = format_policy(witness_policies.policy_of(region.catalogue))
    await witness_policies.set_policy(region, OPERATOR, {"policy": text})
    return await at_rest(region)


async def at_rest(region: Region) -> int:
    """Wait until everything committed is published, and give the size."""
    await region.trust.settled(10)
    size: int = (await region.figures())["size"]
    async with asyncio.timeout(10):
        await region.publisher.published(size - 1)
    return size


@asynccontextmanager
async def watched_region(
    database_url: str,
    folder: Path,
    *witnesses: Witness,
    quorum: int = 1,
    clock: Clock | None = None,
    timeout_s: float = 5.0,
    crash_after: str | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[Region, Cosigner, Road]]:
    """A region whose log is watched by `witnesses`; rounds happen when the test says `step`."""
    async with region_on(database_url, folder, clock=clock, **{"witness_interval_ms": 400, **changes}) as region:
        road = Road(*witnesses)
        cosigner = Cosigner(region, road, timeout_s=timeout_s)
        region.cosigner = cosigner
        if witnesses:
            await watch(region, quorum, *witnesses)
        await at_rest(region)
        yield region, cosigner, road


def shown(region: Region, path: str = FILE) -> SignedCheckpoint | None:
    """The public file as a verifier with the policy in force opens it."""
    data = region.files.read(path)
    return None if data is None else open_checkpoint(data, region.log_policy)


def of(cosigner: Cosigner, one: Witness) -> witness_states.WitnessState:
    """What is known of a witness."""
    return cosigner._known[one.name]


async def whole_round(cosigner: Cosigner) -> None:
    """One round, and the answers of those too that are not waited for."""
    await cosigner.step()
    await asyncio.gather(*cosigner._asking.values())
    await cosigner._gather([])
    await cosigner._look_around()


def ahead(cosigner: Cosigner) -> bool:
    """Whether our clock is ahead of what the witnesses say."""
    return cosigner.clock_ahead


async def trust_of(region: Region) -> dict[str, Any]:
    """What the newest trust list says."""
    assert await region.trust.settled(10)
    text = region.files.read(LATEST)
    assert text is not None
    return payload_of(text.decode())


def ends(document: dict[str, Any]) -> list[int]:
    """The sizes at which the terms of keys ended."""
    return sorted(key["log_to"]["size"] for key in document["keys"] if "log_to" in key)


async def silent(_: bytes) -> Answer:
    """Answer nothing useful."""
    return Answer(503, b"")
