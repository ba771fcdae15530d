"""Typed reading of JSON objects that come from outside: each member is taken once, and nothing may be left over.

The readers of the trust list, bundle and licence share this, so that a wrong type is refused in one way, with the
path of the member, and never surfaces as a `KeyError` or `TypeError`.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, TypeVar

from verifiers.encoding import b64u_decode
from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import parse_date, parse_time

T = TypeVar("T")

_ABSENT: Any = object()


class Members:
    """The members of one JSON object at `where`; every fault raises `Malformed` with `reason`."""

    __slots__ = ("_left", "_reason", "_where")

    def __init__(self, value: Any, reason: Reason, where: str = "") -> None:
        if not isinstance(value, dict):
            raise Malformed(reason, f"{where or 'the document'} is not an object")
        self._left = dict(value)
        self._reason = reason
        self._where = where

    def _refuse(self, name: str, what: str) -> Malformed:
        return Malformed(self._reason, f"{self._where}/{name} {what}")

    def _untaken(self, name: str, value: Any, kind: type) -> Malformed:
        return self._refuse(name, "is missing" if value is _ABSENT else f"is not of type {kind.__name__}")

    def has(self, name: str) -> bool:
        """Whether the member is there and not yet taken."""
        return name in self._left

    def take(self, name: str, kind: type[T]) -> T:
        """The member `name`, which must be exactly of `kind` (a JSON boolean is no integer)."""
        value = self._left.pop(name, _ABSENT)
        if type(value) is not kind:
            raise self._untaken(name, value, kind)
        return value

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        """A string, which must match the whole of `pattern` where one is given."""
        value = self._left.pop(name, _ABSENT)
        if type(value) is not str:
            raise self._untaken(name, value, str)
        if pattern is not None and not pattern.fullmatch(value):
            raise self._refuse(name, "has the wrong form")
        return value

    def one_of(self, name: str, choices: frozenset[str]) -> str:
        """A string out of a closed set."""
        value = self.take(name, str)
        if value not in choices:
            raise self._refuse(name, "is none of the known words")
        return value

    def integer(self, name: str, low: int = 0, high: int = 2**53 - 1) -> int:
        """An integer from `low` to `high`."""
        value = self._left.pop(name, _ABSENT)
        if type(value) is not int:
            raise self._untaken(name, value, int)
        if not low <= value <= high:
            raise self._refuse(name, f"is not from {low} to {high}")
        return value

    def octets(self, name: str, length: int | None = None) -> bytes:
        """Bytes in base64url, `length` of them where given."""
        try:
            return b64u_decode(self.take(name, str), length)
        except Malformed as error:
            if error.reason is self._reason:
                raise
            raise self._refuse(name, error.detail) from None

    def time(self, name: str) -> dt.datetime:
        """An instant such as `2026-11-21T08:00:00Z`."""
        return self._converted(name, parse_time)

    def date(self, name: str) -> dt.date:
        """A calendar date such as `2026-11-21`."""
        return self._converted(name, parse_date)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """`read(name)` where the member is there, else `None`; a JSON null is not an absent member."""
        return read(name) if name in self._left else None

    def nullable(self, name: str, read: Callable[[str], T]) -> T | None:
        """`None` where the member, which must be there, is null, else `read(name)`."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return None
        return read(name)

    def texts(self, name: str, limit: int = 1024) -> tuple[str, ...]:
        """An array of at most `limit` strings."""
        values = self.take(name, list)
        if len(values) > limit or any(type(value) is not str for value in values):
            raise self._refuse(name, f"is not an array of at most {limit} strings")
        return tuple(values)

    def objects(
        self,
        name: str,
        read: "Callable[[Members], T]",
        limit: int = 100_000,
        *,
        quick: Callable[[Any], T | None] | None = None,
    ) -> tuple[T, ...]:
        """An array of at most `limit` objects, each read by `read` and then empty.

        `quick` gives the same of a plain value, or `None` where `read` has to look at it.
        """
        values = self.take(name, list)
        if len(values) > limit:
            raise self._refuse(name, f"has more than {limit} elements")
        if quick is None:
            return tuple([self._read(value, f"{name}/{index}", read) for index, value in enumerate(values)])
        found = []
        for index, value in enumerate(values):
            one = quick(value)
            found.append(self._read(value, f"{name}/{index}", read) if one is None else one)
        return tuple(found)

    def object(self, name: str, read: "Callable[[Members], T]") -> T:
        """One object read by `read`, which must use all its members."""
        return self._read(self.take(name, dict), name, read)

    def done(self) -> None:
        """Refuses members that nobody took: a document with more in it is of a later version."""
        if self._left:
            raise self._refuse(min(self._left), "is not a member of this format")

    def _read(self, value: Any, where: str, read: "Callable[[Members], T]") -> T:
        inner = Members(value, self._reason, f"{self._where}/{where}")
        result = read(inner)
        inner.done()
        return result

    def _converted(self, name: str, convert: Callable[[str], T]) -> T:
        text = self.take(name, str)
        try:
            return convert(text)
        except ValueError:
            raise self._refuse(name, "has the wrong form") from None
