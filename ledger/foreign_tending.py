"""What a region does by itself about other regions' licences: learn where they are, look at them, act on what is seen.

Only the process that leads publication does it. What it acts on is the peer's verified status list, opened under the
peer's own trust list and for licences that list names; a peer whose log lies is not acted on at all. A flood is held
for an operator.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ledger import flood, foreign_licences
from ledger.case_steps import SEALED
from ledger.database import Reading, Writing
from ledger.foreign_causes import Fall, effects_of, fell, open_falls, restored, weigh
from ledger.foreign_judging import Standing, over_limit, stand_in_of
from ledger.foreign_licences import ForeignLicence
from ledger.foreign_meaning import named_causes_of, spend, to_spend
from ledger.foreign_settling import settle_falls
from ledger.outside import Unreachable
from ledger.pacing import Pulse
from ledger.peer_calls import PeerRefused
from ledger.peer_notices import PeerNotices
from ledger.recognised import Peer
from ledger.recording import record
from ledger.reliances import ask
from ledger.sequencing import read_head
from ledger.settling import unless_stale
from verifiers.errors import VerificationError
from verifiers.peer_view import Watch
from verifiers.status_list import StatusList
from verifiers.trust_list import TrustList

if TYPE_CHECKING:
    from ledger.region import Region

WAIT_ROUNDS: Final = 2
"""Rounds of following in which a peer's notice may still name the cause of a bit that turned."""

LOOK_S: Final = 5.0
"""How often peers' licences are gone through though nothing here says that there is news: another process may know."""

COMMITTED_S: Final = 1.0
"""How soon they are gone through after entries of ours that may change what follows from them; news comes at once."""

