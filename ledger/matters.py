"""Matters (事项): what an affair needs, which credit policy it follows and what it results in; versioned and logged."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from ledger.actors import Actor
from ledger.catalogue import Catalogue, Matter
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.proposals import IdempotencyKey
from ledger.recording import acted, record
from ledger.request_members import RequestMembers
from ledger.tables.catalogue import matters
from ledger.type_definition import BASES, names
from verifiers.encoding import b64u_decode, b64u_encode

if TYPE_CHECKING:
    from ledger.region import Region

_CODE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{1,63}")
_AREA = re.compile(r"[0-9]{6}")
POLICIES = ("none", "conditions", "refuse")
"""What a bad record does: nothing, conditions to be met, or refusal."""

HOLDER_FIELDS = ("holders", "number", "object")
"""What a matter may need beside the fields of the type's face."""


async def register(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Register the next version of a matter, in the contract's shape, and return it.

    Every type and field it names must exist. Raises `Refusal` matter.exists, matter.invalid, type.unknown.
    """
    matter = parse_matter(body)
    department = matter["department"]

    def acceptable(current: Catalogue) -> None:
        current.active_department(department)
        versions = current.matters.get(matter["code"], ())
        expected = versions[-1].version + 1 if versions else 1
        if matter["version"] != expected:
            raise Refusal(Code.MATTER_EXISTS, "/version", expected=expected)
        check_needs(current, matter)

    acceptable(region.catalogue)
    known = region.catalogue.matters.get(matter["code"])
    secret = known[-1].secret if known else secrets.token_bytes(32)
    thing = f"matter:{matter['code']}"
    facts = {**acted(actor), "secret": b64u_encode(secret), "definition": matter}
    event = Unsigned("matter", department, "matter.registered", thing, matter["version"] - 1, secret, facts)
    return await record(region, [event], matter, idempotency=idempotency, authorise=acceptable)


def parse_matter(body: Any) -> dict[str, Any]:
    """Read a matter as `contract.md` shapes it. Raises `Refusal` with a pointer."""
    members = RequestMembers(body)
    credit = RequestMembers(members.take("credit"), "/credit")
    matter = {
        "base_code": members.matching("base_code", _CODE),
        "code": members.matching("code", _CODE),
        "department": members.text("department", 18),
        "area": members.matching("area", _AREA),
        "version": members.integer("version", 1, 99_999),
        "names": names(members.take("names"), "/names"),
        "needs": members.objects("needs", _need, 32),
        "credit": {"purpose": credit.text("purpose", 200), "policy": credit.one_of("policy", POLICIES)},
        "deferrable": members.objects("deferrable", _deferrable, 64),
        "promise_allowed": members.boolean("promise_allowed"),
        "results": members.texts("results", 32),
    }
    credit.done()
    members.done()
    return matter


def check_needs(catalogue: Catalogue, matter: dict[str, Any]) -> None:
    """Refuse a matter that needs a type or field nobody defined. Raises type.unknown, field.unknown."""
    for position, need in enumerate(matter["needs"]):
        definition = catalogue.type(need["type"], pointer=f"/needs/{position}/type").definition
        for place, name in enumerate(need["fields"]):
            if name not in definition.by_name and name not in HOLDER_FIELDS:
                raise Refusal(Code.FIELD_UNKNOWN, f"/needs/{position}/fields/{place}", field=name)
    for position, code in enumerate(matter["results"]):
        catalogue.type(code, pointer=f"/results/{position}")


def answer_of(matter: Matter) -> dict[str, Any]:
    """Return a matter in the contract's shape."""
    return dict(matter.definition)


def listed(catalogue: Catalogue, department: str | None = None) -> list[dict[str, Any]]:
    """Return the newest version of every matter, or of one department's."""
    newest = (versions[-1] for versions in catalogue.matters.values())
    return [answer_of(each) for each in newest if department in (None, each.department)]


def _need(members: RequestMembers) -> dict[str, Any]:
    return {
        "type": members.text("type", 21),
        "fields": members.texts("fields", 64),
        "basis": members.one_of("basis", BASES),
    }


def _deferrable(members: RequestMembers) -> dict[str, Any]:
    return {"material": members.text("material", 200), "days": members.integer("days", 1, 365)}


@projector("matter.registered")
def _project_registered(tx: Writing, events: Sequence[Event]) -> None:
    rows = []
    for event in events:
        matter = event.facts["definition"]
        text = orjson.dumps(matter, option=orjson.OPT_SORT_KEYS).decode()
        secret = b64u_decode(event.facts["secret"])
        rows.append((matter["code"], matter["version"], matter["department"], matter["area"], text, secret, event.idx))
    bulk_insert(tx, matters, rows)
