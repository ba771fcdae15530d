"""Composing one licence: what was asked, checked against type and grant, becomes a document and then a proposal.

Issuing many, importing and every new version share the pieces. Nothing here signs or writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ledger import subjects
from ledger.actors import Actor
from ledger.bans import NotBanned
from ledger.bases import BasisFacts, NumberFree, read_bases
from ledger.catalogue import Catalogue, LicenceType, covers
from ledger.database import Reading
from ledger.documents import Document, HolderValue, Issuer, Signed
from ledger.errors import Code, Refusal
from ledger.field_checks import check_face, check_validity
from ledger.grants import area_of
from ledger.ids import new_id
from ledger.issue_requests import HolderRequest, IssueRequest
from ledger.licence_events import ISSUED
from ledger.lineage import BasisSound
from ledger.proposals import Condition, Proposal
from ledger.status_slots import Slot, half_year
from ledger.type_definition import TypeDefinition
from ledger.vault import Vault
from ledger.workplace import Workplace
from verifiers.identifier import Identifier
from verifiers.identity import expand_citizen_number


@dataclass(slots=True)  # not frozen: made for every row
class Checked:
    """A request that fits its type and grant, before anything was looked up."""

    request: IssueRequest
    type: LicenceType
    area: str
    valid_from: date
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class Authorisation:
    """The check that a department may still do `act` with the keys that signed; a value, so it goes between processes.

    `keys` are purposes and kids. Asked under the head lock where the catalogue has moved on.
    """

    department: str
    keys: tuple[tuple[str, str], ...]
    type: str
    major: int
    area: str
    act: str

    @classmethod
    def of(cls, issuer: Issuer, definition: TypeDefinition, area: str, act: str) -> Authorisation:
        """Make the check for what `issuer` signed."""
        keys = tuple((key.purpose, key.kid) for key in (issuer.licence_key, issuer.code_key, issuer.statement_key))
        return cls(issuer.department.id, keys, definition.code, definition.major, area, act)

    def __call__(self, catalogue: Catalogue) -> None:
        """Raise `Refusal` stale, key.unknown, department.closed or grant.exceeded where it may not any more."""
        catalogue.active_department(self.department)
        for purpose, kid in self.keys:
            if catalogue.active_key(self.department, purpose).kid != kid:
                raise Refusal(Code.STALE)
        catalogue.require(self.department, self.type, self.major, self.area, self.act)


def check_request(catalogue: Catalogue, actor: Actor, request: IssueRequest, today: date) -> Checked:
    """Check a request against its type and the grants. Raises the `Refusal` of the first thing that does not fit."""
    found = catalogue.type(request.type, request.major)
    definition = found.definition
    area = authorised_area(catalogue, request.actor or actor, definition, request.area, "issue")
    check_face(definition, request.holders, request.fields, request.number, request.object, today)
    valid_from = request.valid_from or today.isoformat()
    check_validity(definition, valid_from, request.valid_until)
    until = None if request.valid_until is None else date.fromisoformat(request.valid_until)
    return Checked(request, found, area, date.fromisoformat(valid_from), until)


def authorised_area(catalogue: Catalogue, actor: Actor, definition: TypeDefinition, area: str | None, act: str) -> str:
    """Return the area to act in, which type, grant and the caller's own limits must all contain.

    Raises `Refusal` grant.exceeded, area.invalid.
    """
    scope = (actor.department, definition.code, definition.major)
    area = area or area_of(catalogue, *scope, act)
    catalogue.require(*scope, area, act)
    if not any(covers(each, area) for each in definition.areas):
        raise Refusal(Code.AREA_INVALID, "/area", allowed=list(definition.areas))
    if actor.areas and not any(covers(each, area) for each in actor.areas):
        raise Refusal(Code.AREA_INVALID, "/area", allowed=sorted(actor.areas))
    return area


def look_up(
    tx: Reading, vault: Vault, checked: Sequence[Checked]
) -> tuple[dict[subjects.Number, subjects.Known], BasisFacts]:
    """Look up the holders and what the licences are to rest on, a query each for all of them."""
    requests = [each.request for each in checked]
    numbers = {(holder.id_type, holder.id) for request in requests for holder in request.holders}
    bases = [basis for request in requests for basis in request.rests_on]
    linked = {request.submission for request in requests if request.submission is not None}
    return subjects.resolve(tx, vault, numbers), read_bases(tx, bases, linked)


async def take_slots(place: Workplace, until: Sequence[date | None]) -> list[Slot]:
    """Take a status slot for each document, in the list of the half-year in which it ends."""
    slots: dict[int, Slot] = {}
    by_half: dict[int, list[int]] = {}
    for position, last in enumerate(until):
        by_half.setdefault(half_year(last), []).append(position)
    for positions in by_half.values():
        taken = await place.slots.take(until[positions[0]], len(positions))
        slots.update(zip(positions, taken, strict=True))
    return [slots[position] for position in range(len(until))]


def holder_values(
    holders: Iterable[HolderRequest],
    known: dict[subjects.Number, subjects.Known],
    introduced: set[str],
) -> tuple[HolderValue, ...]:
    """Give each holder the subject it resolved to; the first document of a batch that names a new one introduces it."""
    values = []
    for holder in holders:
        who = known[holder.id_type, holder.id]
        first = who.new and who.subject not in introduced
        introduced.add(who.subject)
        values.append(
            HolderValue(
                subject=who.subject,
                kind=holder.kind,
                name=holder.name,
                id_type=holder.id_type,
                id=holder.id,
                role=holder.role,
                share=holder.share,
                introduction=who.introduction(holder.kind) if first else {},
            )
        )
    return tuple(values)


def document_of(
    checked: Checked,
    issuer: Issuer,
    known: dict[subjects.Number, subjects.Known],
    slot: Slot,
    today: date,
    by: dict[str, str],
    introduced: set[str],
    run: bytes,
) -> Document:
    """Make the first document of a licence whose identifier is of `run`; `introduced` are the subjects that documents
    before it introduce.
    """
    request, definition = checked.request, checked.type.definition
    serial = new_serial(definition, request)
    facts: dict[str, Any] = {**by, "change": "issue", "rests_on": edges(request)}
    if request.submission is not None:
        facts["submission"] = request.submission
    return Document(
        event=ISSUED,
        kind=ISSUED,
        thing=new_id(run),
        n=0,
        secret=secrets.token_bytes(32),
        type=checked.type,
        area=checked.area,
        version=1,
        serial=serial,
        identifier=Identifier(definition.code, issuer.department.id, serial, 1).text,
        holders=holder_values(request.holders, known, introduced),
        fields=request.fields,
        number=request.number,
        object=request.object,
        issued_on=today,
        valid_from=checked.valid_from,
        valid_until=checked.valid_until,
        slot=slot,
        facts=facts,
    )


def new_serial(definition: TypeDefinition, request: IssueRequest) -> str:
    """Return the serial of the identifier: the licence's number, or twenty random characters where it does not fit.

    The identifier stays readable after an erasure, so a person's own identity number is never its serial.
    """
    number = request.number
    own = {expand_citizen_number(holder.id.upper()) for holder in request.holders if holder.kind == "person"}
    if definition.serial_from == "number" and number is not None and expand_citizen_number(number.upper()) not in own:
        return number
    return secrets.token_hex(10).upper()


def edges(request: IssueRequest) -> list[dict[str, str]]:
    """Return what the licence rests on, as the record states it."""
    return [{"kind": each.kind, "id": each.id, "basis": each.basis} for each in request.rests_on]


def proposal_of(
    checked: Checked,
    signed: Signed,
    known: dict[subjects.Number, subjects.Known],
    catalogue: Catalogue,
    rule: Authorisation,
    today: date,
) -> Proposal:
    """Make the proposal for a signed document, with everything it relied on."""
    document, request = signed.document, checked.request
    definition = checked.type.definition
    free = NumberFree(definition.code, signed.draft.by, document.serial)
    conditions: list[Condition] = [free]
    bases = [(each.kind, each.id) for each in request.rests_on]
    if request.submission is not None:
        # A result rests on its submission, whether or not the request says so.
        bases.append(("submission", request.submission))
    conditions += [BasisSound(kind, id_) for kind, id_ in bases]
    conditions += [NotBanned(each.subject, definition.code, today) for each in document.holders]
    found, touches = subject_conditions(document.holders, known)
    return Proposal(
        drafts=[signed.draft],
        touches=frozenset({free.lock, *touches}),
        reads=frozenset(id_ for _, id_ in bases),
        conditions=(*conditions, *found),
        idempotency=request.idempotency,
        catalogue=catalogue.idx,
        authorise=rule,
        slots=((document.slot.list_num, document.slot.idx),),
    )


def subject_conditions(
    holders: Iterable[HolderValue], known: dict[subjects.Number, subjects.Known]
) -> tuple[list[Condition], list[str]]:
    """Return the conditions that new subjects are still new, and what proposals that name them touch."""
    conditions: list[Condition] = []
    touches = []
    for holder in holders:
        who = known[holder.id_type, holder.id]
        if holder.introduction:
            conditions.append(subjects.StillNew(*who.blind))
        elif not who.new:
            continue
        else:  # another document of this batch introduces the subject
            conditions.append(subjects.StillFound(*who.blind, who.subject))
        touches.append(f"subject:{who.blind[0]}:{who.blind[1].hex()}")
    return conditions, touches
