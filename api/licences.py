"""Licences: issue, read, search, act on them, issue their next version; their receipt, bundle, code and printed face.

Issuing is the path that has to be quick: the body goes to the ledger as it was read, and what the ledger answers goes
out as it is.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api import faces, licence_faces, qr_codes
from api.bodies import Area, Body, Day, Line, PathId, Text, ThingId, TypeCode
from api.call import Issuer, OnceOnly, RegionNow, allowed, allowed_to_issue, once
from api.operations import Posted, answer, described, posted
from api.published import NOTE
from api.rendering import Rendering
from api.strict_route import StrictRoute
from ledger import acts, licences, versions
from ledger.actors import Actor
from ledger.bundles import bundle_of
from ledger.documents import code_of, compact_of
from ledger.errors import Refusal
from ledger.events import Event
from ledger.issue_desk import IssueDesk
from ledger.issue_requests import parse_issue
from ledger.issued import Issued
from ledger.receipts import counting_size, receipt_of
from ledger.region import Region

router = APIRouter(tags=["licences"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(allowed("issue", "window", "supervise", "audit"))]
Doer = Annotated[Actor, Depends(allowed("issue", "supervise"))]

WAIT_S = 10
"""Longest wait for a receipt: the licence is issued by then, and its receipt can be fetched."""
REFUSED_ISSUING = (
    "request.",
    "field.",
    "holder.",
    "object.",
    "number.",
    "validity.",
    "area.",
    "basis.",
    "type.unknown",
    "grant.exceeded",
    "department.closed",
    "department.unknown",
    "key.",
    "submission.unknown",
    "subject.banned",
    "answer.erased",
    "entry.too_large",
)
READING = ("licence.unknown", "grant.exceeded")


class HolderBody(Body):
    """A holder: a person or an organisation, with the number of one identity document."""

    kind: Literal["person", "organisation"]
    name: Line
    id_type: Annotated[str, Field(pattern=r"^[0-9]{3}$", description="GB/T 36903 annex A, as 001, 111")]
    id: Annotated[str, Field(min_length=1, max_length=64)]
    role: Line | None = None
    share: Line | None = None


class ForeignLicence(Body):
    """A licence of another region."""

    region: Area
    identifier: Annotated[str, Field(min_length=1, max_length=150)]


class BasisBody(Body):
    """One thing the licence rests on (exactly one of the five), and as what."""

    submission: ThingId | None = None
    material: ThingId | None = None
    licence: ThingId | None = None
    credit_check: ThingId | None = None
    foreign: ForeignLicence | None = None
    basis: Literal["identity", "qualification", "evidence"]


class IssueBody(Body):
    """A licence to issue; `holder` or `holders`, and the fields its type asks for."""

    type: TypeCode
    major: Annotated[int, Field(ge=1, le=999)] | None = None
    area: Area | None = None
    holder: HolderBody | None = None
    holders: Annotated[list[HolderBody], Field(max_length=64)] | None = None
    object: Annotated[str, Field(max_length=500)] | None = None
    fields: dict[str, Any] | None = None
    number: Annotated[str, Field(max_length=100)] | None = None
    valid_from: Day | None = None
    valid_until: Annotated[Day | None, Field(description="Last day of validity; absent: 长期.")] = None
    submission: ThingId | None = None
    rests_on: Annotated[list[BasisBody], Field(max_length=64)] | None = None


class VersionBody(Body):
    """What the next version says differently; a field given as `null` goes away."""

    change: Literal["correct", "amend", "renew", "reissue"]
    fields: dict[str, Any] | None = None
    holder: HolderBody | None = None
    holders: Annotated[list[HolderBody], Field(max_length=64)] | None = None
    number: Annotated[str, Field(max_length=100)] | None = None
    object: Annotated[str, Field(max_length=500)] | None = None
    valid_from: Day | None = None
    valid_until: Day | None = None
    rests_on: Annotated[list[BasisBody], Field(max_length=64)] | None = None
    reason: Text | None = None
    document_no: Line | None = None


class ActBody(Body):
    """An act under its legal name, by which authority, under which articles."""

    act: Literal["suspend", "reinstate", "annul", "penalty_revoke", "withdraw", "cancel", "expire", "transfer_out"]
    authority: Line
    articles: Annotated[list[Line], Field(max_length=20)] | None = None
    document_no: Line
    decided_at: Day
    served_at: Day | None = None
    effective_from: Day | None = None
    until: Day | None = None
    appealable_until: Day | None = None
    reason: Text | None = None
    reason_code: Annotated[str, Field(max_length=40)] | None = None


class SearchHolder(Body):
    """The number of an identity document."""

    id_type: Annotated[str, Field(pattern=r"^[0-9]{3}$")]
    id: Annotated[str, Field(min_length=1, max_length=64)]


class SearchBody(Body):
    """What to look for, and why; the purpose is recorded and the holder can see it."""

    holder: SearchHolder | None = None
    type: TypeCode | None = None
    status: (
        Literal[
            "valid",
            "not_yet_valid",
            "suspended",
            "annulled",
            "penalty_revoked",
            "withdrawn",
            "cancelled",
            "transferred_out",
            "expired",
        ]
        | None
    ) = None
    matter: Annotated[str, Field(max_length=64)] | None = None
    purpose: Line
    cursor: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.post(
    "/v1/licences",
    summary="Issue a licence",
    **described(
        "issueLicence", takes=IssueBody, refuses=REFUSED_ISSUING, status=201, uses=[allowed_to_issue, once, posted]
    ),
)
async def issue(
    request: Request,
    wait: Annotated[Literal["receipt"] | None, Query(description="Answer after publication, receipt inside.")] = None,
) -> Response:
    """Issue a licence in the caller's department. The answer is sent after commit."""
    region: Region = request.app.state.region
    desk: IssueDesk = request.app.state.desk
    actor, body = await allowed_to_issue(request), await posted(request)
    key = (await once(request)).by(actor, region)
    outcome = await desk.issue(actor, parse_issue(body, key))
    if isinstance(outcome, Refusal):
        raise outcome
    return await _issued(region, outcome, wait is not None)


