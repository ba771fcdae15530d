"""Licence documents: from checked values to signed SD-JWT VC, static code and draft, many at a time.

Issuing, import and every new version pass through `draft_documents`: three calls to sign for a whole batch (licences,
codes, statements), whatever its size. The record keeps what a document was built from and its signatures, each
holder's part apart; `ledger.document_records` builds it again from them, byte for byte (docs/formats/record.md).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from keys.signer import Signer
from ledger.catalogue import Catalogue, Department, LicenceType, RegisteredKey
from ledger.document_records import (
    SEED_SIZE,
    Record,
    bodies_of,
    code_payload,
    code_payload_of,
    face_of,
    signatures_of,
    status_uri,
)
from ledger.drafting import Unsigned, sign_drafts
from ledger.errors import Code, Refusal
from ledger.events import Draft, SubjectPart
from ledger.status_slots import Slot
from verifiers.code import CodePayload, code_text, sig_structure, signed_code
from verifiers.commitment import code_digest, jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.licence import Face, Holder, Imported, UnverifiedLicence, build, header_segment, parsed, rebuild
from verifiers.licence import Unsigned as UnsignedLicence

if TYPE_CHECKING:
    from ledger.workplace import Workplace


@dataclass(slots=True)  # not frozen: made for every row
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


@dataclass(slots=True)  # not frozen: made for every row
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


@dataclass(slots=True)  # not frozen: made for every row
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
    faces, licences, structures = [], [], []
    # One call for all seeds: asking the system for randomness costs more than most other steps of a licence.
    random, drawn = secrets.token_bytes(SEED_SIZE * sum(len(each.holders) for each in documents)), 0
    for position, document in enumerate(documents):
        end = drawn + SEED_SIZE * len(document.holders)
        face = _face(document, issuer, iat, random[drawn:end])
        drawn = end
        faces.append(face)
        licences.append(build(face, header=issuer.header))
        structures.append(sig_structure(_code_payload(document, issuer), kid))
        if position % 32 == 31:
            await asyncio.sleep(0)  # single requests get their turn between the rows of a batch
    licence_signatures, code_signatures = await asyncio.gather(
        signers[0].sign([licence.signing_input for licence in licences]), signers[1].sign(structures)
    )
    events, results = [], []
    for document, face, licence, signature, structure, code_signature in zip(
        documents, faces, licences, licence_signatures, structures, code_signatures, strict=True
    ):
        parts = _parts(document, issuer, face, licence, signature + code_signature)
        events.append(_unsigned(document, issuer, parts, jws_digest(licence.signing_input), code_digest(structure)))
        results.append((document, licence.compact(signature), signed_code(structure, code_signature)))
    drafts = await sign_drafts(region.origin, events, signers[2])
    return [
        Signed(document, draft, compact, cose) for (document, compact, cose), draft in zip(results, drafts, strict=True)
    ]


def _signer(region: Workplace, key: RegisteredKey) -> Signer:
    signer = region.signer(key.department, key.purpose)
    if signer.public_key.kid != key.kid:
        raise Refusal(Code.STALE)
    return signer


def _face(document: Document, issuer: Issuer, iat: int, random: bytes) -> Face:
    seeds = [random[at : at + SEED_SIZE] for at in range(0, len(random), SEED_SIZE)]
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
            for each, seed in zip(document.holders, seeds, strict=True)
        ),
        # In the order in which they are kept, because they are disclosed in theirs.
        fields=dict(sorted(document.fields.items())),
        seed=seeds[0],
        number=document.number,
        object=document.object,
        always_shown=document.type.definition.always_shown,
        imported=document.imported,
    )


def _code_payload(document: Document, issuer: Issuer) -> CodePayload:
    return code_payload(
        (document.type.num, issuer.department.num),
        document.version,
        document.valid_from,
        document.valid_until,
        (document.slot.list_num, document.slot.idx),
        document.serial,
        document.holders[0].name,
        several=len(document.holders) > 1,
    )


def _unsigned(document: Document, issuer: Issuer, parts: tuple[SubjectPart, ...], jws: bytes, code: bytes) -> Unsigned:
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
        subjects=parts,
        jws_digest=jws,
        code_digest=code,
    )


def _parts(
    document: Document, issuer: Issuer, face: Face, licence: UnsignedLicence, signatures: bytes
) -> tuple[SubjectPart, ...]:
    """The personal parts: of each holder what the licence says of them, with the first also what it says besides."""
    department = issuer.department
    uri = status_uri(department.iss, department.id, document.slot.list_num)
    bodies = bodies_of(face, licence, (document.type.num, department.num), uri, signatures)
    bodies[0].update(document.extra)
    for holder, body in zip(document.holders, bodies, strict=True):
        body.update(holder.introduction)
    return tuple(SubjectPart(holder.subject, body) for holder, body in zip(document.holders, bodies, strict=True))


def compact_of(event: Record, catalogue: Catalogue) -> str:
    """Write the licence of a document event again, byte for byte, without the disclosures of erased holders.

    Raises `Refusal` licence.erased where the first holder's part, and with it the signature, is gone, record.damaged
    where what comes out is not what was signed.
    """
    unsigned, _ = _rebuilt(event, catalogue)
    return unsigned.compact(signatures_of(event)[0])


def licence_of(event: Record, catalogue: Catalogue) -> UnverifiedLicence:
    """Return the same licence as whoever is shown `compact_of` reads it, ready to be judged.

    Raises as that does, and `Malformed` for one that no reader would accept.
    """
    unsigned, face = _rebuilt(event, catalogue)
    return parsed(face, unsigned, signatures_of(event)[0])


def _rebuilt(event: Record, catalogue: Catalogue) -> tuple[UnsignedLicence, Face]:
    face = face_of(event, catalogue)
    certificate = catalogue.keys[event.facts["kids"]["licence"]].certificate
    if certificate is None:
        raise Refusal(Code.RECORD_DAMAGED, None, why="its key has no certificate")
    licence = rebuild(face, header=_header(certificate))
    if b64u_encode(jws_digest(licence.signing_input)) != event.facts["jws"]:
        raise Refusal(Code.RECORD_DAMAGED, None, why="its licence is built otherwise than it was")
    return licence, face


# Thousands of licences share one certificate.
_header = lru_cache(maxsize=256)(header_segment)


def cose_of(event: Record) -> bytes:
    """Write the static code of a document event again. Raises `Refusal` licence.erased, record.damaged."""
    structure = sig_structure(code_payload_of(event), b64u_decode(event.facts["kids"]["code"])[:8])
    if b64u_encode(code_digest(structure)) != event.facts["code"]:
        raise Refusal(Code.RECORD_DAMAGED, None, why="its code is built otherwise than it was")
    return signed_code(structure, signatures_of(event)[1])


def code_of(event: Record, base_url: str) -> str:
    """Return the text of the static code of a document event. Raises `Refusal` licence.erased, record.damaged."""
    return code_text(base_url, cose_of(event))
