"""The one way into the log: a thread that takes what is waiting, commits it as one batch and answers everybody.

Callers seal their proposals and queue them; nobody waits on purpose for a batch to fill. The queue is bounded in
number and bytes: a full one is said at once (`writer.busy`), while bulk work waits for room. Two processes on one
PostgreSQL need nothing from each other: the head row is the lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ledger.committing import Committer
from ledger.errors import Code, Refusal
from ledger.proposals import Committed, Proposal, Replayed
from ledger.queueing import Queue, Ticket
from ledger.sealing import SealedProposal, seal
from ledger.sequencing import Outcome
from ledger.waiting import settle

MAX_WAITING: Final = 4096
"""Proposals in the house at once; at the speed of a slow disk about a second of work."""

MAX_WAITING_BYTES: Final = 64 * 2**20
"""Bytes of sealed records in the house at once."""

_BULK_SHARE = 2  # bulk work fills at most half of the house, so that single requests always find room
_BULK_CHUNK = 512
_PROBE_S = 1.0  # between two looks at a database that could not be written to
_SEAL_SLICE = 32  # sealed between two looks at the event loop: about a millisecond

Listener = Callable[[int, frozenset[str]], None]
"""Told in the event loop after each commit, before the callers are: size of the log, kinds of the new entries."""

_log = logging.getLogger(__name__)


class Writer:
    """Appends proposals. Start it inside the event loop of its callers, and stop it before closing the database."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._queue = Queue()
        self._listeners: list[Listener] = []
        # owned by the event loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._waiting_bytes = 0
        self._for_room: list[asyncio.Future[None]] = []
        # written by the thread, read by anybody
        self._trouble: Refusal | None = None

    @property
    def trouble(self) -> Refusal | None:
        """What kept the last batch from being written, if it was the database or the clock: then we are not ready."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """How many proposals have not been answered yet."""
        return self._waiting

    def on_commit(self, listener: Listener) -> None:
        """Tell `listener` of every commit of this process from now on."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Start the thread. Must be called in the event loop from which `append` will be called."""
        if self._thread is not None:
            raise RuntimeError("a writer starts once")
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="elicence-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Take nothing more in, write what is waiting, answer it, and end the thread."""
        self._queue.close()
        self._wake()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)
            await asyncio.sleep(0)  # the answers of the last batch are delivered by the loop

    async def append(self, proposal: Proposal) -> Committed:
        """Append one proposal and give its place in the log, once that is durable.

        Raises `Refusal` (`writer.busy` at once when too much is waiting), or `Replayed` when the request was answered
        before. A cancelled caller does not stop what it asked for.
        """
        loop = self._running()
        if self._full:
            raise Refusal(Code.WRITER_BUSY, retry_after=1)
        answer: asyncio.Future[Committed] = loop.create_future()
        self._submit([Ticket(seal(proposal, self._committer.vault), partial(settle, answer))], bulk=False)
        return await answer

    async def append_many(
        self, proposals: Sequence[Proposal], *, bulk: bool = True
    ) -> list[Committed | Refusal | Replayed]:
        """Seal and append many proposals, as `append_sealed` does."""
        sealed = []
        for number, proposal in enumerate(proposals, 1):
            sealed.append(seal(proposal, self._committer.vault))
            if number % _SEAL_SLICE == 0:
                await asyncio.sleep(0)
        return await self.append_sealed(sealed, bulk=bulk)

    async def append_sealed(
        self, proposals: Sequence[SealedProposal], *, bulk: bool = True
    ) -> list[Committed | Refusal | Replayed]:
        """Append many proposals, each for itself, and give their outcomes in the same order.

        Waits for room instead of refusing, and lets single requests go first; without `bulk` they are some single
        requests themselves, that happened to come together. Raises what is a mistake of ours.
        """
        loop = self._running()
        if not bulk and self._full:
            return [Refusal(Code.WRITER_BUSY, retry_after=1)] * len(proposals)
        results: list[Outcome | None] = [None] * len(proposals)
        done: asyncio.Future[None] = loop.create_future()
        left = len(proposals)

        def take(number: int, outcome: Outcome) -> None:
            nonlocal left
            results[number] = outcome
            left -= 1
            if left == 0 and not done.done():
                done.set_result(None)

        for start in range(0, len(proposals), _BULK_CHUNK):
            part = enumerate(proposals[start : start + _BULK_CHUNK], start)
            tickets = [Ticket(sealed, _Numbered(take, number)) for number, sealed in part]
            if bulk:
                await self._room()
            self._submit(tickets, bulk=bulk)
        if proposals:
            await done
        return [_expected(each) for each in results]

    # --- in the event loop ---

    @property
    def _full(self) -> bool:
        return self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._queue.closed:
            raise Refusal(Code.WRITER_STOPPED, retry_after=2)
        return self._loop

    async def _room(self) -> None:
        while self._waiting >= MAX_WAITING // _BULK_SHARE or self._waiting_bytes >= MAX_WAITING_BYTES // _BULK_SHARE:
            turn = self._running().create_future()
            self._for_room.append(turn)
            await turn

    def _submit(self, tickets: list[Ticket], *, bulk: bool) -> None:
        self._running()
        self._waiting += len(tickets)
        self._waiting_bytes += sum(ticket.sealed.weight for ticket in tickets)
        self._queue.put(tickets, bulk=bulk)

    def _deliver(self, batch: Sequence[Ticket], outcomes: Sequence[Outcome], size: int, kinds: frozenset[str]) -> None:
        self._waiting -= len(batch)
        self._waiting_bytes -= sum(ticket.sealed.weight for ticket in batch)
        if kinds:
            for listener in self._listeners:
                try:
                    listener(size, kinds)
                except Exception:  # noqa: BLE001 (whoever listens, the callers must get their answers)
                    _log.exception("a listener failed after the commit of size %d", size)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.settle(outcome)
        self._wake()

    def _wake(self) -> None:
        turns, self._for_room = self._for_room, []
        for turn in turns:
            if not turn.done():
                turn.set_result(None)

    # --- in the thread ---

    def _run(self) -> None:
        try:
            while True:
                # While we are not ready nobody sends anything, so nothing but a look of our own ends the trouble.
                batch = self._queue.take(None if self._trouble is None else _PROBE_S)
                if batch is None:
                    self._trouble = self._committer.probe()
                    continue
                if not batch:
                    return
                result = self._committer.commit([ticket.sealed for ticket in batch])
                self._trouble = result.trouble
                self._answer(batch, result.outcomes, result.size, result.kinds)
        finally:
            self._committer.close()

    def _answer(self, batch: list[Ticket], outcomes: list[Outcome], size: int, kinds: frozenset[str]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():  # nobody is left to be told
            return
        loop.call_soon_threadsafe(self._deliver, batch, outcomes, size, kinds)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Settles number `number` of a group; a small class because a closure in a loop would share its number."""

    settle: Callable[[int, Outcome], None]
    number: int

    def __call__(self, outcome: Outcome) -> None:
        self.settle(self.number, outcome)


def _expected(outcome: Outcome | None) -> Committed | Refusal | Replayed:
    if isinstance(outcome, Committed | Refusal | Replayed):
        return outcome
    raise outcome or RuntimeError("a proposal was never answered")
