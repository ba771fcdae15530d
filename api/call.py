"""One call: who makes it, in which language, under which key. Dependencies of the routes, all `async` so that none of
them costs a thread."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
from cachetools import TTLCache
from fastapi import Depends, Request

from api.auth import CHECK_LIFE_S, Tokens, actor_of
from api.problems import Language, language_of
from ledger import case_steps, clients
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.proposals import IdempotencyKey
from ledger.region import Region

OFFICER_SCOPES = frozenset({"issue", "window", "supervise"})
"""Scopes under which somebody at a desk acts, so that the call has to name the officer (protocol rule 31)."""
OPERATOR_HEADER = "Elicence-Operator"
KEY_HEADER = "Idempotency-Key"
MAX_KEY_CHARACTERS = 128
MAX_OPERATOR_CHARACTERS = 64


class Callers:
    """Turns access tokens into actors; remembers clients for a minute."""

    def __init__(self, region: Region, tokens: Tokens) -> None:
        self._region = region
        self._tokens = tokens
        self._clients: TTLCache[str, clients.Client] = TTLCache(maxsize=10_000, ttl=CHECK_LIFE_S)

    @property
    def tokens(self) -> Tokens:
        """The tokens of this region."""
        return self._tokens

    def drop(self) -> None:
        """Forget what was remembered, as a change of client or grant demands."""
        self._clients.clear()
        self._tokens.drop()

    async def client(self, client_id: str) -> clients.Client:
        """Return the client in good standing called `client_id`.

        Raises `Refusal` `client.unknown` or `client.disabled`.
        """
        known = self._clients.get(client_id)
        if known is None:
            known = await self._region.database.read(lambda tx: clients.get(tx, client_id), cheap=True)
            self._clients[client_id] = known
        if known.disabled:
            raise Refusal(Code.CLIENT_DISABLED)
        return known

    async def actor(self, authorization: str | None, operator: str | None) -> Actor:
        """Return the actor behind an `Authorization` header.

        Raises `Refusal` with a `token.*` or `client.*` code.
        """
        claims = self._claims(authorization)
        return actor_of(claims, await self.client(claims["sub"]), operator)

    async def subject(self, authorization: str | None) -> str:
        """Return the subject behind a holder's `Authorization` header.

        Raises `Refusal` with a `token.*` or `client.*` code, or `scope.exceeded`.
        """
        claims = self._claims(authorization)
        caller = actor_of(claims, await self.client(claims["sub"]), None)
        subject = claims.get("subject")
        if not caller.may("holder") or not isinstance(subject, str):
            raise Refusal(Code.SCOPE_EXCEEDED, needs=["holder"])
        return subject

    def _claims(self, authorization: str | None) -> dict[str, Any]:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(Code.TOKEN_MISSING)
        # What a restored state says of people may have been erased or taken back since.
        self._region.seen.require_whole()
        return self._tokens.check(token.strip(), self._region.clock.now())


async def region_of(request: Request) -> Region:
    """Return the region this service runs."""
    region: Region = request.app.state.region
    return region


async def language(request: Request) -> Language:
    """Return the caller's language."""
    return language_of(request.headers.get("accept-language"))


def allowed(*scopes: str, officer: bool = True) -> Callable[..., Awaitable[Actor]]:
    """Return a dependency that gives the actor if its token has one of `scopes`.

    `officer=False` is for calls that do nothing in anybody's name.

    Raises `Refusal` `scope.exceeded`, or `operator.missing` where an officer has to be named.
    """

    async def actor(request: Request) -> Actor:
        callers: Callers = request.app.state.callers
        caller = await callers.actor(request.headers.get("authorization"), _officer(request))
        used = [scope for scope in scopes if caller.may(scope)]
        if not used:
            raise Refusal(Code.SCOPE_EXCEEDED, needs=list(scopes))
        if officer and caller.operator is None and used[0] in OFFICER_SCOPES:
            raise Refusal(Code.OPERATOR_MISSING)
        return caller

    actor.scopes = scopes  # type: ignore[attr-defined] # the interface description says which scopes a call takes
    return actor


def _officer(request: Request) -> str | None:
    """Return who is named by `Elicence-Operator`: header values are ASCII, so a name comes percent-encoded.

    Raises `Refusal` parameter.invalid.
    """
    named = unquote(request.headers.get(OPERATOR_HEADER, "")).strip()
    if len(named) > MAX_OPERATOR_CHARACTERS or not named.isprintable():
        raise Refusal(Code.PARAMETER_INVALID, f"#header/{OPERATOR_HEADER}", limit=MAX_OPERATOR_CHARACTERS)
    return named or None


async def holder(request: Request) -> str:
    """Return the subject behind a holder's token (RFC 8693).

    Raises `Refusal` with a `token.*` or `client.*` code, or `scope.exceeded` for a token that is no holder's.
    """
    callers: Callers = request.app.state.callers
    return await callers.subject(request.headers.get("authorization"))


holder.scopes = ("holder",)  # type: ignore[attr-defined] # as above


@dataclass(frozen=True, slots=True)
class Once:
    """What makes a call the same call again: endpoint, `Idempotency-Key` and canonical body."""

    endpoint: str
    key: str
    body: bytes

    def by(self, actor: Actor, region: Region) -> IdempotencyKey:
        """Return the ledger's form of it for `actor`: the body only as a keyed hash (protocol rule 9)."""
        return IdempotencyKey(actor.client, self.endpoint, self.key, region.vault.body_mac(self.body))

    async def run(
        self, region: Region, actor: Actor, act: Callable[[IdempotencyKey], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return what this very call was answered before, or what `act` answers now.

        The look comes first, because whoever repeats a registration would otherwise be told that the thing exists.
        Raises `Refusal` idempotency.conflict or answer.erased, or as `act` does.
        """
        key = self.by(actor, region)
        return await case_steps.once(region, key, lambda: act(key))


async def once(request: Request) -> Once:
    """Return what makes this call the same call again.

    Raises `Refusal` `idempotency.missing`, parameter.invalid.
    """
    key = idempotency_key(request)
    if key is None:
        raise Refusal(Code.IDEMPOTENCY_MISSING)
    body: Any = await request.json() if await request.body() else None
    # The path with its ids is part of what the key stands for: the same key on another licence is another body.
    canonical = orjson.dumps([request.scope["path"], body], option=orjson.OPT_SORT_KEYS)
    return Once(f"{request.method} {request.scope['route'].path}", key, canonical)


def idempotency_key(request: Request) -> str | None:
    """Return the `Idempotency-Key`, `None` where there is none. Raises `Refusal` parameter.invalid."""
    key = request.headers.get(KEY_HEADER, "")
    if len(key) > MAX_KEY_CHARACTERS:
        raise Refusal(Code.PARAMETER_INVALID, f"#header/{KEY_HEADER}", limit=MAX_KEY_CHARACTERS)
    return key or None


RegionNow = Annotated[Region, Depends(region_of)]
Tongue = Annotated[Language, Depends(language)]
OnceOnly = Annotated[Once, Depends(once)]
allowed_to_issue = allowed("issue")
Issuer = Annotated[Actor, Depends(allowed_to_issue)]
Window = Annotated[Actor, Depends(allowed("window"))]
Supervisor = Annotated[Actor, Depends(allowed("supervise"))]
Operator = Annotated[Actor, Depends(allowed("operate"))]
Holder = Annotated[str, Depends(holder)]
