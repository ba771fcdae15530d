"""One look at one peer, and what follows from it: its log, its trust list, its status lists, and the state of all that.

Every part stores what held in its own transaction, so a look that ends early loses nothing. What is wrong with one part
does not keep the others from going on, but whoever does not answer is not asked for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from ledger import followed
from ledger.clock import Clock
from ledger.database import Database, Reading, Writing
from ledger.followed_status import StatusFollower
from ledger.followed_trust import ListFollower, policy_of
from ledger.following_faults import FOUND, Misbehaved
from ledger.mirroring import LogFollower
from ledger.misbehaviour import convicting
from ledger.misbehaviour import keep as keep_evidence
from ledger.outside import Outside, Unreachable
from ledger.recognised import Peer
from verifiers import note
from verifiers.checkpoint import open_checkpoint
from verifiers.errors import VerificationError
from verifiers.peer_view import PeerView, Watch

ROUND_S: Final = 60.0
"""Longest look at one peer; what it stored by then stays, and the next look goes on from there."""

FREEZE_SLACK_S: Final = 30.0
"""How much later than promised a checkpoint may be signed before its log is called frozen."""

HEARSAY_S: Final = 3.0
"""Longest wait for what another peer's witness was shown."""

HEARTBEAT_S: Final = 5.0
"""How often an unchanged state is stored: other processes know no better when a peer was looked at last."""

ALONE_S: Final = 60.0
"""The same with SQLite, where there are no other processes: a restart finds a peer looked at this much too early."""

_DETAIL_MAX: Final = 500
_GRAVITY: Final = (Watch.FORKED, Watch.ROLLED_BACK, Watch.INCONSISTENT, Watch.UNREACHABLE)
_LIES: Final = frozenset({Watch.ROLLED_BACK, Watch.INCONSISTENT})


