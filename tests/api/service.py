"""A served region for tests: the real application on a real region, called through ASGI by clients with keys."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from api.app import create_app
from api.settings import Settings
from ledger import clients
from ledger.region import Region
from tests.region import region_on

IDENTITY_ISSUER = "https://identity.example"


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
            "aud": str(self._http.base_url).rstrip("/"),
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(12),
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(claims, self.key, algorithm="ES256")

    async def ask_token(self, assertion: str | None = None, **more: str) -> httpx.Response:
        """Ask for a token and return the whole answer."""
        form: dict[str, str] = {
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
        sent = {
            "Authorization": f"Bearer {self._token}",
            "Elicence-Operator": quote(self.operator),
            "Accept-Language": "en",
        }
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


class Holder:
    """A holder behind a phone: an app's client that exchanged an identity platform's token (RFC 8693)."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self.token = token

    async def call(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """Make a call in the holder's name."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept-Language": "en"}
        return await self._http.request(method, path, json=json, headers=headers, **more)


class Service:
    """The running application, its region, and a way to register callers."""

    def __init__(self, region: Region, http: httpx.AsyncClient, identity_key: ec.EllipticCurvePrivateKey) -> None:
        self.region = region
        self.http = http
        self.identity_key = identity_key

    async def caller(self, client: str, scopes: list[str], department: str = "", operator: str = "E-001") -> Caller:
        """Register a client with a fresh key and return it."""
        key = ec.generate_private_key(ec.SECP256R1())
        body: dict[str, Any] = {"id": client, "name": client, "scopes": scopes, "areas": [], "jwks": jwks_of(key)}
        if department:
            body["department"] = department
        await clients.register(self.region, body)
        return Caller(self.http, client, key, operator)

    def identity_token(self, id_type: str, number: str, **changes: Any) -> str:
        """Sign, as the identity platform would, who somebody is; `changes` replace claims."""
        claims = {
            "iss": IDENTITY_ISSUER,
            "aud": self.region.base_url,
            "exp": int(time.time()) + 60,
            "id_type": id_type,
            "id": number,
        }
        return jwt.encode(claims | changes, self.identity_key, algorithm="ES256")

    async def holder(self, app: Caller, id_type: str, number: str) -> Holder:
        """Return the holder with this identity number, behind the client `app`."""
        answer = await app.ask_token(
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token=self.identity_token(id_type, number),
            subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        )
        assert answer.is_success, answer.text
        return Holder(self.http, answer.json()["access_token"])


def jwks_of(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Return the public half of a key as a JWK set."""
    return {"keys": [jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)]}


@asynccontextmanager
async def service_on(
    database_url: str, folder: Path, *, changes: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """Serve a fresh region on a migrated database for the block; `changes` replace members of its configuration."""
    identity_key = ec.generate_private_key(ec.SECP256R1())
    (folder / "identity.jwks.json").write_text(json.dumps(jwks_of(identity_key)))
    async with (
        region_on(database_url, folder, **(changes or {})) as region,
        served(region, identity_key, folder, **settings) as service,
    ):
        yield service


@asynccontextmanager
async def served(
    region: Region, identity_key: ec.EllipticCurvePrivateKey, folder: Path, **settings: Any
) -> AsyncIterator[Service]:
    """Serve `region` for the block."""
    chosen: dict[str, Any] = {
        "base_url": region.base_url,
        "database_url": region.config.database_url,
        "tiles": region.config.tiles,
        "identity_issuer": IDENTITY_ISSUER,
        "identity_jwks": folder / "identity.jwks.json",
    }
    app = create_app(Settings(**(chosen | settings)), region)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=region.base_url, timeout=60) as http:
            yield Service(region, http, identity_key)
