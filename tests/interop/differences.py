"""Compare how two programs read the same inputs, and hold every difference against a table with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from verifiers.errors import VerificationError

T = TypeVar("T")


@dataclass
class Compared(Generic[T]):
    """What came of it: how often both read the same, both refused, or we refused what they take, by our words for it.

    `unexplained` are inputs for which no row of the table stands: read differently, or refused by them alone.
    """

    same: int = 0
    refused: int = 0
    stricter: Counter[str] = field(default_factory=Counter)
    unexplained: list[tuple[T, str]] = field(default_factory=list)

    def __str__(self) -> str:
        stricter = ", ".join(f"{count} × {why}" for why, count in sorted(self.stricter.items()))
        return f"{self.same} read alike, {self.refused} refused by both, ours alone refused: {stricter or 'none'}"


def compare(
    inputs: Iterable[T],
    ours: Callable[[T], Any],
    theirs: Callable[[T], Any],
    stricter: Mapping[str, str],
    otherwise: Callable[[T], bool] = lambda _: False,
) -> Compared[T]:
    """Read every input with both.

    `stricter` has our words (`detail`, or how it begins) for what they take and we do not, with the reason why;
    `otherwise` tells of an input that they refuse, or read differently, for a reason that stands beside it.
    """
    result: Compared[T] = Compared()
    for each in inputs:
        found, said = _outcome(ours, each)
        expected, objection = _their_outcome(theirs, each)
        if said is None and objection is None and found == expected:
            result.same += 1
        elif said is not None and objection is not None:
            result.refused += 1
        elif said is not None:
            row = next((row for row in stricter if said.startswith(row)), None)
            if row is None:
                result.unexplained.append((each, f"we refuse: {said}; they read {expected!r:.200}"))
            else:
                result.stricter[row] += 1
        elif not otherwise(each):
            result.unexplained.append((each, f"we read {found!r:.200}; they {objection or repr(expected):.200}"))
    return result


def _outcome(read: Callable[[T], Any], each: T) -> tuple[Any, str | None]:
    try:
        return read(each), None
    except VerificationError as refused:
        return None, refused.detail or str(refused.reason)


def _their_outcome(read: Callable[[T], Any], each: T) -> tuple[Any, str | None]:
    try:
        return read(each), None
    except Exception as refused:  # noqa: BLE001  # a stranger's parser may raise anything
        return None, f"{type(refused).__name__}: {refused}"
