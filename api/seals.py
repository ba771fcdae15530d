"""Electronic seals (电子印章) as facts of the ledger: filed, suspended, resumed, retired."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.bodies import Body, CreditCode, Day, Line, PathId, Text
from api.call import Issuer, OnceOnly, RegionNow, allowed
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import seals
from ledger.actors import Actor

router = APIRouter(tags=["seals"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(allowed("audit", "verify", "issue", "window", "supervise"))]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in lower-case hex.")]


class SealBody(Body):
    """A seal to file; `code` is the number it is filed under, `picture` and `certificate` are digests."""

    code: Annotated[str, Field(pattern=r"^[0-9A-Z]{13,32}$")]
    kind: Literal["official", "finance", "contract", "invoice", "licence", "legal_person"]
    name: Line
    holder: CreditCode
    picture: Digest
    certificate: Digest
    valid_from: Day
    valid_until: Day | None = None


class SealActBody(Body):
    """What is done to a seal, and why."""

    act: Literal["suspend", "resume", "retire"]
    reason: Text
    document_no: Line | None = None


@router.post(
    "/v1/seals",
    summary="File a seal",
    **described(
        "registerSeal",
        takes=SealBody,
        refuses=["request.", "seal.exists", "seal.invalid", "grant.exceeded"],
        status=201,
    ),
)
async def register(region: RegionNow, actor: Issuer, once: OnceOnly, body: Posted) -> Response:
    """File a seal in the caller's department."""
    return answer(await seals.register(region, actor, body, idempotency=once.by(actor, region)), 201)


@router.get("/v1/seals/{seal}", summary="A seal as it stands", **described("getSeal", refuses=["seal.unknown"]))
async def get(region: RegionNow, _: Reader, seal: PathId) -> Response:
    """Return a seal."""
    return answer(await region.database.read(lambda tx: seals.get(tx, seal)))


@router.post(
    "/v1/seals/{seal}/acts",
    summary="Suspend, resume or retire a seal",
    **described(
        "actOnSeal",
        takes=SealActBody,
        status=201,
        refuses=["request.", "seal.unknown", "seal.state", "grant.exceeded", "stale"],
    ),
)
async def act(region: RegionNow, actor: Issuer, once: OnceOnly, seal: PathId, body: Posted) -> Response:
    """Act on a seal; a retired one stays retired."""
    return answer(await seals.act(region, actor, seal, body, idempotency=once.by(actor, region)), 201)
