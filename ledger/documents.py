"""Licence documents: from checked values to signed SD-JWT VC, static code and draft, many at a time.

Issuing, import and every new version pass through `draft_documents`: three calls to sign for a whole batch (licences,
codes, statements), whatever its size. The record of a document keeps the licence in pieces, each with the holder it
is about, so that `compact_of` writes it again byte for byte and erasing one holder leaves the rest
(docs/formats/record.md).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from keys.signer import Signer
from ledger.catalogue import Catalogue, Department, LicenceType, RegisteredKey
from ledger.drafting import Unsigned, sign_drafts
from ledger.errors import Code, Refusal
from ledger.events import Draft, Event, SubjectPart
from ledger.status_slots import Slot
from verifiers.code import CodePayload, build_code, code_text, cut_name, sig_structure
from verifiers.commitment import code_digest, jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.licence import Face, Holder, Imported, build, header_segment
from verifiers.licence import Unsigned as UnsignedLicence
from verifiers.sd_jwt import join

if TYPE_CHECKING:
    from ledger.workplace import Workplace

_FIRST_CODE_DAY = date(2000, 1, 1)
"""The static code counts days from here; what began earlier began on this day as far as the code says."""


@dataclass(frozen=True, slots=True)
class HolderValue:
    """One holder with the subject it was resolved to; `introduction` goes into the record of a new subject."""

    subject: str
    kind: str
    name: str
    id_type: str
    id: str
    role: str | None
    share: str | None
    introduction: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Everything one version of a licence says, checked and with its slot; `facts` are the event's own besides."""

    event: str
    kind: str
    thing: str
    n: int
    secret: bytes = field(repr=False)
    type: LicenceType
    area: str
    version: int
    serial: str
    identifier: str
    holders: tuple[HolderValue, ...]
    fields: dict[str, Any]
    number: str | None
    object: str | None
    issued_on: date
    valid_from: date
    valid_until: date | None
    slot: Slot
    imported: Imported | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Issuer:
    """The keys and names under which a department issues at one state of the catalogue; made once a batch."""

    department: Department
    licence_key: RegisteredKey
    code_key: RegisteredKey
    statement_key: RegisteredKey
    header: str
    region: str

    @classmethod
    def of(cls, catalogue: Catalogue, department: str, region: str) -> Issuer:
        """Take what `department` signs with now. Raises `Refusal` department.closed, key.unknown, key.certificate."""
        found = catalogue.active_department(department)
        licence, code, statement = (
            catalogue.active_key(department, purpose) for purpose in ("licence", "code", "statement")
        )
        if licence.certificate is None:
            raise Refusal(Code.KEY_CERTIFICATE, None, key=f"{department}/licence")
        return cls(found, licence, code, statement, header_segment(licence.certificate), region)

    def check(self, catalogue: Catalogue) -> None:
        """Refuse when these are no longer the keys in force. Raises `Refusal` stale, department.closed."""
        catalogue.active_department(self.department.id)
        for key in (self.licence_key, self.code_key, self.statement_key):
            if catalogue.active_key(self.department.id, key.purpose).kid != key.kid:
                raise Refusal(Code.STALE)


@dataclass(frozen=True, slots=True)
class Signed:
    """A document ready for the log, and what the caller will be given once it is there."""

    document: Document
    draft: Draft
    compact: str
    cose: bytes


async def draft_documents(region: Workplace, issuer: Issuer, documents: Sequence[Document], iat: int) -> list[Signed]:
    """Build and sign `documents` of one department. Raises `Refusal` stale where its keys changed meanwhile."""
    signers = [_signer(region, key) for key in (issuer.licence_key, issuer.code_key, issuer.statement_key)]
    kid = issuer.code_key.key.key_id[:8]
    licences, payloads = [], []
    for position, document in enumerate(documents):
        licences.append(build(_face(document, issuer, iat), header=issuer.header))
        payloads.append(_code_payload(document, issuer))
        if position % 32 == 31:
            await asyncio.sleep(0)  # single requests get their turn between the rows of a batch
    structures = [sig_structure(payload, kid) for payload in payloads]
    licence_signatures, code_signatures = await asyncio.gather(
        signers[0].sign([licence.signing_input for licence in licences]), signers[1].sign(structures)
    )
    events, results = [], []
    for document, licence, signature, payload, structure, code_signature in zip(
        documents, licences, licence_signatures, payloads, structures, code_signatures, strict=True
    ):
        cose = build_code(payload, kid, code_signature)
        compact = licence.compact(signature)
        events.append(_unsigned(document, issuer, licence, compact, cose, structure))
        results.append((document, compact, cose))
    drafts = await sign_drafts(region.origin, events, signers[2])
    return [
        Signed(document, draft, compact, cose) for (document, compact, cose), draft in zip(results, drafts, strict=True)
    ]


def _signer(region: Workplace, key: RegisteredKey) -> Signer:
    signer = region.signer(key.department, key.purpose)
    if signer.public_key.kid != key.kid:
        raise Refusal(Code.STALE)
    return signer


