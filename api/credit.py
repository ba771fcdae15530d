"""Credit (信用): checks for a stated purpose, records on a decision, and the file a subject may see of itself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.bodies import Body, Day, Line, Text, ThingId, TypeCode
from api.call import Holder, OnceOnly, RegionNow, Supervisor, allowed
from api.operations import AnyBody, Posted, answer, described
from api.strict_route import StrictRoute
from ledger import access, credit, credit_checks, subjects
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.request_members import RequestMembers
from verifiers.legal_dates import day_of

router = APIRouter(tags=["credit"], route_class=StrictRoute)

Checker = Annotated[Actor, Depends(allowed("window", "issue", "supervise"))]


class SubjectNumber(Body):
    """A subject by the number of an identity document."""

    id_type: Annotated[str, Field(pattern=r"^[0-9]{3}$")]
    id: Annotated[str, Field(min_length=1, max_length=64)]


Subject = ThingId | SubjectNumber


RecordClassWord = Literal["light", "ordinary", "serious"]
"""轻微, 一般, 严重."""


class CheckBody(Body):
    """Whose credit is checked, for what; the matter decides by which policy."""

    subject: Subject
    purpose: Line
    matter: Annotated[str, Field(max_length=64)] | None = None


class MeasureBody(Body):
    """A restriction and the entry of the public list that allows it."""

    measure: Line
    list_entry: Line


class BanBody(Body):
    """No new application for a licence type, under 行政许可法 78 or 79."""

    type: TypeCode
    article: Literal["78", "79"]


class ConsequenceBody(Body):
    """What is recorded of somebody held liable: role, class, the list entry that allows it, measures and bans."""

    role: Line
    record_class: Annotated[RecordClassWord, Field(alias="class")]
    list_entry: Line
    measures: Annotated[list[MeasureBody], Field(max_length=50)] | None = None
    bans: Annotated[list[BanBody], Field(max_length=50)] | None = None
    domain: Line | None = None


class RecordBody(ConsequenceBody):
    """A credit record on a decision that is no fraud case."""

    subject: Subject
    document_no: Line
    decided_at: Day
    served_at: Day


class FileBody(Body):
    """Whose file is asked for, and why."""

    subject: Subject
    purpose: Text


async def _named(region: Region, body: AnyBody) -> AnyBody:
    """Return `body` with the subject's id where it was named by a number; everything else is the ledger's to judge.

    Raises `Refusal` subject.unknown, request.member_….
    """
    if not isinstance(body, dict) or not isinstance(body.get("subject"), dict):
        return body
    members = RequestMembers(body["subject"], "/subject")
    id_type, number = members.text("id_type", 3), members.text("id", 64)
    members.done()
    subject = await region.database.read(lambda tx: subjects.find(tx, region.vault, id_type, number))
    if subject is None:
        raise Refusal(Code.SUBJECT_UNKNOWN, "/subject")
    return {**body, "subject": subject}


@router.post(
    "/v1/credit/checks",
    summary="Check a subject's credit",
    **described(
        "checkCredit",
        takes=CheckBody,
        status=201,
        refuses=["request.", "subject.unknown", "matter.unknown", "credit.policy_unknown", "answer.erased", "stale"],
    ),
)
async def check(region: RegionNow, actor: Checker, once: OnceOnly, body: Posted) -> Response:
    """Answer yes, no or with conditions, never with the records; the check itself is recorded and can be a basis."""
    named = await _named(region, body)
    return answer(await credit_checks.check(region, actor, named, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/credit/records",
    summary="Write a credit record",
    **described(
        "recordCredit",
        takes=RecordBody,
        status=201,
        refuses=["request.", "subject.unknown", "credit.", "decision.dates", "answer.erased", "stale"],
    ),
)
async def record(region: RegionNow, actor: Supervisor, once: OnceOnly, body: Posted) -> Response:
    """Write a record on a decision, under the rule in force on its day."""
    named = await _named(region, body)
    return answer(await credit.write_record(region, actor, named, idempotency=once.by(actor, region)), 201)


@router.post(
    "/v1/credit/files",
    summary="A subject's credit file, for its supervisor",
    **described(
        "readCreditFile",
        takes=FileBody,
        status=201,
        refuses=["request.", "subject.unknown", "matter.unknown", "credit.policy_unknown"],
    ),
)
async def file(region: RegionNow, actor: Supervisor, once: OnceOnly, body: Posted) -> Response:
    """Return the records that departments may act on today; the look is recorded as a credit check with its purpose.

    The subject stands in the body, never in the address.
    """
    named = await _named(region, body)
    checked = await credit_checks.check(region, actor, named, idempotency=once.by(actor, region))
    subject, today = named["subject"], day_of(region.clock.now())
    records = await region.database.read(lambda tx: credit.records_in_use(tx, subject, today, public=False))
    return answer({"subject": subject, "check": checked, "records": records}, 201)


@router.get("/v1/holder/credit", summary="The caller's own credit file", **described("getOwnCreditFile"))
async def own_file(region: RegionNow, holder: Holder) -> Response:
    """Return everything that is recorded of the holder, and what each record counts for today."""
    today = day_of(region.clock.now())
    found: dict[str, Any] = await region.database.read(lambda tx: credit.credit_file(tx, holder, today))
    return answer(found)


@router.get(
    "/v1/holder/accesses",
    summary="Who looked at the caller's licences",
    **described("getOwnAccesses", refuses=["cursor.invalid"]),
)
async def own_accesses(
    region: RegionNow,
    holder: Holder,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Return who looked, when, for which matter and purpose, the newest first."""
    return answer(await region.database.read(lambda tx: access.accesses_to(tx, holder, cursor, limit)))
