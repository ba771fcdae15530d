"""`POST /oauth/token`: access tokens for clients (RFC 6749 §4.4 with RFC 7523) and for holders (RFC 8693).

A holder comes with a token of the region's identity platform; what it says of the person is turned into a subject of
the ledger at once, so that no identity number is in any token of ours.
"""

from typing import Annotated

import jwt
from fastapi import APIRouter, Form, Request
from pydantic import BaseModel, Field

from api import auth
from api.call import Callers, RegionNow
from api.operations import described
from api.strict_route import StrictRoute
from ledger import clients, subjects
from ledger.errors import Code, Refusal

CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant type's name
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a token type's name
HOLDER_SCOPE = "holder"

router = APIRouter(tags=["accounts"], route_class=StrictRoute)


class TokenAnswer(BaseModel):
    """An access token (RFC 6749 §5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a token type's name
    expires_in: int = Field(description="Seconds.")
    scope: str
    issued_token_type: str = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a token type's name


@router.post(
    "/oauth/token",
    response_model=TokenAnswer,
    summary="Get an access token",
    **described(
        "getToken",
        media="application/x-www-form-urlencoded",
        refuses=[
            "assertion.",
            "client.unknown",
            "client.disabled",
            "grant_type.unsupported",
            "scope.",
            "subject.unknown",
            "token.malformed",
            "token.expired",
            "body.invalid",
            "body.too_large",
            "storage.full",
        ],
    ),
)
async def token(
    request: Request,
    region: RegionNow,
    grant_type: Annotated[str, Form()],
    client_assertion_type: Annotated[str, Form()] = "",
    client_assertion: Annotated[str, Form()] = "",
    scope: Annotated[str, Form(max_length=200)] = "",
    subject_token: Annotated[str, Form()] = "",
    subject_token_type: Annotated[str, Form()] = "",
) -> TokenAnswer:
    """Return an access token for the client that signed the assertion, or for the holder behind a subject token.

    Without `scope` a client gets all that it has.
    """
    callers: Callers = request.app.state.callers
    if client_assertion_type != auth.ASSERTION_TYPE:
        raise Refusal(Code.ASSERTION_MALFORMED)
    at = region.clock.now()
    client = await callers.client(auth.unverified_client(client_assertion))
    assertion = auth.check_assertion(client_assertion, client, audience=region.config.base_url, at=at)
    # Persisted before the token leaves, so that another process or a restart refuses the same assertion too.
    await region.database.write(
        lambda tx: clients.remember_assertion(tx, assertion.client, assertion.jti, assertion.expires, at)
    )
    if grant_type == CLIENT_CREDENTIALS:
        scopes = _scopes(scope, client.scopes)
        text = callers.tokens.issue(client=client.id, department=client.department, scopes=scopes, at=at)
        return TokenAnswer(access_token=text, expires_in=callers.tokens.life_s, scope=" ".join(sorted(scopes)))
    if grant_type == TOKEN_EXCHANGE:
        return await _exchange(request, region, callers, client, subject_token, subject_token_type)
    raise Refusal(Code.GRANT_TYPE_UNSUPPORTED)


def _scopes(asked: str, granted: frozenset[str]) -> frozenset[str]:
    wanted = frozenset(asked.split())
    if not wanted <= auth.SCOPES:
        raise Refusal(Code.SCOPE_UNKNOWN)
    if not wanted <= granted:
        raise Refusal(Code.SCOPE_EXCEEDED, needs=sorted(wanted - granted))
    return wanted or granted - {HOLDER_SCOPE}


async def _exchange(
    request: Request, region: RegionNow, callers: Callers, client: clients.Client, text: str, kind: str
) -> TokenAnswer:
    """Turn an identity platform's token into one of ours with scope `holder` (RFC 8693 §2)."""
    if HOLDER_SCOPE not in client.scopes:
        raise Refusal(Code.SCOPE_EXCEEDED, needs=[HOLDER_SCOPE])
    platform: IdentityPlatform | None = request.app.state.identity_platform
    if platform is None or kind != ID_TOKEN:
        raise Refusal(Code.GRANT_TYPE_UNSUPPORTED)
    at = region.clock.now()
    id_type, number = platform.identity(text, audience=region.config.base_url, now=int(at.timestamp()))
    subject = await region.database.read(lambda tx: subjects.find(tx, region.vault, id_type, number))
    if subject is None:
        raise Refusal(Code.SUBJECT_UNKNOWN)
    token_text = callers.tokens.issue(
        client=client.id, department="", scopes=frozenset({HOLDER_SCOPE}), at=at, subject=subject
    )
    return TokenAnswer(access_token=token_text, expires_in=callers.tokens.life_s, scope=HOLDER_SCOPE)


class IdentityPlatform:
    """The region's identity platform, known by its issuer name and public keys."""

    def __init__(self, issuer: str, jwks: dict[str, object]) -> None:
        self._issuer = issuer
        self._keys = jwt.PyJWKSet.from_dict(jwks).keys

    def identity(self, token: str, *, audience: str, now: int) -> tuple[str, str]:
        """Return the id type and number of the person a token of the platform is about.

        The token has `iss`, `aud`, `exp`, and the claims `id_type` and `id`. Raises `Refusal` `token.malformed` or
        `token.expired`.
        """
        for key in self._keys:
            algorithm = "ES256" if key.key_type == "EC" else "EdDSA"
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[algorithm],
                    issuer=self._issuer,
                    audience=audience,
                    options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iss", "aud"]},
                )
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                continue
            except jwt.PyJWTError:
                raise Refusal(Code.TOKEN_MALFORMED) from None
            if int(claims["exp"]) <= now:
                raise Refusal(Code.TOKEN_EXPIRED)
            id_type, number = claims.get("id_type"), claims.get("id")
            if isinstance(id_type, str) and isinstance(number, str):
                return id_type, number
            break
        raise Refusal(Code.TOKEN_MALFORMED)
