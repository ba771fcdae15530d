"""The language of rules: what each operator means, what is refused when a rule is read, and that others judge alike."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_logic.cert_logic import certLogic

from tests.verifiers.issuer import reason_of
from tests.verifiers.made_up_rules import Maker
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.rule import MAX_DEPTH, MAX_NODES, MAX_TEXT, parse_rule, rule_data
from verifiers.rule_evaluation import MAX_ITEMS

AT = dt.datetime(2026, 11, 21, 8, 0, tzinfo=dt.UTC)

CONTENT: dict[str, Any] = {
    "valid_until": "2027-01-31",
    "holders": [{"kind": "person", "name": "张三"}, {"kind": "organisation"}],
    "fields": {
        "category": "A",
        "grade": 3,
        "chain": False,
        "scopes": ["热食", "冷食"],
        "empty": None,
        "since": "2025-01-31",
    },
}


def var(path: str) -> dict[str, str]:
    """Return the expression that reads a path."""
    return {"var": path}


CATEGORY, GRADE = var("payload.fields.category"), var("payload.fields.grade")
CLOCK, UNTIL = var("external.validationClock"), var("payload.valid_until")


def day(text: Any, amount: int = 0, unit: str = "day") -> dict[str, Any]:
    """Return the expression of an instant."""
    return {"plusTime": [text, amount, unit]}


def judged(logic: Any, content: Any = None) -> bool | Reason:
    """Return what a rule says of `content`, or why it cannot."""
    try:
        return parse_rule(logic).evaluate(CONTENT if content is None else content, AT)
    except VerificationError as error:
        return error.reason


PERSONS = {"if": [{"===": [var("current.kind"), "person"]}, {"+": [var("accumulator"), 1]}, var("accumulator")]}


@pytest.mark.parametrize(
    ("logic", "expected"),
    [
        (True, True),
        ({"===": [CATEGORY, "A"]}, True),
        ({"===": [CATEGORY, "a"]}, False),
        ({"===": [GRADE, "3"]}, False),
        ({"===": [GRADE, True]}, False),
        ({"!": [var("payload.fields.chain")]}, True),
        ({"!": [{"!": [CATEGORY]}]}, True),
        ({"in": [CATEGORY, ["A", "B"]]}, True),
        ({"in": ["冷食", var("payload.fields.scopes")]}, True),
        ({"in": [1, [True]]}, False),
        ({"and": [{"===": [CATEGORY, "A"]}, {"<": [1, GRADE, 5]}]}, True),
        ({"<": [1, GRADE, 3]}, False),
        ({"<=": [GRADE, 3]}, True),
        ({">": [{"+": [GRADE, 1]}, 3]}, True),
        ({"if": [UNTIL, {"not-after": [day(CLOCK), day(UNTIL)]}, True]}, True),
        ({"===": [{"reduce": [var("payload.holders"), PERSONS, 0]}, 1]}, True),
        ({"===": [var("payload.holders.0.name"), "张三"]}, True),
        ({"after": [day(CLOCK), day("2026-11-21", 7, "hour"), day("2026-11-20")]}, True),
        ({"before": [day(CLOCK), day("2026-11-21T16:00:00+08:00")]}, False),
        ({"not-before": [day(CLOCK), day("2026-11-21T16:00:00+08:00")]}, True),
    ],
)  # fmt: skip
def test_operators_mean_what_certlogic_says(logic: Any, expected: bool) -> None:
    """One line an operator, and both branches of those that have two."""
    assert judged(logic) is expected


@pytest.mark.parametrize(
    ("base", "amount", "unit", "expected"),
    [
        ("2026-01-31", 1, "month", "2026-03-03"),
        ("2024-01-31", 1, "month", "2024-03-02"),
        ("2024-02-29", 1, "year", "2025-03-01"),
        ("2026-01-31", -11, "month", "2025-03-03"),
        ("2026-11-21", -8, "hour", "2026-11-20T16:00:00Z"),
        ("2026-11-21T00:00:00+08:00", 0, "day", "2026-11-20T16:00:00Z"),
        ("2026-11-21T00:00:00-01:30", 0, "day", "2026-11-21T01:30:00Z"),
        ("2026-12-31", 1, "day", "2027-01-01"),
    ],
)
def test_dates_are_midnight_in_utc_and_short_months_run_over(base: str, amount: int, unit: str, expected: str) -> None:
    """As in JavaScript, because that is what the engine of CertLogic's authors does."""
    moved = day(base, amount, unit)

    assert judged({"and": [{"not-after": [moved, day(expected)]}, {"not-before": [moved, day(expected)]}]}) is True


def test_what_was_not_shown_leaves_it_open() -> None:
    """The reason names the path; a member that is null counts as not shown."""
    for path in ("payload.fields.area", "payload.fields.empty", "payload.holders.7.kind", "payload.number"):
        rule = parse_rule({"===": [var(path), "A"]})
        with pytest.raises(VerificationError) as caught:
            rule.evaluate(CONTENT, AT)
        assert (caught.value.reason, caught.value.detail) == (Reason.RULE_FIELD, f"{path} was not shown")


