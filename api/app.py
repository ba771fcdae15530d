"""The composition root of the service: settings in, an application out.

`create_app` builds everything and opens nothing; the lifespan opens the key store, the database and the region, and closes
them in the opposite order. Tests hand in a region of their own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from api import administration, fraud, health, logs, notices, oauth, page_routes, published, refused
from api.auth import Tokens
from api.call import Callers
from api.composition import open_region
from api.metrics import Metrics
from api.observation import Observation
from api.settings import Settings
from ledger.region import Region

DESCRIPTION = """Issue, check, suspend and revoke electronic licences on a ledger anyone can check.

Refusals are `application/problem+json` (RFC 9457); every `type` is listed in docs/problems.md."""


def create_app(settings: Settings, region: Region | None = None) -> FastAPI:
    """Return the application for `settings`; with a `region` given, that one is served and left open at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = region or await open_region(settings)
        app.state.region = running
        tokens = Tokens(running.store.secret("token"), issuer=settings.base_url, life_s=settings.token_ttl_s)
        app.state.callers = Callers(running, tokens)
        structlog.get_logger().info("ready", version=app.version, port=settings.port)
        try:
            yield
        finally:
            if region is None:
                await running.close()

    logs.configure(settings.log_level)
    metrics = Metrics()
    app = FastAPI(title="Elicence", version="1", description=DESCRIPTION, lifespan=lifespan, redirect_slashes=False)
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.identity_platform = _identity_platform(settings)
    refused.install(app, metrics)
    for router in (
        health.router, oauth.router, published.router, administration.router, fraud.router, notices.router,
        page_routes.router,
    ):
        app.include_router(router)
    app.add_middleware(Observation, metrics=metrics)
    return app


def _identity_platform(settings: Settings) -> oauth.IdentityPlatform | None:
    if settings.identity_issuer is None or settings.identity_jwks is None:
        return None
    return oauth.IdentityPlatform(settings.identity_issuer, json.loads(settings.identity_jwks.read_text("utf-8")))
