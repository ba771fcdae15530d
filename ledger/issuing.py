"""Issuing licences: one or ten thousand, the same path (authorise → check → resolve → sign → append → answer).

Nothing leaves before the commit. A row that is refused, before or under the head lock, is its own answer and takes
nobody with it; a row whose request was answered before gets that answer again, written anew from the record.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ledger import subjects
from ledger.actors import Actor
from ledger.bans import NotBanned
from ledger.bases import BasisFacts, NumberFree, read_bases
from ledger.catalogue import Catalogue, LicenceType, covers
from ledger.database import Reading
from ledger.documents import Document, HolderValue, Issuer, Signed, draft_documents
from ledger.errors import Code, Refusal
from ledger.field_checks import check_face, check_validity
from ledger.grants import area_of
from ledger.idempotency import find_answers
from ledger.issue_requests import HolderRequest, IssueRequest
from ledger.issued import Issued, answer_to, issued_before
from ledger.licence_events import ISSUED
from ledger.lineage import BasisSound
from ledger.proposals import Condition, Proposal
from ledger.recording import acted
from ledger.status_slots import Slot, half_year
from ledger.type_definition import TypeDefinition
from verifiers.encoding import b64u_encode
from verifiers.identifier import Identifier
from verifiers.identity import expand_citizen_number
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

CHUNK: Final = 256
"""Rows prepared and appended at once: while one chunk is being written the next is being signed."""

TOGETHER: Final = 64
"""Most single requests that are prepared together; so few go before the rows of a batch."""

_AHEAD: Final = 3
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that fits its type and grant, before anything was looked up."""

    request: IssueRequest
    type: LicenceType
    area: str
    valid_from: date
    valid_until: date | None


async def issue(region: Region, actor: Actor, requests: Sequence[IssueRequest]) -> list[Issued | Refusal]:
    """Issue a licence for each request in the actor's department, and return the outcomes in the same order."""
    turns = asyncio.Semaphore(_AHEAD)

    async def chunk(part: Sequence[IssueRequest]) -> list[Issued | Refusal]:
        async with turns:
            return await _issue_chunk(region, actor, part)

    parts = [requests[start : start + CHUNK] for start in range(0, len(requests), CHUNK)]
    done = await asyncio.gather(*(chunk(part) for part in parts))
    return await _or_before(region, requests, [outcome for part in done for outcome in part])


async def _or_before(
    region: Region, requests: Sequence[IssueRequest], outcomes: list[Issued | Refusal]
) -> list[Issued | Refusal]:
    """Answer those who were refused, but had been answered before, as they were then (protocol 9).

    What a request asks for may be no longer allowed, and the licence it once got is still its own.
    """
    slots: dict[bytes, int] = {}
    for position, (request, outcome) in enumerate(zip(requests, outcomes, strict=True)):
        again = request.idempotency
        if isinstance(outcome, Refusal) and again is not None:
            slots[region.vault.idempotency_slot(again.client, again.endpoint, again.key)] = position
    if not slots:
        return outcomes
    known = await region.database.read(lambda tx: find_answers(tx, list(slots)), cheap=True)
    for slot, found in known.items():
        again = requests[slots[slot]].idempotency
        if again is not None and not found.erased and secrets.compare_digest(found.mac, again.mac):
            outcomes[slots[slot]] = await issued_before(region, found.indexes[0])
    return outcomes


async def _issue_chunk(region: Region, actor: Actor, requests: Sequence[IssueRequest]) -> list[Issued | Refusal]:
    """Issue, and prepare again those whom somebody else was a little faster than."""
    outcomes: list[Issued | Refusal] = [Refusal(Code.STALE)] * len(requests)
    waiting = list(range(len(requests)))
    for _ in range(_ATTEMPTS):
        answers = await _attempt(region, actor, [requests[position] for position in waiting])
        for position, answer in zip(waiting, answers, strict=True):
            outcomes[position] = answer
        waiting = [position for position in waiting if is_stale(outcomes[position])]
        if not waiting:
            break
    return outcomes


def is_stale(outcome: object) -> bool:
    """Whether an outcome only says that the state moved on while it was being prepared."""
    return isinstance(outcome, Refusal) and outcome.code is Code.STALE


async def _attempt(region: Region, actor: Actor, requests: Sequence[IssueRequest]) -> list[Issued | Refusal]:
    catalogue, now = region.catalogue, region.clock.now()
    try:
        issuer = Issuer.of(catalogue, actor.department, region.config.region)
    except Refusal as refusal:
        return [refusal] * len(requests)
    checked = [_checked(catalogue, actor, request, day_of(now)) for request in requests]
    sound = [each for each in checked if isinstance(each, Checked)]
    results = iter(await _issue_checked(region, actor, catalogue, issuer, sound, now))
    return [next(results) if isinstance(each, Checked) else each for each in checked]


