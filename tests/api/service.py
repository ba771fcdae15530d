"""A served region for tests: the real application on a real region, called through ASGI by clients with keys."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from api.app import create_app
from api.settings import Settings
from ledger import clients
from ledger.region import Region
from tests.region import BASE_URL, region_on


class Caller:
    """A client of the service with a key of its own; gets its token when it first calls."""

    def __init__(self, http: httpx.AsyncClient, client: str, key: ec.EllipticCurvePrivateKey, operator: str) -> None:
        self._http = http
        self.client = client
        self.key = key
        self.operator = operator
        self._token: str | None = None

    def assertion(self, **changes: Any) -> str:
        """Sign a client assertion; `changes` replace claims, `None` leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.client,
            "sub": self.client,
            "aud": BASE_URL,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(12),
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(claims, self.key, algorithm="ES256")

    async def ask_token(self, assertion: str | None = None, **more: str) -> httpx.Response:
        """Ask for a token and return the whole answer."""
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
        }
        return await self._http.post("/oauth/token", data=form | more)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Make an authorised call; a state-changing one gets a fresh idempotency key unless `key` is given."""
        if self._token is None:
            self._token = (await self.ask_token()).raise_for_status().json()["access_token"]
        sent = {"Authorization": f"Bearer {self._token}", "Elicence-Operator": self.operator, "Accept-Language": "en"}
        if method != "GET":
            sent["Idempotency-Key"] = key or secrets.token_urlsafe(9)
        if json is not None:
            more["json"] = json
        return await self._http.request(method, path, headers=sent | (headers or {}), **more)

    async def get(self, path: str, **more: Any) -> Any:
        """Read something that is there."""
        answer = await self.call("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, json: Any = None, **more: Any) -> Any:
        """Change something that may be changed."""
        answer = await self.call("POST", path, json, **more)
        assert answer.is_success, answer.text
        return answer.json()


class Service:
    """The running application, its region, and a way to register callers."""

    def __init__(self, region: Region, http: httpx.AsyncClient) -> None:
        self.region = region
        self.http = http

    async def caller(self, client: str, scopes: list[str], department: str = "", operator: str = "E-001") -> Caller:
        """Register a client with a fresh key and return it."""
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        body: dict[str, Any] = {"id": client, "name": client, "scopes": scopes, "areas": [], "jwks": {"keys": [jwk]}}
        if department:
            body["department"] = department
        await clients.register(self.region, body)
        return Caller(self.http, client, key, operator)


@asynccontextmanager
async def service_on(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Service]:
    """Serve a fresh region on a migrated database for the block."""
    async with region_on(database_url, folder) as region:
        chosen = Settings(base_url=BASE_URL, database_url=database_url, tiles=folder / "public", **settings)
        app = create_app(chosen, region)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
                yield Service(region, http)
