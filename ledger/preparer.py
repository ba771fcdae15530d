"""The other end of `ledger.preparers`: a process that prepares what it is given until its parent has gone.

It reads the database and the key store, and writes to neither. Slots it is lent by the serving process. It has no
state that anybody would miss: what it was working on when it dies is prepared again elsewhere.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date, datetime
from typing import Any

from keys.signer import KeyStore, Signer
from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.catalogue_cache import CatalogueCache
from ledger.config import RegionConfig
from ledger.database import Database
from ledger.errors import Refusal
from ledger.preparer_wire import packed, receive
from ledger.preparing import SMALL, Source, prepare
from ledger.signers import Signers
from ledger.status_slots import BLOCK, Slot, half_year
from ledger.vault import Vault

_BORROWED_AHEAD = 4  # chunks that are lent slots at once: few enough to burn, many enough not to wait for each


class LentSlots:
    """Slots the serving process lent to this one."""

    def __init__(self, ask: Callable[[date | None, int], asyncio.Future[list[Slot]]]) -> None:
        self._ask = ask
        self._free: dict[int, deque[Slot]] = {}
        self._asking: dict[int, asyncio.Lock] = {}

    async def take(self, valid_until: date | None, count: int = 1) -> list[Slot]:
        """Return `count` slots nobody ever had, in a list for licences that expire with `valid_until`."""
        half = half_year(valid_until)
        free = self._free.setdefault(half, deque())
        async with self._asking.setdefault(half, asyncio.Lock()):
            while len(free) < count:
                wanted = count if count < BLOCK else _BORROWED_AHEAD * count
                free.extend(await self._ask(valid_until, max(wanted - len(free), BLOCK)))
        return [free.popleft() for _ in range(count)]


class Annex:
    """A workplace beside the region's own, in a process of its own."""

    def __init__(self, config: RegionConfig, store: KeyStore, origin: str) -> None:
        self.config = config
        self.origin = origin
        self.base_url = config.base_url
        self.database = Database.open(config.database_url)
        self.vault = Vault.open(store)
        self.slots: LentSlots = LentSlots(self._borrow)
        with self.database.reading() as tx:
            self._catalogues = CatalogueCache(Catalogue.load(tx))
        self._signers = Signers(store)
        self._asked: dict[int, asyncio.Future[list[Slot]]] = {}
        self._bulk = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._write: Callable[[bytes], None] = lambda _message: None

    @property
    def catalogue(self) -> Catalogue:
        """The newest catalogue known here."""
        return self._catalogues.current

    def signer(self, department: str | None, purpose: str) -> Signer:
        """Give the signer of a department's key for `purpose`. Raises `Refusal` key.unknown, key.retired."""
        return self._signers.find(self.catalogue, department, purpose)

    async def work(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what is asked until the other side has gone, which is how this process is told to end."""
        self._write = writer.write
        self._say("ready", 0, None)
        try:
            while True:
                what, number, *said = await receive(reader)
                if what == "job":
                    task = asyncio.create_task(self._job(number, *said))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif what == "slots":
                    asked, slots = self._asked.pop(number), said[0]
                    if isinstance(slots, Exception):
                        asked.set_exception(slots)
                    else:
                        asked.set_result(slots)
                else:
                    raise ValueError(what)
        except (asyncio.IncompleteReadError, ConnectionError):
            for task in self._tasks:
                task.cancel()

    async def _job(self, number: int, idx: int, actor: Actor, source: Source, now: datetime) -> None:
        try:
            if self.catalogue.idx < idx:
                # The serving process has seen a newer one, so it is committed and can be read.
                await self.database.read(self._catalogues.refresh)
            # One chunk of a batch at a time, the next one waits at hand: single requests share with no more than that.
            async with nullcontext() if len(source) <= SMALL else self._bulk:
                prepared = await prepare(self, actor, source, now)
            self._say("done", number, prepared)
        except Refusal as refusal:
            self._say("refused", number, refusal)
        except Exception:  # noqa: BLE001 - a mistake of ours is raised where it was asked
            self._say("failed", number, traceback.format_exc())

    def _borrow(self, valid_until: date | None, count: int) -> asyncio.Future[list[Slot]]:
        number = 1 + max(self._asked, default=0)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._say("slots", number, (valid_until, count))
        return answer

    def _say(self, what: str, number: int, said: Any) -> None:
        # Not waited for: how much can be under way here is bounded by who asks.
        self._write(packed((what, number, said)))
