"""A step that is done again and again: soon when somebody wakes it, in any case after a while, and never twice at
once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class Pulse:
    """Runs `step` as a task of the event loop.

    Steps begin at least `pause_s` seconds apart, and a quarter of that passes between two of them however long they
    take; a `wake` asks for the next as soon as that allows, and without one it comes after `idle_s`. A step that fails
    is logged and tried again, more slowly each time; meanwhile `fault` says why, for readiness.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], *, pause_s: float, idle_s: float) -> None:
        self.fault: Exception | None = None
        self._name = name
        self._step = step
        self._pause_s = pause_s
        self._idle_s = idle_s
        self._awake = asyncio.Event()
        self._ended = asyncio.Event()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; the first step comes at once."""
        self._loop = asyncio.get_running_loop()
        self._awake.set()
        self._task = self._loop.create_task(self._run(), name=f"elicence-{self._name}")

    def wake(self) -> None:
        """Ask for a step; may be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._awake.set)

    async def stop(self) -> None:
        """End after the step under way, which is never cut short: half a publication is safe but makes a long start."""
        self._ended.set()
        self._awake.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        while True:
            await _within(self._idle_s, self._awake)
            if self._ended.is_set():
                return
            self._awake.clear()
            began = asyncio.get_running_loop().time()
            pause = self._pause_s if await self._try() else _BACKOFF_S[min(self._failures, len(_BACKOFF_S)) - 1]
            taken = asyncio.get_running_loop().time() - began
            await _within(max(pause - taken, pause / 4), self._ended)

    async def _try(self) -> bool:
        try:
            await self._step()
        except Exception as error:  # noqa: BLE001 - the loop outlives every step, and readiness tells
            self._failures += 1
            self.fault = error
            self._awake.set()
            _log.exception("%s failed, %d in a row", self._name, self._failures)
            return False
        self._failures = 0
        self.fault = None
        return True


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for `event`, but no longer than `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
