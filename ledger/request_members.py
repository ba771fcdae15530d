"""Typed reading of a request's JSON: each member is taken once, none may be left over, every refusal has a pointer.

The HTTP layer has already refused what is not JSON of our domain; here shapes and values are judged, the same way for a
single call, a row of a batch and a row of an import file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from ledger.errors import Code, Refusal
from ledger.ids import is_id

T = TypeVar("T")

MAX_TEXT: Final = 4096
"""Characters in any text of a request that does not say less."""

MAX_ELEMENTS: Final = 1000
"""Elements in any array of a request."""

_DAY = re.compile(r"(?:19|2[0-9])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])\Z")
_LONG_MONTHS: Final = frozenset({"01", "03", "05", "07", "08", "10", "12"})


def is_day(text: Any) -> bool:
    """Whether `text` is a calendar date `YYYY-MM-DD` that exists, from 1900 to 2999."""
    if type(text) is not str or not _DAY.match(text):
        return False
    if (day := text[8:]) < "29" or text[5:7] in _LONG_MONTHS:
        return True
    if text[5:7] != "02":
        return day <= "30"
    year = int(text[:4])
    return day == "29" and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


class RequestMembers:
    """The members of one JSON object of a request, at JSON Pointer `where`."""

    __slots__ = ("_left", "where")

    def __init__(self, value: Any, where: str = "") -> None:
        if type(value) is not dict:
            raise Refusal(Code.REQUEST_MEMBER_INVALID, where, expected="object")
        # `null` counts as not given.
        bare = None in value.values()
        left = {name: each for name, each in value.items() if each is not None} if bare else dict(value)
        self._left: dict[str, Any] = left
        self.where = where

    def has(self, name: str) -> bool:
        """Whether the member is given; `null` counts as not given."""
        return name in self._left

    def take(self, name: str) -> Any:
        """Return a required member of any type. Raises request.member_missing."""
        value = self._left.pop(name, None)
        if value is None:
            raise Refusal(Code.REQUEST_MEMBER_MISSING, self.at(name))
        return value

    def maybe(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return what `read` makes of the member, or `None` when it is not given."""
        return read(name) if self.has(name) else None

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """Return a text that says something, at most `limit` characters."""
        value = self.take(name)
        if type(value) is not str or not value or value.isspace() or len(value) > limit or "\0" in value:
            raise self.invalid(name, expected="text", limit=limit)
        return value

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        """Return a text that matches the whole of `pattern`."""
        value = self.take(name)
        if type(value) is not str or not pattern.fullmatch(value):
            raise self.invalid(name)
        return value

    def one_of(self, name: str, words: Sequence[str] | frozenset[str]) -> str:
        """Return one of the known `words`."""
        value = self.take(name)
        if type(value) is not str or value not in words:
            raise self.invalid(name, allowed=sorted(words))
        return value

    def day(self, name: str) -> str:
        """Return a calendar date `YYYY-MM-DD`."""
        value = self.take(name)
        if not is_day(value):
            raise self.invalid(name, expected="date")
        return str(value)

    def integer(self, name: str, least: int, most: int) -> int:
        """Return an integer from `least` to `most`."""
        value = self.take(name)
        if type(value) is not int or not least <= value <= most:
            raise self.invalid(name, least=least, most=most)
        return value

    def boolean(self, name: str) -> bool:
        """Return `true` or `false`."""
        value = self.take(name)
        if type(value) is not bool:
            raise self.invalid(name, expected="boolean")
        return value

    def id(self, name: str) -> str:
        """Return an id of ours, 22 characters."""
        value = self.take(name)
        if type(value) is not str or not is_id(value):
            raise self.invalid(name, expected="id")
        return value

    def texts(self, name: str, limit: int = 100) -> list[str]:
        """Return an array of at most `limit` texts; empty when not given."""
        return [
            element if type(element) is str and element and not element.isspace() else self._bad_element(name, position)
            for position, element in enumerate(self._array(name, limit))
        ]

    def objects(self, name: str, read: Callable[[RequestMembers], T], limit: int = MAX_ELEMENTS) -> list[T]:
        """Return what `read` makes of each object of an array; empty when not given."""
        result = []
        for position, element in enumerate(self._array(name, limit)):
            inner = RequestMembers(element, f"{self.at(name)}/{position}")
            result.append(read(inner))
            inner.done()
        return result

    def done(self) -> None:
        """Refuse members that nobody took. Raises request.member_unknown."""
        if self._left:
            raise Refusal(Code.REQUEST_MEMBER_UNKNOWN, self.at(next(iter(self._left))))

    def at(self, name: str) -> str:
        """Return the JSON Pointer of a member (RFC 6901)."""
        return f"{self.where}/{name.replace('~', '~0').replace('/', '~1')}"

    def invalid(self, name: str, **facts: Any) -> Refusal:
        """Make the refusal of a member that is there but wrong."""
        return Refusal(Code.REQUEST_MEMBER_INVALID, self.at(name), **facts)

    def _array(self, name: str, limit: int) -> list[Any]:
        value = self._left.pop(name, None)
        if value is None:
            return []
        if type(value) is not list or len(value) > limit:
            raise self.invalid(name, expected="array", limit=limit)
        return value

    def _bad_element(self, name: str, position: int) -> str:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, f"{self.at(name)}/{position}", expected="text")
