"""The one place where time enters: everything else is given a `Clock` or a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that knows what time it is."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        ...


class SystemClock:
    """The clock of this machine."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC, with microseconds."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that moves only when told to, for tests and for replaying a day."""

    __slots__ = ("_now",)

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        """Return the moment it was last set to."""
        return self._now

    def set(self, now: datetime) -> None:
        """Move to `now`, forwards or backwards."""
        self._now = now.astimezone(UTC)

    def advance(self, seconds: float = 0, *, days: float = 0) -> None:
        """Move forwards by `seconds` and `days`."""
        self._now += timedelta(seconds=seconds, days=days)
