"""Having our own witness see what we follow, where a log does not show it itself.

Followers find a split by what each other's witnesses were shown (protocol 29). A log that shows its checkpoints to
followers but to no witness would leave them nothing to compare. So the newest checkpoint that we verified goes to our
own witness after a while, like any other, and whoever asks it is told. What it cosigned before is compared with what we
follow, too: the log may have shown one history to the witness and another to the follower.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ledger.errors import Refusal
from ledger.following_faults import Misbehaved
from ledger.outside import Unreachable
from ledger.peer_following import ROUND_S
from ledger.witnessing import Witness
from verifiers.add_checkpoint import format_request, origin_hash
from verifiers.errors import VerificationError

if TYPE_CHECKING:
    from ledger.peer_following import PeerFollower
    from ledger.recognised import Peer
    from ledger.region import Region

FEED_AFTER_S: Final = 5.0
"""How long our witness may be behind what we follow before it is shown that: a log that asks it every two seconds, as
it should, is never behind, and one that never asks costs us a signature in this time."""


class WitnessFeeding:
    """Shows our witness the logs of peers; one a process, used by the process that follows."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._witness = Witness(region)
        self._behind_since: dict[str, float] = {}
        self._known: dict[str, tuple[str, int]] = {}

    async def after_look(self, peer: Peer, follower: PeerFollower) -> None:
        """Compare what our witness cosigned with what was just verified of a peer, or let it cosign that."""
        row = follower.log.row
        if not row.note:
            return
        try:
            known = self._cosigned(peer, follower, await self._witness.latest(origin_hash(row.origin)))
            if known >= row.size:
                self._behind_since.pop(peer.region, None)
            elif self._is_due(peer.region):
                async with asyncio.timeout(ROUND_S):
                    proof = await follower.log.proof_from(peer.base, known)
                await self._witness.add_checkpoint(format_request(known, proof, row.note))
                self._behind_since.pop(peer.region, None)
        except (Misbehaved, Refusal, TimeoutError, Unreachable, VerificationError):
            # Our witness rests, its clock is behind, or the peer gives no proof: the next look tries again.
            return

    def _cosigned(self, peer: Peer, follower: PeerFollower, note: str | None) -> int:
        """Let what our witness cosigned last be compared at the next look, once; give its size."""
        if note is None:
            return 0
        known = self._known.get(peer.region)
        if known is None or known[0] != note:
            known = self._known[peer.region] = (note, follower.cosigned(peer, note))
        return known[1]

    def _is_due(self, region: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now >= self._behind_since.setdefault(region, now) + FEED_AFTER_S
