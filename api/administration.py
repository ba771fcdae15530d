"""Departments with their keys, grants and clients: scope `operate`; reading them for whoever has an account."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from api.bodies import Area, Body, CreditCode, Line, Names, TypeCode
from api.call import OnceOnly, Operator, RegionNow, allowed
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import clients, departments, grants, keys_registry
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.request_members import RequestMembers

router = APIRouter(tags=["administration"], route_class=StrictRoute)

Account = Annotated[Actor, Depends(allowed("operate", "audit", "verify", "issue", "window", "supervise"))]
Department = Annotated[str, Path(pattern=r"^[0-9A-Z]{18}$", description="Unified social credit code.")]
OfDepartment = Annotated[str | None, Query(pattern=r"^[0-9A-Z]{18}$", description="Only this department's.")]
ClientId = Annotated[str, Path(min_length=1, max_length=64)]


class DepartmentBody(Body):
    """A department to register."""

    id: CreditCode
    names: Names


class SuccessionBody(Body):
    """Which department takes over."""

    successor: CreditCode


class CompromiseBody(Body):
    """Since when a key may have been in other hands."""

    since: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
    reason: Line = "compromised"


class GrantBody(Body):
    """What a department may do, for which licence type, where."""

    department: CreditCode
    type: TypeCode
    major: Annotated[int, Field(ge=1, le=999)]
    area: Area
    acts: Annotated[
        list[Literal["issue", "change", "suspend", "annul", "penalty", "seal", "read", "scan"]],
        Field(min_length=1, max_length=8),
    ]


class ClientBody(Body):
    """A client: who it acts for, what it may ask for, and its public keys."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    name: Line
    department: CreditCode | None = None
    scopes: Annotated[list[Line], Field(min_length=1, max_length=8)]
    areas: Annotated[list[Area], Field(max_length=64)] | None = None
    jwks: dict[str, Any]
    disabled: bool = False


class ClientChange(Body):
    """What changes of a client."""

    name: Line | None = None
    scopes: Annotated[list[Line], Field(min_length=1, max_length=8)] | None = None
    areas: Annotated[list[Area], Field(max_length=64)] | None = None
    jwks: dict[str, Any] | None = None
    disabled: bool | None = None


@router.get("/v1/departments", summary="All departments", **described("listDepartments"))
async def list_departments(region: RegionNow, _: Account) -> Response:
    """Return every department in the order of their numbers."""
    return answer({"items": departments.listed(region.catalogue)})


