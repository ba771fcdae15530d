"""Which region is calling: the dependency of every route between regions.

The order is one of cost: whether the region named is a peer at all, whether its signature holds under its own trust
list, whether it calls too often, and only then what has to be written down.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from api.http_signatures import REGION_HEADER, BadRequestSignature, Fault, Opened, open_request
from keys.public_key import PublicKey
from ledger.errors import Code, Refusal
from ledger.peer_calls import CallingPeer, remember_nonce, trust_list_of
from ledger.recognised import Peer
from ledger.region import Region
from verifiers.trust_list import TrustList

BODY_MAX: Final = 262_144
"""Longest body in bytes: two hundred identifiers take 30 KiB, a hundred notices about 200 KiB."""

CALLS_PER_S: Final = 50
"""Calls a second that one peer may make to one process; a busy province has a few scans a second from each other."""
BURST: Final = 200

WAKE_S: Final = 5.0
"""How often an unknown key makes us look at a peer out of turn."""

REFUSES: Final = (
    "body.",
    "peer.not_admitted",
    "peer.signature_missing",
    "peer.signature_invalid",
    "peer.signature_stale",
    "peer.signature_replayed",
    "peer.key_unknown",
    "peer.too_many_calls",
)
"""Codes with which every route between regions may refuse."""

_CODES: Final = {
    Fault.MISSING: Code.PEER_SIGNATURE_MISSING,
    Fault.INVALID: Code.PEER_SIGNATURE_INVALID,
    Fault.STALE: Code.PEER_SIGNATURE_STALE,
    Fault.KEY: Code.PEER_KEY_UNKNOWN,
}


class PeerDoor:
    """Lets in the calls of other regions; one a process, used from its event loop."""

    def __init__(self, region: Region, *, calls_per_s: float = CALLS_PER_S, burst: int = BURST) -> None:
        self._region = region
        self._bases = (region.base_url, *region.config.former_base_urls)
        self._calls_per_s = calls_per_s
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}
        self._woken: dict[str, float] = {}

    async def caller(self, request: Request) -> CallingPeer:
        """Return the region that signed `request`.

        Raises `Refusal` body.too_large, peer.not_admitted, peer.key_unknown, peer.too_many_calls or a
        `peer.signature_…` code.
        """
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > BODY_MAX:
            raise Refusal(Code.BODY_TOO_LARGE, limit=BODY_MAX)
        body = await request.body()
        if len(body) > BODY_MAX:
            raise Refusal(Code.BODY_TOO_LARGE, limit=BODY_MAX)
        if "signature-input" not in request.headers:
            raise Refusal(Code.PEER_SIGNATURE_MISSING)
        region, at = self._region, self._region.clock.now()
        peer = region.catalogue.recognised.peers.get(request.headers.get(REGION_HEADER, ""))
        if peer is None or peer.status != "active":
            raise Refusal(Code.PEER_NOT_ADMITTED)
        trust = await trust_list_of(region, peer, at)
        if trust is None or at > trust.document.expires_at:
            raise Refusal(Code.PEER_KEY_UNKNOWN, why="no trust list of that region that still counts")
        opened = self._opened(request, body, trust, peer.region)
        self._take_turn(peer)
        # The nonce is kept before anything is done: a crash after this line costs the caller one more signature.
        await region.database.write(lambda tx: remember_nonce(tx, opened.kid, opened.nonce, opened.until, at))
        return CallingPeer(peer, trust)

    def _opened(self, request: Request, body: bytes, trust: TrustList, peer: str) -> Opened:
        try:
            return open_request(
                request.headers.items(),
                method=request.method,
                url=self._address(request),
                body=body,
                at=self._region.clock.now(),
                key_of=lambda kid: key_for_calls(trust, kid),
            )
        except BadRequestSignature as error:
            following = self._region.following
            if error.fault is Fault.KEY and following is not None and self._may_wake(peer):
                following.wake(peer)  # it may have a new key; the next call will find it
            raise Refusal(_CODES[error.fault], why=error.detail) from None

    def _address(self, request: Request) -> str:
        """The address the caller must have signed: below our own base address, or a former one it still knows."""
        host = request.headers.get("host", "").lower()
        base = next((each for each in self._bases if urlsplit(each).netloc.lower() == host), self._bases[0])
        return f"{base}{request.scope['path']}"

    def _may_wake(self, peer: str) -> bool:
        """Whether it is time again: anybody can make up a key id, but not set the pace at which peers are asked."""
        now = self._region.clock.now().timestamp()
        if now - self._woken.get(peer, 0.0) < WAKE_S:
            return False
        self._woken[peer] = now
        return True

    def _take_turn(self, peer: Peer) -> None:
        """Take a token from the peer's bucket. Raises `Refusal` peer.too_many_calls."""
        now = self._region.clock.now().timestamp()
        left, since = self._buckets.get(peer.region, (float(self._burst), now))
        left = min(float(self._burst), left + max(0.0, now - since) * self._calls_per_s)
        if left < 1:
            raise Refusal(Code.PEER_TOO_MANY_CALLS, retry_after=max(1, round((1 - left) / self._calls_per_s)))
        self._buckets[peer.region] = (left - 1, now)


def key_for_calls(trust: TrustList, kid: str) -> PublicKey | None:
    """Return the key with which the region of `trust` signs calls now, if `kid` is one."""
    key = trust.key(kid)
    if key is None or key.purpose != "peer" or key.department is not None:
        return None
    return None if key.revoked is not None or key.log_to is not None else key.public_key


async def calling(request: Request) -> CallingPeer:
    """Return the region that signed this request. Raises `Refusal`, see `PeerDoor.caller`."""
    door: PeerDoor = request.app.state.peer_door
    return await door.caller(request)


PeerCaller = Annotated[CallingPeer, Depends(calling)]
