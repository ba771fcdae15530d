"""Periods of credit records under each regime, and what a check makes of them."""

import itertools
from datetime import date, timedelta

import pytest

from ledger.credit_rules import RULES, Answer, RecordClass, Standing, add_months, answer, rule_on


def record(record_class: RecordClass, decided: date, **more: object) -> Standing:
    """Make a record under the rule of its day, served the day it was decided."""
    rule = rule_on(decided)
    assert rule is not None
    return Standing(record_class, rule.version, decided, more.pop("served", decided), **more)  # type: ignore[arg-type]


def test_regimes_follow_each_other_without_gap_or_overlap() -> None:
    """Every day since the first rule has exactly one."""
    for earlier, later in itertools.pairwise(RULES):
        assert earlier.until_on == later.from_on - timedelta(days=1)
    assert RULES[-1].until_on is None
    assert rule_on(RULES[0].from_on - timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("decided", "record_class", "domain", "repairable", "ends"),
    [
        (date(2026, 4, 1), RecordClass.SERIOUS, None, date(2027, 4, 1), date(2029, 3, 31)),
        (date(2026, 4, 1), RecordClass.ORDINARY, None, date(2026, 7, 1), date(2027, 3, 31)),
        (date(2026, 3, 31), RecordClass.ORDINARY, None, date(2026, 6, 30), date(2029, 3, 30)),
        (date(2026, 3, 31), RecordClass.ORDINARY, "fire", date(2027, 3, 31), date(2029, 3, 30)),
        (date(2023, 4, 30), RecordClass.SERIOUS, None, date(2023, 10, 30), date(2026, 4, 29)),
    ],
)
def test_the_day_of_decision_chooses_the_rule(
    decided: date, record_class: RecordClass, domain: str | None, repairable: date, ends: date
) -> None:
    """A new regime does not reach back to decisions of the old one."""
    standing = record(record_class, decided, domain=domain)

    assert (standing.repairable_on, standing.ends_on) == (repairable, ends)
    assert standing.published(ends)
    assert not standing.in_use(ends + timedelta(days=1))


def test_publicity_waits_for_service() -> None:
    """Nobody is named in public before the decision reached them."""
    standing = record(RecordClass.SERIOUS, date(2026, 5, 1), served=date(2026, 5, 9))

    assert not standing.published(date(2026, 5, 8))
    assert standing.published(date(2026, 5, 9))


def test_repair_and_withdrawal_end_use_and_publicity_together() -> None:
    """What was repaired or reversed is not shown, not shared and not held against anyone."""
    day = date(2027, 6, 1)

    repaired = record(RecordClass.SERIOUS, date(2026, 5, 1), repaired_on=day)
    withdrawn = record(RecordClass.SERIOUS, date(2026, 5, 1), withdrawn=True)

    assert repaired.in_use(day - timedelta(days=1))
    assert not repaired.in_use(day)
    assert not withdrawn.in_use(day)


def test_a_light_record_is_used_but_never_published() -> None:
    """It is kept out of public view and answers no check with no."""
    day = date(2026, 5, 2)
    light = record(RecordClass.LIGHT, date(2026, 5, 1))

    assert light.in_use(day)
    assert not light.published(day)
    assert answer("refuse", [light], day, banned=False) is Answer.YES


def test_a_check_says_no_for_a_serious_record_or_a_ban_and_conditions_for_an_ordinary_one() -> None:
    """The gravest thing in use decides; what has ended counts for nothing."""
    day = date(2026, 6, 1)
    ordinary = record(RecordClass.ORDINARY, date(2026, 5, 1))
    serious = record(RecordClass.SERIOUS, date(2026, 5, 1))

    assert answer("refuse", [ordinary], day, banned=False) is Answer.CONDITIONS
    assert answer("refuse", [ordinary, serious], day, banned=False) is Answer.NO
    assert answer("conditions", [serious], day, banned=False) is Answer.CONDITIONS
    assert answer("none", [serious], day, banned=False) is Answer.YES
    assert answer("refuse", [], day, banned=True) is Answer.NO
    assert answer("refuse", [serious], date(2029, 5, 1), banned=False) is Answer.YES


def test_classes_are_read_in_both_languages_and_months_end_where_the_month_does() -> None:
    """`严重` and `serious` are one class; three months after 30 November is the end of February."""
    assert RecordClass.parse("严重") is RecordClass.parse("serious")
    with pytest.raises(ValueError, match="class"):
        RecordClass.parse("dreadful")
    assert add_months(date(2026, 11, 30), 3) == date(2027, 2, 28)
