"""Conditions of recognition: a small, strict part of CertLogic, judged the same by every engine and at every time.

A rule is a JSON expression that says yes or no to a licence. It reads nothing but the licence's shown content and the
time of judging, has no loops but a bounded `reduce`, no fractions, no coercion. All that can be known of it is checked
when it is read, so that judging fails for two causes alone: something it needs was not shown, or the licence holds
something else than the rule was written for. See docs/formats/rule.md, which lists each operator.

    rule = parse_rule({"===": [{"var": "payload.fields.category"}, "A"]})
    rule.evaluate(content, at)
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from verifiers import rule_values
from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import format_time
from verifiers.rule_evaluation import Evaluation, Kind, Node

MAX_DEPTH: Final = 24
"""Levels of arrays and objects; what carries a rule (an entry, a trust list) may have 32."""

MAX_NODES: Final = 2_000
MAX_TEXT: Final = 1_024
"""Bytes in UTF-8 of any text."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}", re.ASCII)
_HALVES = re.compile("[\ud800-\udfff]")  # of characters: JSON can spell them, UTF-8 cannot
_MAX_SEGMENTS = 8
_INHERITED = frozenset(
    {
        "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
        "toLocaleString", "toString", "valueOf",
    }
)  # fmt: skip
"""Members that every object has in JavaScript: where a licence lacks them, an engine there finds something else."""


_SCALAR: Final = frozenset({Kind.TRUTH, Kind.INTEGER, Kind.TEXT, Kind.ANY})
_INTEGERS: Final = frozenset({Kind.INTEGER, Kind.ANY})
_LISTS: Final = frozenset({Kind.LIST, Kind.ANY})
_ONLY_TRUTH: Final = frozenset({Kind.TRUTH})


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that holds together: `logic` as it was given, `variables` the paths it reads, sorted."""

    logic: Any = field(repr=False)
    variables: tuple[str, ...]
    _root: Node = field(repr=False)

    def evaluate(self, payload: Mapping[str, Any], at: dt.datetime) -> bool:
        """Whether the licence content `payload` meets the rule at the aware time `at`.

        Raises `VerificationError` with `Reason.RULE_FIELD`, naming the path, where something it needs was not shown,
        and with `Reason.RULE` where the licence holds something that the rule cannot judge.
        """
        answer: bool = Evaluation().value(self._root, rule_data(payload, at))
        return answer


def rule_data(payload: Mapping[str, Any], at: dt.datetime) -> dict[str, Any]:
    """What a rule is judged over, in the shape CertLogic gives it; `validationClock` is whole seconds in UTC."""
    return {"payload": dict(payload), "external": {"validationClock": format_time(at), "valueSets": {}}}


def parse_rule(logic: Any) -> Rule:
    """The rule that the JSON value `logic` spells. Raises `Malformed` with `Reason.RULE` and the place of the fault."""
    reader = _Reader()
    root = reader.read(logic, "", _TOP)
    if root.kind is not Kind.TRUTH:
        raise _fault("", "a rule gives true or false; compare a variable with what it should be")
    return Rule(logic, tuple(sorted(reader.variables)), root)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which first names a `var` may have here, and of what kind the accumulator is."""

    roots: frozenset[str]
    accumulator: Kind = Kind.ANY


_TOP: Final = _Scope(frozenset({"payload", "external"}))


class _Reader:
    """Turns JSON into nodes, counting them, and remembers which paths are read."""

    __slots__ = ("count", "variables")

    def __init__(self) -> None:
        self.count = 0
        self.variables: set[str] = set()

    def read(self, value: Any, where: str, scope: _Scope, depth: int = 1) -> Node:
        """Read one expression at the JSON Pointer `where`, with `depth` levels including it."""
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise _fault(where, f"more than {MAX_NODES} expressions or {MAX_DEPTH} levels")
        if type(value) is list:
            items = [self.of(_SCALAR, each, f"{where}/{n}", scope, depth + 1) for n, each in enumerate(value)]
            return Node("list", tuple(items), Kind.LIST)
        if type(value) is not dict:
            return _literal(value, where)
        if len(value) != 1:
            raise _fault(where, "an operation has exactly one member, its operator")
        [(operator, operands)] = value.items()
        if operator == "var":
            return self._variable(operands, where, scope)
        form = _FORMS.get(operator)
        if form is None:
            raise _fault(where, "an operator that rules do not have")
        least, most, read = form
        if type(operands) is not list or not least <= len(operands) <= most:
            raise _fault(where, f"{operator} takes an array of {least} to {most} operands")
        return read(self, operator, operands, _Place(f"{where}/{operator}", scope, depth + 2))

    def of(self, kinds: frozenset[Kind], value: Any, where: str, scope: _Scope, depth: int) -> Node:
        """Read an expression that must be of one of `kinds`."""
        node = self.read(value, where, scope, depth)
        if node.kind not in kinds:
            raise _fault(where, f"{node.kind} where there must be {' or '.join(sorted(kinds - {Kind.ANY}))}")
        return node

    def _variable(self, path: Any, where: str, scope: _Scope) -> Node:
        if type(path) is not str:
            raise _fault(where, "var takes one text, a path")
        first, *rest = path.split(".")
        named = all((_NAME.fullmatch(each) and each not in _INHERITED) or _INDEX.fullmatch(each) for each in rest)
        if first not in scope.roots or not named or len(rest) > _MAX_SEGMENTS:
            raise _fault(where, f"a path starts with {' or '.join(sorted(scope.roots))}, then names and indexes")
        if scope is _TOP:
            if not rest:
                raise _fault(where, "a path names a member, not the whole")
            self.variables.add(path)
        if first == "accumulator":
            if rest:
                raise _fault(where, "the accumulator is a single value")
            return Node("var", (path, (first,)), scope.accumulator)
        return Node("var", (path, (first, *rest)), Kind.ANY)


