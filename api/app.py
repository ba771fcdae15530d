"""The composition root of the service: settings in, an application out.

`create_app` builds everything and opens nothing; the lifespan opens the key store, the database and the region, and
closes them in the opposite order. Tests hand in a region of their own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from api import (
    administration,
    batches,
    codes,
    credit,
    daily_lists,
    definitions,
    discovery,
    equivalences,
    frames,
    fraud,
    health,
    interface,
    licences,
    logs,
    notices,
    oauth,
    page_routes,
    peer_cascade,
    peer_routes,
    peers,
    published,
    refused,
    seals,
    submissions,
    verification,
    witness,
)
from api.admission import Admission
from api.auth import Tokens
from api.call import Callers
from api.composition import open_region, preparers_of
from api.front import Service
from api.metrics import Metrics
from api.patience import Patience
from api.peer_caller import PeerDoor
from api.peer_calls import SignedCalls
from api.rendering import Rendering
from api.settings import Settings
from ledger.batches import BatchRunner
from ledger.following import Following
from ledger.foreign_tending import ForeignTending
from ledger.issue_desk import IssueDesk
from ledger.region import Region
from ledger.settling import Tending
from ledger.verifying import OnlineVerifier
from ledger.witnessing import Witness

DESCRIPTION = """Issue, check, suspend and revoke electronic licences on a ledger anyone can check.

Refusals are `application/problem+json` (RFC 9457); every `type` is listed in docs/problems.md."""

ROUTERS = (
    verification.router,
    licences.router,
    batches.router,
    codes.router,
    submissions.router,
    seals.router,
    credit.router,
    fraud.router,
    notices.router,
    administration.router,
    peers.router,
    equivalences.router,
    daily_lists.router,
    definitions.router,
    oauth.router,
    discovery.router,
    published.router,
    witness.router,
    peer_routes.router,
    peer_cascade.router,
    health.router,
    frames.router,
    page_routes.router,
)


def create_app(settings: Settings, region: Region | None = None, *, closes: bool = False) -> Service:
    """Return the application for `settings`; without a `region` it opens one, and closes it at the end.

    One that is given is left open, unless the application `closes` it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = region or await open_region(settings)
        try:
            async with _serving(app, running, settings):
                yield
        finally:
            if region is None or closes:
                await running.close()

    logs.configure(settings.log_level)
    metrics = Metrics()
    app = Service(title="Elicence", version="1", description=DESCRIPTION, lifespan=lifespan, redirect_slashes=False)
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.identity_platform = _identity_platform(settings)
    refused.install(app)
    for router in ROUTERS:
        # Taken over as they are: nothing is added to a path, and the table of direct routes is made of one flat list.
        app.router.routes.extend(router.routes)
    interface.install(app)
    app.open(metrics, _admission(settings), Patience(settings.body_timeout_s), verbose=settings.log_level == "DEBUG")
    return app


def _admission(settings: Settings) -> Admission:
    return Admission(most=settings.max_calls, wait_s=settings.max_wait_ms / 1000, most_long=settings.max_batches)


@asynccontextmanager
async def _serving(app: FastAPI, region: Region, settings: Settings) -> AsyncIterator[None]:
    """Give the routes what they work with, and run what a region does by itself, for the block."""
    tokens = Tokens(region.store.secret("token"), issuer=settings.base_url, life_s=settings.token_ttl_s)
    tending, runner = Tending(region), BatchRunner(region)
    app.state.region = region
    app.state.callers = Callers(region, tokens)
    app.state.verifier = OnlineVerifier(region)
    app.state.desk = IssueDesk(region)
    app.state.rendering = Rendering()
    app.state.batches = runner
    app.state.witness = Witness(region)
    app.state.peer_door = PeerDoor(region)
    if region.outside is not None and region.peer_calls is None:
        region.peer_calls = SignedCalls(region, region.outside)
    if region.outside is not None and region.cosigner is None:
        region.reach(region.outside)
    if region.cosigner is not None:
        region.cosigner.pulse.start()
    following = foreign = None
    if region.outside is not None and region.following is None:
        region.following = following = Following(region, region.outside)
        foreign = ForeignTending(region)
        following.start()
        foreign.start()
    app.state.pulses = {"cases": tending.pulse, "batches": runner.pulse}  # readiness asks them
    tending.pulse.start()
    runner.pulse.start()
    region.preparers = preparers = preparers_of(settings, region)
    if preparers is not None:
        preparers.start()
    structlog.get_logger().info("ready", version=app.version, port=settings.port)
    try:
        yield
    finally:
        if foreign is not None:
            await foreign.stop()
        if following is not None:
            await following.stop()
            region.following = None
        await runner.stop()
        if preparers is not None:
            region.preparers = None
            await preparers.stop()
        await tending.pulse.stop()
        if region.cosigner is not None:
            await region.cosigner.stop()


def _identity_platform(settings: Settings) -> oauth.IdentityPlatform | None:
    if settings.identity_issuer is None or settings.identity_jwks is None:
        return None
    return oauth.IdentityPlatform(settings.identity_issuer, json.loads(settings.identity_jwks.read_text("utf-8")))
