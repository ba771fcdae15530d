"""Admitting a region, for tests: operators with keys, what they sign, and another region that shows its documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from keys.private_key import PrivateKey
from ledger import clients, peers
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.region import Region
from tests.region import OPERATOR
from tests.verifiers.issuer import Issuer
from verifiers import approval
from verifiers.jws import compact

CODE = "620000"
THERE = "https://r620000.example"
KEYS = {name: PrivateKey.from_secret("ES256", bytes([n]) * 32) for n, name in enumerate(("ann", "bob", "eve"), 1)}
"""Two operators, and somebody who is none."""


class Documents(Outside):
    """The way to one other region that shows nothing but these documents, by path; it can be down."""

    def __init__(self, shown: Mapping[str, bytes], base: str = THERE) -> None:
        self.shown = dict(shown)
        self.base = base
        self.down = False

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Answer as its web server does."""
        if self.down or not url.startswith(self.base):
            raise Unreachable("nobody answers there")
        body = self.document(url.removeprefix(self.base))
        return Answer(404, b"") if body is None else Answer(200, body)

    def document(self, path: str) -> bytes | None:
        """What lies at `path`, if anything."""
        return self.shown.get(path)

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Nothing is taken there."""
        raise Unreachable("nobody answers there")

    async def close(self) -> None:
        """Nothing is open."""


def shown_by(issuer: Issuer) -> dict[str, bytes]:
    """The documents of a made-up region that someone who may admit it looks at."""
    token = issuer.trust_token().encode("ascii")
    description = {"region": issuer.region, "log": {"origin": issuer.origin}}
    return {
        "/.well-known/elicence-region": orjson.dumps(description),
        "/trust-list": token,
        f"/trust-list/{issuer.seq}": token,
    }


def approve(
    proposal: dict[str, Any], who: str, *, at: datetime, key: PrivateKey | None = None, kid: str | None = None
) -> str:
    """Sign an approval as the command does for an operator."""
    signer = key or KEYS[who]
    to_sign = approval.signing_input(proposal, approver=who, kid=kid or signer.public_key.kid, at=at)
    return compact(to_sign, signer.sign(to_sign))


async def register(region: Region, who: str, *, scopes: list[str] | None = None, key: PrivateKey | None = None) -> None:
    """Register somebody's client."""
    jwks = {"keys": [(key or KEYS[who]).public_key.jwk()]}
    await clients.register(region, {"id": who, "name": who, "scopes": scopes or ["operate"], "jwks": jwks})


async def admitted(region: Region, root: str, base: str = THERE) -> dict[str, Any]:
    """Admit the region at `base` as two operators, who are registered, approve; `region.outside` leads there."""
    proposal = (await peers.propose(region, {"base": base, "root": root}))["proposal"]
    texts = [approve(proposal, who, at=region.clock.now()) for who in ("ann", "bob")]
    return await peers.admit(region, OPERATOR, {"proposal": proposal, "approvals": texts})
