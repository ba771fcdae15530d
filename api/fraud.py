"""Fraud cases: flag, freeze, notice, statement, preview, decision, reversal (行政许可法 69, 78, 79; docs/fraud.md)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.bodies import Body, Day, Line, PathId, Text, ThingId
from api.call import OnceOnly, RegionNow, Supervisor
from api.credit import ConsequenceBody
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import decisions, fraud, freezing, reversal, reviews

router = APIRouter(tags=["fraud"], route_class=StrictRoute)

FLAG = ("request.", "flag.unknown", "answer.erased", "stale")
"""What every step of a case may be refused for."""


class Target(Body):
    """What is suspected: exactly one of the three."""

    submission: ThingId | None = None
    material: ThingId | None = None
    licence: ThingId | None = None


class FlagBody(Body):
    """A suspicion, with digests of what supports it."""

    targets: Annotated[list[Target], Field(min_length=1, max_length=1000)]
    reason: Text
    evidence: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(max_length=100)] | None = None


class FreezeBody(Body):
    """A freeze of named targets (the case's own when none are named) up to and including `until`."""

    ground: Text
    document_no: Line
    until: Day
    targets: Annotated[list[Target], Field(max_length=1000)] | None = None


class NoticeBody(Body):
    """That those concerned were told, and until when they may answer."""

    document_no: Line
    served_at: Day
    respond_by: Day


class StatementBody(Body):
    """What those concerned say in their defence, or that they waive the rest of the time."""

    text: Text | None = None
    waives: bool = False
    subject: ThingId | None = None


class LiableBody(ConsequenceBody):
    """Somebody held liable; the holder may be the victim, so the list can be empty."""

    subject: ThingId


class SparedBody(Body):
    """A dependant that keeps its state, and why (行政许可法 69)."""

    licence: ThingId
    reason: Text


class DecisionBody(Body):
    """The second officer's decision on the preview that was seen."""

    outcome: Literal["upheld", "dismissed"]
    articles: Annotated[list[Line], Field(max_length=50)] | None = None
    document_no: Line
    preview: Annotated[
        str | None,
        Field(min_length=43, max_length=43, description="The digest of the preview; a dismissal needs none."),
    ] = None
    decided_at: Day | None = None
    served_at: Day | None = None
    appealable_until: Day | None = None
    liable: Annotated[list[LiableBody], Field(max_length=200)] | None = None
    spared: Annotated[list[SparedBody], Field(max_length=1000)] | None = None


class ReversalBody(Body):
    """Who reverses the decision, under what."""

    authority: Line
    articles: Annotated[list[Line], Field(max_length=50)] | None = None
    document_no: Line
    decided_at: Day | None = None


class ReviewBody(Body):
    """What became of a review case."""

    outcome: Literal["kept", "restored"]
    reason: Text


@router.post(
    "/v1/fraud-flags",
    summary="Flag a submission, material or licence as forged",
    **described(
        "openFraudCase",
        takes=FlagBody,
        status=201,
        refuses=["request.", "flag.target_unknown", "flag.too_many_targets", "answer.erased", "stale"],
    ),
)
async def flag(region: RegionNow, actor: Supervisor, once: OnceOnly, body: Posted) -> Response:
    """Open a case. No verdict changes by it."""
    return answer(await fraud.flag(region, actor, body, idempotency=once.by(actor, region)), 201)


@router.get(
    "/v1/fraud-flags/{flag_id}",
    summary="A case, with the preview of what upholding it would do",
    **described("getFraudCase", refuses=["flag.unknown"]),
)
async def case(region: RegionNow, actor: Supervisor, flag_id: PathId) -> Response:
    """Return the case of the caller's department, with preview and digest while it is open."""
    return answer(await region.database.read(lambda tx: fraud.view_case(tx, flag_id, actor.department)))


@router.post(
    "/v1/fraud-flags/{flag_id}/freezes",
    summary="Freeze named targets for a while",
    **described(
        "freezeTargets", takes=FreezeBody, status=201, refuses=[*FLAG, "flag.decided", "freeze.", "flag.target_unknown"]
    ),
)
async def freeze(region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: Posted) -> Response:
    """Suspend the named targets until a day; it lapses by itself."""
    return answer(await freezing.freeze(region, actor, flag_id, body, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/fraud-flags/{flag_id}/notices",
    summary="Record that notice was served",
    **described("serveNotice", takes=NoticeBody, status=201, refuses=[*FLAG, "flag.decided", "notice.period"]),
)
async def notice(region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: Posted) -> Response:
    """Record the notice and the time to answer."""
    return answer(await fraud.serve_notice(region, actor, flag_id, body, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/fraud-flags/{flag_id}/statements",
    summary="Take down a statement or waiver",
    **described("hearStatement", takes=StatementBody, status=201, refuses=[*FLAG, "flag.decided", "subject.unknown"]),
)
async def statement(region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: Posted) -> Response:
    """Record what those concerned say in their defence (陈述申辩)."""
    return answer(await fraud.hear(region, actor, flag_id, body, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/fraud-flags/{flag_id}/decision",
    summary="Decide the case",
    **described(
        "decideFraudCase",
        takes=DecisionBody,
        status=201,
        refuses=[
            *FLAG,
            "flag.decided",
            "flag.not_notified",
            "flag.response_open",
            "decision.",
            "preview.changed",
            "spared.unknown",
            "subject.unknown",
            "credit.",
        ],
    ),
)
async def decision(region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: Posted) -> Response:
    """Uphold or dismiss, as a second officer, on the very preview whose digest is given."""
    return answer(await decisions.decide(region, actor, flag_id, body, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/fraud-flags/{flag_id}/reversal",
    summary="Reverse an upheld decision",
    **described(
        "reverseFraudDecision",
        takes=ReversalBody,
        status=201,
        refuses=[*FLAG, "flag.undecided", "flag.not_upheld", "flag.reversed", "decision.dates"],
    ),
)
async def reverse(region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: Posted) -> Response:
    """Close the decision's cause; what no other open cause holds comes back."""
    return answer(await reversal.reverse(region, actor, flag_id, body, idempotency=once.by(actor, region)), 201)


@router.get(
    "/v1/reviews",
    summary="Open review cases of the caller's department",
    **described("listReviews", refuses=["cursor.invalid"]),
)
async def open_reviews(
    region: RegionNow,
    actor: Supervisor,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Return what must be looked at again because something it rested on fell, the first due first."""
    return answer(await region.database.read(lambda tx: reviews.open_reviews(tx, actor.department, cursor, limit)))


@router.post(
    "/v1/reviews/{review}/outcome",
    summary="Close a review case",
    **described(
        "concludeReview",
        takes=ReviewBody,
        status=201,
        refuses=["request.", "review.unknown", "review.closed", "answer.erased", "stale"],
    ),
)
async def conclude(
    region: RegionNow,
    actor: Supervisor,
    once: OnceOnly,
    review: Annotated[str, Path(min_length=45, max_length=45)],
    body: Posted,
) -> Response:
    """Keep the suspension, or lift it."""
    return answer(await reviews.conclude(region, actor, review, body, idempotency=once.by(actor, region)), 201)