def _face(document: Document, issuer: Issuer, iat: int) -> Face:
    definition = document.type.definition
    # One call for all seeds: asking the system for randomness costs more than most other steps of a licence.
    count = 1 + len(document.holders)
    random = secrets.token_bytes(32 * count)
    seeds = [random[at : at + 32] for at in range(0, 32 * count, 32)]
    return Face(
        iss=issuer.department.iss,
        vct=document.type.vct,
        vct_integrity=document.type.integrity,
        iat=iat,
        identifier=document.identifier,
        version=document.version,
        region=issuer.region,
        issued_on=document.issued_on,
        valid_from=document.valid_from,
        valid_until=document.valid_until,
        status_uri=document.slot.uri,
        status_idx=document.slot.idx,
        holders=tuple(
            Holder(each.kind, each.name, each.id_type, each.id, seed, each.role, each.share)
            for each, seed in zip(document.holders, seeds[1:], strict=True)
        ),
        fields=document.fields,
        seed=seeds[0],
        number=document.number,
        object=document.object,
        always_shown=definition.always_shown,
        imported=document.imported,
    )


def _code_payload(document: Document, issuer: Issuer) -> CodePayload:
    name, cut = cut_name(document.holders[0].name)
    return CodePayload(
        type_number=document.type.num,
        issuer_number=issuer.department.num,
        version=document.version,
        valid_from=max(document.valid_from, _FIRST_CODE_DAY),
        valid_until=document.valid_until,
        list_number=document.slot.list_num,
        status_idx=document.slot.idx,
        serial=document.serial,
        name=name,
        name_cut=cut,
        several_holders=len(document.holders) > 1,
    )


def _unsigned(
    document: Document, issuer: Issuer, licence: UnsignedLicence, compact: str, cose: bytes, structure: bytes
) -> Unsigned:
    definition = document.type.definition
    facts: dict[str, Any] = {
        **document.facts,
        "type": definition.code,
        "major": definition.major,
        "minor": definition.minor,
        "department": issuer.department.id,
        "area": document.area,
        "version": document.version,
        "identifier": document.identifier,
        "serial": document.serial,
        "issued_on": document.issued_on.isoformat(),
        "valid_from": document.valid_from.isoformat(),
        "valid_until": None if document.valid_until is None else document.valid_until.isoformat(),
        "slot": {"list": document.slot.list_num, "idx": document.slot.idx},
        "kids": {"licence": issuer.licence_key.kid, "code": issuer.code_key.kid},
        "holders": [
            {"subject": each.subject, "kind": each.kind} | ({"role": each.role} if each.role else {})
            for each in document.holders
        ],
    }
    return Unsigned(
        kind=document.kind,
        by=issuer.department.id,
        event=document.event,
        thing=document.thing,
        n=document.n,
        secret=document.secret,
        facts=facts,
        subjects=_parts(document, licence, compact, cose),
        jws_digest=jws_digest(licence.signing_input),
        code_digest=code_digest(structure),
    )


def _parts(document: Document, licence: UnsignedLicence, compact: str, cose: bytes) -> tuple[SubjectPart, ...]:
    """The personal parts: with the first holder the token itself, its common disclosures and the code."""
    parts = []
    for position, (holder, disclosures) in enumerate(zip(document.holders, licence.by_holder, strict=True)):
        body: dict[str, Any] = {"disclosures": list(disclosures), **holder.introduction}
        if position == 0:
            token = compact[: compact.index("~")]
            body["token"] = token[token.index(".") + 1 :]
            body["common"] = list(licence.common)
            body["code"] = b64u_encode(cose)
            body.update(document.extra)
        parts.append(SubjectPart(holder.subject, body))
    return tuple(parts)


def compact_of(event: Event, catalogue: Catalogue) -> str:
    """Write the licence of a document event again, byte for byte, without the disclosures of erased holders.

    Raises `Refusal` licence.erased where the first holder's part, and with it the token, is gone.
    """
    first = event.subjects[0]
    if first is None:
        raise Refusal(Code.LICENCE_ERASED, None, licence=event.thing)
    certificate = catalogue.keys[event.facts["kids"]["licence"]].certificate
    if certificate is None:
        raise Refusal(Code.RECORD_DAMAGED, None, why="its key has no certificate")
    disclosures = list(first.body["common"])
    for part in event.subjects:
        if part is not None:
            disclosures += part.body.get("disclosures", ())
    return join(f"{header_segment(certificate)}.{first.body['token']}", tuple(disclosures))


def cose_of(event: Event) -> bytes:
    """Return the bytes of the static code of a document event. Raises `Refusal` licence.erased."""
    first = event.subjects[0]
    if first is None:
        raise Refusal(Code.LICENCE_ERASED, None, licence=event.thing)
    return b64u_decode(first.body["code"])


def code_of(event: Event, base_url: str) -> str:
    """Return the text of the static code of a document event. Raises `Refusal` licence.erased."""
    return code_text(base_url, cose_of(event))
