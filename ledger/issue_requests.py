"""What a department asks for when it issues a licence: the contract's JSON, read once into a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.proposals import IdempotencyKey
from ledger.request_members import RequestMembers
from ledger.type_definition import BASES, HOLDER_KINDS

MAX_HOLDERS: Final = 64
"""Holders of one licence; the format takes no more."""

MAX_BASES: Final = 64
"""Things one licence can rest on."""

_TYPE = re.compile(r"[0-9A-Z]{21}")
_AREA = re.compile(r"[0-9]{6}")
_ID_TYPE = re.compile(r"[0-9]{3}")
_IDENTITY = re.compile(r"\S(?:.{0,62}\S)?")
PARENTS: Final = ("submission", "material", "licence", "credit_check")
"""Kinds of things in this ledger that a licence can rest on."""


@dataclass(slots=True, unsafe_hash=True)  # not frozen: made for every row, and changed by nobody
class HolderRequest:
    """One holder as the department states it; `id_type` is of GB/T 36903 annex A."""

    kind: str
    name: str
    id_type: str
    id: str
    role: str | None = None
    share: str | None = None


@dataclass(frozen=True, slots=True)
class BasisRequest:
    """One thing the licence rests on; a `foreign` one has the id `<region>:<identifier>`."""

    kind: str
    id: str
    basis: str


@dataclass(slots=True)  # not frozen: made for every row
class IssueRequest:
    """A licence to issue. Dates are text; `valid_from` not given means the day of issue.

    `actor` is who asks for it, where requests of several officers of a department are issued together.
    """

    type: str
    major: int | None
    area: str | None
    holders: tuple[HolderRequest, ...]
    fields: dict[str, Any]
    number: str | None
    object: str | None
    valid_from: str | None
    valid_until: str | None
    rests_on: tuple[BasisRequest, ...]
    submission: str | None
    idempotency: IdempotencyKey | None = None
    actor: Actor | None = None


def parse_issue(body: Any, idempotency: IdempotencyKey | None = None) -> IssueRequest:
    """Read the body of `POST /v1/licences` or a row of a batch (whose `client_ref` the caller has taken out).

    Raises `Refusal` request.member_missing, request.member_unknown, request.member_invalid with a pointer.
    """
    members = RequestMembers(body)
    has = members.has
    request = IssueRequest(  # by position, in the order of its fields: quicker, and rows come by the hundred thousand
        members.matching("type", _TYPE),
        members.integer("major", 1, 999) if has("major") else None,
        members.matching("area", _AREA) if has("area") else None,
        parse_holders(members),
        parse_fields(members),
        members.text("number", 100) if has("number") else None,
        members.text("object", 500) if has("object") else None,
        members.day("valid_from") if has("valid_from") else None,
        members.day("valid_until") if has("valid_until") else None,
        parse_bases(members),
        members.id("submission") if has("submission") else None,
        idempotency,
    )
    members.done()
    return request


def parse_holders(members: RequestMembers) -> tuple[HolderRequest, ...]:
    """Read `holders`, or `holder` where there is one. Raises `Refusal` request.member_missing."""
    if members.has("holder"):
        one = RequestMembers(members.take("holder"), members.at("holder"))
        holder = _holder(one)
        one.done()
        if members.has("holders"):
            raise members.invalid("holders", why="either holder or holders")
        return (holder,)
    holders = tuple(members.objects("holders", _holder, MAX_HOLDERS))
    if not holders:
        raise Refusal(Code.REQUEST_MEMBER_MISSING, members.at("holders"))
    return holders


def parse_fields(members: RequestMembers) -> dict[str, Any]:
    """Read the fields of the face, none where not given; each is judged by its type later."""
    if not members.has("fields"):
        return {}
    fields = members.take("fields")
    if type(fields) is not dict:
        raise members.invalid("fields", expected="object")
    return fields


def parse_bases(members: RequestMembers) -> tuple[BasisRequest, ...]:
    """Read `rests_on`, each element naming one thing and a basis."""
    bases = tuple(members.objects("rests_on", _basis, MAX_BASES)) if members.has("rests_on") else ()
    if bases and len(set(bases)) != len(bases):
        raise members.invalid("rests_on", why="named twice")
    return bases


def _holder(members: RequestMembers) -> HolderRequest:
    return HolderRequest(
        kind=members.one_of("kind", HOLDER_KINDS),
        name=members.text("name", 200),
        id_type=members.matching("id_type", _ID_TYPE),
        id=members.matching("id", _IDENTITY),
        role=members.text("role", 60) if members.has("role") else None,
        share=members.text("share", 60) if members.has("share") else None,
    )


def _basis(members: RequestMembers) -> BasisRequest:
    basis = members.one_of("basis", BASES)
    named = [kind for kind in (*PARENTS, "foreign") if members.has(kind)]
    if len(named) != 1:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, members.where, why="names one thing it rests on")
    if named[0] != "foreign":
        return BasisRequest(named[0], members.id(named[0]), basis)
    foreign = RequestMembers(members.take("foreign"), members.at("foreign"))
    region, identifier = foreign.matching("region", _AREA), foreign.text("identifier", 150)
    foreign.done()
    return BasisRequest("foreign", f"{region}:{identifier}", basis)
