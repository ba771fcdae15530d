"""One call: who makes it, in which language, under which key. Dependencies of the routes, all `async` so that none of
them costs a thread."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
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
MAX_REMEMBERED = 10_000
"""Clients, and tokens, of whom something is remembered."""


class Callers:
    """Turns access tokens into actors; remembers clients, and whom a token stood for, for a minute."""

    def __init__(self, region: Region, tokens: Tokens) -> None:
        self._region = region
        self._tokens = tokens
        # Each with the time until which it is believed.
        self._clients: dict[str, tuple[clients.Client, float]] = {}
        # By the hash of the header: the actor but for the officer, when the token ends, until when this is believed.
        self._actors: dict[bytes, tuple[Actor, int, float]] = {}
        self._drops = 0

    @property
    def tokens(self) -> Tokens:
        """The tokens of this region."""
        return self._tokens

    def drop(self) -> None:
        """Forget what was remembered, as a change of client or grant demands."""
        self._clients.clear()
        self._actors.clear()
        self._drops += 1
        self._tokens.drop()

    async def client(self, client_id: str) -> clients.Client:
        """Return the client in good standing called `client_id`.

        Raises `Refusal` `client.unknown` or `client.disabled`.
        """
        return (await self._client(client_id))[0]

    async def _client(self, client_id: str) -> tuple[clients.Client, float]:
        known = self._clients.get(client_id)
        if known is None or known[1] < monotonic():
            until, drops = monotonic() + CHECK_LIFE_S, self._drops
            client = await self._region.database.read(lambda tx: clients.get(tx, client_id), cheap=True)
            if drops != self._drops:  # changed while it was read: good for this call, and for no other
                until = 0.0
            if len(self._clients) >= MAX_REMEMBERED:
                self._clients.clear()
            known = self._clients[client_id] = client, until
        if known[0].disabled:
            raise Refusal(Code.CLIENT_DISABLED)
        return known

    async def actor(self, authorization: str | None, operator: str | None) -> Actor:
        """Return the actor behind an `Authorization` header.

        Raises `Refusal` with a `token.*` or `client.*` code.
        """
        digest = sha256((authorization or "").encode()).digest()
        known = self._actors.get(digest)
        if known is None or known[2] < monotonic():
            known = await self._looked_up(authorization, digest)
        else:
            self._region.seen.require_whole()
            if known[1] <= int(self._region.clock.now().timestamp()):
                raise Refusal(Code.TOKEN_EXPIRED)
        actor = known[0]
        return actor if operator is None else Actor(actor.client, actor.department, actor.scopes, operator, actor.areas)

    async def _looked_up(self, authorization: str | None, digest: bytes) -> tuple[Actor, int, float]:
        """Check a token and look its client up; what is remembered of both is believed as long as the client is."""
        claims = self._claims(authorization)
        client, until = await self._client(claims["sub"])
        if len(self._actors) >= MAX_REMEMBERED:
            self._actors.clear()
        known = self._actors[digest] = actor_of(claims, client, None), claims["exp"], until
        return known

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