async def _issued(region: Region, issued: Issued, wait: bool) -> Response:
    document = issued.to_json(region.base_url)
    if wait:
        # Where publishing is late the answer keeps the address at which the receipt will be.
        with suppress(TimeoutError):
            document["receipt"] = await asyncio.wait_for(receipt_of(region, issued.entry, wait=True), WAIT_S)
    return answer(document, 201, {"Location": f"{region.base_url}/v1/licences/{issued.id}"})


@router.post(
    "/v1/licences/search",
    summary="Find licences",
    **described(
        "searchLicences",
        takes=SearchBody,
        refuses=["request.", "purpose.missing", "cursor.invalid", "matter.unknown", "licence.unknown"],
    ),
)
async def search(region: RegionNow, actor: Reader, body: Posted) -> Response:
    """Find licences by holder, type and status, newest first. The look is written down before anything is shown."""
    return answer(await licences.search(region, actor, body))


@router.get("/v1/licences/{licence}", summary="A licence as it stands", **described("getLicence", refuses=READING))
async def get(region: RegionNow, actor: Reader, licence: PathId) -> Response:
    """Return state, document and code of a licence of the caller's department, or one it may read."""
    return answer(await licences.get(region, actor, licence))


@router.get(
    "/v1/licences/{licence}/history",
    summary="Everything that happened to a licence",
    **described("getLicenceHistory", refuses=[*READING, "record.damaged"]),
)
async def history(region: RegionNow, actor: Reader, licence: PathId) -> Response:
    """Return documents, acts and causes, oldest first."""
    return answer({"items": await licences.history(region, actor, licence)})


Version = Annotated[int | None, Query(ge=1, le=999, description="A version of the licence; the current one if absent.")]


async def _read(region: Region, actor: Actor, licence: str, version: int | None) -> Event:
    """Return the document event of a licence that `actor` may read.

    Raises `Refusal` licence.unknown, grant.exceeded.
    """
    row = await region.database.read(lambda tx: licences.load(tx, licence), cheap=True)
    licences.may_read(region, actor, row)
    return await licences.document_event(region, licence, version)


@router.get(
    "/v1/licences/{licence}/receipt",
    response_class=Response,
    summary="Proof that a licence is in the log",
    **described("getLicenceReceipt", gives=NOTE, refuses=[*READING, "receipt.pending", "checkpoint.unknown"]),
)
async def receipt(
    region: RegionNow,
    actor: Reader,
    licence: PathId,
    version: Version = None,
    size: Annotated[int | None, Query(ge=1, le=2**53 - 1, description="Size of an older checkpoint.")] = None,
) -> Response:
    """Return the receipt of a version's entry, or the same under an older checkpoint of a stated size.

    It ends in the newest checkpoint, and where key or grant have ended in the one that shows what was signed before.
    """
    event = await _read(region, actor, licence, version)
    if size is None:
        size = await region.database.read(lambda tx: counting_size(tx, region.catalogue, region.origin, event.idx))
    text = await receipt_of(region, event.idx, size=size)
    return Response(text, media_type=NOTE, headers={"Cache-Control": "no-store"})