def _checked(catalogue: Catalogue, actor: Actor, request: IssueRequest, today: date) -> Checked | Refusal:
    try:
        found = catalogue.type(request.type, request.major)
        definition = found.definition
        area = authorised_area(catalogue, request.actor or actor, definition, request.area, "issue")
        check_face(definition, request.holders, request.fields, request.number, request.object, today)
        valid_from = request.valid_from or today.isoformat()
        check_validity(definition, valid_from, request.valid_until)
        until = None if request.valid_until is None else date.fromisoformat(request.valid_until)
        return Checked(request, found, area, date.fromisoformat(valid_from), until)
    except Refusal as refusal:
        return refusal


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


async def _issue_checked(
    region: Region, actor: Actor, catalogue: Catalogue, issuer: Issuer, checked: Sequence[Checked], now: datetime
) -> list[Issued | Refusal]:
    if not checked:
        return []
    today = day_of(now)
    known, facts = await region.database.read(lambda tx: _look_up(tx, region, checked), cheap=True)
    outcomes: dict[int, Issued | Refusal] = {}
    kept: list[int] = []
    for position, each in enumerate(checked):
        try:
            facts.check(each.request.rests_on, each.request.submission, today.isoformat())
            kept.append(position)
        except Refusal as refusal:
            outcomes[position] = refusal
    slots = await take_slots(region, [checked[position].valid_until for position in kept])
    introduced: set[str] = set()
    rows = [
        _document(
            checked[position], issuer, known, slot, today, acted(checked[position].request.actor or actor), introduced
        )
        for position, slot in zip(kept, slots, strict=True)
    ]
    try:
        signed = await draft_documents(region, issuer, rows, int(now.timestamp()))
    except Refusal as refusal:
        return [refusal] * len(checked)
    rules = {
        (each.type.definition.code, each.type.definition.major, each.area): _authorisation(issuer, each, "issue")
        for each in checked
    }
    proposals = [
        _proposal(checked[position], mine, known, catalogue, rules, today)
        for position, mine in zip(kept, signed, strict=True)
    ]
    answers = await region.writer.append_many(proposals, bulk=len(proposals) > TOGETHER)
    for position, mine, answer in zip(kept, signed, answers, strict=True):
        outcomes[position] = await answer_to(region, mine, answer)
    return [outcomes[position] for position in range(len(checked))]


def _look_up(
    tx: Reading, region: Region, checked: Sequence[Checked]
) -> tuple[dict[subjects.Number, subjects.Known], BasisFacts]:
    requests = [each.request for each in checked]
    numbers = {(holder.id_type, holder.id) for request in requests for holder in request.holders}
    bases = [basis for request in requests for basis in request.rests_on]
    linked = {request.submission for request in requests if request.submission is not None}
    return subjects.resolve(tx, region.vault, numbers), read_bases(tx, bases, linked)


async def take_slots(region: Region, until: Sequence[date | None]) -> list[Slot]:
    """Take a status slot for each document, in the list of the half-year in which it ends."""
    slots: dict[int, Slot] = {}
    by_half: dict[int, list[int]] = {}
    for position, last in enumerate(until):
        by_half.setdefault(half_year(last), []).append(position)
    for positions in by_half.values():
        taken = await region.slots.take(until[positions[0]], len(positions))
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


def _document(
    checked: Checked,
    issuer: Issuer,
    known: dict[subjects.Number, subjects.Known],
    slot: Slot,
    today: date,
    by: dict[str, str],
    introduced: set[str],
) -> Document:
    request, definition = checked.request, checked.type.definition
    serial = new_serial(definition, request)
    random = secrets.token_bytes(48)
    facts: dict[str, Any] = {**by, "change": "issue", "rests_on": edges(request)}
    if request.submission is not None:
        facts["submission"] = request.submission
    return Document(
        event=ISSUED,
        kind=ISSUED,
        thing=b64u_encode(random[:16]),
        n=0,
        secret=random[16:],
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


def _proposal(
    checked: Checked,
    signed: Signed,
    known: dict[subjects.Number, subjects.Known],
    catalogue: Catalogue,
    rules: Mapping[tuple[str, int, str], Callable[[Catalogue], None]],
    today: date,
) -> Proposal:
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
        authorise=rules[definition.code, definition.major, checked.area],
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


def _authorisation(issuer: Issuer, checked: Checked, act: str) -> Callable[[Catalogue], None]:
    """Return the check that the department may still do `act` with the keys that signed; one for all rows alike."""
    code, major, area = checked.type.definition.code, checked.type.definition.major, checked.area

    def authorise(catalogue: Catalogue) -> None:
        issuer.check(catalogue)
        catalogue.require(issuer.department.id, code, major, area, act)

    return authorise
