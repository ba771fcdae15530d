"""How long a body may take to come in: a trickle keeps nobody's place.

A body has some seconds at first, and more as it grows: so much as the slowest line we serve takes. One clock for all
calls looks once a second, because a timer for each would cost a busy call more than reading its body does.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from ledger.errors import Code, Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SLOWEST_BYTES_PER_S: Final = 16_384
"""What a body has to bring a second, on average, once its first seconds are over."""
LOOK_S: Final = 1.0


class Patience:
    """The bodies that are waited for; one a process, used from its event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._clock: asyncio.TimerHandle | None = None

    def lent(self, receive: Receive, whole: Callable[[], None]) -> Receive:
        """Return a `receive` that raises `Refusal` body.too_slow when the body takes too long.

        `whole` is called once, when all of it has come; what it raises, `receive` does.
        """
        return _Lent(self, receive, self._seconds, whole)

    async def wait(self, receive: Receive, until: float) -> Message:
        """Return the next message, come by `until` in the loop's time. Raises `Refusal` body.too_slow."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - narrows for mypy: somebody is awaiting this
        self._waiting[task] = until
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            if task.uncancel() > 0:  # somebody else wanted it to end, too
                raise
            raise Refusal(Code.BODY_TOO_SLOW, limit_s=self._seconds) from None
        finally:
            self._waiting.pop(task, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task in [task for task, until in self._waiting.items() if until < now and task not in self._late]:
            self._late.add(task)
            task.cancel()
        self._clock = loop.call_later(LOOK_S, self._look) if self._waiting else None


class _Lent:
    """The `receive` of one call; once the body is whole nothing is bounded any more."""

    __slots__ = ("_began", "_patience", "_receive", "_seconds", "_size", "_then", "_whole")

    def __init__(self, patience: Patience, receive: Receive, seconds: float, then: Callable[[], None]) -> None:
        self._patience = patience
        self._receive = receive
        self._seconds = seconds
        self._began = asyncio.get_running_loop().time()
        self._size = 0
        self._then = then
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        until = self._began + self._seconds + self._size / SLOWEST_BYTES_PER_S
        message = await self._patience.wait(self._receive, until)
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._whole and message["type"] == "http.request":
            self._then()
        return message