@router.get(
    "/v1/licences/{licence}/bundle",
    response_class=Response,
    summary="Everything needed to check a licence without a network",
    **described(
        "getLicenceBundle",
        refuses=[*READING, "licence.erased", "receipt.pending", "trust_list.unknown", "status_list.unknown"],
    ),
)
async def bundle(region: RegionNow, actor: Reader, licence: PathId) -> Response:
    """Return licence, code, receipt, trust list and status list as one canonical document (docs/formats/bundle.md)."""
    await _read(region, actor, licence, None)
    data = await bundle_of(region, licence)
    return Response(data, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _drawn(request: Request, draw: Callable[[], bytes], media_type: str) -> Response:
    rendering: Rendering = request.app.state.rendering
    return Response(await rendering.run(draw), media_type=media_type, headers={"Cache-Control": "no-store"})


Level = Annotated[Literal["print", "screen"], Query(description="Error correction Q for paper, M for screens.")]
DRAWING = (*READING, "licence.erased", "writer.busy")


@router.get(
    "/v1/licences/{licence}/code.png",
    response_class=Response,
    summary="The static code as PNG",
    **described("getLicenceCodePng", gives="image/png", refuses=DRAWING),
)
async def code_png(
    request: Request,
    region: RegionNow,
    actor: Reader,
    licence: PathId,
    level: Level = "print",
    pixels: Annotated[int, Query(ge=1, le=32, description="Pixels a module.")] = 8,
    version: Version = None,
) -> Response:
    """Return the QR symbol of the static code."""
    text = code_of(await _read(region, actor, licence, version), region.base_url)
    return await _drawn(request, lambda: qr_codes.png(text, level, pixels), "image/png")


@router.get(
    "/v1/licences/{licence}/code.svg",
    response_class=Response,
    summary="The static code as SVG",
    **described("getLicenceCodeSvg", gives="image/svg+xml", refuses=DRAWING),
)
async def code_svg(
    request: Request, region: RegionNow, actor: Reader, licence: PathId, level: Level = "print", version: Version = None
) -> Response:
    """Return the QR symbol of the static code."""
    text = code_of(await _read(region, actor, licence, version), region.base_url)
    return await _drawn(request, lambda: qr_codes.svg(text, level).encode(), "image/svg+xml")


async def _face(region: Region, actor: Actor, licence: str, version: int | None) -> faces.Face:
    event = await _read(region, actor, licence, version)
    catalogue = region.catalogue
    facts = event.facts
    definition = catalogue.type_version(facts["type"], facts["major"], facts["minor"]).definition
    department = catalogue.department(facts["department"])
    compact, code = compact_of(event, catalogue), code_of(event, region.base_url)
    return licence_faces.face_of(definition, department.names["zh"], compact, code)


@router.get(
    "/v1/licences/{licence}/face.svg",
    response_class=Response,
    summary="The face as SVG",
    **described("getLicenceFaceSvg", gives="image/svg+xml", refuses=DRAWING),
)
async def face_svg(
    request: Request, region: RegionNow, actor: Reader, licence: PathId, version: Version = None
) -> Response:
    """Return the printed face with its code, marked 示例."""
    face = await _face(region, actor, licence, version)
    return await _drawn(request, lambda: faces.svg(face), "image/svg+xml")


@router.get(
    "/v1/licences/{licence}/face.pdf",
    response_class=Response,
    summary="The face as PDF",
    **described("getLicenceFacePdf", gives="application/pdf", refuses=DRAWING),
)
async def face_pdf(
    request: Request, region: RegionNow, actor: Reader, licence: PathId, version: Version = None
) -> Response:
    """Return the printed face as PDF/A-2b, marked 示例."""
    face = await _face(region, actor, licence, version)
    return await _drawn(request, lambda: faces.pdf(face), "application/pdf")


CHANGING = ("licence.", "grant.exceeded", "department.closed", "answer.erased", "stale")


@router.post(
    "/v1/licences/{licence}/acts",
    summary="Suspend, reinstate, annul, revoke, withdraw, cancel, expire or transfer out",
    **described("actOnLicence", takes=ActBody, refuses=["request.", "act.", *CHANGING], status=201),
)
async def act(region: RegionNow, actor: Doer, once: OnceOnly, licence: PathId, body: Posted) -> Response:
    """Do an act on a licence; verdicts and the status list follow at once."""
    return answer(await acts.act(region, actor, licence, body, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/licences/{licence}/versions",
    summary="Issue the next version",
    **described("issueVersion", takes=VersionBody, refuses=[*REFUSED_ISSUING, *CHANGING, "version.limit"], status=201),
)
async def new_version(
    region: RegionNow,
    actor: Issuer,
    once: OnceOnly,
    licence: PathId,
    body: Posted,
    wait: Annotated[Literal["receipt"] | None, Query(description="Answer after publication, receipt inside.")] = None,
) -> Response:
    """Correct, amend, renew or reissue: a new document with its own status slot; the one before is superseded."""
    issued = await versions.new_version(region, actor, licence, body, idempotency=once.by(actor, region))
    return await _issued(region, issued, wait is not None)