@dataclass(frozen=True, slots=True)
class _Place:
    where: str
    scope: _Scope
    depth: int


def _operand(reader: _Reader, kinds: frozenset[Kind], operands: Sequence[Any], n: int, place: _Place) -> Node:
    return reader.of(kinds, operands[n], f"{place.where}/{n}", place.scope, place.depth)


def _read_same(kinds: frozenset[Kind], gives: Kind) -> "_Read":
    def read(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
        nodes = tuple(_operand(reader, kinds, operands, n, place) for n in range(len(operands)))
        return Node(operator, nodes, gives)

    return read


def _read_equal(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
    left, right = (_operand(reader, _SCALAR, operands, n, place) for n in (0, 1))
    if left.kind is not right.kind and Kind.ANY not in (left.kind, right.kind):
        raise _fault(place.where, f"{left.kind} is never {right.kind}")
    return Node(operator, (left, right), Kind.TRUTH)


def _read_in(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
    one = _operand(reader, _SCALAR, operands, 0, place)
    return Node(operator, (one, _operand(reader, _LISTS, operands, 1, place)), Kind.TRUTH)


def _read_if(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
    guard = _operand(reader, _ONLY_TRUTH | {Kind.ANY}, operands, 0, place)
    then, other = (_operand(reader, frozenset(Kind), operands, n, place) for n in (1, 2))
    kind = then.kind
    if kind is not other.kind:
        if Kind.ANY not in (kind, other.kind) or Kind.TIME in (kind, other.kind):
            raise _fault(place.where, f"one branch gives {kind}, the other {other.kind}")
        kind = Kind.ANY
    return Node(operator, (guard, then, other), kind)


def _read_plus_time(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
    base = _operand(reader, frozenset({Kind.TEXT, Kind.ANY}), operands, 0, place)
    amount, unit = operands[1:]
    limit = rule_values.UNIT_LIMITS.get(unit) if type(unit) is str else None
    if limit is None:
        raise _fault(f"{place.where}/2", f"a unit is one of {', '.join(rule_values.UNIT_LIMITS)}")
    if type(amount) is not int or abs(amount) > limit:
        raise _fault(f"{place.where}/1", f"an integer of at most {limit} {unit}s")
    if base.operator == "literal" and not rule_values.is_time(base.operands[0]):
        raise _fault(f"{place.where}/0", "neither a date nor an instant")
    return Node(operator, (base, amount, unit), Kind.TIME)


def _read_reduce(reader: _Reader, operator: str, operands: list[Any], place: _Place) -> Node:
    items = _operand(reader, _LISTS, operands, 0, place)
    start = _operand(reader, _SCALAR, operands, 2, place)
    if start.operator != "literal":
        raise _fault(f"{place.where}/2", "a reduction starts from a literal")
    inner = _Place(place.where, _Scope(frozenset({"accumulator", "current"}), start.kind), place.depth)
    step = _operand(reader, frozenset({start.kind}), operands, 1, inner)
    return Node(operator, (items, step, start), start.kind)


_Read = Callable[[_Reader, str, list[Any], _Place], Node]

_FORMS: Final[Mapping[str, tuple[int, int, _Read]]] = MappingProxyType(
    {
        "!": (1, 1, _read_same(_ONLY_TRUTH | {Kind.ANY}, Kind.TRUTH)),
        "and": (2, MAX_NODES, _read_same(_ONLY_TRUTH, Kind.TRUTH)),
        "if": (3, 3, _read_if),
        "===": (2, 2, _read_equal),
        "in": (2, 2, _read_in),
        "+": (2, 2, _read_same(_INTEGERS, Kind.INTEGER)),
        "plusTime": (3, 3, _read_plus_time),
        "reduce": (3, 3, _read_reduce),
        **{name: (2, 3, _read_same(_INTEGERS, Kind.TRUTH)) for name in ("<", ">", "<=", ">=")},
        **{
            name: (2, 3, _read_same(frozenset({Kind.TIME}), Kind.TRUTH))
            for name in ("after", "before", "not-after", "not-before")
        },
    }
)
"""The closed table: how many operands each operator takes, and how they are read."""


def _literal(value: Any, where: str) -> Node:
    if type(value) is bool:
        return Node("literal", (value,), Kind.TRUTH)
    if type(value) is int and abs(value) <= rule_values.MAX_INTEGER:
        return Node("literal", (value,), Kind.INTEGER)
    plain = type(value) is str and "\0" not in value and not _HALVES.search(value)
    if plain and len(value.encode("utf-8")) <= MAX_TEXT:
        return Node("literal", (value,), Kind.TEXT)
    raise _fault(where, f"a literal is a text of at most {MAX_TEXT} bytes, an integer below 2^53, true or false")


def _fault(where: str, what: str) -> Malformed:
    return Malformed(Reason.RULE, f"{where or '/'}: {what}")
