"""Departments, grants, licence types, matters and clients: scope `operate`, and reading them for whoever has an account."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body as JsonBody, Depends, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from api.bodies import Area, Body, CreditCode, Line, Names, TypeCode
from api.call import OnceOnly, Operator, RegionNow, allowed
from api.strict_route import StrictRoute
from ledger import clients, departments, grants, matters, types
from ledger.actors import Actor
from ledger.errors import Code, Refusal

router = APIRouter(tags=["administration"], route_class=StrictRoute)

Account = Annotated[Actor, Depends(allowed("operate", "audit", "verify", "issue", "window", "supervise"))]
Department = Annotated[str, Path(pattern=r"^[0-9A-Z]{18}$")]
TypeDefinition = Annotated[dict[str, Any], JsonBody(description="A definition as docs/licence-types.md describes it.")]
MatterDefinition = Annotated[dict[str, Any], JsonBody(description="A matter in the contract's shape (docs/matters.md).")]


class DepartmentBody(Body):
    """A department to register."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "id": "11610000010000020C", "names": {"zh": "示例省市场监督管理局", "en": "Example Market Regulator"},
    }})

    id: CreditCode
    names: Names


class SuccessionBody(Body):
    """Which department takes over."""

    successor: CreditCode


class GrantBody(Body):
    """What a department may do, for which licence type, where."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "department": "11610000010000020C", "type": "11100000MB0341032Y002", "major": 1, "area": "610000",
        "acts": ["issue", "change", "suspend", "annul"],
    }})

    department: CreditCode
    type: TypeCode
    major: Annotated[int, Field(ge=1, le=99)]
    area: Area
    acts: Annotated[
        list[Literal["issue", "change", "suspend", "annul", "penalty", "seal", "read", "scan"]],
        Field(min_length=1, max_length=8),
    ]


class InstructionBody(Body):
    """What fraud does to a type's licences by the basis they rest on; without it the type's own table is taken over."""

    effects: dict[Literal["identity", "qualification", "evidence"], Literal["notice", "suspended", "revoked"]]


class ClientBody(Body):
    """A client: who it acts for, what it may ask for, and its public keys."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    name: Line
    department: CreditCode | None = None
    scopes: Annotated[list[Line], Field(min_length=1, max_length=8)]
    areas: Annotated[list[Area], Field(max_length=64)] = []
    jwks: dict[str, Any]
    disabled: bool = False


class ClientChange(Body):
    """What changes of a client."""

    name: Line | None = None
    scopes: Annotated[list[Line], Field(min_length=1, max_length=8)] | None = None
    areas: Annotated[list[Area], Field(max_length=64)] | None = None
    jwks: dict[str, Any] | None = None
    disabled: bool | None = None


@router.get("/v1/departments", summary="All departments")
async def list_departments(region: RegionNow, _: Account) -> dict[str, Any]:
    """Return every department in the order of their numbers."""
    return {"departments": departments.listed(region.catalogue)}


@router.post("/v1/departments", status_code=201, summary="Register a department")
async def register_department(
    region: RegionNow, actor: Operator, once: OnceOnly, body: DepartmentBody
) -> dict[str, Any]:
    """Register a department and make its keys."""
    return await once.run(
        region, actor, lambda key: departments.register(region, actor, body.members(), idempotency=key)
    )


@router.post("/v1/departments/{department}/succession", summary="Merge a department into another")
async def succeed(
    region: RegionNow, actor: Operator, once: OnceOnly, department: Department, body: SuccessionBody
) -> dict[str, Any]:
    """Move custody of licences and grants to the successor."""
    return await once.run(
        region, actor, lambda key: departments.succeed(region, actor, department, body.successor, idempotency=key)
    )


@router.post("/v1/departments/{department}/closure", summary="Close a department")
async def close(region: RegionNow, actor: Operator, once: OnceOnly, department: Department) -> dict[str, Any]:
    """End the grants and keys of a department that nobody succeeds."""
    return await once.run(region, actor, lambda key: departments.close(region, actor, department, idempotency=key))


@router.get("/v1/grants", summary="All grants")
async def list_grants(
    region: RegionNow, _: Account, department: Annotated[str | None, Query(pattern=r"^[0-9A-Z]{18}$")] = None
) -> dict[str, Any]:
    """Return every grant, or those of one department."""
    return {"grants": grants.listed(region.catalogue, department)}


@router.post("/v1/grants", status_code=201, summary="Give a grant")
async def give(
    request: Request, region: RegionNow, actor: Operator, once: OnceOnly, body: GrantBody
) -> dict[str, Any]:
    """Say what a department may do."""
    answer = await once.run(region, actor, lambda key: grants.give(region, actor, body.members(), idempotency=key))
    request.app.state.callers.drop()
    return answer


