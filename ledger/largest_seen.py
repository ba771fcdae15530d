"""How large our log is known to be in other hands: what nobody here may fall behind (protocol 11).

A database that was restored from an old backup holds less than was published. Whatever is written to it then is a
second history, and once it has grown past the first nobody notices by counting. So nothing is written, signed or shown
to callers with an account while the head is behind the largest tree that is known: from the published files, the
publication row, our own signature in a witness's hands, or a whole quorum's word.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ledger.errors import Code, Refusal


@dataclass
class LargestSeen:
    """The largest tree known, of `size` leaves, and `where` it was seen; only rises.

    `trouble` is what the last comparison found, for those who have no size of their own to compare. `unheard` says that
    the database was restored and too few witnesses have told yet how far they are. Used by the event loop and by the
    writer's thread.
    """

    size: int = 0
    where: str = ""
    trouble: Refusal | None = None
    unheard: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def saw(self, size: int, where: str) -> None:
        """Take down that a tree of `size` leaves was seen at `where`, a short English phrase for operators."""
        with self._lock:
            if size > self.size:
                self.size, self.where = size, where

    def compare(self, size: int) -> Refusal | None:
        """Return `log.rolled_back` if a log of `size` entries is behind, `log.unconfirmed` if that is not known yet, or
        None; what is returned is remembered.
        """
        with self._lock:
            # Sizes are told and compared by different threads: one that is only late must not look like a loss.
            if size < self.size:
                self.trouble = Refusal(Code.LOG_ROLLED_BACK, size=size, seen=self.size, where=self.where)
            else:
                self.trouble = Refusal(Code.LOG_UNCONFIRMED, size=size) if self.unheard else None
            return self.trouble

    def require_whole(self) -> None:
        """Raise what the last comparison found."""
        if self.trouble is not None:
            raise Refusal(self.trouble.code, **self.trouble.facts)