def test_a_rule_may_ask_whether_something_is_shown() -> None:
    """Only `!` and the guard of `if` take nothing for false; what they lead to is judged like anything else."""
    absent = var("payload.fields.area")

    assert judged({"!": [absent]}) is True
    assert judged({"if": [absent, False, True]}) is True
    assert judged({"if": [absent, True, {"===": [absent, 1]}]}) is Reason.RULE_FIELD
    assert judged({"===": [{"reduce": [absent, PERSONS, 0]}, 0]}) is Reason.RULE_FIELD


def test_what_is_not_needed_is_not_missed() -> None:
    """`and` stops at the first false, `if` looks at one branch."""
    absent = {"===": [var("payload.fields.area"), "A"]}

    assert judged({"and": [False, absent]}) is False
    assert judged({"and": [absent, False]}) is Reason.RULE_FIELD
    assert judged({"if": [True, True, absent]}) is True


@pytest.mark.parametrize(
    "logic",
    [
        {"<": [CATEGORY, 3]},
        {"+": [GRADE, 1]},
        {"in": [GRADE, CATEGORY]},
        {"===": [var("payload.fields"), "A"]},
        {"===": [var("payload.fields.scopes"), var("payload.fields.scopes")]},
        {"after": [day(CATEGORY), day(CLOCK)]},
        {"after": [day(GRADE), day(CLOCK)]},
        {"===": [{"reduce": [CATEGORY, PERSONS, 0]}, 0]},
    ],
)
def test_a_licence_of_another_shape_is_refused(logic: Any) -> None:
    """A value of the wrong type never counts as false: the rule was written for something else."""
    content = {"fields": {"category": "A", "grade": 2**53 - 1, "scopes": [1]}}
    whole = logic if "+" not in logic else {">": [logic, 0]}

    assert judged(whole, content) is Reason.RULE


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2026-13-01",
        "1899-12-31",
        "2026-11",
        "2026",
        "20261121",
        "2026-11-21T24:00:00Z",
        "2026-11-21T08:00Z",
        "2026-11-21T08:00:00.5Z",
        "2026-11-21T08:00:00",
        "2026-11-21T08:00:00+24:00",
        "２026-11-21",
        "",
    ],
)
def test_only_days_that_exist_and_whole_seconds_are_dates(text: str) -> None:
    """In a rule such a literal is refused when it is read, in a licence when it is judged."""
    assert judged({"after": [day(text), day("2026-11-21")]}) is Reason.RULE
    assert judged({"after": [day(var("payload.since")), day("2026-11-21")]}, {"since": text}) is Reason.RULE


@pytest.mark.parametrize(
    "logic",
    [
        None, 1, "A", 1.5, [], [True], {}, CATEGORY, {"===": [1, 1], "!": [True]},
        {"or": [True, True]}, {"extractFromUVCI": ["A", 1]}, {"dccDateOfBirth": ["2000"]},
        {"!": True}, {"!": []}, {"!": [True, True]}, {"and": [True]}, {"and": []}, {"if": [True, True]},
        {"and": [CATEGORY, True]}, {"if": [True, CATEGORY, True]}, {"if": [True, True, "A"]},
        {"===": [1, "1"]}, {"===": [1, True]}, {"===": [[1], [1]]}, {"===": [None, CATEGORY]}, {"===": [1.0, GRADE]},
        {"===": [2**53, GRADE]}, {"===": ["A\0", CATEGORY]}, {"===": ["\ud800", CATEGORY]},
        {"in": ["A", "ABC"]}, {"in": [["A"], [["A"]]]}, {"in": [day("2026-11-21"), []]},
        {"<": [1]}, {"<": [1, 2, 3, 4]}, {"<": ["1", 2]}, {"<": [True, 2]}, {"===": [{"+": [1, 2, 3]}, 6]},
        {"after": ["2026-11-21", "2026-11-20"]}, {"after": [CLOCK, day("2026-11-20")]},
        {"===": [day("2026-11-20"), CLOCK]},
        {"after": [day("2026-11-21", 0, "week"), day(CLOCK)]}, {"after": [day("2026-11-21", 501, "year"), day(CLOCK)]},
        {"after": [{"plusTime": ["2026-11-21", GRADE, "day"]}, day(CLOCK)]},
        {"after": [{"plusTime": [day("2026-11-21"), 1, "day"]}, day(CLOCK)]},
        {"!": [day(CLOCK)]}, {"if": [day(CLOCK), True, False]}, {"!": [["A"]]},
        {"===": [{"reduce": [var("payload.holders"), PERSONS, GRADE]}, 0]},
        {"===": [{"reduce": [var("payload.holders"), True, 0]}, 0]},
        {"===": [{"reduce": [var("payload.holders"), {"+": [var("accumulator"), var("payload.fields.grade")]}, 0]}, 0]},
    ],
)  # fmt: skip
def test_a_rule_that_does_not_hold_together_is_refused_when_it_is_read(logic: Any) -> None:
    """Unknown operators, wrong numbers and kinds of operands, values that engines hold differently."""
    with pytest.raises(Malformed) as caught:
        parse_rule(logic)

    assert caught.value.reason is Reason.RULE


