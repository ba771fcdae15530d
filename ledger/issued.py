"""What a caller gets for a licence that is in the log, now or when the same request comes again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledger.documents import Signed, compact_of, cose_of
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.history import load_event
from ledger.proposals import Committed, Replayed
from verifiers.code import code_text
from verifiers.licence import parse

if TYPE_CHECKING:
    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class Issued:
    """A licence that is in the log at `entry`: the document, its static code (`cose`), its place in a list."""

    id: str
    identifier: str
    version: int
    licence: str = field(repr=False)
    cose: bytes = field(repr=False)
    entry: int
    status_uri: str
    status_idx: int
    base_url: str

    @property
    def code(self) -> str:
        """The text of the static code, to be printed."""
        return code_text(self.base_url, self.cose)

    def to_json(self, base_url: str) -> dict[str, Any]:
        """Return the answer in the contract's shape, and the text of the code besides."""
        return {
            "id": self.id,
            "identifier": self.identifier,
            "version": self.version,
            "licence": self.licence,
            "code": self.code,
            "entry": self.entry,
            "receipt": f"{base_url}/v1/licences/{self.id}/receipt",
            "status": {"uri": self.status_uri, "idx": self.status_idx},
        }


async def answer_to(region: Region, signed: Signed, answer: Committed | Refusal | Replayed) -> Issued | Refusal:
    """Turn the writer's answer into the caller's."""
    if isinstance(answer, Refusal):
        return answer
    if isinstance(answer, Replayed):
        return await issued_before(region, answer.idx)
    document = signed.document
    return Issued(
        id=document.thing,
        identifier=document.identifier,
        version=document.version,
        licence=signed.compact,
        cose=signed.cose,
        entry=answer.first,
        status_uri=document.slot.uri,
        status_idx=document.slot.idx,
        base_url=region.base_url,
    )


async def issued_before(region: Region, idx: int) -> Issued | Refusal:
    """Write the answer to an earlier, equal request again, from the record of entry `idx`."""
    event = await region.database.read(lambda tx: load_event(tx, region.vault, idx))
    try:
        return issued_of(region, event)
    except Refusal as refusal:
        return refusal if refusal.code is not Code.LICENCE_ERASED else Refusal(Code.ANSWER_ERASED)


def issued_of(region: Region, event: Event) -> Issued:
    """Return what a document event gave its caller. Raises `Refusal` licence.erased."""
    compact = compact_of(event, region.catalogue)
    slot = event.facts["slot"]
    return Issued(
        id=event.thing,
        identifier=event.facts["identifier"],
        version=event.facts["version"],
        licence=compact,
        cose=cose_of(event),
        entry=event.idx,
        status_uri=status_uri_of(compact),
        status_idx=slot["idx"],
        base_url=region.base_url,
    )


def status_uri_of(compact: str) -> str:
    """Return the address of the status list a licence names."""
    return parse(compact).status_uri
