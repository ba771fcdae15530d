"""Is it alive, is it ready, how is it doing: answers that tell the truth."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from api import metrics
from api.call import RegionNow
from api.direct_route import DirectRoute
from api.operations import answer, described
from ledger import peer_inbox
from ledger.foreign_standing import standings

router = APIRouter(tags=["operation"], route_class=DirectRoute)


@router.get("/healthz", summary="Is the process alive", **described("isAlive"))
async def healthz() -> Response:
    """Return at once while the process serves at all."""
    return answer({"status": "alive"})


@router.get(
    "/readyz",
    summary="Can it do its work",
    responses={503: {"description": "Not ready; `checks` says why.", "content": {"application/json": {}}}},
    **described("isReady"),
)
async def readyz(request: Request, region: RegionNow) -> Response:
    """Return 200 when every part this service needs works now, 503 with the parts that do not otherwise."""
    checks = await region.readiness()
    for name, pulse in request.app.state.pulses.items():
        fault = pulse.fault
        checks[name] = {"ready": True} if fault is None else {"ready": False, "detail": type(fault).__name__}
    if region.following is not None:
        checks |= region.following.readiness()
    ready = all(each["ready"] for each in checks.values() if not each.get("optional"))
    return answer({"ready": ready, "checks": checks}, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    summary="Prometheus metrics",
    **described("getMetrics", gives="text/plain"),
)
async def prometheus(request: Request, region: RegionNow) -> Response:
    """Return the metrics of this process in Prometheus' text format."""
    held: metrics.Metrics = request.app.state.metrics
    figures: dict[str, Any] = await region.figures()
    held.queue.set(figures["queue"])
    if region.preparers is not None:
        held.preparers_ready.set(region.preparers.ready)
        held.preparers_lost.set(region.preparers.lost)
    held.size.set(figures["size"])
    held.published.set(figures["published"])
    held.checkpoint_age.set(figures["checkpoint_age_s"])
    held.status_age.set(figures["status_age_s"])
    if figures["witnesses"] is not None:
        held.watch(figures["witnesses"])
    if region.following is not None:
        held.follow(region.following.states())
        held.rest(await region.database.read(standings, cheap=True), peer_inbox.refused)
    # Collecting takes a lock and some milliseconds when there are many routes.
    return Response(await asyncio.to_thread(held.text), media_type=metrics.MEDIA_TYPE)
