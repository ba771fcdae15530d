"""The port through which a region calls another in its own name, and what both sides remember of such calls.

`api.peer_calls.SignedCalls` is the real implementation (signed requests, RFC 9421). Whatever a call returns was written
by the other region: its shape is checked by whoever asked, and what it claims by `verifiers`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import delete

from ledger.database import Writing
from ledger.followed import newest_text
from ledger.recognised import Peer
from ledger.tables.peers import peer_nonces
from verifiers.errors import VerificationError
from verifiers.trust_list import TrustList, open_trust_list

if TYPE_CHECKING:
    from ledger.region import Region


class PeerRefused(Exception):
    """A peer answered no: `code` is its refusal code as it gave it, empty without one, `status` the HTTP status."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"{status} {code}".rstrip())
        self.code = code
        self.status = status


class PeerCalls(Protocol):
    """Calls to other regions, signed with this region's key `peer`."""

    async def call(self, peer: Peer, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Send `document` to `path` below the peer's address and return its answer, a JSON object.

        Raises `Unreachable` where nobody answers or the answer is of no use, `PeerRefused` where the answer is no.
        """
        ...


@dataclass(frozen=True, slots=True)
class CallingPeer:
    """The region that signed a request, and its trust list, under which the signature held."""

    peer: Peer
    trust: TrustList = field(repr=False)


async def trust_list_of(region: Region, peer: Peer, at: datetime) -> TrustList | None:
    """Return the newest trust list known of `peer`, opened under its pinned root; `None` without one that holds."""
    following = region.following
    found: TrustList | None = None if following is None else following.trust_list(peer.region)
    if found is not None and found.root_fingerprint == peer.root:
        return found
    text = await region.database.read(lambda tx: newest_text(tx, peer.region, peer.root, proven=False), cheap=True)
    if text is None:
        return None
    try:
        # Long lists take long to open, and others are being served meanwhile.
        return await asyncio.to_thread(open_trust_list, text, root_fingerprint=peer.root, at=at, source=peer.region)
    except VerificationError:
        return None


def remember_nonce(tx: Writing, kid: str, nonce: str, until: datetime, at: datetime) -> None:
    """Write down that a signed request was seen; nonces whose requests no longer count are dropped.

    Raises `Refusal` with peer.signature_replayed, at the latest at the end of the transaction, for one seen before.
    """
    table = peer_nonces
    tx.execute(delete(table).where(table.c.expires < int(at.timestamp())))
    tx.execute(table.insert().values(kid=kid, nonce=nonce, expires=int(until.timestamp())))
