"""Calendar dates of the law and instants of machines, tied together at UTC+08:00.

Dates on a licence are days in China's one time zone; everything else here is an instant in UTC. `valid_until` is the
last day on which a licence holds, so it ends when the next day begins (民法典 201, 203; protocol of this project 21b).
"""

import datetime as dt
from functools import lru_cache
from typing import Final

CHINA: Final = dt.timezone(dt.timedelta(hours=8))
"""The zone in which dates on licences are read; it has had no summer time since 1991."""

_EPOCH = dt.date(1970, 1, 1).toordinal()
_OFFSET_S = 8 * 3600
_OFFSET = dt.timedelta(seconds=_OFFSET_S)


def day_begins(day: dt.date) -> int:
    """The NumericDate (seconds since 1970 in UTC) at which `day` begins in China; negative before 1970."""
    return (day.toordinal() - _EPOCH) * 86_400 - _OFFSET_S


def day_of(at: dt.datetime) -> dt.date:
    """The calendar date in China at the aware instant `at`."""
    if at.tzinfo is dt.UTC:  # nearly always, and an addition is quicker than two changes of zone
        return (at + _OFFSET).date()
    return at.astimezone(CHINA).date()


def format_time(at: dt.datetime) -> str:
    """The text of an aware instant in our documents: `2026-11-21T08:00:00Z`, whole seconds, UTC."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1024)
def parse_time(text: str) -> dt.datetime:
    """The instant that `format_time` printed. Raises `ValueError` for any other text."""
    at = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
    if format_time(at) != text:
        raise ValueError("not a time of the form 2026-11-21T08:00:00Z")
    return at


@lru_cache(maxsize=8192)  # twenty-two years of days
def parse_date(text: str) -> dt.date:
    """The date of `2026-11-21`. Raises `ValueError` for any other text."""
    day = dt.date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError("not a date of the form 2026-11-21")
    return day
