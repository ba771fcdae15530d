"""Following a peer's status lists: each fetched when it may have changed, and never one older than what we have.

A list shows the state of the log at `as_of`. One that is older than ours, in the log or by its own clock, is left alone
(whoever repeats old lists gains nothing: ours gets stale in its time); one of a log size that we have not verified yet
waits until we have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import delete, insert, select

from ledger import misbehaviour
from ledger.clock import Clock
from ledger.database import Database, Reading, Writing
from ledger.followed import Overtaken
from ledger.following_faults import UNCHANGED, shortened, text_of, wanted
from ledger.outside import Outside, Unreachable
from ledger.tables.peers import followed_status
from verifiers.errors import VerificationError
from verifiers.status_list import LENGTH_MAX, StatusList, open_status_list
from verifiers.trust_document import StatusListName
from verifiers.trust_list import TrustList

AT_ONCE: Final = 4
"""Status lists of one peer that are fetched at the same time."""

LISTS_MAX: Final = 1_024
"""Status lists that are kept of one peer: one for each half-year in which licences end takes some two hundred."""

HELD_MAX: Final = 268_435_456
"""Bytes of all status lists of one peer, as they came and unpacked: a small token can unpack to sixteen megabytes."""

_AGGREGATION_MAX: Final = 1_048_576
_RENEW: Final = 0.8
"""A list of an unchanged log is asked for when this part of its `ttl` is over: its successor is signed then."""


@dataclass(frozen=True, slots=True)
class Held:
    """One list that is held: opened under the trust list with this digest, with what the next request names."""

    opened: StatusList
    text: str = field(repr=False)
    etag: str
    iat: int
    as_of: int
    under: bytes

    @property
    def weight(self) -> int:
        """Bytes that it takes."""
        return len(self.text) + len(self.opened.packed)


class StatusFollower:
    """Follows the status lists of one peer and stores what held; used by one task at a time."""

    def __init__(
        self, region: str, database: Database, outside: Outside, clock: Clock, *, step_done: Callable[[str], None]
    ) -> None:
        self._region = region
        self._database = database
        self._outside = outside
        self._clock = clock
        self._step_done = step_done
        self._held: dict[str, Held] = {}
        self._early: dict[str, list[Held]] = {}
        self._used: frozenset[str] = frozenset()
        self._used_etag: str | None = None

    @property
    def lists(self) -> tuple[StatusList, ...]:
        """The lists that are held, each under the trust list that was the newest when it was opened."""
        return tuple(each.opened for each in self._held.values())

    async def load(self, trust: TrustList) -> bool:
        """Take what is stored and newer than what is held, and drop what `trust` does not bear out any more."""
        known = {uri: (each.iat, each.as_of) for uri, each in self._held.items() if each.under == trust.digest}
        rows = await self._database.read(lambda tx: _changed(tx, self._region, known))
        opened: dict[str, Held] = {}
        for uri, text, etag in rows:
            try:
                opened[uri] = await self._open(text, etag, trust)
            except VerificationError:
                # Signed by a key that has fallen since: it is fetched anew.
                self._held.pop(uri, None)
        stale = [uri for uri, each in self._held.items() if each.under != trust.digest and uri not in opened]
        for uri in stale:
            del self._held[uri]
        self._held |= opened
        return bool(opened)

    async def look(self, base: str, trust: TrustList, origin: str, size: int) -> tuple[bool, bool]:
        """Fetch what may have changed, given that the log `origin` is verified up to `size`.

        Tells whether there was news, and whether a list waits for the log. Raises `Unreachable`,
        `Overtaken`, or `VerificationError` for what is no list of this peer.
        """
        news = await self._take_early(trust, origin, size)
        now, used = self._clock.now(), await self._in_use(base)
        due = [
            name
            for name in trust.document.status_lists
            if (name.uri in used or name.uri in self._held) and self._is_due(name, trust, size, now)
        ]
        gate = asyncio.Semaphore(AT_ONCE)

        async def fetch(name: StatusListName) -> tuple[bool, bool]:
            async with gate:
                return await self._fetch(base, trust, origin, size, name)

        tasks = [asyncio.ensure_future(fetch(name)) for name in due]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return news or any(new for new, _ in found), any(waits for _, waits in found)

    async def _in_use(self, base: str) -> frozenset[str]:
        """Return the lists that the peer says are in use: its trust list names those of years to come as well.

        Nobody signs this. Whoever leaves a list out shows what a list that is not served would show: nothing.
        """
        answer = await self._outside.get(f"{base}/status-lists", limit=_AGGREGATION_MAX, etag=self._used_etag)
        if answer.status == UNCHANGED:
            return self._used
        try:
            named = orjson.loads(wanted(answer, "the list of status lists"))["status_lists"]
            self._used = frozenset(uri for uri in named if type(uri) is str)
        except (ValueError, KeyError, TypeError):
            raise Unreachable("the list of status lists is none") from None
        self._used_etag = answer.etag
        return self._used

    def _is_due(self, name: StatusListName, trust: TrustList, size: int, now: datetime) -> bool:
        held = self._held.get(name.uri)
        if held is None or held.as_of < size or held.under != trust.digest:
            return True
        ttl = held.opened.ttl or 0
        return (now - held.opened.issued_at).total_seconds() >= ttl * _RENEW

    async def _fetch(
        self, base: str, trust: TrustList, origin: str, size: int, name: StatusListName
    ) -> tuple[bool, bool]:
        held = self._held.get(name.uri)
        # Always below the address that was admitted, wherever the name of the list points.
        url = f"{base}/status-lists/{name.number}"
        answer = await self._outside.get(url, limit=LENGTH_MAX, etag=None if held is None else held.etag or None)
        if answer.status == UNCHANGED and held is not None:
            return False, False
        text = text_of(wanted(answer, f"status list {name.number}"), f"status list {name.number}")
        if held is not None and held.text == text:
            self._held[name.uri] = Held(held.opened, text, answer.etag or "", held.iat, held.as_of, held.under)
            return False, False
        found = await self._open(text, answer.etag or "", trust)
        if found.opened.uri != name.uri:
            return False, False
        if _is_early(found, origin, size):
            # The first one, which counts soonest, and the last, which says most.
            self._early.setdefault(name.uri, [])[1:] = [found]
            return False, True
        return await self._take(found, trust, origin), False

    async def _take_early(self, trust: TrustList, origin: str, size: int) -> bool:
        """Take the lists that came before their checkpoint, once the log is verified as far; tell whether any counts.

        While statuses change faster than checkpoints are signed, the list that is served then is early again.
        """
        news = False
        for waiting in self._early.values():
            while waiting and not (waiting[0].under == trust.digest and _is_early(waiting[0], origin, size)):
                found = waiting.pop(0)
                news |= found.under == trust.digest and await self._take(found, trust, origin)
        return news

    async def _take(self, found: Held, trust: TrustList, origin: str) -> bool:
        """Store a list and hold it, unless what is held is newer; tell whether it is news."""
        held = self._held.get(found.opened.uri)
        if held is not None and not _newer(found, held, trust):
            await self._remember(held, found, origin)
            return False
        self._demand_room(found)
        now = self._clock.now()
        # A crash before this: the list is fetched once more.
        await self._database.write(lambda tx: _keep(tx, self._region, found, held, now))
        self._held[found.opened.uri] = found
        self._step_done("status")
        return True

    def _demand_room(self, found: Held) -> None:
        """Raises `Unreachable` where the peer has so many lists that one more would be too many for us."""
        others = [each for uri, each in self._held.items() if uri != found.opened.uri]
        if len(others) >= LISTS_MAX or sum(each.weight for each in (found, *others)) > HELD_MAX:
            raise Unreachable(f"more status lists than {LISTS_MAX}, or than fit {HELD_MAX} bytes")

    async def _remember(self, held: Held, found: Held, origin: str) -> None:
        """Keep as evidence a list that was signed later than ours about an earlier state; an old one is none."""
        if found.iat <= held.iat:
            return
        detail = f"a status list of size {found.as_of} was signed after one of size {held.as_of}"
        evidence = {"lists": [shortened(held.text), shortened(found.text)]}
        about = (found.opened.uri, str(held.as_of), str(found.as_of))
        now = self._clock.now()
        await self._database.write(
            lambda tx: misbehaviour.keep(tx, origin, "status_rollback", detail, evidence, about, now)
        )

    async def _open(self, text: str, etag: str, trust: TrustList) -> Held:
        opened = await asyncio.to_thread(open_status_list, text, trust, self._region)
        size = 0 if opened.as_of is None else opened.as_of.size
        return Held(opened, text, etag, int(opened.issued_at.timestamp()), size, trust.digest)


def _is_early(found: Held, origin: str, size: int) -> bool:
    as_of = found.opened.as_of
    return as_of is not None and as_of.origin == origin and as_of.size > size


def _newer(found: Held, held: Held, trust: TrustList) -> bool:
    ours, theirs = held.opened.as_of, found.opened.as_of
    if ours is None or theirs is None:
        return False
    forward = (trust.epoch(theirs.origin), theirs.size) >= (trust.epoch(ours.origin), ours.size)
    return forward and found.iat >= held.iat


def _changed(tx: Reading, region: str, known: dict[str, tuple[int, int]]) -> list[tuple[str, str, str]]:
    table = followed_status.c
    heads = tx.execute(select(table.uri, table.iat, table.as_of).where(table.region == region)).all()
    changed = [row.uri for row in heads if known.get(row.uri, (-1, -1)) < (row.iat, row.as_of)]
    if not changed:
        return []
    rows = tx.execute(select(table.uri, table.token, table.etag).where(table.region == region, table.uri.in_(changed)))
    return [(row.uri, row.token, row.etag) for row in rows]


def _keep(tx: Writing, region: str, found: Held, held: Held | None, at: datetime) -> None:
    """Store `found` in the place of `held`. Raises `Overtaken` where a rival stored a newer one.

    Where none is held, what is stored does not open any more, however late it was signed, and nothing is lost with it.
    """
    table = followed_status
    here = (table.c.region == region) & (table.c.uri == found.opened.uri)
    if held is not None and tx.execute(select(table.c.uri).where(here, table.c.iat > found.iat)).first() is not None:
        raise Overtaken(f"a newer list {found.opened.uri} of {region} was stored")
    tx.execute(delete(table).where(here))
    row = {"token": found.text, "iat": found.iat, "as_of": found.as_of, "etag": found.etag, "fetched_at": at}
    tx.execute(insert(table).values(region=region, uri=found.opened.uri, **row))
