"""Departments (部门): registered with keys of their own, merged into one another, closed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, update

from ledger import grants, keys_registry, positions
from ledger.actors import Actor
from ledger.catalogue import Catalogue, Department
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.ids import new_id
from ledger.proposals import IdempotencyKey
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.catalogue import departments
from ledger.tables.licences import licences
from ledger.type_definition import names
from verifiers.encoding import b64u_decode
from verifiers.entry import REGION
from verifiers.identity import uscc_findings

if TYPE_CHECKING:
    from ledger.region import Region

_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}")
_MAX_NUM = 0xFFFF
"""The static code has two bytes for the department's number."""


async def register(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Register a department `{"id": <USCC>, "names": {"zh", "en"}}`, make its keys and return `answer_of` it.

    Where the region's root is off line its licence and code keys wait for `keys_registry.register`.
    Raises `Refusal` department.exists, department.invalid.
    """
    members = RequestMembers(body)
    id_ = members.matching("id", _USCC)
    title = names(members.take("names"), "/names")
    members.done()
    if findings := uscc_findings(id_):
        raise Refusal(Code.DEPARTMENT_INVALID, "/id", findings=[str(finding) for finding in findings])
    catalogue = region.catalogue
    if id_ in catalogue.departments:
        raise Refusal(Code.DEPARTMENT_EXISTS, "/id", department=id_)
    num = max((each.num for each in catalogue.departments.values()), default=0) + 1
    if num > _MAX_NUM:
        raise Refusal(Code.DEPARTMENT_INVALID, "/id", why="no small number is left for the static code")
    iss = f"{region.base_url}/d/{id_}"
    log_from = await region.database.read(lambda tx: positions.latest(tx, region.origin))
    facts = {**acted(actor), "num": num, "names": title, "iss": iss}
    events = [
        Unsigned("department", REGION, "department.registered", id_, 0, secrets.token_bytes(32), facts),
        *await keys_registry.department_keys(region, id_, title["zh"], log_from),
    ]

    def still_free(current: Catalogue) -> None:
        if id_ in current.departments:
            raise Refusal(Code.DEPARTMENT_EXISTS, "/id", department=id_)
        if any(each.num == num for each in current.departments.values()):
            raise Refusal(Code.STALE)

    answer = {"id": id_, "num": num, "names": title, "iss": iss, "status": "active"}
    return await record(
        region, events, answer, idempotency=idempotency, authorise=still_free, touches=["department.num"]
    )


async def succeed(
    region: Region, actor: Actor, id_: str, successor: str, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Merge department `id_` into `successor`: custody of its licences and its grants move, its keys end.

    What it signed stays good. Raises `Refusal` department.unknown, department.closed, department.invalid.
    """
    catalogue = region.catalogue
    old = catalogue.active_department(id_)
    if catalogue.active_department(successor).id == id_:
        raise Refusal(Code.DEPARTMENT_INVALID, "/successor", why="a department cannot succeed itself")
    held = [grant for grant in catalogue.grants.values() if grant.department == id_ and grant.closed_idx is None]
    log_from = await region.database.read(lambda tx: positions.latest(tx, region.origin))
    n = await region.database.read(lambda tx: count_of(tx, id_))
    by = acted(actor)
    event = Unsigned("department", REGION, "department.succeeded", id_, n, old.secret, {**by, "successor": successor})
    moved: list[Unsigned] = []
    for grant in held:
        scope = grants.Scope(successor, grant.type, grant.major, grant.area, tuple(sorted(grant.acts)))
        moved += [grants.ended(grant, by), grants.given(new_id(), scope, log_from, by)]
    closing = [
        keys_registry.ended(key, 1, "key.retired", {**by, "kid": key.kid})
        for key in catalogue.keys.values()
        if key.department == id_ and key.closed_idx is None
    ]

    def unchanged(current: Catalogue) -> None:
        current.active_department(id_)
        current.active_department(successor)
        now = {g.id for g in current.grants.values() if g.department == id_ and g.closed_idx is None}
        if now != {grant.id for grant in held}:
            raise Refusal(Code.STALE)

    answer = {"id": id_, "successor": successor, "status": "merged", "grants_moved": len(held)}
    result = await record(
        region,
        [event, *moved, *closing],
        answer,
        idempotency=idempotency,
        authorise=unchanged,
        touches=[f"custody:{id_}"],
    )
    keys_registry.follow_log(region)
    return result


async def close(region: Region, actor: Actor, id_: str, *, idempotency: IdempotencyKey | None = None) -> dict[str, Any]:
    """Close a department that nobody succeeds: its grants and keys end, its licences stay as they are."""
    catalogue = region.catalogue
    old = catalogue.active_department(id_)
    by = acted(actor)
    n = await region.database.read(lambda tx: count_of(tx, id_))
    event = Unsigned("department", REGION, "department.closed", id_, n, old.secret, dict(by))
    ends = [
        grants.ended(grant, by)
        for grant in catalogue.grants.values()
        if grant.department == id_ and grant.closed_idx is None
    ]
    ends += [
        keys_registry.ended(key, 1, "key.retired", {**by, "kid": key.kid})
        for key in catalogue.keys.values()
        if key.department == id_ and key.closed_idx is None
    ]
    result = await record(
        region,
        [event, *ends],
        {"id": id_, "status": "closed"},
        idempotency=idempotency,
        authorise=_still_acts(id_),
    )
    keys_registry.follow_log(region)
    return result


def _still_acts(id_: str) -> Callable[[Catalogue], None]:
    def check(current: Catalogue) -> None:
        current.active_department(id_)

    return check


def answer_of(department: Department) -> dict[str, Any]:
    """Return what callers see of a department."""
    answer: dict[str, Any] = {
        "id": department.id,
        "num": department.num,
        "names": dict(department.names),
        "iss": department.iss,
        "status": department.status,
    }
    return answer | ({"successor": department.successor} if department.successor else {})


def listed(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return every department in the order of their numbers."""
    return [answer_of(each) for each in sorted(catalogue.departments.values(), key=lambda each: each.num)]


@projector("department.registered")
def _project_registered(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(
        tx,
        departments,
        [
            (
                event.thing,
                event.facts["num"],
                orjson.dumps(event.facts["names"], option=orjson.OPT_SORT_KEYS).decode(),
                event.facts["iss"],
                "active",
                None,
                b64u_decode(event.facts["secret"]),
                event.idx,
            )
            for event in events
        ],
    )


@projector("department.succeeded")
def _project_succeeded(tx: Writing, events: Sequence[Event]) -> None:
    for event in events:
        successor = event.facts["successor"]
        tx.execute(
            update(departments).where(departments.c.id == event.thing).values(status="merged", successor=successor)
        )
        tx.execute(update(licences).where(licences.c.department == event.thing).values(department=successor))


@projector("department.closed")
def _project_closed(tx: Writing, events: Sequence[Event]) -> None:
    tx.execute(
        update(departments).where(departments.c.id == bindparam("_id")).values(status="closed"),
        [{"_id": event.thing} for event in events],
    )
