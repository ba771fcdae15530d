"""How much a rule may add, name, walk through and take: the last that counts, and the first that does not."""

from __future__ import annotations

import pytest

from tests.verifiers.issuer import reason_of
from tests.verifiers.test_rule import AT, day, judged, var
from verifiers.errors import Reason, VerificationError
from verifiers.rule import parse_rule
from verifiers.rule_evaluation import MAX_ITEMS, Evaluation


@pytest.mark.parametrize(("unit", "most"), [("year", 500), ("month", 6_000), ("day", 180_000), ("hour", 4_000_000)])
def test_no_more_of_a_unit_is_added_than_leaves_the_calendar(unit: str, most: int) -> None:
    """Either way."""
    for amount, good in ((most, True), (-most, True), (most + 1, False), (-most - 1, False)):
        logic = {"after": [day("2026-11-21", amount, unit), day("2026-11-21")]}
        assert judged(logic) is (amount > 0 if good else Reason.RULE)


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("payload" + ".a" * 8, True),
        ("payload" + ".a" * 9, False),
        ("payload." + "a" * 64, True),
        ("payload." + "a" * 65, False),
        ("payload.a_9", True),
        ("payload._a", False),
        ("payload.0", True),
        ("payload.9999", True),
        ("external.valueSets", True),
        ("external", False),
    ],
)
def test_a_path_has_segments_of_a_length(path: str, good: bool) -> None:
    """Eight at most, and names of sixty-four letters."""
    assert reason_of(parse_rule, {"!": [var(path)]}) is (None if good else Reason.RULE)


def test_an_index_leads_to_an_element_that_is_there() -> None:
    """The last one, and not behind it; of nothing but an array."""
    names = {"fields": {"a": ["x", "y"], "t": "xy"}}

    assert judged({"===": [var("payload.fields.a.1"), "y"]}, names) is True
    for path in ("payload.fields.a.2", "payload.fields.a.b", "payload.fields.t.0", "payload.fields.t.x"):
        assert judged({"===": [var(path), "y"]}, names) is Reason.RULE_FIELD


def test_a_sum_is_one_that_every_engine_holds() -> None:
    """Below 2^53 either way."""
    most = 2**53 - 1
    for left, right, good in ((most, 0, True), (most, 1, False), (-most, 0, True), (-most, -1, False)):
        content = {"fields": {"left": left, "right": right}}
        total = {"+": [var("payload.fields.left"), var("payload.fields.right")]}
        assert judged({"===": [total, left]}, content) is (True if good else Reason.RULE)


def test_judging_ends_after_a_hundred_thousand_steps() -> None:
    """The last of them is taken, one more is not."""
    count = {"reduce": [var("payload.many"), {"+": [var("accumulator"), var("current")]}, 0]}
    root, run = parse_rule({"!": [True]})._root, Evaluation()
    assert run.left == 100_000

    run.left = 2
    assert run.value(root, {}) is False and run.left == 0
    run.left = 1
    with pytest.raises(VerificationError) as caught:
        run.value(root, {})
    assert (caught.value.reason, caught.value.detail) == (Reason.RULE, "not judged within 100000 steps")
    for times, found in ((3, True), (4, Reason.RULE)):
        assert judged({"and": [{"===": [count, 0]}] * times}, {"many": [0] * 9_000}) is found


def test_a_rule_goes_through_ten_thousand_elements() -> None:
    """And says so where there are more."""
    rule = parse_rule({"===": [{"reduce": [var("payload.many"), var("accumulator"), 0]}, 0]})

    assert rule.evaluate({"many": [0] * MAX_ITEMS}, AT) is True
    with pytest.raises(VerificationError) as caught:
        rule.evaluate({"many": [0] * (MAX_ITEMS + 1)}, AT)
    assert caught.value.detail == "reduce: not an array of at most 10000 elements"
    assert MAX_ITEMS == 10_000


def test_a_fault_in_a_list_names_its_place() -> None:
    """The number of the element behind that of the operand."""
    with pytest.raises(VerificationError) as caught:
        parse_rule({"in": [var("payload.number"), ["A", ["B"]]]})
    assert caught.value.detail.startswith("/in/1/1: ")
    with pytest.raises(VerificationError) as caught:
        parse_rule(7)
    assert caught.value.detail.startswith("/: ")
