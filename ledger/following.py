"""Following every peer: each on its own, so that one that is slow, silent or hostile delays nobody else.

The process that holds the publication lease fetches; every process reads what was stored and answers from it. A peer
that fails is asked less and less often, down to every half minute. Nothing here is waited for by issuing, and no peer
makes this region unready. See docs/following.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ledger.outside import Outside
from ledger.pacing import Pulse
from ledger.peer_following import PeerFollower
from ledger.recognised import Peer, Recognised
from ledger.witness_feeding import WitnessFeeding
from verifiers.peer_view import PeerView, Watch
from verifiers.status_list import StatusList
from verifiers.trust_list import TrustList

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.region import Region

AT_ONCE: Final = 32
"""Peers looked at at the same time."""

BACKOFF_MAX_S: Final = 30.0
"""Longest pause before a peer that fails is asked again."""

LAG_S: Final = 60.0
"""How long a peer may show something older than what we have seen before that is called a rollback: caches may keep
a trust list for half of it."""

HEAR_S: Final = 1.0
"""How often one of the other peers' witnesses is asked what it was shown of a peer's log: with n witnesses a split is
found within n of these, and the time until ours has grown as far."""

_JITTER: Final = 0.2
_PAUSE_S: Final = 0.05
_IDLE_S: Final = 0.2
_log = logging.getLogger(__name__)


class Following:
    """What this process knows of all peers that are not withdrawn; one a process.

    `on_news` is called with the region whose log, trust list or status lists moved. `lag_s`, `rng` and `step_done` are
    for tests: patience, the source of jitter, and a hook after each stored step.
    """

    def __init__(
        self,
        region: Region,
        outside: Outside,
        *,
        lag_s: float = LAG_S,
        rng: random.Random | None = None,
        step_done: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._region = region
        self._outside = outside
        self._lag_s = lag_s
        self._rng = rng or random.SystemRandom()
        self._step_done = step_done
        self._interval_s = region.config.follow_interval_ms / 1000
        self._followers: dict[str, PeerFollower] = {}
        self._feeding = WitnessFeeding(region)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._hearing: dict[str, asyncio.Task[None]] = {}
        self._heard_at: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._again: set[str] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._refreshed_at = float("-inf")
        self._views: tuple[Recognised, int, tuple[PeerView, ...]] | None = None
        self._version = 0
        self.on_news: list[Callable[[str], None]] = []
        self.pulse = Pulse(
            "following", self._go_on, pause_s=min(_PAUSE_S, self._interval_s), idle_s=min(_IDLE_S, self._interval_s)
        )

    # --- what is known ---------------------------------------------------------------------------------------------

    def views(self) -> tuple[PeerView, ...]:
        """Return what verifiers are given of every peer whose trust list is known."""
        recognised = self._region.catalogue.recognised
        if self._views is None or self._views[0] is not recognised or self._views[1] != self._version:
            found = [self._follower(peer).view(peer) for peer in recognised.followed]
            self._views = (recognised, self._version, tuple(view for view in found if view is not None))
        return self._views[2]

    def status_lists(self) -> tuple[StatusList, ...]:
        """Return the newest status lists of all peers, each opened under its own region's trust list."""
        known = [self._followers.get(peer.region) for peer in self._region.catalogue.recognised.followed]
        return tuple(each for follower in known if follower is not None for each in follower.status.lists)

    def trust_list(self, region: str) -> TrustList | None:
        """Return the newest proven trust list of a peer, None where there is none or the peer is not followed."""
        peer = self._region.catalogue.recognised.peers.get(region)
        follower = self._followers.get(region)
        if peer is None or peer.status == "withdrawn" or follower is None:
            return None
        view = follower.view(peer)
        return None if view is None else view.trust

    def watch(self, region: str) -> Watch:
        """Return how a peer's log fares."""
        follower = self._followers.get(region)
        return Watch.UNREACHABLE if follower is None else follower.watch

    def verified(self, region: str) -> tuple[str, int]:
        """Return origin and size of the newest verified checkpoint of a peer's log; an empty origin before any."""
        follower = self._followers.get(region)
        return ("", 0) if follower is None else (follower.log.row.origin, follower.log.row.size)

    def states(self) -> list[dict[str, Any]]:
        """Return for every peer what `elicence peers status` shows; times are ISO 8601 or None."""
        peers = self._region.catalogue.recognised.followed
        return [_state(peer, self._follower(peer), self._region.clock.now()) for peer in peers]

    def readiness(self) -> dict[str, dict[str, Any]]:
        """Tell which peers are not followed as they should be, which is no reason to stop serving; nothing for none."""
        peers = self._region.catalogue.recognised.followed
        if not peers:
            return {}
        watches = {peer.region: self.watch(peer.region) for peer in peers}
        troubled = [f"{code} {watch}" for code, watch in watches.items() if watch is not Watch.FOLLOWED]
        detail = {"detail": ", ".join(troubled)} if troubled else {}
        return {"peers": {"ready": not troubled, "optional": True, **detail}}

    # --- looking ---------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Look at every peer once, all at the same time, and wait until that is done; not the leader: `refresh`."""
        if self._region.publisher.token is None:
            await self.refresh()
            return
        peers = [each for each in self._region.catalogue.recognised.followed if each.region not in self._running]
        await asyncio.gather(*(self._hear(peer) for peer in peers))
        await asyncio.gather(*(self._look(peer) for peer in peers))
        await asyncio.gather(*self._running.values())

    async def refresh(self) -> None:
        """Take what the leading process has stored."""
        for peer in self._region.catalogue.recognised.followed:
            if await self._follower(peer).refresh(peer):
                self._tell(peer.region)
        self._version += 1

    def wake(self, region: str | None = None) -> None:
        """Ask for a look at one peer, or at all, as soon as possible: somebody says that there is news."""
        if region is None:
            self._due.clear()
            self._again |= set(self._running)
        elif region in self._running:
            self._again.add(region)
        else:
            self._due.pop(region, None)
        self.pulse.wake()

    def start(self) -> None:
        """Begin to follow."""
        self.pulse.start()

    async def stop(self) -> None:
        """End; a look under way is broken off, which loses nothing that was stored."""
        await self.pulse.stop()
        running = [*self._running.values(), *self._hearing.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _go_on(self) -> None:
        """Start a look at every peer that is due, and wait for none."""
        loop = asyncio.get_running_loop()
        if self._region.publisher.token is None:
            if loop.time() >= self._refreshed_at + self._interval_s:
                self._refreshed_at = loop.time()
                await self.refresh()
            return
        for peer in self._region.catalogue.recognised.followed:
            if peer.region not in self._running and self._due.get(peer.region, 0.0) <= loop.time():
                task = loop.create_task(self._look(peer), name=f"elicence-follow-{peer.region}")
                self._running[peer.region] = task
                task.add_done_callback(partial(self._done, peer.region))
            if peer.region not in self._hearing and self._heard_at.get(peer.region, 0.0) + HEAR_S <= loop.time():
                # Apart from the look: the witness that is asked may be the one that never answers.
                self._heard_at[peer.region] = loop.time()
                hearing = loop.create_task(self._hear(peer), name=f"elicence-hear-{peer.region}")
                self._hearing[peer.region] = hearing
                hearing.add_done_callback(partial(self._heard, peer.region))

    def _done(self, region: str, task: asyncio.Task[None]) -> None:
        del self._running[region]
        if not task.cancelled() and task.exception() is not None:
            # Our own fault or our database's, not the peer's: readiness tells of the database, and this goes on.
            _log.error("following %s failed", region, exc_info=task.exception())
            self._due[region] = asyncio.get_running_loop().time() + BACKOFF_MAX_S
        if region in self._again:
            self._again.discard(region)
            self._due.pop(region, None)
            self.pulse.wake()

    async def _look(self, peer: Peer) -> None:
        follower = self._follower(peer)
        async with self._gate:
            news = await follower.look(peer)
            await self._feeding.after_look(peer, follower)
        self._version += 1
        pause = 0.0 if follower.behind else pause_after(follower.failures, self._interval_s, self._rng)
        self._due[peer.region] = asyncio.get_running_loop().time() + pause
        if news:
            self._tell(peer.region)

    async def _hear(self, peer: Peer) -> None:
        """Ask one of the other peers' witnesses, each in its turn, what it was shown of this peer's log."""
        witnesses = self._witnesses_beside(peer.region)
        if witnesses:
            turn = self._turns[peer.region] = self._turns.get(peer.region, -1) + 1
            await self._follower(peer).hear(peer, witnesses[turn % len(witnesses)])

    def _heard(self, region: str, task: asyncio.Task[None]) -> None:
        del self._hearing[region]
        if not task.cancelled() and task.exception() is not None:
            _log.error("hearing of %s failed", region, exc_info=task.exception())

    def _tell(self, region: str) -> None:
        self._version += 1
        for listener in self.on_news:
            listener(region)

    def _follower(self, peer: Peer) -> PeerFollower:
        found = self._followers.get(peer.region)
        if found is None:
            region = self._region
            found = self._followers[peer.region] = PeerFollower(
                peer.region,
                region.database,
                self._outside,
                region.clock,
                mirror=region.config.mirror_entries,
                lag_s=self._lag_s,
                step_done=self._step_done,
            )
            found.poll_ms = self._region.config.follow_interval_ms
        return found

    def _witnesses_beside(self, region: str) -> tuple[str, ...]:
        """Return the addresses of the other peers' witnesses: what they were shown of this one must fit."""
        found = []
        for peer in self._region.catalogue.recognised.followed:
            trust = self.trust_list(peer.region)
            if peer.region != region and trust is not None and trust.document.witness is not None:
                found.append(f"{peer.base}/witness")
        return tuple(found)


def pause_after(failures: int, interval_s: float, rng: random.Random) -> float:
    """Return the seconds until a peer is looked at again, after so many looks in a row that failed."""
    pause = min(BACKOFF_MAX_S, interval_s * 2 ** min(failures, 12)) if failures else interval_s
    return pause * rng.uniform(1 - _JITTER, 1)


def _state(peer: Peer, follower: PeerFollower, now: datetime) -> dict[str, Any]:
    row, trust = follower.log.row, follower.lists.trust
    lists = follower.status.lists
    oldest = min((each.issued_at for each in lists), default=None)
    return {
        "region": peer.region,
        "names": dict(peer.names),
        "base": peer.base,
        "status": peer.status,
        "state": str(follower.watch),
        "detail": follower.detail,
        "origin": row.origin or None,
        "size": row.size,
        "mirrored": row.mirrored,
        "signed_at": _text(row.signed_at),
        "checked_at": _text(follower.checked_at),
        "good_at": _text(follower.good_at),
        "age_s": None if follower.good_at is None else max(0, int((now - follower.good_at).total_seconds())),
        "failures": follower.failures,
        "trust_list": None
        if trust is None
        else {"seq": trust.document.seq, "expires_at": _text(trust.document.expires_at)},
        "status_lists": {"held": len(lists), "oldest": _text(oldest)},
        "evidence": follower.evidence,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.replace(microsecond=0).isoformat()