_NAMING: Final = frozenset({"licence.issued", "licence.imported"})
_CHANGING: Final = frozenset({SEALED, "licence.status", "peer"})
_LYING: Final = frozenset({Watch.FORKED, Watch.ROLLED_BACK, Watch.INCONSISTENT})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A foreign licence with its bit as it is now, the bit as it was, and the size and name of the peer's log."""

    licence: ForeignLicence
    before: int | None
    as_of: int
    origin: str


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be logged about one foreign licence: causes that begin, falls (ids) that end.

    `asks`: the bit has just turned and nobody has said why.
    """

    licence: ForeignLicence
    begin: tuple[str, ...]
    end: tuple[str, ...]
    asks: bool


class ForeignTending:
    """Keeps what rests on other regions' licences in step: `pulse` looks at them, `calls` asks and tells the peers."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._unexplained: dict[str, datetime] = {}
        self._looked_through: tuple[int, frozenset[str]] = (0, frozenset())
        self._due = 0.0
        self._calling: dict[str, asyncio.Task[None]] = {}
        self._call_again: set[str] = set()
        seconds = region.config.follow_interval_ms / 1000
        self.notices = PeerNotices(region)
        self.pulse = Pulse("other regions' licences", self._go_on, pause_s=0.1, idle_s=min(5.0, max(0.2, seconds)))
        self.calls = Pulse("notices to other regions", self._call_all, pause_s=0.1, idle_s=5.0)
        region.writer.on_commit(self._committed)
        region.on_notice.append(lambda _region: self._stir())
        if region.following is not None:
            region.following.on_news.append(lambda _region: self._stir())

    def start(self) -> None:
        """Begin."""
        self.pulse.start()
        self.calls.start()

    async def stop(self) -> None:
        """End after the step under way; calls are broken off, which loses nothing: what is not known to have arrived
        is sent again.
        """
        await self.calls.stop()
        await self.pulse.stop()
        calling = [*self._calling.values()]
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)

    async def step(self) -> None:
        """Look at every peer's lists once and log what follows; gives every licence that was touched its entry."""
        if self._region.publisher.token is None:
            return
        await self._note_new_bases()
        await self._look_at_all()

    async def call_step(self) -> None:
        """Ask every peer about licences whose place is not known, deliver notices, and wait until that is done."""
        await self._call_all()
        await asyncio.gather(*self._calling.values())

    async def _go_on(self) -> None:
        """A step, unless nothing says that it would find anything: licences are issued all the time."""
        if self._region.publisher.token is None:
            return
        named = await self._note_new_bases()
        if named or self._unexplained or time.monotonic() >= self._due:
            await self._look_at_all()

    async def _look_at_all(self) -> None:
        before, self._due = self._due, time.monotonic() + LOOK_S
        try:
            for peer in _active(self._region):
                await self._look(peer)
            await settle_falls(self._region)
        except BaseException:
            self._due = before
            raise

    def _stir(self, within_s: float = 0.0) -> None:
        self._due = min(self._due, time.monotonic() + within_s)
        self.pulse.wake()

    async def _call_all(self) -> None:
        """Begin with every peer that is not being called already, and wait for none: one that is slow delays itself."""
        if self._region.publisher.token is None or self._region.peer_calls is None:
            return
        await self.notices.collect()
        for peer in _active(self._region):
            if peer.region in self._calling:
                self._call_again.add(peer.region)
                continue
            task = asyncio.create_task(self._call(peer), name=f"elicence-call-{peer.region}")
            self._calling[peer.region] = task
            task.add_done_callback(partial(self._called, peer.region))

    def _called(self, region: str, task: asyncio.Task[None]) -> None:
        del self._calling[region]
        if not task.cancelled() and task.exception() is not None:
            # Our own fault or our database's: the next turn begins anew.
            _log.error("calling %s failed", region, exc_info=task.exception())
        elif region in self._call_again:
            self.calls.wake()
        self._call_again.discard(region)

    async def _call(self, peer: Peer) -> None:
        await self._ask(peer)
        await self.notices.deliver(peer)

    async def _note_new_bases(self) -> bool:
        """Take down the peers' licences that new entries here rest on, and tell whether there are such entries."""
        region, now = self._region, self._region.clock.now()
        peers = frozenset(region.catalogue.recognised.peers)
        size = (await region.database.read(read_head, cheap=True)).size
        through, before = self._looked_through
        if (size, peers) == (through, before):
            return False
        # Of a region that was admitted only now, licences may have been named long before.
        since = through if peers == before else 0
        found, named = 0, False
        if peers:
            named = await region.database.read(lambda tx: foreign_licences.names_any(tx, since))
        if named:
            found = await region.database.write(lambda tx: foreign_licences.note_unknown(tx, peers, now, since))
        self._looked_through = size, peers
        if found:
            self.calls.wake()
        return named

    async def _ask(self, peer: Peer) -> None:
        region = self._region
        now = region.clock.now()
        while asked := await region.database.read(lambda tx: foreign_licences.to_ask(tx, peer.region, now)):
            try:
                located, _ = await ask(region, peer, asked)
            except (Unreachable, PeerRefused):
                await region.database.write(lambda tx: foreign_licences.put_off(tx, peer.region, asked, now))
                return
            await region.database.write(
                lambda tx: foreign_licences.learn(tx, peer.region, asked, located, now)  # noqa: B023
            )
            self._stir()

    async def _look(self, peer: Peer) -> None:
        region = self._region
        trust, lists = self._published(peer)
        if trust is None:
            return
        licences = await region.database.read(lambda tx: foreign_licences.placed(tx, peer.region))
        seen = list(_seen(licences, trust, lists))
        await self._take_down(peer, [each for each in seen if each.before != each.licence.value], seen)
        for change in await region.database.read(lambda tx: self._changes(tx, peer, seen)):
            await self._log(change)

    async def _take_down(self, peer: Peer, changed: Sequence[_Seen], seen: Sequence[_Seen]) -> None:
        region = self._region
        zero = {each.licence.identifier: each.as_of for each in seen if each.licence.value == 0}
        ended = await region.database.read(lambda tx: to_spend(tx, peer.region, zero))

        def write(tx: Writing) -> None:
            foreign_licences.saw(tx, ((each.licence, each.licence.value or 0, each.as_of) for each in changed))
            for each in changed:
                if each.licence.value == 0:
                    flood.forget(tx, each.licence)
            spend(tx, peer.region, ended)

        if changed or ended:
            # From here on nothing new is built on what has fallen; a crash before the entry leaves just that.
            await region.database.write(write)

    def _published(self, peer: Peer) -> tuple[TrustList | None, dict[str, StatusList]]:
        """The peer's trust list and the status lists it names, or nothing where its log lies or is not known."""
        following = self._region.following
        if following is None:
            return None, {}
        for view in following.views():
            if view.trust.region == peer.region and view.trust.root_fingerprint == peer.root:
                if view.watch in _LYING:
                    return None, {}
                # A peer speaks for its own licences only: its lists are those its own trust list names.
                own = [each for each in following.status_lists() if each.root == peer.root]
                return view.trust, {each.uri: each for each in own if each.uri in view.trust.status_uris}
        return None, {}

    def _changes(self, tx: Reading, peer: Peer, seen: Iterable[_Seen]) -> list[_Change]:
        region, changes = self._region, []
        now, standing = region.clock.now(), open_falls(tx, peer.region)
        wait = timedelta(milliseconds=WAIT_ROUNDS * region.config.follow_interval_ms)
        for each in seen:
            licence, value = each.licence, each.licence.value or 0
            falls = standing.get(licence.identifier, {})
            if value == 0 and not falls:
                self._unexplained.pop(licence.id, None)
                continue
            stands = Standing(
                value=value,
                named=named_causes_of(tx, region.origin, licence, each.as_of),
                open=frozenset(falls),
                stand_in=stand_in_of(each.origin, licence.uri, licence.slot),
            )
            asks = False
            if not stands.unexplained:
                self._unexplained.pop(licence.id, None)
            elif stands.open != {stands.stand_in}:
                asks = licence.id not in self._unexplained
                stands = replace(stands, waited=now - self._unexplained.setdefault(licence.id, now) >= wait)
            wanted = stands.wanted()
            begin, end = tuple(sorted(wanted - stands.open)), tuple(falls[c] for c in sorted(stands.open - wanted))
            if begin or end or asks:
                changes.append(_Change(licence, begin, end, asks))
        return changes

    async def _log(self, change: _Change) -> None:
        region, licence = self._region, change.licence
        if change.asks:
            # Perhaps it only has a newer document elsewhere: the peer is asked while its notice may still come.
            now = region.clock.now()
            await region.database.write(
                lambda tx: foreign_licences.ask_again(tx, licence.region, licence.identifier, now)
            )
            self.calls.wake()
        falls = await region.database.read(lambda tx: _weighed(tx, region.origin, change))
        released_by, held = await self._held(licence, falls)
        if held or not (falls or change.end):
            # What stands goes on standing until what is to follow it can be logged with its end.
            return
        steps = [fell(region, fall, released_by) for fall in falls]
        steps += await region.database.read(lambda tx: restored(tx, change.end, replaced=bool(falls)))
        touched = await region.database.read(lambda tx: effects_of(tx, change.end))
        things = {thing.id for fall in falls for thing in fall.things}
        logged = record(
            region,
            steps,
            {},
            conditions=[condition for fall in falls for condition in fall.conditions],
            touches={licence.id, *touched, *things},
        )
        # One transaction: a crash before it leaves everything as it was, and the next look finds the same again.
        if not await unless_stale(logged):
            self._stir()
        elif falls:
            await region.database.write(lambda tx: flood.forget(tx, licence))

    async def _held(self, licence: ForeignLicence, falls: Sequence[Fall]) -> tuple[str | None, bool]:
        """Who let these falls go on, if anybody had to, and whether they are held."""
        region, affected = self._region, sum(fall.affected for fall in falls)
        if not falls:
            return None, False
        now = region.clock.now()
        known = await region.database.read(lambda tx: flood.held(tx, licence))
        if known is not None and known.released_by is not None:
            return known.released_by, False
        lately = await region.database.read(lambda tx: flood.lately(tx, licence.region, now, idle=not affected))
        if known is None and not over_limit(region.config.foreign_effects_per_hour, lately, affected or len(falls)):
            return None, False
        cause = falls[0].cause
        if known is None or (known.dropped_by is None and (known.cause, known.effects) != (cause, affected)):
            await region.database.write(lambda tx: flood.hold(tx, licence, cause, affected, now))
        return None, True

    def _committed(self, _size: int, kinds: frozenset[str]) -> None:
        if not kinds.isdisjoint(_CHANGING):
            self._stir(COMMITTED_S)
            self.calls.wake()
        elif not kinds.isdisjoint(_NAMING):
            self.pulse.wake()


def _active(region: Region) -> list[Peer]:
    return [peer for peer in region.catalogue.recognised.followed if peer.status == "active"]


def _weighed(tx: Reading, origin: str, change: _Change) -> list[Fall]:
    """What each new cause does here; one that touches nothing is no fall."""
    falls = [weigh(tx, change.licence, cause, origin, change.end) for cause in change.begin]
    return [fall for fall in falls if fall.effects]


def _seen(licences: Iterable[ForeignLicence], trust: TrustList, lists: Mapping[str, StatusList]) -> Iterator[_Seen]:
    """What the peer's lists say of its licences; one that shows less of its log than was seen before is passed by."""
    origins = {log.origin for log in trust.document.logs}
    for licence in licences:
        found = lists.get(licence.uri)
        if found is None or found.as_of is None or found.as_of.origin not in origins:
            continue
        if licence.as_of is not None and found.as_of.size < licence.as_of:
            continue
        try:
            value = found.get(licence.slot)
        except VerificationError:
            continue  # a place that the list does not have says nothing
        size = found.as_of.size
        yield _Seen(replace(licence, value=value, as_of=size), licence.value, size, found.as_of.origin)
