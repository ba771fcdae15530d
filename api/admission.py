"""Who is let in: a service that is full says so at once, before it reads a body, so that who is in is served in time.

What counts is how long a call would wait, not only how many do. Each kind of call has a lane: calls under way times the
seconds between two answers is what the next one would wait (Little's law). Where that passes the bound, or nothing has
been answered for so long, or this turn of the event loop has worked for too long already, the call is turned away with
503 and `Retry-After`. A few are always let in, so that a lane that was slow finds out when it no longer is.

How long one takes is known late: by the time the first of a burst are answered all of it would be in. So a lane takes
in only so many more than it answers before it has counted again.
"""

import asyncio
from time import perf_counter
from types import TracebackType
from typing import Final

import structlog

from ledger.errors import Code, Refusal

ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by whoever decides whether the process lives: they are answered whatever else goes on."""
LONG: Final = frozenset({"/v1/licences/batch", "/v1/batches"})
"""Calls that take as long as what is in them; bounded by number."""
FREE: Final = 64
"""Calls of one kind under way that are never too many: a machine that others use may be slow to serve even these."""
FREE_IN_TURN: Final = 128
"""Calls that one turn of the event loop always lets in."""
BURST: Final = 192
"""Calls by which a lane may grow from one count of its answers to the next."""
WINDOW_S: Final = 0.5
"""Answers are counted for so long; those of calls that are worked on together come in bursts."""
TURN_SHARE: Final = 0.25
"""Part of the longest wait that one turn of the event loop may take from those who come in it."""
MAX_RETRY_S: Final = 30


class Lane:
    """The calls of one kind that are under way."""

    __slots__ = ("_answered", "_began", "_busy", "_each_s", "_last", "_most", "_room", "_wait_s", "under_way")

    def __init__(self, most: int, wait_s: float) -> None:
        self._most = most
        self._wait_s = wait_s
        self.under_way = 0
        self._each_s = 0.0
        self._room = FREE + BURST
        self._answered = 0
        self._busy = True
        self._began = self._last = perf_counter()

    def expected_s(self, now: float) -> float:
        """Return how long one more call would wait: 0 where there is room."""
        if self.under_way < FREE and self.under_way < self._most:
            return 0.0
        expected = self.under_way * self._each_s
        if self.under_way >= min(self._most, self._room) or now - self._last > self._wait_s:
            return max(expected, self._wait_s)
        return expected if expected > self._wait_s else 0.0

    def __enter__(self) -> None:
        if self.under_way == 0:
            self._last = perf_counter()  # nobody waited until now
        self.under_way += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = self._last = perf_counter()
        self._busy = self._busy and self.under_way >= FREE
        self.under_way -= 1
        self._answered += 1
        passed = now - self._began
        if passed >= WINDOW_S:
            each = passed / self._answered
            # While there is room to spare, pauses between answers say how few came, not how long they took.
            self._each_s = (self._each_s + each) / 2 if self._busy and self._each_s else min(self._each_s, each)
            if self._busy and not self._each_s:
                self._each_s = each
            self._answered, self._began, self._busy = 0, now, True
            self._room = max(FREE, self.under_way) + BURST


class Admission:
    """The lanes of a process, used from its event loop. `wait_s` bounds how long who is let in may expect to wait."""

    def __init__(self, *, most: int, wait_s: float, most_long: int) -> None:
        self._most = most
        self._wait_s = wait_s
        self._lanes = {path: Lane(most_long, float("inf")) for path in LONG}
        self._lanes |= {path: Lane(1 << 30, float("inf")) for path in ALWAYS}
        self._turn: float | None = None
        self._in_turn = 0
        self._turned_away = 0
        self._told = 0.0

    def place(self, path: str) -> Lane | Refusal:
        """Return the lane to be in while a call of the route `path` is worked on, or service.busy."""
        lane = self._lanes.get(path)
        if lane is None:
            lane = self._lanes[path] = Lane(self._most, self._wait_s)
        now = perf_counter()
        expected = lane.expected_s(now)
        if path not in ALWAYS and (expected or self._turn_is_long(now)):
            return self._away(expected, now)
        return lane

    def _turn_is_long(self, now: float) -> bool:
        """Whether calls that came in with this one have kept the loop busy for too long already."""
        if self._turn is None:
            self._turn, self._in_turn = now, 1
            asyncio.get_running_loop().call_soon(self._end_turn)  # after all that came in with this one
            return False
        self._in_turn += 1
        return self._in_turn > FREE_IN_TURN and now - self._turn > TURN_SHARE * self._wait_s

    def _end_turn(self) -> None:
        self._turn = None

    def _away(self, expected: float, now: float) -> Refusal:
        self._turned_away += 1
        if now - self._told > 1:  # a line for each would take the time that is short
            structlog.get_logger().warning("turned away", count=self._turned_away)
            self._turned_away, self._told = 0, now
        return Refusal(Code.SERVICE_BUSY, retry_after=max(1, round(min(MAX_RETRY_S, expected))))
