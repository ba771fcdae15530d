"""Licence types and matters: signed, versioned definitions, and the metadata that other people's verifiers read."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from api.administration import Account, OfDepartment
from api.bodies import Area, Body, CreditCode, Line, Names, TypeCode
from api.call import OnceOnly, Operator, RegionNow, allowed
from api.operations import MaybePosted, Posted, answer, described
from api.published import IMMUTABLE, static_answer
from api.strict_route import StrictRoute
from ledger import matters, types
from ledger.actors import Actor
from ledger.errors import Code, Refusal

router = APIRouter(tags=["definitions"], route_class=StrictRoute)

Instructor = Annotated[Actor, Depends(allowed("supervise", "operate"))]
Type = Annotated[str, Path(pattern=r"^[0-9A-Z]{21}$", description="Licence type code (GB/T 36904).")]
Major = Annotated[int, Path(ge=1, le=999)]
Effect = Literal["none", "notice", "suspended", "revoked"]


class HoldersRule(Body):
    """Who may hold a licence of the type."""

    kinds: Annotated[list[Literal["person", "organisation"]], Field(min_length=1, max_length=2)]
    several: bool


class NumberRule(Body):
    """Whether licences have a number, in which form, and whether the identifier's serial is made of it."""

    required: bool
    serial: Literal["number", "random"]
    pattern: Annotated[str, Field(max_length=256)] | None = None
    label: Names | None = None


class ValidityRule(Body):
    """Whether licences of the type end, and after how many months at the latest."""

    rule: Literal["fixed", "open", "either"]
    max_months: Annotated[int, Field(ge=1, le=1200)] | None = None


class FaceFieldBody(Body):
    """One field of the face."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    type: Literal["text", "date", "integer", "boolean", "choice", "list"]
    label: Names
    disclosure: Literal["always", "selective"]
    printed: bool
    required: bool = False
    pattern: Annotated[str, Field(max_length=256)] | None = None
    max_length: Annotated[int, Field(ge=1, le=4096)] | None = None
    choices: list[Line] | None = None


class EffectsBody(Body):
    """What fraud does to a licence by the basis it rests on."""

    identity: Effect
    qualification: Effect
    evidence: Effect


class TypeBody(Body):
    """A licence type's definition (docs/licence-types.md)."""

    code: TypeCode
    major: Annotated[int, Field(ge=1, le=999)]
    minor: Annotated[int, Field(ge=0, le=999)]
    names: Names
    authority: Names
    holders: HoldersRule
    fields: Annotated[list[FaceFieldBody], Field(min_length=1, max_length=64)]
    number: NumberRule
    object: Literal["none", "optional", "required"]
    validity: ValidityRule
    grace_s: Annotated[int, Field(ge=60, le=31_622_400)]
    receipt: Literal["required", "optional"]
    areas: Annotated[list[Area], Field(min_length=1)]
    effect_of_fraud: EffectsBody
    template: dict[str, Any] | None = None
    description: Names | None = None
    example: bool | None = None


class InstructionBody(Body):
    """What fraud does to a type's licences by the basis they rest on; without it the type's own table is taken over."""

    effects: EffectsBody


class NeedBody(Body):
    """A licence type that a matter needs: exactly which fields, and as what the result rests on it."""

    type: TypeCode
    fields: Annotated[list[Line], Field(max_length=100)]
    basis: Literal["identity", "qualification", "evidence"]


class CreditPolicy(Body):
    """For which purpose credit is checked, and what a bad record does."""

    purpose: Line
    policy: Literal["none", "conditions", "refuse"]


class DeferrableBody(Body):
    """A material that may follow later, within days."""

    material: Line
    days: Annotated[int, Field(ge=1)]


class MatterBody(Body):
    """A matter (事项): what it needs, its credit policy, what may be deferred or promised, its results."""

    base_code: Annotated[str, Field(max_length=64)]
    code: Annotated[str, Field(max_length=64)]
    department: CreditCode
    area: Area
    version: Annotated[int, Field(ge=1)]
    names: Names
    needs: Annotated[list[NeedBody], Field(max_length=32)]
    credit: CreditPolicy
    deferrable: Annotated[list[DeferrableBody], Field(max_length=64)]
    promise_allowed: bool
    results: Annotated[list[TypeCode], Field(max_length=32)]


@router.get("/v1/types", summary="All licence types", **described("listTypes"))
async def list_types(region: RegionNow, _: Account) -> Response:
    """Return the newest version of every licence type."""
    return answer({"items": types.listed(region.catalogue)})


@router.post(
    "/v1/types",
    summary="Register a licence type or its next version",
    **described("registerType", takes=TypeBody, status=201, refuses=["type.", "stale", "entry.too_large"]),
)
async def register_type(region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Register a definition; each version is immutable, and a minor one only adds optional fields."""
    made = await once.run(region, actor, lambda key: types.register(region, actor, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/types/{code}/{major}/instruction",
    summary="Give a standing instruction",
    **described(
        "instructType",
        takes=InstructionBody,
        optional_body=True,
        status=201,
        refuses=["request.", "type.", "grant.exceeded", "department.closed", "department.unknown", "stale"],
    ),
)
async def instruct(
    region: RegionNow, actor: Instructor, once: OnceOnly, code: Type, major: Major, body: MaybePosted
) -> Response:
    """Say, for the caller's department, what fraud does to its licences of a type (protocol rule 22a)."""
    made = await once.run(region, actor, lambda key: types.instruct(region, actor, code, major, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)


@router.get(
    "/types/{code}/{major}",
    response_class=Response,
    summary="Type metadata (SD-JWT VC)",
    **described("getTypeMetadata", refuses=["path.unknown"]),
)
async def type_metadata(
    request: Request,
    region: RegionNow,
    code: Type,
    major: Major,
    minor: Annotated[int | None, Query(ge=0, le=999)] = None,
) -> Response:
    """Return the metadata document of a licence type, the newest minor unless one is asked for."""
    try:
        document = types.served(region.catalogue, code, major, minor)
    except Refusal as refusal:
        if refusal.code is Code.TYPE_UNKNOWN:  # here the address is wrong, not a member of a body
            raise Refusal(Code.PATH_UNKNOWN) from None
        raise
    return static_answer(request, document, "application/json", "public, max-age=300" if minor is None else IMMUTABLE)


@router.get("/v1/matters", summary="All matters", **described("listMatters"))
async def list_matters(region: RegionNow, _: Account, department: OfDepartment = None) -> Response:
    """Return the newest version of every matter, or of one department's."""
    return answer({"items": matters.listed(region.catalogue, department)})


@router.post(
    "/v1/matters",
    summary="Register the next version of a matter",
    **described(
        "registerMatter",
        takes=MatterBody,
        status=201,
        refuses=["request.", "matter.", "type.", "field.unknown", "department.", "stale"],
    ),
)
async def register_matter(region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Register a matter: what it needs, its credit policy, its results."""
    made = await once.run(region, actor, lambda key: matters.register(region, actor, body, idempotency=key))
    return answer(made, 201)