@pytest.mark.parametrize(
    "path",
    [
        "",
        "payload",
        "fields.a",
        "current",
        "payload.",
        "payload..a",
        "payload.a b",
        "payload.01",
        "payload.-1",
        "payload.1a",
        "payload.holders.10000",
        "payload.constructor",
        "payload.fields.toString",
        "payload.__proto__",
        "payload.名",
        "payload" + ".a" * 9,
    ],
)
def test_paths_are_plain(path: str) -> None:
    """Nothing that JavaScript finds on every object or text, reads as a number in part, or leads everywhere."""
    with pytest.raises(Malformed):
        parse_rule({"!": [var(path)]})
    with pytest.raises(Malformed):
        parse_rule({"!": [{"var": [path]}]})


def nested(levels: int) -> Any:
    """Return `!` in `!`, so many levels of arrays and objects deep."""
    logic: Any = True
    for _ in range(levels // 2):
        logic = {"!": [logic]}
    return logic


def test_limits_are_exact() -> None:
    """Depth, expressions and texts: the last that is allowed is read, one more is refused."""
    allowed = [
        nested(MAX_DEPTH - 2),
        {"and": [True] * (MAX_NODES - 1)},
        {"===": ["食" * (MAX_TEXT // 3), CATEGORY]},
        {"===": [2**53 - 1, GRADE]},
    ]
    refused = [
        nested(MAX_DEPTH),
        {"and": [True] * MAX_NODES},
        {"===": ["食" * (MAX_TEXT // 3 + 1), CATEGORY]},
        {"===": [-(2**53), GRADE]},
    ]
    for logic in allowed:
        parse_rule(logic)
    for logic in refused:
        with pytest.raises(Malformed):
            parse_rule(logic)
    with pytest.raises(Malformed):
        parse_rule(nested(100_000))


def test_judging_is_bounded() -> None:
    """Too many elements, or a reduction of reductions, ends as a rule that cannot be judged."""
    count = {"===": [{"reduce": [var("payload.many"), {"+": [var("accumulator"), 1]}, 0]}, MAX_ITEMS]}
    inner = {"reduce": [var("current"), {"+": [var("accumulator"), 1]}, 0]}
    product = {"===": [{"reduce": [var("payload.many"), {"+": [var("accumulator"), inner]}, 0]}, 0]}

    assert judged(count, {"many": [0] * MAX_ITEMS}) is True
    assert judged(count, {"many": [0] * (MAX_ITEMS + 1)}) is Reason.RULE
    assert judged(product, {"many": [[0] * 1000] * 1000}) is Reason.RULE


def test_a_rule_names_what_it_reads() -> None:
    """Each path once, sorted; what a reduction calls its own is not among them."""
    persons = {">": [{"reduce": [var("payload.holders"), PERSONS, 0]}, 0]}
    logic = {"and": [{"===": [CATEGORY, "A"]}, {"in": [CATEGORY, ["A"]]}, persons, {"after": [day(CLOCK), day(UNTIL)]}]}

    rule = parse_rule(logic)

    assert rule.variables == (
        "external.validationClock",
        "payload.fields.category",
        "payload.holders",
        "payload.valid_until",
    )


@given(st.randoms())
@settings(max_examples=400, deadline=None)
def test_another_engine_judges_alike(random: Random) -> None:
    """panzi-json-logic, written by somebody else in Python, wherever it gives an answer and we do."""
    maker = Maker(random, plain=True)
    logic, content = maker.truth(3), maker.content()

    ours = judged(logic, content)

    if isinstance(ours, bool):
        assert certLogic(logic, rule_data(content, AT)) is ours


def test_what_is_made_up_is_worth_comparing() -> None:
    """Rules of every outcome come up, most of them decided."""
    outcomes: Counter[bool | Reason] = Counter()
    for seed in range(600):
        maker = Maker(Random(seed))
        outcomes[judged(maker.truth(3), maker.content())] += 1

    assert set(outcomes) == {True, False, Reason.RULE_FIELD, Reason.RULE}
    assert min(outcomes[True], outcomes[False]) > 120


@pytest.mark.parametrize("operator", ["<", ">", "<=", ">=", "after", "before", "not-after", "not-before"])
def test_comparisons_take_two_or_three_operands(operator: str) -> None:
    """As CertLogic has them."""
    value: Any = day(var("payload.valid_until")) if operator.endswith(("after", "before")) else 1

    for count, good in ((1, False), (2, True), (3, True), (4, False)):
        assert (reason_of(parse_rule, {operator: [value] * count}) is None) is good


def test_a_fault_names_its_place() -> None:
    """As a path of operators and numbers of operands."""
    with pytest.raises(Malformed) as caught:
        parse_rule({"and": [True, {"===": [{"+": [1, "x"]}, 1]}]})

    assert caught.value.detail.startswith("/and/1/===/0/+/1")


def test_only_plain_values_are_looked_for_in_an_array() -> None:
    """An array in an array is no element to compare with."""
    assert judged({"in": [var("payload.fields.scopes"), var("payload.fields.scopes")]}) is Reason.RULE
