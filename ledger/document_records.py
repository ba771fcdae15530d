"""What a record keeps of a licence document: what it was built from and its signatures, not the document itself.

Salts follow from seeds (protocol 35), so the licence and its static code are built again from the record, byte for
byte, whenever they are wanted. The part about the first holder carries what is common to all; of the others it knows
the digests of their disclosures only, so that it builds the licence without those who were erased. Nothing here may
ever build an old document differently: a change is a new number in `BUILDS` (docs/formats/record.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple, Protocol

from ledger.catalogue import Catalogue
from ledger.errors import Code, Refusal
from ledger.events import SubjectPart
from verifiers.code import CodePayload, cut_name
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.licence import ErasedHolder, Face, Holder, Imported, Unsigned

BUILD: Final = 1
"""How documents are built now; every record says how its own was."""

SEED_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64
_FIRST_CODE_DAY: Final = date(2000, 1, 1)
"""The static code counts days from here; what began earlier began on this day as far as the code says."""

Numbers = tuple[int, int]
"""The small numbers of type and department in the static code."""


class Record(Protocol):
    """What documents are built from: the facts of an event and its personal parts, such as an `Event` has."""

    @property
    def facts(self) -> dict[str, Any]:
        """What its statement says."""
        ...

    @property
    def subjects(self) -> tuple[SubjectPart | None, ...]:
        """Its personal parts, `None` for one that was erased."""
        ...


class Opened(NamedTuple):
    """A record by itself, without its place in the log."""

    facts: dict[str, Any]
    subjects: tuple[SubjectPart | None, ...]

    def __repr__(self) -> str:
        """Leave out what may be personal."""
        return f"Opened({len(self.subjects)} subjects)"


def bodies_of(face: Face, unsigned: Unsigned, numbers: Numbers, uri: str, signatures: bytes) -> list[dict[str, Any]]:
    """Return what each holder's part keeps of the licence, signed by `signatures`: licence's and code's, 64 bytes each.

    `uri` is where the status list is unless the record says otherwise, as `status_uri` gives it.
    """
    bodies = []
    for position, holder in enumerate(face.holders):
        if not isinstance(holder, Holder) or (position == 0 and holder.seed != face.seed):
            raise ValueError("a document is recorded with all its holders, the first under the licence's own seed")
        said = {"id": holder.id, "id_type": holder.id_type, "name": holder.name}
        if holder.share is not None:
            said["share"] = holder.share
        if position:
            bodies.append({"holder": said, "seed": b64u_encode(holder.seed)})
            continue
        body: dict[str, Any] = {
            "build": BUILD,
            "fields": dict(face.fields),
            "holder": said,
            "iat": face.iat,
            "keys": b64u_encode(face.seed + signatures),
            "numbers": list(numbers),
            "region": face.region,
        }
        if face.number is not None:
            body["number"] = face.number
        if face.object is not None:
            body["object"] = face.object
        if face.status_uri != uri:
            body["status_uri"] = face.status_uri
        if len(face.holders) > 1:
            body["others"] = [list(digests) for digests in unsigned.holder_digests[1:]]
        bodies.append(body)
    return bodies


def signatures_of(event: Record) -> tuple[bytes, bytes]:
    """Return the signatures of licence and static code. Raises `Refusal` licence.erased, record.damaged."""
    _, licence, code = _keys(_first(event))
    return licence, code


def face_of(event: Record, catalogue: Catalogue) -> Face:
    """Return what the licence of a document event was built from, erased holders without what they showed.

    Raises `Refusal` licence.erased where the first holder's part is gone, record.damaged where it was built otherwise.
    """
    first, facts = _first(event), event.facts
    seed, _, _ = _keys(first)
    found = catalogue.type_version(facts["type"], facts["major"], facts["minor"])
    department = catalogue.department(facts["department"])
    uri = first.get("status_uri") or status_uri(department.iss, department.id, facts["slot"]["list"])
    return Face(
        iss=department.iss,
        vct=found.vct,
        vct_integrity=found.integrity,
        iat=first["iat"],
        identifier=facts["identifier"],
        version=facts["version"],
        region=first["region"],
        issued_on=date.fromisoformat(facts["issued_on"]),
        valid_from=date.fromisoformat(facts["valid_from"]),
        valid_until=_day(facts["valid_until"]),
        status_uri=uri,
        status_idx=facts["slot"]["idx"],
        holders=tuple(_holder(event, first, position, seed) for position in range(len(facts["holders"]))),
        fields=first["fields"],
        seed=seed,
        number=first.get("number"),
        object=first.get("object"),
        always_shown=found.definition.always_shown,
        imported=_imported(facts.get("imported")),
    )


def code_payload_of(event: Record) -> CodePayload:
    """Return what the static code of a document event says. Raises `Refusal` licence.erased, record.damaged."""
    first, facts = _first(event), event.facts
    return code_payload(
        tuple(first["numbers"]),
        facts["version"],
        date.fromisoformat(facts["valid_from"]),
        _day(facts["valid_until"]),
        (facts["slot"]["list"], facts["slot"]["idx"]),
        facts["serial"],
        first["holder"]["name"],
        several=len(facts["holders"]) > 1,
    )


def code_payload(
    numbers: Numbers,
    version: int,
    valid_from: date,
    valid_until: date | None,
    slot: tuple[int, int],
    serial: str,
    first_holder: str,
    *,
    several: bool,
) -> CodePayload:
    """Return what a static code says; `slot` is list number and index."""
    name, cut = cut_name(first_holder)
    return CodePayload(
        type_number=numbers[0],
        issuer_number=numbers[1],
        version=version,
        valid_from=max(valid_from, _FIRST_CODE_DAY),
        valid_until=valid_until,
        list_number=slot[0],
        status_idx=slot[1],
        serial=serial,
        name=name,
        name_cut=cut,
        several_holders=several,
    )


def status_uri(iss: str, department: str, list_num: int) -> str:
    """Return where a list is served whose licences name the department `iss`: below the same address."""
    return f"{iss.removesuffix(f'/d/{department}')}/status-lists/{list_num}"


def _first(event: Record) -> Mapping[str, Any]:
    """Return the part about the first holder."""
    first = event.subjects[0]
    if first is None:
        raise Refusal(Code.LICENCE_ERASED, None, licence=str(event.facts["thing"]))
    if first.body.get("build") != BUILD:
        raise Refusal(Code.RECORD_DAMAGED, None, why="its document was built in a way that is not known here")
    return first.body


def _keys(first: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    keys = b64u_decode(first["keys"], SEED_SIZE + 2 * _SIGNATURE_SIZE)
    return keys[:SEED_SIZE], keys[SEED_SIZE:-_SIGNATURE_SIZE], keys[-_SIGNATURE_SIZE:]


def _holder(event: Record, first: Mapping[str, Any], position: int, seed: bytes) -> Holder | ErasedHolder:
    stated, part = event.facts["holders"][position], event.subjects[position]
    if part is None:
        return ErasedHolder(stated["kind"], tuple(first["others"][position - 1]), stated.get("role"))
    said = part.body["holder"]
    theirs = seed if position == 0 else b64u_decode(part.body["seed"], SEED_SIZE)
    share = said.get("share")
    return Holder(stated["kind"], said["name"], said["id_type"], said["id"], theirs, stated.get("role"), share)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _imported(facts: Mapping[str, Any] | None) -> Imported | None:
    if facts is None:
        return None
    return Imported(
        facts["issuer"], date.fromisoformat(facts["issued_on"]), facts["assurance"], tuple(facts["warnings"])
    )
