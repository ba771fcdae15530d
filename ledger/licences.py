"""Reading licences: one, its history, its document as it was issued, and search under a stated purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import select

from ledger import causes, subjects
from ledger.access import Access, write_accesses
from ledger.actors import Actor
from ledger.catalogue import require_area
from ledger.cursors import decode_cursor, encode_cursor, page_limit
from ledger.database import Reading
from ledger.documents import code_of, compact_of
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.history import events_of, load_event
from ledger.identifiers import whole
from ledger.licence_events import ACTED, IMPORTED, ISSUED, VERSIONED
from ledger.request_members import RequestMembers
from ledger.tables.licences import licence_holders, licence_versions, licences, lineage
from verifiers.legal_dates import day_of, format_time

if TYPE_CHECKING:
    from ledger.region import Region

STATES: Final = (
    "valid",
    "suspended",
    "annulled",
    "penalty_revoked",
    "withdrawn",
    "cancelled",
    "transferred_out",
    "expired",
)


@dataclass(frozen=True, slots=True)
class LicenceRow:
    """One licence as it stands; dates are text, `state` a word of `STATES` that says nothing of the calendar."""

    id: str
    type: str
    major: int
    department: str
    issuer: str
    area: str
    serial: str
    origin_kind: str
    current_version: int
    valid_from: str
    valid_until: str | None
    state: str
    secret: bytes = field(repr=False)
    created_idx: int
    identifier_tail: str

    @property
    def identifier(self) -> str:
        """The identifier of the current version."""
        return whole(self.identifier_tail, self.type, self.issuer, self.serial, self.current_version)

    def state_on(self, today: date) -> str:
        """Return the state with the calendar taken into account: a valid licence may not be valid yet, or no more."""
        if self.state != "valid":
            return self.state
        if self.valid_until is not None and self.valid_until < today.isoformat():
            return "expired"
        return "not_yet_valid" if self.valid_from > today.isoformat() else "valid"


# Not joined: which table a search walks through is not left to chance.
_current_tail = (
    select(licence_versions.c.identifier_tail)
    .where(licence_versions.c.licence == licences.c.id, licence_versions.c.version == licences.c.current_version)
    .scalar_subquery()
)
_rows = select(licences, _current_tail)


def load(tx: Reading, id_: str) -> LicenceRow:
    """Return a licence. Raises `Refusal` licence.unknown."""
    row = tx.execute(_rows.where(licences.c.id == id_)).one_or_none()
    if row is None:
        raise Refusal(Code.LICENCE_UNKNOWN, None, licence=id_)
    return LicenceRow(*row)


def find_document(tx: Reading, jws_digest: bytes) -> tuple[str, int] | None:
    """Return the (licence, version) whose signing input has this digest, or `None`: online verification asks this."""
    table = licence_versions
    row = tx.execute(select(table.c.licence, table.c.version).where(table.c.jws_digest == jws_digest)).one_or_none()
    return None if row is None else (row.licence, row.version)


def find_code(tx: Reading, code_digest: bytes) -> tuple[str, int] | None:
    """Return the (licence, version) whose static code has this digest, or `None`."""
    table = licence_versions
    row = tx.execute(select(table.c.licence, table.c.version).where(table.c.code_digest == code_digest)).one_or_none()
    return None if row is None else (row.licence, row.version)


def entry_of(tx: Reading, id_: str, version: int | None = None) -> int:
    """Return the entry of a version's document, the current one's by default. Raises `Refusal` licence.unknown."""
    table = licence_versions
    which = table.c.superseded_idx.is_(None) if version is None else table.c.version == version
    idx = tx.execute(select(table.c.idx).where(table.c.licence == id_, which)).scalar_one_or_none()
    if idx is None:
        raise Refusal(Code.LICENCE_UNKNOWN, None, licence=id_)
    return int(idx)


async def document_event(region: Region, id_: str, version: int | None = None) -> Event:
    """Return the event of a document, the current one by default. Raises `Refusal` licence.unknown."""
    return await region.database.read(lambda tx: load_event(tx, region.vault, entry_of(tx, id_, version)), cheap=True)


async def compact(region: Region, id_: str, version: int | None = None) -> str:
    """Return a licence as it was issued, byte for byte. Raises `Refusal` licence.unknown, licence.erased."""
    return compact_of(await document_event(region, id_, version), region.catalogue)


async def get(region: Region, actor: Actor, id_: str) -> dict[str, Any]:
    """Return a licence with its state, document, code and what it rests on, for a department that may read it.

    Raises `Refusal` licence.unknown, grant.exceeded.
    """
    today = day_of(region.clock.now())
    row, edges, event = await region.database.read(lambda tx: _get(tx, region, id_))
    may_read(region, actor, row)
    answer = summary(row, today)
    answer |= {"version": row.current_version, "entry": event.idx, "rests_on": edges}
    try:
        answer |= {"licence": compact_of(event, region.catalogue), "code": code_of(event, region.base_url)}
    except Refusal as refusal:
        if refusal.code is not Code.LICENCE_ERASED:
            raise
        answer["erased"] = True
    return answer


def _get(tx: Reading, region: Region, id_: str) -> tuple[LicenceRow, list[dict[str, str]], Event]:
    row = load(tx, id_)
    found = tx.execute(select(lineage).where(lineage.c.child_licence == id_).order_by(lineage.c.idx))
    edges = [{"kind": e.parent_kind, "id": e.parent_id, "basis": e.basis} for e in found]
    return row, edges, load_event(tx, region.vault, entry_of(tx, id_))


def may_read(region: Region, actor: Actor, row: LicenceRow) -> None:
    """Refuse a department that neither answers for the licence nor holds a grant to read it, and a client elsewhere.

    Raises grant.exceeded, area.invalid.
    """
    require_area(actor.areas, row.area)
    if actor.department == row.department:
        return
    region.catalogue.require(actor.department, row.type, row.major, row.area, "read")


async def history(region: Region, actor: Actor, id_: str) -> list[dict[str, Any]]:
    """Return everything that happened to a licence, oldest first, with the causes that act on it.

    Raises `Refusal` licence.unknown, grant.exceeded.
    """
    row, events, found = await region.database.read(
        lambda tx: (load(tx, id_), events_of(tx, region.vault, id_), causes.history_of(tx, id_))
    )
    may_read(region, actor, row)
    steps = [_step(event) for event in events if event.event in (ISSUED, IMPORTED, VERSIONED, ACTED)]
    seen = {step["entry"] for step in steps}
    steps += [_foreign_cause(cause) for cause in found if cause["opened_idx"] not in seen]
    return sorted(steps, key=lambda step: int(step["entry"]))


def _step(event: Event) -> dict[str, Any]:
    facts = event.facts
    step: dict[str, Any] = {"entry": event.idx, "at": format_time(event.at), "by": event.by, "event": event.event}
    if event.event == ACTED:
        step |= {name: value for name, value in facts["act"].items() if name != "closes"}
        return step
    step |= {name: facts[name] for name in ("version", "change", "identifier", "valid_from", "valid_until")}
    return step | ({"imported": facts["imported"]} if event.event == IMPORTED else {})


def _foreign_cause(cause: dict[str, Any]) -> dict[str, Any]:
    """A cause that a decision about something else put on this licence."""
    named = ("kind", "effect", "act", "by", "basis", "effective_from", "appealable_until", "until")
    step: dict[str, Any] = {
        "entry": cause["opened_idx"],
        "event": "cause.opened",
        "cause": cause["id"],
        "closed": cause["closed_idx"],
    }
    step |= {name: cause[name] for name in named if cause[name] is not None}
    return {**step, **orjson.loads(cause["facts"])}


async def search(region: Region, actor: Actor, body: Any) -> dict[str, Any]:
    """Find licences by holder, type and status, newest first; what was found is recorded with the purpose.

    `{"holder": {"id_type", "id"}, "type", "status", "matter", "purpose", "cursor", "limit"}`. Only licences that the
    department answers for or may read are found. Raises `Refusal` purpose.missing, cursor.invalid.
    """
    wanted = _parse_search(body)
    if wanted.matter is not None:
        region.catalogue.matter(wanted.matter)
    now = region.clock.now()
    rows = await region.database.read(lambda tx: _search(tx, region, actor, wanted))
    page, more = rows[: wanted.limit], len(rows) > wanted.limit
    visible = [row for row in page if _is_readable(region, actor, row)]
    found = [row for row in visible if wanted.status in (None, row.state_on(day_of(now)))]
    looks = [_look(row, actor, wanted, now) for row in found]
    if looks:
        # Written before anything is shown.
        await region.database.write(lambda tx: write_accesses(tx, [(look, now) for look in looks]))
    answer: dict[str, Any] = {"items": [summary(row, day_of(now)) for row in found]}
    return answer | ({"cursor": encode_cursor(page[-1].created_idx, page[-1].id)} if more else {})


@dataclass(frozen=True, slots=True)
class _Wanted:
    holder: tuple[str, str] | None
    type: str | None
    status: str | None
    matter: str | None
    purpose: str
    before: tuple[int, str] | None
    limit: int


def _parse_search(body: Any) -> _Wanted:
    members = RequestMembers(body)
    if not members.has("purpose"):
        raise Refusal(Code.PURPOSE_MISSING, "/purpose")
    wanted = _Wanted(
        holder=_holder(members) if members.has("holder") else None,
        type=members.text("type", 21) if members.has("type") else None,
        status=members.one_of("status", (*STATES, "not_yet_valid")) if members.has("status") else None,
        matter=members.text("matter", 64) if members.has("matter") else None,
        purpose=members.text("purpose", 200),
        before=decode_cursor(members.text("cursor", 200)) if members.has("cursor") else None,
        limit=page_limit(members.take("limit") if members.has("limit") else None),
    )
    members.done()
    return wanted


def _holder(members: RequestMembers) -> tuple[str, str]:
    holder = RequestMembers(members.take("holder"), members.at("holder"))
    found = holder.text("id_type", 3), holder.text("id", 64)
    holder.done()
    return found


def _search(tx: Reading, region: Region, actor: Actor, wanted: _Wanted) -> Sequence[LicenceRow]:
    query = _rows.order_by(licences.c.created_idx.desc(), licences.c.id.desc()).limit(wanted.limit + 1)
    if wanted.holder is not None:
        subject = subjects.find(tx, region.vault, *wanted.holder)
        if subject is None:
            return []
        held = select(licence_holders.c.licence).where(licence_holders.c.subject == subject)
        query = query.where(licences.c.id.in_(held))
    elif wanted.type is None:
        # Nobody lists a whole region: without a holder or a type it is the department's own licences.
        query = query.where(licences.c.department == actor.department)
    if wanted.type is not None:
        query = query.where(licences.c.type == wanted.type)
    held_types = {
        grant.type
        for grant in region.catalogue.grants.values()
        if grant.department == actor.department and grant.closed_idx is None and "read" in grant.acts
    }
    query = query.where((licences.c.department == actor.department) | licences.c.type.in_(sorted(held_types)))
    if wanted.before is not None:
        query = query.where(licences.c.created_idx < wanted.before[0])
    return [LicenceRow(*row) for row in tx.execute(query)]


def _is_readable(region: Region, actor: Actor, row: LicenceRow) -> bool:
    try:
        may_read(region, actor, row)
    except Refusal:
        return False
    return True


def summary(row: LicenceRow, today: date) -> dict[str, Any]:
    """Return what a list shows of a licence: nothing of its holder."""
    return {
        "id": row.id,
        "type": row.type,
        "major": row.major,
        "department": row.department,
        "area": row.area,
        "identifier": row.identifier,
        "version": row.current_version,
        "origin": row.origin_kind,
        "valid_from": row.valid_from,
        "valid_until": row.valid_until,
        "status": row.state_on(today),
    }


def _look(row: LicenceRow, actor: Actor, wanted: _Wanted, now: datetime) -> Access:
    outcome = "valid" if row.state_on(day_of(now)) == "valid" else "invalid"
    officer = actor.operator or actor.client
    return Access(row.id, actor.department, officer, "search", wanted.matter, wanted.purpose, (), outcome)