class PeerFollower:
    """Follows one peer; one a process and peer, used by one task at a time, and read by everybody in between."""

    def __init__(
        self,
        region: str,
        database: Database,
        outside: Outside,
        clock: Clock,
        *,
        mirror: bool,
        lag_s: float,
        step_done: Callable[[str], None],
    ) -> None:
        self.region = region
        self._database = database
        self._outside = outside
        self._clock = clock
        self.log = LogFollower(region, database, outside, clock, mirror=mirror, lag_s=lag_s, step_done=step_done)
        self.lists = ListFollower(region, database, outside, clock, lag_s=lag_s, step_done=step_done)
        self.status = StatusFollower(region, database, outside, clock, step_done=step_done)
        self.watch = Watch.UNREACHABLE
        self.detail = "not looked at yet"
        self.checked_at: datetime | None = None
        self.good_at: datetime | None = None
        self.failures = 0
        self.behind = False
        self.evidence = 0
        self.poll_ms = 0
        self._stored_at: datetime | None = None
        self._status_news = False
        self._beat = timedelta(seconds=ALONE_S if database.is_sqlite else HEARTBEAT_S)

    def view(self, peer: Peer) -> PeerView | None:
        """What verifiers are given of this peer; None before its first trust list."""
        trust = self.lists.trust
        if trust is None or trust.root_fingerprint != peer.root:
            return None
        return PeerView(trust, self.watch, self.good_at, self.poll_ms, logged=True)

    async def refresh(self, peer: Peer) -> bool:
        """Take what is stored; tell whether log, trust list or status lists moved."""
        before = (self.log.row.size, None if self.lists.trust is None else self.lists.trust.digest)
        row, self.evidence = await self._database.read(lambda tx: _standing(tx, self.region, peer.base), cheap=True)
        await self.lists.load(peer.root)
        news = False
        if row is not None:
            self.log.row = row
            # While the state is the same only some looks are stored, so this process may have counted further.
            self.failures = max(self.failures, row.failures) if row.state is self.watch else row.failures
            self.watch, self.detail = row.state, row.detail
            self.checked_at, self.good_at = _later(self.checked_at, row.checked_at), _later(self.good_at, row.good_at)
        if self.lists.trust is not None:
            news = await self.status.load(self.lists.trust)
        after = (self.log.row.size, None if self.lists.trust is None else self.lists.trust.digest)
        return news or before != after

    async def look(self, peer: Peer) -> bool:
        """Fetch what is new of this peer and judge it; tell whether log, trust list or status lists moved.

        Raises `Refusal` where our own database fails.
        """
        news = await self.refresh(peer)
        if self.watch is Watch.FORKED and peer.status == "active":
            return news  # for good, until operators have suspended the peer and what it shows then fits again
        before = self.watch
        faults: list[Misbehaved] = []
        complete = False
        try:
            async with asyncio.timeout(ROUND_S):
                moved, complete = await self._parts(peer, faults)
                news = news or moved
        except TimeoutError:
            faults.append(_silent(f"not done within {ROUND_S:g} s"))
        except followed.Overtaken:
            return True
        await self._judge(peer, before, faults, complete)
        return news

    async def _parts(self, peer: Peer, faults: list[Misbehaved]) -> tuple[bool, bool]:
        """Look at each part in turn; tell whether anything moved, and whether everything is as new as was signed."""
        if self.lists.trust is None:
            await self._guarded(faults, lambda: self.lists.look(peer, self.log))
        trust = self.lists.trust
        if trust is None:
            return False, False
        size, news, complete = self.log.row.size, False, False
        for _ in range(2):
            complete = await self._guarded(faults, lambda: self._look_at_log(peer))
            if _silenced(faults):
                return False, False
            news |= await self._guarded(faults, lambda: self.lists.look(peer, self.log))
            if _silenced(faults):
                break
            waits = await self._guarded(faults, lambda: self._look_at_status(peer))
            news |= self._status_news
            if not waits:
                break  # else the log has grown since we looked, and the list that says so is there already
        if not faults:
            await self._guarded(faults, lambda: self.log.compare_heard(peer.base))
        return news or self.log.row.size != size, complete

    async def _look_at_log(self, peer: Peer) -> bool:
        trust = self.lists.trust
        if trust is None:
            return False
        policy = policy_of(trust, peer)
        await self.log.begin(policy.origin)
        return await self.log.look(peer.base, policy)

    async def _look_at_status(self, peer: Peer) -> bool:
        self._status_news, trust = False, self.lists.trust
        if trust is None:
            return False
        row = self.log.row
        self._status_news, waits = await self.status.look(peer.base, trust, row.origin, row.size)
        return waits

    async def hear(self, peer: Peer, witness: str) -> None:
        """Ask another peer's witness what it was shown of this log; the next look compares it.

        Two histories may be shown to two of us. What the witness itself does wrong says nothing about this peer.
        """
        trust = self.lists.trust
        if trust is None:
            return
        try:
            policy = policy_of(trust, peer)
            async with asyncio.timeout(HEARSAY_S):
                url = f"{witness}/{sha256(policy.origin.encode()).hexdigest()}/checkpoint"
                answer = await self._outside.get(url, limit=note.MAX_BYTES)
            if answer.status == FOUND:
                self.log.heard(open_checkpoint(answer.body, policy))
        except (TimeoutError, Unreachable, VerificationError):
            return

    def cosigned(self, peer: Peer, shown: str) -> int:
        """Take down what our own witness cosigned of this log, to be compared at the next look; return its size.

        Raises `VerificationError` where the log's keys have changed since.
        """
        if self.lists.trust is None:
            return 0
        checkpoint = open_checkpoint(shown, policy_of(self.lists.trust, peer))
        self.log.heard(checkpoint)
        return checkpoint.size

    async def _guarded(self, faults: list[Misbehaved], part: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await part()
        except Misbehaved as fault:
            faults.append(fault)
        except Unreachable as silence:
            faults.append(_silent(silence.detail))
        except VerificationError as error:
            # Nobody's signature is on it, so it says nothing about the peer but that its word did not reach us.
            faults.append(_silent(f"what is served does not hold: {error.reason}", answered=True))
        return False

    async def _judge(self, peer: Peer, before: Watch, faults: list[Misbehaved], complete: bool) -> None:
        now = self._clock.now()
        worst = min(faults, key=lambda fault: _GRAVITY.index(fault.watch), default=None)
        if worst is None:
            watch, detail = self._fresh(now)
            if not complete:
                detail = f"mirrored {self.log.row.mirrored} entries so far"
        elif worst.watch is Watch.UNREACHABLE and before in _LIES:
            watch, detail = before, self.detail  # whoever lied is not believed again for being silent
        else:
            watch, detail = worst.watch, worst.detail[:_DETAIL_MAX]
        stored = self.watch
        self.failures = 0 if worst is None else self.failures + 1
        self.behind = worst is None and not complete
        self.checked_at = now
        self.good_at = now if worst is None and complete else self.good_at
        changed = (watch, detail) != (self.watch, self.detail)
        self.watch, self.detail = watch, detail
        beat = self._stored_at is None or now - self._stored_at >= self._beat
        if changed or beat or any(fault.evidence is not None for fault in faults):
            await self._store(peer, faults, now, stored)

    async def _store(self, peer: Peer, faults: list[Misbehaved], now: datetime, before: Watch) -> None:
        origin = self.log.row.origin or peer.base
        row = replace(
            self.log.row,
            state=self.watch,
            detail=self.detail,
            checked_at=self.checked_at,
            good_at=self.good_at,
            failures=self.failures,
        )

        def write(tx: Writing) -> int:
            for fault in faults:
                if fault.evidence is not None:
                    keep_evidence(tx, origin, fault.kind, fault.detail, fault.evidence, fault.about, now)
            followed.judge(tx, row, before)
            return convicting(tx, origin)

        # A crash before this: the next look finds the same, but for evidence that is shown only once.
        self.evidence = await self._database.write(write)
        self.log.row = row
        self._stored_at = now

    def _fresh(self, now: datetime) -> tuple[Watch, str]:
        trust, signed = self.lists.trust, self.log.row.signed_at
        promised = None if trust is None else trust.document.intervals
        if promised is None or signed is None:
            return Watch.FOLLOWED, ""
        silence = (now - signed).total_seconds()
        if silence <= promised.republish_s + FREEZE_SLACK_S:
            return Watch.FOLLOWED, ""
        return Watch.FROZEN, f"the newest checkpoint was signed at {signed.isoformat()}, and a new one was promised"


def _silent(detail: str, *, answered: bool = False) -> Misbehaved:
    return Misbehaved(Watch.UNREACHABLE, "answered" if answered else "silent", detail)


def _silenced(faults: list[Misbehaved]) -> bool:
    return any(fault.kind == "silent" or fault.watch is Watch.FORKED for fault in faults)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _standing(tx: Reading, region: str, base: str) -> tuple[followed.Followed | None, int]:
    row = followed.read_one(tx, region)
    return row, convicting(tx, base if row is None else row.origin)
