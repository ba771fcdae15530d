"""What one turn of the event loop takes on: little, so that calls that take several turns go on while others come.

A call that is written to the log crosses the loop a dozen times, to a preparer and back, to the writer and back. Where
hundreds of calls are begun in a turn, or hundreds sent away, every crossing waits for all of them. So calls that are
let in are begun a few a turn, in the order in which they came, as many as keep turns short; and beyond so many a second
those who are sent away wait for the word, which slows down whoever asks again at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final

TURN_S: Final = 0.015
"""How long a turn may be while calls wait to be begun: twelve of them take a fifth of a second."""
LEAST: Final = 4
MOST: Final = 128
"""Bounds of what is begun in a turn."""
WORD_S: Final = 0.0004
"""Time between two refusals where there are many: about five times what one takes, its connection and all."""
AT_ONCE: Final = 64
"""Refusals that are said without any wait."""
LONGEST_S: Final = 5.0
"""How long somebody may wait to be sent away: well within what callers' own clocks allow, 10 s or more as a rule."""


class Turns:
    """What waits for a turn of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._most = MOST
        self._begun = 0
        self._at: float | None = None
        self._next_word = 0.0

    def begin(self, call: Callable[[], None]) -> None:
        """Begin `call`: now, or where enough was begun in this turn in one of the next."""
        if self._at is None:
            self._at, self._begun = perf_counter(), 0
            self._loop.call_soon(self._turn)
        if self._waiting or self._begun >= self._most:
            self._waiting.append(call)
        else:
            self._begun += 1
            call()

    def say(self, word: Callable[[], None]) -> None:
        """Send somebody away by `word`: now, or where many are sent away a little later."""
        now = perf_counter()
        self._next_word = max(now, self._next_word) + WORD_S
        wait_s = min(self._next_word - now - AT_ONCE * WORD_S, LONGEST_S)
        if wait_s <= 0:
            word()
        else:
            self._loop.call_later(wait_s, word)

    def _turn(self) -> None:
        now = perf_counter()
        took = now - (self._at or now)
        if took > TURN_S:
            self._most = max(LEAST, self._most // 2)
        elif took < TURN_S / 2:
            self._most = min(MOST, self._most + LEAST)
        self._begun = min(self._most, len(self._waiting))
        for _ in range(self._begun):
            self._waiting.popleft()()
        if self._begun:
            self._at = now
            self._loop.call_soon(self._turn)
        else:
            self._at = None