@router.delete("/v1/grants/{grant}", summary="End a grant")
async def end(
    request: Request, region: RegionNow, actor: Operator, once: OnceOnly, grant: Annotated[str, Path(max_length=22)]
) -> dict[str, Any]:
    """End a grant; what was done under it stays good."""
    answer = await once.run(region, actor, lambda key: grants.end(region, actor, grant, idempotency=key))
    request.app.state.callers.drop()
    return answer


@router.get("/v1/types", summary="All licence types")
async def list_types(region: RegionNow, _: Account) -> dict[str, Any]:
    """Return the newest version of every licence type."""
    return {"types": types.listed(region.catalogue)}


@router.post("/v1/types", status_code=201, summary="Register a licence type or its next version")
async def register_type(region: RegionNow, actor: Operator, once: OnceOnly, body: TypeDefinition) -> dict[str, Any]:
    """Register a definition."""
    return await once.run(region, actor, lambda key: types.register(region, actor, body, idempotency=key))


@router.post("/v1/types/{code}/{major}/instruction", status_code=201, summary="Give a standing instruction")
async def instruct(
    region: RegionNow,
    actor: Annotated[Actor, Depends(allowed("supervise", "operate"))],
    once: OnceOnly,
    code: Annotated[str, Path(pattern=r"^[0-9A-Z]{21}$")],
    major: Annotated[int, Path(ge=1, le=99)],
    body: InstructionBody | None = None,
) -> dict[str, Any]:
    """Say, for the caller's department, what fraud does to its licences of a type."""
    members = None if body is None else body.members()
    return await once.run(
        region, actor, lambda key: types.instruct(region, actor, code, major, members, idempotency=key)
    )


@router.get("/types/{code}/{major}", response_class=Response, summary="Type metadata (SD-JWT VC)")
async def type_metadata(
    region: RegionNow,
    code: Annotated[str, Path(pattern=r"^[0-9A-Z]{21}$")],
    major: Annotated[int, Path(ge=1, le=99)],
    minor: Annotated[int | None, Query(ge=0, le=999)] = None,
) -> Response:
    """Return the metadata document of a licence type, the newest minor unless one is asked for."""
    try:
        document = types.served(region.catalogue, code, major, minor)
    except Refusal as refusal:
        if refusal.code is Code.TYPE_UNKNOWN:
            raise Refusal(Code.PATH_UNKNOWN) from None
        raise
    cache = "public, max-age=300" if minor is None else "public, max-age=604800, immutable"
    return Response(
        document, media_type="application/json", headers={"Cache-Control": cache, "Access-Control-Allow-Origin": "*"}
    )


@router.get("/v1/matters", summary="All matters")
async def list_matters(
    region: RegionNow, _: Account, department: Annotated[str | None, Query(pattern=r"^[0-9A-Z]{18}$")] = None
) -> dict[str, Any]:
    """Return the newest version of every matter, or of one department's."""
    return {"matters": matters.listed(region.catalogue, department)}


@router.post("/v1/matters", status_code=201, summary="Register the next version of a matter")
async def register_matter(
    region: RegionNow, actor: Operator, once: OnceOnly, body: MatterDefinition
) -> dict[str, Any]:
    """Register a matter: what it needs, its credit policy, its results."""
    return await once.run(region, actor, lambda key: matters.register(region, actor, body, idempotency=key))


@router.get("/v1/clients", summary="All clients")
async def list_clients(region: RegionNow, _: Operator) -> dict[str, Any]:
    """Return every client with its public keys."""
    return {"clients": await region.database.read(clients.listed)}


@router.post("/v1/clients", status_code=201, summary="Register a client")
async def register_client(region: RegionNow, _: Operator, body: ClientBody) -> dict[str, Any]:
    """Register a client; its id is its own key, so a second time is refused."""
    return await clients.register(region, body.members())


@router.patch("/v1/clients/{client}", summary="Change a client")
async def change_client(
    request: Request, region: RegionNow, _: Operator, client: Annotated[str, Path(max_length=64)], body: ClientChange
) -> dict[str, Any]:
    """Change scopes, areas, keys or name of a client, or shut it out."""
    answer = await clients.change(region, client, body.members())
    request.app.state.callers.drop()
    return answer


@router.delete("/v1/clients/{client}", status_code=204, summary="Forget a client")
async def remove_client(
    request: Request, region: RegionNow, _: Operator, client: Annotated[str, Path(max_length=64)]
) -> None:
    """Forget a client; what it did stays in the log."""
    await clients.remove(region, client)
    request.app.state.callers.drop()
