"""Dynamic codes and scans: what a holder shows, and what a window sees of it (protocol rules 26, 27)."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.bodies import Body, Line, PathId, ThingId
from api.call import Holder, RegionNow, Tongue, Window
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import presentations, scans
from ledger.verifying import OnlineVerifier

router = APIRouter(tags=["codes"], route_class=StrictRoute)


class ChoiceBody(Body):
    """One licence to show; without `fields` whatever the matter needs of it."""

    licence: ThingId
    fields: Annotated[list[Line], Field(max_length=100)] | None = None


class CodeBody(Body):
    """What the holder chose to show, for what, for how long."""

    licences: Annotated[list[ChoiceBody], Field(min_length=1, max_length=20)]
    purpose: Annotated[str, Field(max_length=500)] | None = None
    lifetime_s: Annotated[int, Field(ge=1, le=86_400)] | None = None


class ScanBody(Body):
    """A scanned code, and for which matter and purpose."""

    code: Annotated[str, Field(min_length=1, max_length=4096, description="The text of a dynamic or a static code.")]
    matter: Annotated[str, Field(min_length=1, max_length=64)]
    purpose: Annotated[str, Field(min_length=1, max_length=500)]


@router.post(
    "/v1/codes",
    summary="Prepare a dynamic code",
    **described(
        "prepareCode",
        takes=CodeBody,
        status=201,
        refuses=["request.", "code.nothing_chosen", "code.lifetime", "licence.unknown"],
    ),
)
async def prepare(region: RegionNow, holder: Holder, body: Posted) -> Response:
    """Return handle and key, from which the phone mints a fresh code every 30 seconds without calling again.

    A repeated call prepares another presentation, so it needs no idempotency key.
    """
    return answer(await presentations.prepare(region, holder, body), 201)


@router.delete(
    "/v1/codes/{code}",
    response_class=Response,
    summary="Withdraw a dynamic code",
    **described("withdrawCode", refuses=["code.unknown"], status=204),
)
async def withdraw(region: RegionNow, holder: Holder, code: PathId) -> Response:
    """Withdraw a presentation: its codes stop working at once."""
    await presentations.withdraw(region, holder, code)
    return Response(status_code=204)


@router.post(
    "/v1/scans",
    summary="Scan a code at a window",
    **described(
        "scanCode",
        takes=ScanBody,
        refuses=[
            "request.",
            "code.malformed",
            "code.unknown",
            "code.ended",
            "code.withdrawn",
            "code.clock",
            "code.replayed",
            "matter.unknown",
            "scan.out_of_scope",
            "credit.policy_unknown",
            "subject.unknown",
        ],
    ),
)
async def scan(request: Request, region: RegionNow, actor: Window, language: Tongue, body: Posted) -> Response:
    """Return the verdict and exactly the fields the matter needs; the look is recorded before anything is shown.

    `verdict` repeats the one that decides the outcome. A dynamic code can be redeemed once, so a repeated scan is
    refused as `code.replayed` whatever its idempotency key.
    """
    verifier: OnlineVerifier = request.app.state.verifier
    seen: dict[str, Any] = await scans.scan(region, verifier, actor, body, language=language)
    deciding = (each["verdict"] for each in seen["licences"] if each["verdict"]["outcome"] == seen["outcome"])
    return answer(seen | {"verdict": next(deciding, None)})
