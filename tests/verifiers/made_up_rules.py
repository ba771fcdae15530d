"""Rules and licence contents made up at random, of the form `parse_rule` takes: for judges that must agree with us."""

from __future__ import annotations

from random import Random
from typing import Any

TEXTS = ["", "A", "B", "食品", "2026-11-21"]
INTEGERS = [-1, 0, 1, 2, 7, 2**31]
DATES = ["2024-02-29", "2025-01-31", "2026-11-21", "2026-11-20T16:00:00Z", "2026-11-21T08:30:00+08:00"]
UNITS = {"year": 3, "month": 30, "day": 400, "hour": 40}

FIELDS = {
    "category": "text",
    "grade": "integer",
    "chain": "truth",
    "since": "date",
    "scopes": "texts",
    "sizes": "integers",
}
"""Members of a made-up licence's face, and what they hold where they hold what they should."""

_CHOICES: dict[str, list[Any]] = {"text": TEXTS, "integer": INTEGERS, "date": DATES}


class Maker:
    """Makes rules and contents out of the randomness it is given.

    `plain` keeps to what every engine is known to judge alike: no comparison of unlike types, no month too short for
    its day.
    """

    def __init__(self, random: Random, *, plain: bool = False) -> None:
        self.random = random
        self.plain = plain
        self.lambdas = 0

    def content(self) -> dict[str, Any]:
        """Make a content that lacks some fields, and sometimes holds something of another type."""
        fields = {name: self.value(kind) for name, kind in FIELDS.items() if self.random.random() < 0.9}
        if not self.plain and fields and self.random.random() < 0.2:
            name = self.random.choice(sorted(fields))
            fields[name] = self.random.choice([None, {}, [], True, 1, "A", {"zh": "A"}])
        holders = [{"kind": self.random.choice(["person", "organisation"])} for _ in range(self.random.randrange(4))]
        return {"fields": fields, "holders": holders, "valid_until": self.random.choice(DATES[:3])}

    def value(self, kind: str) -> Any:
        """Make a value of the kind `FIELDS` names."""
        choose = self.random.choice
        if kind == "texts":
            return [choose(TEXTS) for _ in range(self.random.randrange(4))]
        if kind == "integers":
            return [choose(INTEGERS) for _ in range(self.random.randrange(4))]
        if kind == "truth":
            return choose([True, False])
        return choose(_CHOICES[kind])

    def truth(self, depth: int) -> Any:
        """Make an expression that gives true or false."""
        forms = [self._literal, self._equal, self._in, self._compare, self._in_time]
        if depth > 0:
            forms += [self._not, self._and, self._if_truth, self._if_truth, self._and, self._reduce_truth]
        return self.random.choice(forms)(depth - 1)

    def _literal(self, _: int) -> Any:
        return self.random.choice([True, False])

    def _not(self, depth: int) -> Any:
        return {"!": [self.random.choice([self.truth, self._guard])(depth)]}

    def _and(self, depth: int) -> Any:
        return {"and": [self.truth(depth) for _ in range(self.random.randint(2, 4))]}

    def _guard(self, _: int) -> Any:
        return self._field(self.random.choice(sorted(FIELDS)))

    def _if_truth(self, depth: int) -> Any:
        guard = self.random.choice([self.truth, self._guard])(depth)
        return {"if": [guard, self.truth(depth), self.truth(depth)]}

    def _equal(self, depth: int) -> Any:
        if not self.plain and self.random.random() < 0.4:
            left = self._field(self.random.choice(["category", "grade", "chain"]))
            return {"===": [left, self.random.choice([*TEXTS, *INTEGERS, True, False])]}
        make = self.random.choice([self.text, self.integer])
        return {"===": [make(depth), make(depth)]}

    def _in(self, depth: int) -> Any:
        text = self.random.random() < 0.5
        make, field = (self.text, "scopes") if text else (self.integer, "sizes")
        among = [make(0) for _ in range(self.random.randrange(4))] if self.random.random() < 0.5 else self._field(field)
        return {"in": [make(depth), among]}

    def _compare(self, depth: int) -> Any:
        operands = [self.integer(depth) for _ in range(self.random.randint(2, 3))]
        return {self.random.choice(["<", ">", "<=", ">="]): operands}

    def _in_time(self, depth: int) -> Any:
        operands = [self.time(depth) for _ in range(self.random.randint(2, 3))]
        return {self.random.choice(["after", "before", "not-after", "not-before"]): operands}

    def _reduce_truth(self, depth: int) -> Any:
        step = {"and": [{"var": "accumulator"}, {"in": [{"var": "current"}, [self.text(0), self.text(0)]]}]}
        return {"reduce": [self._field("scopes"), step, True]}

    def text(self, depth: int) -> Any:
        """Make an expression that gives a text."""
        if depth > 0 and self.random.random() < 0.3:
            return {"if": [self.truth(depth - 1), self.text(depth - 1), self.text(depth - 1)]}
        if self.random.random() < 0.5:
            return self._field("category")
        return self.random.choice(TEXTS)

    def integer(self, depth: int) -> Any:
        """Make an expression that gives an integer."""
        chance = self.random.random()
        if depth > 0 and chance < 0.2:
            return {"+": [self.integer(depth - 1), self.integer(depth - 1)]}
        if depth > 0 and chance < 0.35:
            return {"reduce": [self._field("sizes"), {"+": [{"var": "accumulator"}, {"var": "current"}]}, 0]}
        if depth > 0 and chance < 0.45:
            count = {"if": [{"===": [{"var": "current.kind"}, "person"]}, {"+": [{"var": "accumulator"}, 1]},
                            {"var": "accumulator"}]}  # fmt: skip
            return {"reduce": [{"var": "payload.holders"}, count, 0]}
        if chance < 0.7:
            return self._field("grade")
        return self.random.choice(INTEGERS)

    def time(self, depth: int) -> Any:
        """Make an expression that gives an instant."""
        if depth > 0 and self.random.random() < 0.2:
            return {"if": [self.truth(depth - 1), self.time(depth - 1), self.time(depth - 1)]}
        unit = self.random.choice(["day", "hour"] if self.plain else sorted(UNITS))
        paths = ["payload.fields.since", "payload.valid_until", "external.validationClock"]
        base: Any = self.random.choice([*DATES, *({"var": path} for path in paths)])
        return {"plusTime": [base, self.random.randint(-UNITS[unit], UNITS[unit]), unit]}

    def _field(self, name: str) -> Any:
        return {"var": f"payload.fields.{name}"}
