"""What the operators of a rule do with values: equality, truth, order, and dates; see `verifiers.rule`.

Values are those of JSON without fractions, and instants, which only `plusTime` makes. A value that an operator of
CertLogic cannot take raises `VerificationError` with `Reason.RULE`: the rule does not fit what it is applied to.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from verifiers.errors import Reason, VerificationError

MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every engine, also one in JavaScript, holds exactly."""

SCALARS: Final = frozenset({str, int, bool})

UNIT_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"year": 500, "month": 6_000, "day": 180_000, "hour": 4_000_000}
)
"""How much of each unit `plusTime` may add or take away: some 500 years, so that no result leaves the calendar."""

_DAY = re.compile(r"(?:19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"((?:19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))",
    re.ASCII,
)


def equal(left: Any, right: Any) -> bool:
    """`===`: the same type and the same value; `true` is not 1. Arrays, objects and instants are not compared."""
    _demand(left, SCALARS, "===")
    _demand(right, SCALARS, "===")
    return type(left) is type(right) and bool(left == right)


def contained(one: Any, among: Any) -> bool:
    """`in`: whether the array `among` has an element that is `===` to `one`."""
    _demand(one, SCALARS, "in")
    if type(among) is not list:
        raise _misfit("in", "its second operand is not an array")
    return any(type(each) is type(one) and each == one for each in among)


def truthy(value: Any) -> bool:
    """CertLogic's truth: `false`, null, 0 and empty texts, arrays and objects are falsy, the rest is truthy."""
    if value is not None and type(value) not in (bool, int, str, list, dict):
        raise _misfit("!", "a value that is neither true nor false")
    return bool(value)


def ordered(operator: str, values: list[Any]) -> bool:
    """`<`, `>`, `<=`, `>=` over two or three integers, each with its neighbour."""
    for value in values:
        _demand(value, frozenset({int}), operator)
    return _chain(_ORDERS[operator], values)


def in_time(operator: str, values: list[Any]) -> bool:
    """`before`, `after`, `not-before`, `not-after` over two or three instants, each with its neighbour."""
    return _chain(_ORDERS[_TIME_ORDERS[operator]], values)


def total(left: Any, right: Any) -> int:
    """`+`: the sum of two integers, which must itself be one that every engine holds."""
    for value in (left, right):
        _demand(value, frozenset({int}), "+")
    result: int = left + right
    if abs(result) > MAX_INTEGER:
        raise _misfit("+", "the sum is too large")
    return result


def plus_time(text: Any, amount: int, unit: str) -> dt.datetime:
    """`plusTime`: the instant that `text` names, and `amount` of `unit` later, in UTC.

    A bare date is midnight in UTC. Months and years keep the day of the month where it exists, and run over into the
    next month where it does not, as JavaScript's dates do: 31 January and a month is 3 March, in leap years the 2nd.
    """
    at = _instant(text)
    if unit == "day":
        return at + dt.timedelta(days=amount)
    if unit == "hour":
        return at + dt.timedelta(hours=amount)
    months = at.year * 12 + at.month - 1 + (amount if unit == "month" else 12 * amount)
    first = at.replace(year=months // 12, month=months % 12 + 1, day=1)
    return first + dt.timedelta(days=at.day - 1)


def is_time(text: str) -> bool:
    """Whether `plusTime` can read `text`: a day `2026-11-21`, or an instant with seconds and `Z` or an offset."""
    try:
        _instant(text)
    except VerificationError:
        return False
    return True


def _instant(text: Any) -> dt.datetime:
    if type(text) is not str:
        raise _misfit("plusTime", "its first operand is not a text")
    try:
        if _DAY.fullmatch(text):
            return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        if found := _INSTANT.fullmatch(text):
            local, sign, hours, minutes = found.groups(default="00")
            offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
            at = dt.datetime.fromisoformat(local).replace(tzinfo=dt.UTC)
            return at + offset if sign == "-" else at - offset
    except ValueError:
        raise _misfit("plusTime", "its first operand is a day that does not exist") from None
    raise _misfit("plusTime", "its first operand is neither a date nor an instant")


def _chain(holds: Callable[[Any, Any], bool], values: list[Any]) -> bool:
    return all(holds(left, right) for left, right in pairwise(values))


def _demand(value: Any, kinds: frozenset[type], operator: str) -> None:
    if type(value) not in kinds:
        raise _misfit(operator, "an operand of the wrong type")


def _misfit(operator: str, what: str) -> VerificationError:
    return VerificationError(Reason.RULE, f"the rule does not fit this licence: {operator}: {what}")


_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "<": lambda left, right: left < right,
        ">": lambda left, right: left > right,
        "<=": lambda left, right: left <= right,
        ">=": lambda left, right: left >= right,
    }
)
_TIME_ORDERS: Final = MappingProxyType({"before": "<", "after": ">", "not-after": "<=", "not-before": ">="})
