"""Taking over the backlog: licences issued before this ledger, by whomever, as they were (protocol 21).

An import is not an issue. Its document says who issued it and when, how sure we are (`declared` or `checked`), and
which of its numbers do not hold; every verdict shows it. The rule is `strict` (a wrong number is refused) or `lenient`
(it becomes a warning, because honest licences of forty years carry such numbers). One already withdrawn is logged and
its status bit set in the same transaction.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ledger import subjects
from ledger.actors import Actor
from ledger.acts import ActRequest, parse_act
from ledger.bases import NotImported, NumberFree
from ledger.catalogue import Catalogue, LicenceType
from ledger.composing import Authorisation, authorised_area, holder_values, subject_conditions, take_slots
from ledger.documents import Document, Issuer, draft_documents
from ledger.errors import Code, Refusal
from ledger.events import Draft
from ledger.field_checks import LAST_DAY, face_faults
from ledger.ids import new_id, new_run
from ledger.issue_requests import IssueRequest, parse_issue
from ledger.issued import Issued, answer_to
from ledger.issuing import CHUNK, is_stale
from ledger.licence_events import IMPORTED
from ledger.proposals import Condition, IdempotencyKey, Proposal
from ledger.recording import acted
from ledger.request_members import RequestMembers
from ledger.status_slots import Slot
from verifiers.encoding import b64u_encode
from verifiers.identifier import Identifier, identifier_findings, parse_identifier
from verifiers.identity import uscc_findings
from verifiers.legal_dates import day_of
from verifiers.licence import ASSURANCES, Imported

if TYPE_CHECKING:
    from ledger.region import Region

RULES: Final = ("strict", "lenient")
_ATTEMPTS: Final = 4
_MAX_WARNINGS: Final = 32

_NUMBERS: Final = frozenset({Code.HOLDER_NUMBER, Code.NUMBER_INVALID, Code.FIELD_INVALID, Code.FIELD_MISSING})
"""What the lenient rule keeps as a warning: numbers and fields of another time. Anything else is refused as ever."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One licence of the backlog: what issuing would ask for, and how it came to be."""

    face: IssueRequest
    issuer: str
    issued_on: str
    version: int
    identifier: str | None
    earlier: tuple[dict[str, Any], ...]
    assurance: str
    act: ActRequest | None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A row that fits, with its warnings."""

    request: ImportRequest
    type: LicenceType
    area: str
    serial: str
    identifier: str
    warnings: tuple[str, ...]


def parse_import(body: Any, today: date, idempotency: IdempotencyKey | None = None) -> ImportRequest:
    """Read one row of a backlog: the members of an issue, and `issuer`, `issued_on`, `version`, `identifier`,
    `earlier_versions`, `assurance` and, if it was withdrawn, the `act` that did it.

    Raises `Refusal` request.member_…, act.…
    """
    if type(body) is not dict:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "", expected="object")
    own = {name: body[name] for name in _OWN if name in body}
    face = parse_issue({name: value for name, value in body.items() if name not in _OWN})
    members = RequestMembers(own)
    request = ImportRequest(
        face=face,
        issuer=members.text("issuer", 200),
        issued_on=members.day("issued_on"),
        version=members.integer("version", 1, 998) if members.has("version") else 1,
        identifier=members.text("identifier", 160) if members.has("identifier") else None,
        earlier=tuple(members.objects("earlier_versions", _earlier, 100)),
        assurance=members.one_of("assurance", ASSURANCES) if members.has("assurance") else "declared",
        act=parse_act(members.take("act"), today, "/act") if members.has("act") else None,
        idempotency=idempotency,
    )
    members.done()
    if request.issued_on > today.isoformat():
        raise Refusal(Code.IMPORT_INVALID, "/issued_on", today=today.isoformat())
    if face.number is None:
        raise Refusal(Code.REQUEST_MEMBER_MISSING, "/number")
    if request.act is not None and request.act.act == "reinstate":
        raise Refusal(Code.IMPORT_INVALID, "/act/act", why="a licence in force needs no act")
    return request


_OWN: Final = ("issuer", "issued_on", "version", "identifier", "earlier_versions", "assurance", "act")


def _earlier(members: RequestMembers) -> dict[str, Any]:
    return {
        "version": members.integer("version", 1, 998),
        "issued_on": members.day("issued_on"),
        **({"identifier": members.text("identifier", 160)} if members.has("identifier") else {}),
        **({"change": members.text("change", 60)} if members.has("change") else {}),
    }


async def import_licences(
    region: Region, actor: Actor, requests: Sequence[ImportRequest], *, rule: str = "strict"
) -> list[Issued | Refusal]:
    """Take over each licence into the actor's department, and return the outcomes in the same order.

    `rule` is one of `RULES`. A row imported before is refused as import.duplicate unless its key is the same.
    """
    if rule not in RULES:
        raise ValueError(f"no such rule: {rule!r}")
    outcomes: list[Issued | Refusal] = []
    for start in range(0, len(requests), CHUNK):
        outcomes += await _import_chunk(region, actor, requests[start : start + CHUNK], rule)
    return outcomes


async def _import_chunk(
    region: Region, actor: Actor, requests: Sequence[ImportRequest], rule: str
) -> list[Issued | Refusal]:
    outcomes: list[Issued | Refusal] = [Refusal(Code.STALE)] * len(requests)
    waiting = list(range(len(requests)))
    for _ in range(_ATTEMPTS):
        answers = await _attempt(region, actor, [requests[position] for position in waiting], rule)
        for position, answer in zip(waiting, answers, strict=True):
            outcomes[position] = answer
        waiting = [position for position in waiting if is_stale(outcomes[position])]
        if not waiting:
            break
    return outcomes


async def _attempt(
    region: Region, actor: Actor, requests: Sequence[ImportRequest], rule: str
) -> list[Issued | Refusal]:
    catalogue, now = region.catalogue, region.clock.now()
    try:
        issuer = Issuer.of(catalogue, actor.department, region.config.region)
    except Refusal as refusal:
        return [refusal] * len(requests)
    checked = [_checked(catalogue, actor, request, rule, day_of(now)) for request in requests]
    sound = [each for each in checked if isinstance(each, Checked)]
    results = iter(await _import_checked(region, actor, catalogue, issuer, sound, now))
    return [next(results) if isinstance(each, Checked) else each for each in checked]


def _checked(catalogue: Catalogue, actor: Actor, request: ImportRequest, rule: str, today: date) -> Checked | Refusal:
    face = request.face
    try:
        found = catalogue.type(face.type, face.major)
        area = authorised_area(catalogue, actor, found.definition, face.area, "issue")
        warnings = _faults(found, request, rule, today)
        serial, identifier, odd = _identifier(found, request, actor.department)
    except Refusal as refusal:
        return refusal
    if odd and rule == "strict":
        return Refusal(Code.IMPORT_NUMBER, "/identifier", findings=list(odd))
    return Checked(request, found, area, serial, identifier, (*warnings, *odd)[:_MAX_WARNINGS])


def _faults(found: LicenceType, request: ImportRequest, rule: str, today: date) -> list[str]:
    """Refuse what does not fit the type, or keep it as warnings where the rule is lenient and it is only a number."""
    face = request.face
    if face.valid_from is not None and face.valid_until is not None and face.valid_until < face.valid_from:
        raise Refusal(Code.VALIDITY_REVERSED, "/valid_until", valid_from=face.valid_from)
    if (face.valid_until or "") > LAST_DAY:
        raise Refusal(Code.VALIDITY_RULE, "/valid_until", latest=LAST_DAY)
    warnings = []
    for refusal in face_faults(found.definition, face.holders, face.fields, face.number, face.object, today):
        if rule == "strict" or refusal.code not in _NUMBERS:
            number = refusal.code in (Code.HOLDER_NUMBER, Code.NUMBER_INVALID)
            raise Refusal(Code.IMPORT_NUMBER, refusal.pointer, **refusal.facts) if number else refusal
        detail = refusal.facts.get("findings") or [str(refusal.code)]
        warnings += [f"{refusal.pointer}: {finding}" for finding in detail]
    return warnings


def _identifier(found: LicenceType, request: ImportRequest, department: str) -> tuple[str, str, tuple[str, ...]]:
    """Return serial, identifier and what is odd about it: the one on the old paper, or one made now."""
    definition, number = found.definition, request.face.number or ""
    usable = definition.serial_from == "number" and number.isascii() and number.isalnum() and number.upper() == number
    serial = number if usable and len(number) <= 40 else secrets.token_hex(10).upper()
    if request.identifier is None:
        issuer = department if uscc_findings(request.issuer) else request.issuer
        return serial, Identifier(definition.code, issuer, serial, request.version).text, ()
    odd = tuple(f"/identifier: {finding}" for finding in identifier_findings(request.identifier))
    if odd:
        if not all(character.isalnum() or character == "." for character in request.identifier):
            raise Refusal(Code.IMPORT_INVALID, "/identifier")
        return serial, request.identifier.upper(), odd
    parsed = parse_identifier(request.identifier)
    if parsed.type_code != definition.code or parsed.version != request.version:
        raise Refusal(Code.IMPORT_INVALID, "/identifier", why="of another type or version")
    return parsed.serial, request.identifier, ()


async def _import_checked(
    region: Region, actor: Actor, catalogue: Catalogue, issuer: Issuer, checked: Sequence[Checked], now: datetime
) -> list[Issued | Refusal]:
    if not checked:
        return []
    numbers = {(holder.id_type, holder.id) for each in checked for holder in each.request.face.holders}
    known = await region.database.read(lambda tx: subjects.resolve(tx, region.vault, numbers))
    slots = await take_slots(region, [_day(each.request.face.valid_until) for each in checked])
    introduced: set[str] = set()
    run = new_run()
    by = acted(actor)
    macs = [_number_mac(region, each) for each in checked]
    rows = [
        _document(each, known, slot, mac, by, introduced, run)
        for each, slot, mac in zip(checked, slots, macs, strict=True)
    ]
    try:
        signed = await draft_documents(region, issuer, rows, int(now.timestamp()))
    except Refusal as refusal:
        return [refusal] * len(checked)
    proposals = []
    for each, mine, mac in zip(checked, signed, macs, strict=True):
        conditions, touches = subject_conditions(mine.document.holders, known)
        proposals.append(_proposal(each, mine.draft, mac, catalogue, issuer, conditions, touches))
    answers = await region.writer.append_many(proposals)
    pairs = zip(signed, answers, strict=True)
    return list(await asyncio.gather(*(answer_to(region, mine, answer) for mine, answer in pairs)))


def _number_mac(region: Region, checked: Checked) -> bytes:
    face = checked.request.face
    return region.vault.blind(f"number:{face.type}:{checked.request.issuer}", face.number or "")[1]


def _document(
    checked: Checked,
    known: dict[subjects.Number, subjects.Known],
    slot: Slot,
    mac: bytes,
    by: dict[str, str],
    introduced: set[str],
    run: bytes,
) -> Document:
    request, face = checked.request, checked.request.face
    imported = Imported(request.issuer, date.fromisoformat(request.issued_on), request.assurance, checked.warnings)
    state = request.act.act if request.act is not None else "valid"
    facts: dict[str, Any] = {
        **by,
        "change": "import",
        "rests_on": [],
        "issuer": _serial_owner(checked),
        "imported": {
            "issuer": request.issuer,
            "issued_on": request.issued_on,
            "state": state,
            "assurance": request.assurance,
            "warnings": list(checked.warnings),
            "earlier": list(request.earlier),
        },
    }
    if request.act is not None:
        facts["act"] = request.act.facts()
    reason = request.act.reason if request.act is not None else None
    return Document(
        event=IMPORTED,
        kind=IMPORTED,
        thing=new_id(run),
        n=0,
        secret=secrets.token_bytes(32),
        type=checked.type,
        area=checked.area,
        version=request.version,
        serial=checked.serial,
        identifier=checked.identifier,
        holders=holder_values(face.holders, known, introduced),
        fields=face.fields,
        number=face.number,
        object=face.object,
        issued_on=date.fromisoformat(request.issued_on),
        valid_from=date.fromisoformat(face.valid_from or request.issued_on),
        valid_until=_day(face.valid_until),
        slot=slot,
        imported=imported,
        facts=facts,
        extra={"number_mac": b64u_encode(mac)} | ({"reason": reason} if reason else {}),
    )


def _proposal(
    checked: Checked,
    draft: Draft,
    mac: bytes,
    catalogue: Catalogue,
    issuer: Issuer,
    conditions: list[Condition],
    touches: list[str],
) -> Proposal:
    code = checked.type.definition.code
    free = NumberFree(code, _serial_owner(checked), checked.serial)
    fresh = NotImported(checked.request.issuer[:64], code, mac, checked.request.version)

    slot = draft.facts["slot"]
    return Proposal(
        drafts=[draft],
        touches=frozenset({free.lock, f"import:{mac.hex()}", *touches}),
        conditions=(fresh, free, *conditions),
        idempotency=checked.request.idempotency,
        catalogue=catalogue.idx,
        authorise=Authorisation.of(issuer, checked.type.definition, checked.area, "issue"),
        slots=((slot["list"], slot["idx"]),),
    )


def _serial_owner(checked: Checked) -> str:
    """Whose serial it is, as the identifier says; an odd one is kept apart under the first 18 characters it names."""
    parts = checked.identifier.rsplit(".", 4)
    return parts[1][:18] if len(parts) == 5 else checked.identifier[:18]


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
