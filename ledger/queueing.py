"""What waits for the writer, and which of it may share a batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.sealing import SealedProposal
from ledger.sequencing import Outcome

BATCH: Final = 512
"""Most proposals in a batch."""

BATCH_DRAFTS: Final = 4096
"""Most entries in a batch, unless a single proposal has more."""

BATCH_BYTES: Final = 16 * 2**20
"""Most bytes of sealed records in a batch, unless a single proposal has more."""

_FOR_BULK = 64  # places that single requests leave to bulk work when both wait
_LOOKED_OVER = 1024  # proposals put back in one go; a long queue for one thing is not walked to its end each time


@dataclass(frozen=True, slots=True)
class Ticket:
    """A sealed proposal and whom to tell; `settle` is called in the event loop, once."""

    sealed: SealedProposal
    settle: Callable[[Outcome], None]


class Queue:
    """Two lines, single requests and bulk work, in which proposals that must not meet wait for the next batch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # guarded by _changed
        self._single: deque[Ticket] = deque()
        self._bulk: deque[Ticket] = deque()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken in."""
        return self._closed

    def put(self, tickets: Sequence[Ticket], *, bulk: bool) -> None:
        """Queue `tickets`, in their order."""
        with self._changed:
            (self._bulk if bulk else self._single).extend(tickets)
            self._changed.notify()

    def close(self) -> None:
        """Take nothing more in; `take` gives what is left and then nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, within: float | None = None) -> list[Ticket] | None:
        """Wait until something is there and give the next batch; empty only when closed and drained.

        `None` when nothing came `within` so many seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._single or self._bulk or self._closed, within):
                return None
            batch = _Batch()
            batch.fill(self._single, BATCH - _FOR_BULK if self._bulk else BATCH)
            batch.fill(self._bulk, BATCH)
            return batch.tickets


class _Batch:
    """Tickets of which none touches what another touches or reads."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self._touched: set[str | bytes] = set()
        self._read: set[str] = set()
        self._drafts = 0
        self._bytes = 0

    def fill(self, line: deque[Ticket], most: int) -> None:
        """Move tickets from the front of `line` until the batch is full; those that must wait keep their turn."""
        later: list[Ticket] = []
        while line and len(self.tickets) < most and len(later) < _LOOKED_OVER:
            sealed = line[0].sealed
            if self.tickets and not self._fits(sealed):
                break
            ticket = line.popleft()
            if self._meets(sealed):
                later.append(ticket)
                continue
            self.tickets.append(ticket)
            self._touched |= sealed.touches
            self._read |= sealed.reads
            self._drafts += len(sealed.drafts)
            self._bytes += sealed.weight
        line.extendleft(reversed(later))

    def _fits(self, sealed: SealedProposal) -> bool:
        return self._drafts + len(sealed.drafts) <= BATCH_DRAFTS and self._bytes + sealed.weight <= BATCH_BYTES

    def _meets(self, sealed: SealedProposal) -> bool:
        return not (
            self._touched.isdisjoint(sealed.touches)
            and self._touched.isdisjoint(sealed.reads)
            and self._read.isdisjoint(sealed.touches)
        )
