"""An event loop without threads and without waiting: time passes only when nothing else can happen, and then at once.

What would run in another thread runs here and now, so a run depends on nothing but its seed.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Stuck(Exception):
    """Everybody waits for something that nobody will do."""


class _NoWaiting(selectors.SelectSelector):
    """Says at once that nothing came, and tells how long the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: Callable[[float], None] = lambda _: None

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("all tasks wait, and no time is set for any of them")
        if timeout > 0:
            self.waited(timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop of one run; `time()` is the seconds since it began, plus what clocks were set ahead."""

    def __init__(self) -> None:
        selector = _NoWaiting()
        self._elapsed = 0.0
        super().__init__(selector)
        selector.waited = self.advance

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        # A little more than asked for, so that a timer that is due is not missed by the rounding of floats.
        self._elapsed += seconds + 1e-6

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Do it now, in this thread; the outcome is told as it would be from another."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for it is told
            future.set_exception(error)
        return future
