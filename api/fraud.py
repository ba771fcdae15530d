"""Fraud cases: flag, freeze, notice, statement, preview, decision, reversal (行政许可法 69, 78, 79; docs/fraud.md)."""

import base64
import binascii
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field

from api.bodies import Body, Line, PathId, Text, ThingId, TypeCode
from api.call import OnceOnly, RegionNow, Supervisor
from api.strict_route import StrictRoute
from ledger import decisions, fraud, freezing, reversal, reviews
from ledger.credit import Ban, Liable, Measure
from ledger.credit_rules import RecordClass
from ledger.errors import Code, Refusal
from ledger.lineage import Thing

router = APIRouter(tags=["fraud"], route_class=StrictRoute)

class Target(Body):
    """What is suspected."""

    kind: Literal["submission", "material", "licence"]
    id: ThingId


class FlagBody(Body):
    """A suspicion, with digests of what supports it."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "targets": [{"kind": "submission", "id": "q3Jx0c5mTn2vQy7bR8sKdA"}], "reason": "提交的资格证明经核查系伪造", "evidence": [],
    }})

    targets: Annotated[list[Target], Field(min_length=1, max_length=1000)]
    reason: Text
    evidence: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(max_length=200)] = []


class FreezeBody(Body):
    """A freeze of named targets (the case's own when none are named) up to and including `until`."""

    ground: Text
    document_no: Line
    until: date
    targets: Annotated[list[Target], Field(max_length=1000)] = []


class NoticeBody(Body):
    """That those concerned were told, and until when they may answer."""

    document_no: Line
    served_at: date
    respond_by: date


class StatementBody(Body):
    """What those concerned say in their defence, or that they waive the rest of the time."""

    text: Text
    waives: bool = False
    subject: ThingId | None = None


class MeasureBody(Body):
    """A restriction and the entry of the public list that allows it."""

    measure: Line
    list_entry: Line


class BanBody(Body):
    """No new application for a licence type, under 行政许可法 78 or 79."""

    type: TypeCode
    article: Line


class LiableBody(Body):
    """Somebody held liable; the holder may be the victim, so the list can be empty."""

    model_config = ConfigDict(populate_by_name=True)

    subject: ThingId
    role: Line
    record_class: Annotated[RecordClass, Field(alias="class")]
    list_entry: Line
    measures: Annotated[list[MeasureBody], Field(max_length=50)] = []
    bans: Annotated[list[BanBody], Field(max_length=50)] = []
    domain: Line | None = None

    def value(self) -> Liable:
        """Return it as the ledger takes it."""
        return Liable(
            subject=self.subject,
            role=self.role,
            record_class=self.record_class,
            list_entry=self.list_entry,
            measures=tuple(Measure(each.measure, each.list_entry) for each in self.measures),
            bans=tuple(Ban(each.type, each.article) for each in self.bans),
            domain=self.domain,
        )


class SparedBody(Body):
    """A dependant that keeps its state, and why (行政许可法 69)."""

    licence: ThingId
    reason: Text


class DecisionBody(Body):
    """The second officer's decision on the preview that was seen."""

    outcome: Literal["upheld", "dismissed"]
    articles: Annotated[list[Line], Field(max_length=50)] = []
    document_no: Line
    preview: Annotated[str, Field(min_length=43, max_length=64, description="The digest of the preview.")]
    decided_at: date | None = None
    served_at: date | None = None
    appealable_until: date | None = None
    liable: Annotated[list[LiableBody], Field(max_length=200)] = []
    spared: Annotated[list[SparedBody], Field(max_length=1000)] = []


class ReversalBody(Body):
    """Who reverses the decision, under what."""

    authority: Line
    articles: Annotated[list[Line], Field(max_length=50)] = []
    document_no: Line
    decided_at: date


class ReviewBody(Body):
    """What became of a review case."""

    outcome: Literal["kept", "restored"]
    reason: Text


def _targets(targets: list[Target]) -> list[Thing]:
    return [Thing(each.kind, each.id) for each in targets]


@router.post("/v1/fraud-flags", status_code=201, summary="Flag a submission, material or licence as forged")
async def flag(region: RegionNow, actor: Supervisor, once: OnceOnly, body: FlagBody) -> dict[str, Any]:
    """Open a case. No verdict changes by it."""
    return await fraud.flag(
        region, actor, _targets(body.targets), body.reason, evidence=body.evidence, idempotency=once.by(actor, region)
    )


@router.get("/v1/fraud-flags/{flag_id}", summary="A case, with the preview of what upholding it would do")
async def case(region: RegionNow, actor: Supervisor, flag_id: PathId) -> dict[str, Any]:
    """Return the case of the caller's department, with preview and digest while it is open."""
    return await region.database.read(lambda tx: fraud.view_case(tx, flag_id, actor.department))


@router.post("/v1/fraud-flags/{flag_id}/freezes", status_code=201, summary="Freeze named targets for a while")
async def freeze(
    region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: FreezeBody
) -> dict[str, Any]:
    """Suspend the named targets until a day; it lapses by itself."""
    return await freezing.freeze(
        region, actor, flag_id, ground=body.ground, document_no=body.document_no, until=body.until,
        targets=_targets(body.targets), idempotency=once.by(actor, region),
    )


@router.post("/v1/fraud-flags/{flag_id}/notices", status_code=201, summary="Record that notice was served")
async def notice(
    region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: NoticeBody
) -> dict[str, Any]:
    """Record the notice and the time to answer."""
    return await fraud.serve_notice(
        region, actor, flag_id, document_no=body.document_no, served_at=body.served_at, respond_by=body.respond_by,
        idempotency=once.by(actor, region),
    )


@router.post("/v1/fraud-flags/{flag_id}/statements", status_code=201, summary="Take down a statement or waiver")
async def statement(
    region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: StatementBody
) -> dict[str, Any]:
    """Record what those concerned say in their defence (陈述申辩)."""
    return await fraud.hear(
        region, actor, flag_id, text=body.text, waives=body.waives, subject=body.subject,
        idempotency=once.by(actor, region),
    )


@router.post("/v1/fraud-flags/{flag_id}/decision", status_code=201, summary="Decide the case")
async def decision(
    region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: DecisionBody
) -> dict[str, Any]:
    """Uphold or dismiss, on the very preview whose digest is given."""
    today = region.today()
    ruling = decisions.Ruling(
        outcome=body.outcome,
        articles=tuple(body.articles),
        document_no=body.document_no,
        digest=_digest(body.preview),
        decided_at=body.decided_at or today,
        served_at=body.served_at or body.decided_at or today,
        appealable_until=body.appealable_until,
        liable=tuple(each.value() for each in body.liable),
        spared=tuple(decisions.Spared(each.licence, each.reason) for each in body.spared),
    )
    return await decisions.decide(region, actor, flag_id, ruling, idempotency=once.by(actor, region))


def _digest(text: str) -> bytes:
    try:
        digest = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Refusal(Code.BODY_INVALID, "/preview", rule="digest")
    return digest


@router.post("/v1/fraud-flags/{flag_id}/reversal", status_code=201, summary="Reverse an upheld decision")
async def reverse(
    region: RegionNow, actor: Supervisor, once: OnceOnly, flag_id: PathId, body: ReversalBody
) -> dict[str, Any]:
    """Close the decision's cause; what no other open cause holds comes back."""
    return await reversal.reverse(
        region, actor, flag_id, authority=body.authority, articles=body.articles, document_no=body.document_no,
        decided_at=body.decided_at, idempotency=once.by(actor, region),
    )


@router.get("/v1/reviews", summary="Open review cases of the caller's department")
async def open_reviews(
    region: RegionNow,
    actor: Supervisor,
    cursor: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Return what must be looked at again because something it rested on fell, the first due first."""
    return await region.database.read(lambda tx: reviews.open_reviews(tx, actor.department, cursor, limit))


@router.post("/v1/reviews/{review}/outcome", status_code=201, summary="Close a review case")
async def conclude(
    region: RegionNow,
    actor: Supervisor,
    once: OnceOnly,
    review: Annotated[str, Path(min_length=45, max_length=45)],
    body: ReviewBody,
) -> dict[str, Any]:
    """Keep the suspension, or lift it."""
    return await reviews.conclude(
        region, actor, review, body.outcome, body.reason, idempotency=once.by(actor, region)
    )
