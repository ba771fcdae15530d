"""Who is let in: a service that is full says so at once, before it reads a body, so that who is in is served in time.

What counts is how long a call would wait, not only how many do. Each kind of call has a lane: calls under way times the
seconds between two answers is what the next one would wait (Little's law). Where that passes the bound, or nothing has
been answered for so long, the call is turned away with 503 and `Retry-After`. A few are always let in, so that a lane
that was slow finds out when it no longer is.

How long one takes is known late: by the time the first of a burst are answered all of it would be in. So a lane takes
in only so many more than it answers before it has counted again.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

import structlog

from ledger.errors import Code, Refusal

ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by whoever decides whether the process lives: they are answered whatever else goes on."""
LONG: Final = frozenset({"/v1/licences/batch", "/v1/batches"})
"""Calls that take as long as what is in them; bounded by number."""
FREE: Final = 64
"""Calls of one kind under way that are never too many: a machine that others use may be slow to serve even these."""
BURST: Final = 192
"""Calls by which a lane may grow from one count of its answers to the next."""
WINDOW_S: Final = 0.5
"""Answers are counted for so long; those of calls that are worked on together come in bursts."""
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

    def take(self) -> None:
        """Note a call that is let in."""
        if self.under_way == 0:
            self._last = perf_counter()  # nobody waited until now
        self.under_way += 1

    def leave(self) -> None:
        """Note a call that was answered, or gave up."""
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


class Arriving:
    """The place of a call whose body is still coming: among those who wait for theirs, then in its lane.

    A body that takes its time keeps nobody out whose call has come whole.
    """

    __slots__ = ("_admission", "_among", "_path")

    def __init__(self, admission: Admission, path: str) -> None:
        self._admission = admission
        self._path = path
        self._among: Lane | None = admission.bodies
        admission.bodies.take()

    def whole(self) -> None:
        """Go into the lane, the body being there. Raises `Refusal` service.busy where that is full by now."""
        self.leave()
        place = self._admission.place(self._path)
        if isinstance(place, Refusal):
            raise place
        self._among = place
        place.take()

    def leave(self) -> None:
        """Give the place back, whichever it is."""
        if self._among is not None:
            self._among.leave()
            self._among = None


class Admission:
    """The lanes of a process, used from its event loop. `wait_s` bounds how long who is let in may expect to wait."""

    def __init__(self, *, most: int, wait_s: float, most_long: int) -> None:
        self._most = most
        self._wait_s = wait_s
        self._lanes = {path: Lane(most_long, float("inf")) for path in LONG}
        self._lanes |= {path: Lane(1 << 30, float("inf")) for path in ALWAYS}
        self.bodies = Lane(most, float("inf"))
        self._turned_away = 0
        self._told = 0.0

    def place(self, path: str) -> Lane | Refusal:
        """Return the lane to be in while a call of the route `path` is worked on, or service.busy."""
        lane = self._lanes.get(path)
        if lane is None:
            lane = self._lanes[path] = Lane(self._most, self._wait_s)
        now = perf_counter()
        expected = lane.expected_s(now)
        return self._away(expected, now) if expected else lane

    def arriving(self, path: str) -> Lane | Arriving | Refusal:
        """Return where a call is whose body has still to come, taken already, or service.busy.

        What is to be streamed has its lane from the start; for others there has to be room now, and when it has come.
        """
        lane = self.place(path)
        if isinstance(lane, Refusal):
            return lane
        if path in LONG or path in ALWAYS:
            lane.take()
            return lane
        if self.bodies.under_way >= self._most:
            return self._away(self._wait_s, perf_counter())
        return Arriving(self, path)

    def _away(self, expected: float, now: float) -> Refusal:
        self._turned_away += 1
        if now - self._told > 1:  # a line for each would take the time that is short
            structlog.get_logger().warning("turned away", count=self._turned_away)
            self._turned_away, self._told = 0, now
        return Refusal(Code.SERVICE_BUSY, retry_after=max(1, round(min(MAX_RETRY_S, expected))))
