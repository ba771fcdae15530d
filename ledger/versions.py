"""New versions of a licence: correct 更正, amend 变更, renew 延续, reissue 补发 (protocol 21b).

A version is a document with identifier, signature and status slot of its own; lineage and causes stay with the licence.
The document it takes the place of is invalid for good from then on, for the reason `superseded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ledger import subjects
from ledger.actors import Actor
from ledger.acts import authorisation
from ledger.bases import BasisFacts, NoCycle, NumberFree, read_bases
from ledger.catalogue import Catalogue, LicenceType
from ledger.composing import holder_values, subject_conditions, take_slots
from ledger.database import Reading
from ledger.documents import Document, Issuer, compact_of, draft_documents
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.field_checks import check_face, check_validity
from ledger.history import load_event
from ledger.issue_requests import (
    BasisRequest,
    HolderRequest,
    parse_bases,
    parse_fields,
    parse_holders,
)
from ledger.issued import Issued, answer_to
from ledger.licence_events import VERSIONED
from ledger.licences import LicenceRow, entry_of, load
from ledger.lineage import BasisSound
from ledger.proposals import Condition, EventCount, IdempotencyKey, Proposal, Replayed, retrying
from ledger.recording import acted, count_of
from ledger.request_members import RequestMembers
from ledger.tables.licences import licences, lineage
from verifiers.identifier import Identifier
from verifiers.legal_dates import day_of
from verifiers.licence import parse

if TYPE_CHECKING:
    from ledger.region import Region

CHANGES: Final = ("correct", "amend", "renew", "reissue")
_LAST_VERSION: Final = 999


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """What is to be different: a field given as `null` goes away, what is not named stays as it was."""

    change: str
    fields: dict[str, Any]
    holders: tuple[HolderRequest, ...]
    number: str | None
    object: str | None
    valid_from: str | None
    valid_until: str | None
    open_ended: bool
    rests_on: tuple[BasisRequest, ...]
    reason: str | None
    document_no: str | None


def parse_version(body: Any) -> VersionRequest:
    """Read the body of `POST /v1/licences/{id}/versions`. Raises `Refusal` request.member_…"""
    open_ended = type(body) is dict and "valid_until" in body and body["valid_until"] is None
    members = RequestMembers(body)
    request = VersionRequest(
        change=members.one_of("change", CHANGES),
        fields=parse_fields(members),
        holders=parse_holders(members) if members.has("holders") or members.has("holder") else (),
        number=members.text("number", 100) if members.has("number") else None,
        object=members.text("object", 500) if members.has("object") else None,
        valid_from=members.day("valid_from") if members.has("valid_from") else None,
        valid_until=members.day("valid_until") if members.has("valid_until") else None,
        open_ended=open_ended,
        rests_on=parse_bases(members),
        reason=members.text("reason", 2000) if members.has("reason") else None,
        document_no=members.text("document_no", 100) if members.has("document_no") else None,
    )
    members.done()
    return request


async def new_version(
    region: Region, actor: Actor, licence: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> Issued:
    """Issue the next version of a licence and return it.

    Raises `Refusal` licence.unknown, licence.other_department, licence.state, licence.erased, grant.exceeded, and all
    that issuing refuses.
    """
    request = parse_version(body)
    outcome = await retrying(lambda: _attempt(region, actor, licence, request, idempotency))
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


@dataclass(frozen=True, slots=True)
class _Before:
    """The licence and its current document as they are; `edges` is what it rests on already."""

    row: LicenceRow
    event: Event
    edges: frozenset[tuple[str, str, str]]
    n: int


@dataclass(frozen=True, slots=True)
class _Face:
    """What the new document says of holders, fields, number, object and validity."""

    holders: tuple[HolderRequest, ...]
    fields: dict[str, Any]
    number: str | None
    object: str | None
    valid_from: str
    valid_until: str | None


async def _attempt(
    region: Region, actor: Actor, licence: str, request: VersionRequest, idempotency: IdempotencyKey | None
) -> Issued | Refusal:
    catalogue, now = region.catalogue, region.clock.now()
    before = await region.database.read(lambda tx: _read(tx, region, licence), cheap=True)
    row = before.row
    authorise = authorisation(actor, row, "change", own_only=True)
    authorise(catalogue)
    if idempotency is None:
        _check_state(row, request, day_of(now))
    if row.current_version >= _LAST_VERSION:
        raise Refusal(Code.VERSION_LIMIT, None, licence=licence)
    issuer = Issuer.of(catalogue, actor.department, region.config.region)
    # A correction keeps the type's major version; its newest minor only adds optional fields.
    found = catalogue.type(row.type, row.major, None)
    face = _merged(compact_of(before.event, catalogue), row, request)
    check_face(found.definition, face.holders, face.fields, face.number, face.object, day_of(now))
    check_validity(found.definition, face.valid_from, face.valid_until)
    if request.change == "renew" and row.valid_until is not None and (face.valid_until or "9") <= row.valid_until:
        raise Refusal(Code.VALIDITY_RULE, "/valid_until", later_than=row.valid_until)
    known, facts = await region.database.read(lambda tx: _look_up(tx, region, face.holders, request.rests_on))
    facts.check(request.rests_on, None, day_of(now).isoformat())
    document = await _document(region, actor, issuer, found, before, request, face, known, now)
    [signed] = await draft_documents(region, issuer, [document], int(now.timestamp()))
    conditions, touches = subject_conditions(document.holders, known)
    checks = _conditions(before, request, document, issuer)

    def still_may(current: Catalogue) -> None:
        authorise(current)
        issuer.check(current)

    proposal = Proposal(
        drafts=[signed.draft],
        touches=frozenset(touches),
        reads=frozenset(each.id for each in request.rests_on),
        conditions=(*checks, *conditions),
        idempotency=idempotency,
        catalogue=catalogue.idx,
        authorise=still_may,
        slots=((document.slot.list_num, document.slot.idx),),
    )
    try:
        return await answer_to(region, signed, await region.writer.append(proposal))
    except Replayed as replayed:
        return await answer_to(region, signed, replayed)


def _read(tx: Reading, region: Region, licence: str) -> _Before:
    row = load(tx, licence)
    event = load_event(tx, region.vault, entry_of(tx, licence))
    found = tx.execute(select(lineage).where(lineage.c.child_licence == licence))
    edges = frozenset((each.parent_kind, each.parent_id, each.basis) for each in found)
    return _Before(row, event, edges, count_of(tx, licence))


def _look_up(
    tx: Reading, region: Region, holders: Sequence[HolderRequest], bases: Sequence[BasisRequest]
) -> tuple[dict[subjects.Number, subjects.Known], BasisFacts]:
    numbers = {(holder.id_type, holder.id) for holder in holders}
    return subjects.resolve(tx, region.vault, numbers), read_bases(tx, bases, ())


def _check_state(row: LicenceRow, request: VersionRequest, today: date) -> None:
    """A licence that fell gets no new document; one that has run out can only be renewed."""
    state = row.state_on(today)
    if row.state != "valid" or (state == "expired" and request.change != "renew"):
        raise Refusal(Code.LICENCE_STATE, None, state=state)


def _merged(compact: str, row: LicenceRow, request: VersionRequest) -> _Face:
    """Put what the request changes over what the current document says."""
    claims = parse(compact).claims
    fields = {name: value for name, value in (claims["fields"] | request.fields).items() if value is not None}
    holders = request.holders or tuple(_holder_of(each) for each in claims["holders"])
    until = None if request.open_ended else request.valid_until or row.valid_until
    return _Face(
        holders=holders,
        fields=fields,
        number=request.number or claims.get("number"),
        object=request.object or claims.get("object"),
        valid_from=request.valid_from or row.valid_from,
        valid_until=until,
    )


def _holder_of(claims: dict[str, Any]) -> HolderRequest:
    if "id" not in claims or "name" not in claims:
        raise Refusal(Code.LICENCE_ERASED, "/holders")
    return HolderRequest(
        kind=claims["kind"],
        name=claims["name"],
        id_type=claims["id_type"],
        id=claims["id"],
        role=claims.get("role"),
        share=claims.get("share"),
    )


async def _document(
    region: Region,
    actor: Actor,
    issuer: Issuer,
    found: LicenceType,
    before: _Before,
    request: VersionRequest,
    face: _Face,
    known: dict[subjects.Number, subjects.Known],
    now: datetime,
) -> Document:
    row = before.row
    until = None if face.valid_until is None else date.fromisoformat(face.valid_until)
    [slot] = await take_slots(region, [until])
    version = row.current_version + 1
    wanted = [{"kind": each.kind, "id": each.id, "basis": each.basis} for each in request.rests_on]
    facts: dict[str, Any] = {
        **acted(actor),
        "change": request.change,
        "supersedes": row.current_version,
        "rests_on": [each for each in wanted if (each["kind"], each["id"], each["basis"]) not in before.edges],
    }
    if request.document_no is not None:
        facts["document_no"] = request.document_no
    return Document(
        event=VERSIONED,
        kind="licence.issued",
        thing=row.id,
        n=before.n,
        secret=row.secret,
        type=found,
        area=row.area,
        version=version,
        serial=row.serial,
        identifier=Identifier(row.type, issuer.department.id, row.serial, version).text,
        holders=holder_values(face.holders, known, set()),
        fields=face.fields,
        number=face.number,
        object=face.object,
        issued_on=day_of(now),
        valid_from=date.fromisoformat(face.valid_from),
        valid_until=until,
        slot=slot,
        facts=facts,
        extra={"reason": request.reason} if request.reason else {},
    )


def _conditions(before: _Before, request: VersionRequest, document: Document, issuer: Issuer) -> list[Condition]:
    row = before.row
    checks: list[Condition] = [EventCount(row.id, before.n), StillValid(row.id, row.current_version)]
    checks += [BasisSound(each.kind, each.id) for each in request.rests_on]
    if parents := tuple(each.id for each in request.rests_on if each.kind == "licence"):
        checks.append(NoCycle(row.id, parents))
    if issuer.department.id != row.issuer:
        # A successor writes the serial under its own name, where somebody may have had it before.
        checks.append(NumberFree(row.type, issuer.department.id, document.serial))
    return checks


@dataclass(frozen=True, slots=True)
class StillValid:
    """Condition of a new version: the licence has not fallen, and this is still its current version. licence.state."""

    licence: str
    version: int

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[StillValid]) -> dict[StillValid, Refusal]:
        """Read the licences concerned in one query."""
        wanted = {condition.licence for condition in conditions}
        query = select(licences.c.id, licences.c.state, licences.c.current_version).where(licences.c.id.in_(wanted))
        found = {row.id: row for row in tx.execute(query)}
        refused: dict[StillValid, Refusal] = {}
        for each in conditions:
            row = found.get(each.licence)
            if row is None or row.state != "valid":
                refused[each] = Refusal(Code.LICENCE_STATE, None, state="unknown" if row is None else row.state)
            elif row.current_version != each.version:
                refused[each] = Refusal(Code.STALE)
        return refused
