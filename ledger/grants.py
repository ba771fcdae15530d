"""Grants: which department may do what with which licence type, in which area (protocol 18a)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, update

from ledger import positions
from ledger.actors import Actor
from ledger.catalogue import ACTS, Catalogue, Grant, covers
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.ids import new_id
from ledger.proposals import IdempotencyKey
from ledger.recording import acted, record
from ledger.request_members import RequestMembers
from ledger.tables.catalogue import grants
from verifiers.encoding import b64u_decode
from verifiers.entry import REGION

if TYPE_CHECKING:
    from ledger.region import Region

AREA = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is granted: `acts` sorted, out of `catalogue.ACTS`."""

    department: str
    type: str
    major: int
    area: str
    acts: tuple[str, ...]


async def give(region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None) -> dict[str, Any]:
    """Grant `{"department", "type", "major", "area", "acts": []}` and return it with its id.

    Raises `Refusal` department.unknown, type.unknown, grant.invalid.
    """
    scope = _scope(body)
    authorise = _acceptable(scope)
    authorise(region.catalogue)
    log_from = await region.database.read(lambda tx: positions.latest(tx, region.origin))
    id_ = new_id()
    answer = {"id": id_, **_scope_json(scope)}
    event = given(id_, scope, log_from, acted(actor))
    return await record(region, [event], answer, idempotency=idempotency, authorise=authorise)


async def end(region: Region, actor: Actor, id_: str, *, idempotency: IdempotencyKey | None = None) -> dict[str, Any]:
    """End a grant: what was done under it stays good. Raises `Refusal` grant.unknown."""
    grant = region.catalogue.grants.get(id_)
    if grant is None:
        raise Refusal(Code.GRANT_UNKNOWN, None, grant=id_)
    if grant.closed_idx is not None:
        return answer_of(grant)
    return await record(region, [ended(grant, acted(actor))], {"id": id_, "ended": True}, idempotency=idempotency)


def given(id_: str, scope: Scope, log_from: Mapping[str, Any], by: Mapping[str, str]) -> Unsigned:
    """Prepare the event that gives a grant."""
    facts = {**by, **_scope_json(scope), "log_from": dict(log_from)}
    return Unsigned("grant", REGION, "grant.given", id_, 0, secrets.token_bytes(32), facts)


def ended(grant: Grant, by: Mapping[str, str]) -> Unsigned:
    """Prepare the event that ends a grant."""
    return Unsigned("grant", REGION, "grant.ended", grant.id, 1, grant.secret, dict(by))


def answer_of(grant: Grant) -> dict[str, Any]:
    """Return what callers see of a grant."""
    scope = Scope(grant.department, grant.type, grant.major, grant.area, tuple(sorted(grant.acts)))
    return {"id": grant.id, **_scope_json(scope), "ended": grant.closed_idx is not None}


def listed(catalogue: Catalogue, department: str | None = None) -> list[dict[str, Any]]:
    """Return every grant, or those of one department, in the order in which they were given."""
    return [answer_of(each) for each in catalogue.grants.values() if department in (None, each.department)]


def area_of(catalogue: Catalogue, department: str, code: str, major: int, act: str) -> str:
    """Return the area to assume where a request names none: that of the only grant, or the widest of several.

    Raises `Refusal` grant.exceeded where there is no grant for `act` at all.
    """
    areas = [grant.area for grant in catalogue.open_grants(department, code, major) if act in grant.acts]
    for area in areas:
        if all(covers(area, other) for other in areas):
            return area
    if not areas:
        catalogue.require(department, code, major, "000000", act)
    raise Refusal(Code.REQUEST_MEMBER_MISSING, "/area", areas=areas)


def _scope(body: Any) -> Scope:
    members = RequestMembers(body)
    scope = Scope(
        department=members.text("department", 18),
        type=members.text("type", 21),
        major=members.integer("major", 1, 999) if members.has("major") else 1,
        area=members.matching("area", AREA),
        acts=tuple(sorted(set(members.texts("acts")))),
    )
    members.done()
    if not scope.acts or not ACTS.issuperset(scope.acts):
        raise Refusal(Code.GRANT_INVALID, "/acts", allowed=sorted(ACTS))
    return scope


def _acceptable(scope: Scope) -> Callable[[Catalogue], None]:
    def check(catalogue: Catalogue) -> None:
        catalogue.active_department(scope.department)
        areas = catalogue.type(scope.type, scope.major).definition.areas
        if not any(covers(area, scope.area) or covers(scope.area, area) for area in areas):
            raise Refusal(Code.AREA_INVALID, "/area", allowed=list(areas))

    return check


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {
        "department": scope.department,
        "type": scope.type,
        "major": scope.major,
        "area": scope.area,
        "acts": list(scope.acts),
    }


@projector("grant.given")
def _project_given(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(tx, grants, [_row(event) for event in events])


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    return (
        event.thing,
        facts["department"],
        facts["type"],
        facts["major"],
        facts["area"],
        orjson.dumps(facts["acts"]).decode(),
        orjson.dumps(facts["log_from"], option=orjson.OPT_SORT_KEYS).decode(),
        None,
        b64u_decode(facts["secret"]),
        event.idx,
    )


@projector("grant.ended")
def _project_ended(tx: Writing, events: Sequence[Event]) -> None:
    tx.execute(
        update(grants).where(grants.c.id == bindparam("_id")).values(closed_idx=bindparam("_idx")),
        [{"_id": event.thing, "_idx": event.idx} for event in events],
    )
