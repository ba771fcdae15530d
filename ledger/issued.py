"""What a caller gets for a licence that is in the log, now or when the same request comes again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from ledger.documents import Signed, compact_of, cose_of
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.history import load_event
from ledger.proposals import Committed, Replayed
from verifiers.code import code_text
from verifiers.licence import parse

if TYPE_CHECKING:
    from ledger.region import Region


@dataclass(slots=True)  # not frozen: made for every row
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


@dataclass(slots=True)  # not frozen: made for every row
class Given:
    """What a caller will be given once the licence has its entry; never before."""

    id: str
    identifier: str
    version: int
    licence: str = field(repr=False)
    cose: bytes = field(repr=False)
    status_uri: str
    status_idx: int

    def at(self, entry: int, base_url: str) -> Issued:
        """Return the answer, now that the licence is at `entry`."""
        return Issued(
            self.id,
            self.identifier,
            self.version,
            self.licence,
            self.cose,
            entry,
            self.status_uri,
            self.status_idx,
            base_url,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The bytes of an answer, ready but for the number of the entry between them."""

    before: bytes = field(repr=False)
    after: bytes = field(repr=False)

    def at(self, entry: int, base_url: str) -> Answered:  # noqa: ARG002 - as in `Given`
        """Return the answer, now that the licence is at `entry`."""
        return Answered(entry, b"%b%d%b" % (self.before, entry, self.after))


@dataclass(frozen=True, slots=True)
class Answered:
    """A licence that is in the log at `entry`, and the bytes that tell its caller so."""

    entry: int
    answer: bytes = field(repr=False)


def given_of(signed: Signed) -> Given:
    """Return what the caller will be given for a signed document."""
    document = signed.document
    slot = document.slot
    return Given(document.thing, document.identifier, document.version, signed.compact, signed.cose, slot.uri, slot.idx)


def written(given: Given, named: dict[str, Any], base_url: str) -> Written:
    """Write out what `Issued.to_json` gives, after the members of `named`, as one line but for the entry's number."""
    document = named | {
        "id": given.id,
        "identifier": given.identifier,
        "version": given.version,
        "licence": given.licence,
        "code": code_text(base_url, given.cose),
    }
    rest = {
        "receipt": f"{base_url}/v1/licences/{given.id}/receipt",
        "status": {"uri": given.status_uri, "idx": given.status_idx},
    }
    return Written(orjson.dumps(document)[:-1] + b',"entry":', b"," + orjson.dumps(rest)[1:] + b"\n")


async def answer_to(region: Region, signed: Signed, answer: Committed | Refusal | Replayed) -> Issued | Refusal:
    """Turn the writer's answer into the caller's."""
    if isinstance(answer, Refusal):
        return answer
    if isinstance(answer, Replayed):
        return await issued_before(region, answer.idx)
    return given_of(signed).at(answer.first, region.base_url)


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
