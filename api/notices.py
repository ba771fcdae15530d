"""What a department must learn, by polling (docs/fraud.md)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.bodies import Body
from api.call import RegionNow, allowed
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import notices
from ledger.actors import Actor
from ledger.request_members import RequestMembers

router = APIRouter(tags=["notices"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(allowed("audit", "issue", "window", "supervise"))]


class AckBody(Body):
    """Up to where the department has read."""

    cursor: Annotated[str, Field(min_length=1, max_length=200)]


@router.get(
    "/v1/notices", summary="Notices for the caller's department", **described("listNotices", refuses=["cursor.invalid"])
)
async def pending(
    region: RegionNow,
    actor: Reader,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Return what came after `cursor`, or after the last acknowledgement."""
    return answer(await region.database.read(lambda tx: notices.pending(tx, actor.department, cursor, limit)))


@router.post(
    "/v1/notices/ack",
    summary="Acknowledge notices",
    **described("acknowledgeNotices", takes=AckBody, refuses=["request.", "cursor.invalid"]),
)
async def acknowledge(region: RegionNow, actor: Reader, body: Posted) -> Response:
    """Remember up to where the department has read; repeating it changes nothing."""
    members = RequestMembers(body)
    cursor = members.text("cursor", 200)
    members.done()
    return answer(await notices.acknowledge(region.database, region.clock, actor.department, cursor))
