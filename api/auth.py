"""Who is calling: client assertions in, access tokens out, actors for the ledger.

OAuth 2.0 client credentials with `private_key_jwt` (RFC 6749 §4.4, RFC 7523). The suite is fixed by the registered key,
never by the token's header. Access tokens are short-lived and checked without the database, but for one look-up of the
client a minute, so that a client that is shut out stays in for at most `CHECK_LIFE_S` (docs/quickstart/department.md).
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cachetools import TTLCache

from ledger.actors import Actor
from ledger.clients import Client
from ledger.errors import Code, Refusal

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE_S = 300
"""Longest life of a client assertion: its `jti` has to be remembered that long (protocol rule 31)."""
CLOCK_SKEW_S = 10
"""How far a client's clock may run ahead of ours."""
CHECK_LIFE_S = 60
"""How long a checked access token is believed without a look at its client."""
SCOPES = frozenset({"issue", "window", "supervise", "verify", "audit", "operate", "holder"})
_ALGORITHM_OF_CURVE = {"P-256": "ES256", "Ed25519": "EdDSA"}
# The one JWS algorithm that goes with the curve of a registered key; nothing else may sign an assertion.
MAX_TOKEN_CHARACTERS = 8192
"""A real assertion or token has under 1,000 characters."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A client assertion whose signature, audience and times are right; replay is still to be refused."""

    client: str
    jti: str
    expires: int


def unverified_client(assertion: str) -> str:
    """Return the client an assertion names, to look up its keys; nothing of it is believed yet.

    Raises `Refusal` `assertion.malformed`.
    """
    if len(assertion) > MAX_TOKEN_CHARACTERS:
        raise Refusal(Code.ASSERTION_MALFORMED)
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise Refusal(Code.ASSERTION_MALFORMED) from None
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise Refusal(Code.ASSERTION_MALFORMED)
    return subject


def check_assertion(assertion: str, client: Client, *, audience: str, at: datetime) -> Assertion:
    """Return what `assertion` says once a registered key of `client` has signed it for exactly `audience`.

    Raises `Refusal`: `assertion.signature`, `assertion.audience`, `assertion.expired`, `assertion.lifetime`,
    `assertion.clock`, `assertion.malformed` (RFC 7523 §3).
    """
    claims = _signed_claims(assertion, client)
    now = int(at.timestamp())
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise Refusal(Code.ASSERTION_MALFORMED)
    # A list of audiences would let another server's assertion be used here, so only the plain string counts.
    if claims.get("aud") != audience:
        raise Refusal(Code.ASSERTION_AUDIENCE, expected=audience)
    expires, issued, jti = claims.get("exp"), claims.get("iat"), claims.get("jti")
    if not _is_time(expires) or not _is_time(issued) or not isinstance(jti, str) or not 8 <= len(jti) <= 128:
        raise Refusal(Code.ASSERTION_MALFORMED)
    assert isinstance(expires, int) and isinstance(issued, int)  # noqa: S101 - narrows for mypy what _is_time checked
    if expires <= now:
        raise Refusal(Code.ASSERTION_EXPIRED)
    if issued > now + CLOCK_SKEW_S:
        raise Refusal(Code.ASSERTION_CLOCK, ahead_s=issued - now)
    if expires > now + ASSERTION_LIFE_S + CLOCK_SKEW_S:
        raise Refusal(Code.ASSERTION_LIFETIME, limit_s=ASSERTION_LIFE_S)
    return Assertion(client.id, jti, expires)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _signed_claims(assertion: str, client: Client) -> dict[str, Any]:
    """Return the claims under the registered key that signed them; the suite is the key's, never the header's."""
    for jwk in client.keys:
        algorithm = _ALGORITHM_OF_CURVE[jwk["crv"]]
        try:
            return dict(
                jwt.decode(
                    assertion,
                    key=jwt.PyJWK(jwk).key,
                    algorithms=[algorithm],
                    options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
                )
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
        except jwt.PyJWTError:
            raise Refusal(Code.ASSERTION_MALFORMED) from None
    raise Refusal(Code.ASSERTION_SIGNATURE)


class Tokens:
    """Issues access tokens and turns them back into actors.

    A token is a JWT under a region secret (HS256): only this region reads it, every process of it can.
    """

    def __init__(self, secret: bytes, *, issuer: str, life_s: int) -> None:
        self._secret = secret
        self._issuer = issuer
        self._life_s = life_s
        self._checked: TTLCache[bytes, dict[str, Any]] = TTLCache(maxsize=10_000, ttl=CHECK_LIFE_S)

    @property
    def life_s(self) -> int:
        """Seconds a fresh token lives."""
        return self._life_s

    def issue(self, *, client: str, department: str, scopes: frozenset[str], at: datetime, **more: str) -> str:
        """Return a token for `client` of `department` with `scopes`; `more` are plain string claims."""
        now = int(at.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": client,
            "dep": department,
            "scope": " ".join(sorted(scopes)),
            "iat": now,
            "exp": now + self._life_s,
            "jti": secrets.token_urlsafe(9),
            **more,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": "at+jwt"})

    def check(self, token: str, at: datetime) -> dict[str, Any]:
        """Return the claims of a token of ours that is still good.

        Raises `Refusal`: `token.malformed`, `token.expired`, `token.other_region`.
        """
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        claims = self._checked.get(digest)
        if claims is None:
            claims = self._decode(token)
            self._checked[digest] = claims
        if claims["exp"] <= int(at.timestamp()):
            raise Refusal(Code.TOKEN_EXPIRED)
        return claims

    def drop(self) -> None:
        """Forget every checked token, as a change of client or grant demands (protocol rule 31)."""
        self._checked.clear()

    def _decode(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Refusal(Code.TOKEN_MALFORMED)
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise Refusal(Code.TOKEN_MALFORMED) from None
        # Said before the signature is looked at, so that a token of the neighbouring region gets its own sentence;
        # nothing is granted on the strength of it.
        if unverified.get("aud") != self._issuer:
            raise Refusal(Code.TOKEN_OTHER_REGION)
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=self._issuer,
                issuer=self._issuer,
                options={"verify_exp": False, "require": ["exp", "iat", "sub", "dep", "scope"]},
            )
        except jwt.PyJWTError:
            raise Refusal(Code.TOKEN_MALFORMED) from None
        return dict(claims)


def actor_of(claims: dict[str, Any], client: Client, operator: str | None) -> Actor:
    """Return the actor behind checked token `claims`: scopes are the token's that the client still has."""
    scopes = frozenset(str(claims["scope"]).split()) & client.scopes
    return Actor(client=client.id, department=client.department, scopes=scopes, operator=operator, areas=client.areas)
