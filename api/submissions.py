"""Submissions (办件): what was handed in, materials by digest, and what came of it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.bodies import Body, CreditCode, Day, Line, PathId, ThingId
from api.call import OnceOnly, RegionNow, allowed
from api.licences import HolderBody
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import submissions
from ledger.actors import Actor

router = APIRouter(tags=["submissions"], route_class=StrictRoute)

Desk = Annotated[Actor, Depends(allowed("window", "issue"))]
Reader = Annotated[Actor, Depends(allowed("window", "issue", "supervise", "audit"))]


class MaterialBody(Body):
    """One file or paper that was handed in, known by its digest, or the licence it was taken from."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in lower-case hex.")]
    kind: Annotated[str, Field(min_length=1, max_length=32)]
    taken_by: Annotated[str, Field(max_length=64)] | None = None
    licence: ThingId | None = None


class MissingBody(Body):
    """A material that may follow later (容缺), as far as the matter allows it."""

    material: Line
    until: Day


class SubmissionBody(Body):
    """What came in: through which channel, for which matter, from whom, with what, and what is still missing."""

    received_by: CreditCode | None = None
    decided_by: CreditCode | None = None
    destination: Line | None = None
    channel: Literal["window", "online", "cross_region", "agent", "post"] = "window"
    matter: Annotated[str, Field(max_length=64)] | None = None
    applicant: HolderBody | None = None
    materials: Annotated[list[MaterialBody], Field(max_length=200)] | None = None
    missing: Annotated[list[MissingBody], Field(max_length=64)] | None = None


class SubmissionDecisionBody(Body):
    """What became of it, with the licences that were granted on it."""

    outcome: Literal["granted", "refused", "withdrawn"]
    results: Annotated[list[ThingId], Field(max_length=100)] | None = None
    document_no: Line | None = None


@router.post(
    "/v1/submissions",
    summary="Take in a submission",
    **described(
        "openSubmission",
        takes=SubmissionBody,
        status=201,
        refuses=[
            "request.",
            "holder.",
            "submission.invalid",
            "department.",
            "matter.unknown",
            "licence.unknown",
            "stale",
        ],
    ),
)
async def open_submission(region: RegionNow, actor: Desk, once: OnceOnly, body: Posted) -> Response:
    """Take in a submission; licences can rest on it and on its materials from then on."""
    return answer(await submissions.open_submission(region, actor, body, idempotency=once.by(actor, region)), 201)


@router.get(
    "/v1/submissions/{submission}",
    summary="A submission as it stands",
    **described("getSubmission", refuses=["submission.unknown"]),
)
async def get(region: RegionNow, actor: Reader, submission: PathId) -> Response:
    """Return a submission with its materials and results, to a department that took part in it."""
    return answer(await region.database.read(lambda tx: submissions.get(tx, actor, submission)))


@router.post(
    "/v1/submissions/{submission}/decision",
    summary="Close a submission",
    **described(
        "decideSubmission",
        takes=SubmissionDecisionBody,
        status=201,
        refuses=["request.", "submission.", "licence.unknown", "stale"],
    ),
)
async def decide(region: RegionNow, actor: Desk, once: OnceOnly, submission: PathId, body: Posted) -> Response:
    """Close a submission and link what was granted on it."""
    return answer(await submissions.decide(region, actor, submission, body, idempotency=once.by(actor, region)), 201)
