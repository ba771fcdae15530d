"""The expressions of a rule once they are read, and what each of them gives; see `verifiers.rule`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from verifiers import rule_values
from verifiers.errors import Reason, VerificationError

MAX_ITEMS: Final = 10_000
"""Elements that one `reduce` goes through."""

MAX_STEPS: Final = 100_000
"""Expressions evaluated before judging is given up: far more than any rule needs that people can read."""


class Kind(StrEnum):
    """What an expression gives, as far as its form tells; `ANY` is what a licence holds."""

    TRUTH = "true or false"
    INTEGER = "an integer"
    TEXT = "a text"
    LIST = "an array"
    TIME = "an instant (plusTime)"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class Node:
    """One expression of a rule that was read: its operator (`literal` and `list` are two more), operands and kind."""

    operator: str
    operands: tuple[Any, ...]
    kind: Kind


class Evaluation:
    """One evaluation, with the number of steps that are left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def value(self, node: Node, data: Mapping[str, Any]) -> Any:
        """What `node` gives over `data`; a variable that leads to nothing is an error here."""
        value = self.value_or_nothing(node, data)
        if value is None:
            raise VerificationError(Reason.RULE_FIELD, f"{node.operands[0]} was not shown")
        return value

    def value_or_nothing(self, node: Node, data: Mapping[str, Any]) -> Any:
        """What `node` gives; `None` for a variable that leads to nothing, and only for that."""
        self.left -= 1
        if self.left < 0:
            raise VerificationError(Reason.RULE, f"not judged within {MAX_STEPS} steps")
        return _EVALUATE[node.operator](self, node, data)

    def values(self, node: Node, data: Mapping[str, Any]) -> list[Any]:
        """What each operand of `node` gives."""
        return [self.value(operand, data) for operand in node.operands]


def _evaluate_variable(_: Evaluation, node: Node, data: Mapping[str, Any]) -> Any:
    found: Any = data
    for segment in node.operands[1]:
        if isinstance(found, Mapping):
            found = found.get(segment)
        elif type(found) is list and segment.isdigit() and int(segment) < len(found):
            found = found[int(segment)]
        else:
            return None
    return found


def _evaluate_not(run: Evaluation, node: Node, data: Mapping[str, Any]) -> bool:
    return not rule_values.truthy(run.value_or_nothing(node.operands[0], data))


def _evaluate_if(run: Evaluation, node: Node, data: Mapping[str, Any]) -> Any:
    guard, then, other = node.operands
    return run.value(then if rule_values.truthy(run.value_or_nothing(guard, data)) else other, data)


def _evaluate_plus_time(run: Evaluation, node: Node, data: Mapping[str, Any]) -> Any:
    base, amount, unit = node.operands
    return rule_values.plus_time(run.value(base, data), amount, unit)


def _evaluate_reduce(run: Evaluation, node: Node, data: Mapping[str, Any]) -> Any:
    items, step, start = node.operands
    values = run.value(items, data)
    if type(values) is not list or len(values) > MAX_ITEMS:
        raise VerificationError(Reason.RULE, f"reduce: not an array of at most {MAX_ITEMS} elements")
    result = run.value(start, data)
    for current in values:
        result = run.value(step, {"accumulator": result, "current": current})
    return result


_EVALUATE: Final[Mapping[str, Callable[[Evaluation, Node, Mapping[str, Any]], Any]]] = MappingProxyType(
    {
        "literal": lambda _run, node, _data: node.operands[0],
        "list": lambda run, node, data: run.values(node, data),
        "var": _evaluate_variable,
        "!": _evaluate_not,
        "and": lambda run, node, data: all(run.value(each, data) for each in node.operands),
        "if": _evaluate_if,
        "===": lambda run, node, data: rule_values.equal(*run.values(node, data)),
        "in": lambda run, node, data: rule_values.contained(*run.values(node, data)),
        "+": lambda run, node, data: rule_values.total(*run.values(node, data)),
        "plusTime": lambda run, node, data: rule_values.plus_time(
            run.value(node.operands[0], data), *node.operands[1:]
        ),
        "reduce": _evaluate_reduce,
        **{
            name: lambda run, node, data: rule_values.ordered(node.operator, run.values(node, data))
            for name in ("<", ">", "<=", ">=")
        },
        **{
            name: lambda run, node, data: rule_values.in_time(node.operator, run.values(node, data))
            for name in ("after", "before", "not-after", "not-before")
        },
    }
)
"""The same table once more: what each operator does."""