@router.post(
    "/v1/departments",
    summary="Register a department",
    **described(
        "registerDepartment",
        takes=DepartmentBody,
        status=201,
        refuses=["request.", "department.", "type.malformed", "key.", "stale"],
    ),
)
async def register_department(region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Register a department and make its keys."""
    made = await once.run(region, actor, lambda key: departments.register(region, actor, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/departments/{department}/succession",
    summary="Merge a department into another",
    **described("succeedDepartment", takes=SuccessionBody, status=201, refuses=["request.", "department.", "stale"]),
)
async def succeed(
    request: Request, region: RegionNow, actor: Operator, once: OnceOnly, department: Department, body: Posted
) -> Response:
    """Move custody of licences and grants to the successor."""
    members = RequestMembers(body)
    successor = members.text("successor", 18)
    members.done()
    made = await once.run(
        region, actor, lambda key: departments.succeed(region, actor, department, successor, idempotency=key)
    )
    request.app.state.callers.drop()
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/departments/{department}/closure",
    summary="Close a department",
    **described("closeDepartment", status=201, refuses=["department.", "stale"]),
)
async def close(
    request: Request, region: RegionNow, actor: Operator, once: OnceOnly, department: Department
) -> Response:
    """End the grants and keys of a department that nobody succeeds."""
    made = await once.run(region, actor, lambda key: departments.close(region, actor, department, idempotency=key))
    request.app.state.callers.drop()
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/departments/{department}/keys/{purpose}/rotation",
    summary="Let a new key take over",
    **described("rotateKey", status=201, refuses=["department.", "key.", "stale"]),
)
async def rotate(
    region: RegionNow,
    actor: Operator,
    once: OnceOnly,
    department: Department,
    purpose: Annotated[Literal["licence", "code", "statement"], Path()],
) -> Response:
    """Make a new key sign from now on; what the old one signed stays good."""
    made = await once.run(
        region, actor, lambda key: keys_registry.rotate(region, actor, department, purpose, idempotency=key)
    )
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/keys/{kid}/compromise",
    summary="Say that a key may have been in other hands",
    **described("compromiseKey", takes=CompromiseBody, status=201, refuses=["request.", "key.unknown", "stale"]),
)
async def compromise(
    region: RegionNow,
    actor: Operator,
    once: OnceOnly,
    kid: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{22}$")],
    body: Posted,
) -> Response:
    """Let what is proven to be in the log before that moment stand, and nothing after it (protocol rule 16)."""
    members = RequestMembers(body)
    since = _moment(members.text("since", 20))
    reason = members.text("reason", 200) if members.has("reason") else "compromised"
    members.done()
    made = await once.run(
        region,
        actor,
        lambda key: keys_registry.compromise(region, actor, kid, since=since, reason=reason, idempotency=key),
    )
    await region.trust.settled()
    return answer(made, 201)


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/since", expected="time in UTC") from None


@router.get("/v1/grants", summary="All grants", **described("listGrants"))
async def list_grants(region: RegionNow, _: Account, department: OfDepartment = None) -> Response:
    """Return every grant, or those of one department."""
    return answer({"items": grants.listed(region.catalogue, department)})


@router.post(
    "/v1/grants",
    summary="Give a grant",
    **described(
        "giveGrant", takes=GrantBody, status=201, refuses=["request.", "department.", "type.unknown", "grant.invalid"]
    ),
)
async def give(request: Request, region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Say what a department may do."""
    made = await once.run(region, actor, lambda key: grants.give(region, actor, body, idempotency=key))
    request.app.state.callers.drop()
    await region.trust.settled()
    return answer(made, 201)


@router.delete("/v1/grants/{grant}", summary="End a grant", **described("endGrant", refuses=["grant.unknown", "stale"]))
async def end(
    request: Request,
    region: RegionNow,
    actor: Operator,
    once: OnceOnly,
    grant: Annotated[str, Path(min_length=22, max_length=22)],
) -> Response:
    """End a grant; what was done under it stays good."""
    made = await once.run(region, actor, lambda key: grants.end(region, actor, grant, idempotency=key))
    request.app.state.callers.drop()
    await region.trust.settled()
    return answer(made)


@router.get("/v1/clients", summary="All clients", **described("listClients"))
async def list_clients(region: RegionNow, _: Operator) -> Response:
    """Return every client with its public keys."""
    return answer({"items": await region.database.read(clients.listed)})


@router.post(
    "/v1/clients",
    summary="Register a client",
    **described(
        "registerClient",
        takes=ClientBody,
        status=201,
        refuses=["request.", "client.exists", "client.invalid", "department."],
    ),
)
async def register_client(region: RegionNow, _: Operator, body: Posted) -> Response:
    """Register a client; its id is its own key, so a second time is refused.

    One that may operate is registered on the machine itself, or one operator could make the second whom trust takes.
    """
    return answer(await clients.register(region, body, remote=True), 201)


@router.patch(
    "/v1/clients/{client}",
    summary="Change a client",
    **described(
        "changeClient", takes=ClientChange, refuses=["request.", "client.invalid", "client.unknown", "department."]
    ),
)
async def change_client(request: Request, region: RegionNow, _: Operator, client: ClientId, body: Posted) -> Response:
    """Change scopes, areas, keys or name of a client, or shut it out; one that may operate is only given less."""
    changed = await clients.change(region, client, body, remote=True)
    request.app.state.callers.drop()
    return answer(changed)


@router.delete(
    "/v1/clients/{client}",
    response_class=Response,
    summary="Forget a client",
    **described("removeClient", status=204, refuses=["client.unknown"]),
)
async def remove_client(request: Request, region: RegionNow, _: Operator, client: ClientId) -> Response:
    """Forget a client; what it did stays in the log."""
    await clients.remove(region, client)
    request.app.state.callers.drop()
    return Response(status_code=204)
