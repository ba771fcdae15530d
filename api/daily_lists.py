"""`GET /v1/departments/{department}/entries`: the signed list of what was logged in a department's name on one day."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.call import RegionNow, allowed
from api.direct_route import DirectRoute
from api.operations import described
from ledger import daily_lists
from ledger.actors import Actor
from ledger.errors import Code, Refusal

router = APIRouter(tags=["administration"], route_class=DirectRoute)

MEDIA = "application/elicence-daily-list+jwt"
Department = Annotated[str, Path(pattern=r"^[0-9A-Z]{18}$", description="Unified social credit code.")]
# Nothing is done in anybody's name, so a department's monitor runs at night without an officer.
Watcher = Annotated[Actor, Depends(allowed("audit", "operate", "issue", "supervise", officer=False))]


@router.get(
    "/v1/departments/{department}/entries",
    response_class=Response,
    summary="What was logged in a department's name on one day",
    **described("getDailyList", gives=MEDIA, refuses=["department.", "scope.exceeded"]),
)
async def entries(
    region: RegionNow,
    actor: Watcher,
    department: Department,
    day: Annotated[date, Query(description="Calendar date in +08:00.")],
) -> Response:
    """Return the list signed by the region (docs/formats/daily-list.md); a department asks for its own only."""
    if actor.department != department and not (actor.may("audit") or actor.may("operate")):
        raise Refusal(Code.SCOPE_EXCEEDED, needs=["audit", "operate"])
    text = await daily_lists.daily_list(region, department, day)
    return Response(text, media_type=MEDIA, headers={"Cache-Control": "no-store"})
