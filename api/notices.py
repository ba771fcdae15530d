"""What a department must learn, by polling (docs/fraud.md)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from api.bodies import Body
from api.call import RegionNow, allowed
from api.strict_route import StrictRoute
from ledger import notices
from ledger.actors import Actor

router = APIRouter(tags=["notices"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(allowed("audit", "issue", "window", "supervise"))]


class AckBody(Body):
    """Up to where the department has read."""

    model_config = ConfigDict(json_schema_extra={"example": {"cursor": "1042.0"}})

    cursor: Annotated[str, Field(min_length=1, max_length=64)]


@router.get("/v1/notices", summary="Notices for the caller's department")
async def pending(
    region: RegionNow,
    actor: Reader,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Return what came after `cursor`, or after the last acknowledgement."""
    return await region.database.read(lambda tx: notices.pending(tx, actor.department, cursor, limit))


@router.post("/v1/notices/ack", summary="Acknowledge notices")
async def acknowledge(region: RegionNow, actor: Reader, body: AckBody) -> dict[str, Any]:
    """Remember up to where the department has read; repeating it changes nothing."""
    return await notices.acknowledge(region.database, region.clock, actor.department, body.cursor)
