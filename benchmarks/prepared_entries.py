"""Licences made ready for the log: real documents, records and conditions, sealed, so that only appending is left.

Benchmarks of the append path, of growth and of starting use them: everything behind `Committer.commit` is what a
service does, with its projections. Without `signed` the signatures are zeros, which makes a licence quicker to prepare:
the log, its tree, its projections and its size on disk are the same, and only an audit that checks the
signatures of statements finds it out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, cast

from benchmarks.requests import DIPLOMA, licence
from ledger import subjects
from ledger.bans import NotBanned
from ledger.bases import NumberFree
from ledger.committing import Committer
from ledger.documents import Document, HolderValue, Issuer, draft_documents
from ledger.ids import new_id
from ledger.licence_events import ISSUED
from ledger.lineage import BasisSound
from ledger.proposals import Condition, Proposal
from ledger.sealing import SealedProposal, seal
from ledger.sequencing import Rules
from verifiers.encoding import b64u_encode
from verifiers.identifier import Identifier
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from keys.public_key import PublicKey
    from ledger.region import Region
    from ledger.status_slots import Slot

CHUNK = 256


@dataclass(frozen=True, slots=True)
class _Zeros:
    """Stands in for a signer: the key is the real one, the signatures are not."""

    name: str
    public_key: PublicKey
    certificate: bytes | None

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        return [bytes(64)] * len(messages)


@dataclass(frozen=True, slots=True)
class _Unsigning:
    """What `draft_documents` needs of a region, with signers that do not sign."""

    region: Region

    @property
    def origin(self) -> str:
        return self.region.origin

    def signer(self, department: str | None, purpose: str) -> _Zeros:
        real = self.region.signer(department, purpose)
        return _Zeros(real.name, real.public_key, real.certificate)


async def prepare(
    region: Region,
    department: str,
    numbers: Sequence[int],
    *,
    code: str = DIPLOMA,
    rests_on: Sequence[str] = (),
    signed: bool = True,
) -> list[SealedProposal]:
    """Prepare one licence for each of `numbers`, no two alike, and return what the writer would be given.

    Each holder is another person, so each licence introduces a subject; each rests on the licences `rests_on`.
    """
    catalogue = region.catalogue
    issuer = Issuer.of(catalogue, department, region.config.region)
    maker = region if signed else cast("Region", _Unsigning(region))
    now = int(region.clock.now().timestamp())
    today = day_of(region.clock.now())
    slots = await region.slots.take(None, len(numbers))
    documents = [
        _document(region, issuer, code, number, slot, today, rests_on)
        for number, slot in zip(numbers, slots, strict=True)
    ]
    sealed = []
    for each in await draft_documents(maker, issuer, documents, now):
        document, holder = each.document, each.document.holders[0]
        free = NumberFree(code, department, document.serial)
        blind = region.vault.blind(holder.id_type, holder.id)
        conditions: tuple[Condition, ...] = (
            free,
            *(BasisSound("licence", parent) for parent in rests_on),
            NotBanned(holder.subject, code, today),
            subjects.StillNew(*blind),
        )
        proposal = Proposal(
            drafts=[each.draft],
            touches=frozenset({free.lock, f"subject:{blind[0]}:{blind[1].hex()}"}),
            reads=frozenset(rests_on),
            conditions=conditions,
            catalogue=catalogue.idx,
            slots=((document.slot.list_num, document.slot.idx),),
        )
        sealed.append(seal(proposal, region.vault))
    return sealed


async def append(
    region: Region, department: str, count: int, *, first: int = 0, signed: bool = False, batch: int = CHUNK
) -> None:
    """Append `count` licences from number `first` on, a batch at a time, beside the region's own writer."""
    committer = committer_of(region)
    try:
        for start, stop in spans(first, first + count, batch):
            commit(committer, await prepare(region, department, range(start, stop), signed=signed))
    finally:
        committer.close()


def committer_of(region: Region) -> Committer:
    """Make a committer beside the one of the region's writer; the lock of the head keeps the two apart."""
    rules = Rules(region.origin, region.vault, region.clock, lambda _tx, _idx: region.catalogue)
    return Committer(region.database, rules)


def commit(committer: Committer, sealed: Sequence[SealedProposal]) -> None:
    """Commit one batch. Raises what came of the first that was refused."""
    for outcome in committer.commit(sealed).outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def spans(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces of at most `size`."""
    for low in range(start, stop, size):
        yield low, min(low + size, stop)


def _document(
    region: Region, issuer: Issuer, code: str, number: int, slot: Slot, today: date, rests_on: Sequence[str]
) -> Document:
    request: dict[str, Any] = licence(number)
    holder = request["holder"]
    random = secrets.token_bytes(48)
    key, hmac = region.vault.blind(holder["id_type"], holder["id"])
    introduced = {"introduces": {"kind": "person", "key": key, "hmac": b64u_encode(hmac)}}
    serial = request["number"]
    return Document(
        event=ISSUED,
        kind=ISSUED,
        thing=b64u_encode(random[:16]),
        n=0,
        secret=random[16:],
        type=region.catalogue.type(code, 1),
        area="610000",
        version=1,
        serial=serial,
        identifier=Identifier(code, issuer.department.id, serial, 1).text,
        holders=(
            HolderValue(new_id(), "person", holder["name"], holder["id_type"], holder["id"], None, None, introduced),
        ),
        fields=request["fields"],
        number=serial,
        object=None,
        issued_on=today,
        valid_from=date.fromisoformat(request["valid_from"]),
        valid_until=None,
        slot=slot,
        facts={
            "client": "benchmark",
            "change": "issue",
            "rests_on": [{"kind": "licence", "id": each, "basis": "identity"} for each in rests_on],
        },
    )
