"""How long a credit record counts, by the rule in force on the day of its decision (docs/credit.md).

Pure: a record keeps the version of its rule, and everything else (when publicity starts and ends, from when repair may
be asked for, what a check answers) is computed when it is read. Nothing is deleted to make it invisible. Dates are
calendar dates in +08:00; a period of months that starts on the 31st ends, where the month is shorter, on its last day.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final


class RecordClass(StrEnum):
    """How grave a breach is: 轻微, 一般 or 严重."""

    LIGHT = "light"
    ORDINARY = "ordinary"
    SERIOUS = "serious"

    @property
    def zh(self) -> str:
        """The word of the law."""
        return _CLASS_ZH[self]

    @classmethod
    def parse(cls, word: str) -> RecordClass:
        """Return the class named by our word or by the word of the law. Raises `ValueError` for any other."""
        for each in cls:
            if word in (each.value, each.zh):
                return each
        raise ValueError(f"no such class of record: {word!r}")


_CLASS_ZH: Final = {RecordClass.LIGHT: "轻微", RecordClass.ORDINARY: "一般", RecordClass.SERIOUS: "严重"}


@dataclass(frozen=True, slots=True)
class Period:
    """Months of publicity: repair may be asked for after `least`, publication ends by itself after `most`."""

    published: bool
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One regime: in force from `from_on` to `until_on` (inclusive), a period per class, and what it is cited as.

    `long_domains` names fields (food, drugs, …) in which every published record has at least `long_least` months.
    """

    version: str
    cited_as: str
    from_on: date
    until_on: date | None
    periods: Mapping[RecordClass, Period]
    long_domains: frozenset[str] = frozenset()
    long_least: int = 0

    def period(self, record_class: RecordClass, domain: str | None) -> Period:
        """Return the period of a class, with the longer minimum of a special `domain`."""
        period = self.periods[record_class]
        if domain in self.long_domains and period.published:
            return Period(True, max(period.least, self.long_least), period.most)
        return period


# Sources: order 36 of 2025-11-20 (repeals order 58), order 58 of 2023, 发改办财金〔2019〕527号. A decision taken before
# the first of them has no rule here and is refused, rather than judged by a rule its maker could not know.
RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "ndrc-2019-527",
        "发改办财金〔2019〕527号",
        date(2019, 4, 30),
        date(2023, 4, 30),
        {
            RecordClass.LIGHT: Period(False, 0, 3),
            RecordClass.ORDINARY: Period(True, 3, 12),
            RecordClass.SERIOUS: Period(True, 6, 36),
        },
    ),
    Rule(
        "ndrc-58",
        "国家发展和改革委员会令第58号",
        date(2023, 5, 1),
        date(2026, 3, 31),
        {
            RecordClass.LIGHT: Period(False, 0, 3),
            RecordClass.ORDINARY: Period(True, 3, 36),
            RecordClass.SERIOUS: Period(True, 3, 36),
        },
        frozenset({"food", "drugs", "special_equipment", "work_safety", "fire"}),
        12,
    ),
    Rule(
        "ndrc-36",
        "国家发展和改革委员会令第36号",
        date(2026, 4, 1),
        None,
        {
            RecordClass.LIGHT: Period(False, 0, 3),
            RecordClass.ORDINARY: Period(True, 3, 12),
            RecordClass.SERIOUS: Period(True, 12, 36),
        },
    ),
)
_BY_VERSION: Final = {rule.version: rule for rule in RULES}


def rule_on(day: date) -> Rule | None:
    """Return the rule in force on `day`, or `None` before the first one that is known here."""
    return next((r for r in RULES if r.from_on <= day and (r.until_on is None or day <= r.until_on)), None)


def rule_named(version: str) -> Rule:
    """Return the rule a record was made under. Raises `KeyError` for a version that never existed."""
    return _BY_VERSION[version]


@dataclass(frozen=True, slots=True)
class Standing:
    """The dated facts of one record that decide how far it counts; `repaired_on` and `withdrawn` end it at once."""

    record_class: RecordClass
    rule: str
    decided_on: date
    served_on: date
    domain: str | None = None
    repaired_on: date | None = None
    withdrawn: bool = False

    @property
    def _period(self) -> Period:
        return rule_named(self.rule).period(self.record_class, self.domain)

    @property
    def starts_on(self) -> date:
        """First day it counts: nobody is shown in public before the decision was served on them (rule 22b)."""
        return max(self.decided_on, self.served_on)

    @property
    def repairable_on(self) -> date:
        """First day on which repair may be asked for; the period runs from the date of the document."""
        return add_months(self.decided_on, self._period.least)

    @property
    def ends_on(self) -> date:
        """Last day it counts."""
        return add_months(self.decided_on, self._period.most) - timedelta(days=1)

    def in_use(self, today: date) -> bool:
        """Whether departments may be told of it and act on it: repair ends publicity, sharing and measures together."""
        ended = self.withdrawn or (self.repaired_on is not None and self.repaired_on <= today)
        return not ended and self.starts_on <= today <= self.ends_on

    def published(self, today: date) -> bool:
        """Whether the public may see it; a light breach is kept out of public view."""
        return self._period.published and self.in_use(today)


class Answer(StrEnum):
    """What a credit check says; never the records themselves."""

    YES = "yes"
    CONDITIONS = "conditions"
    NO = "no"


# What a matter may ask for. A promise (告知承诺) and later delivery (容缺) are closed to whoever has an unrepaired bad
# record, so those are the two conditions; a policy never makes a light record a ground for no (不当联结).
_POLICIES: Final[Mapping[str, Mapping[RecordClass, Answer]]] = {
    "none": {},
    "conditions": {RecordClass.SERIOUS: Answer.CONDITIONS, RecordClass.ORDINARY: Answer.CONDITIONS},
    "refuse": {RecordClass.SERIOUS: Answer.NO, RecordClass.ORDINARY: Answer.CONDITIONS},
}
POLICIES: Final = frozenset(_POLICIES)
CONDITIONS: Final = ("no_promise", "no_deferral")


def answer(policy: str, records: Iterable[Standing], today: date, *, banned: bool) -> Answer:
    """Return what a check under `policy` says on `today`; `banned` means the law bars this very application.

    Raises `KeyError` for a policy outside `POLICIES`.
    """
    table = _POLICIES[policy]
    answers = {table.get(record.record_class, Answer.YES) for record in records if record.in_use(today)}
    if banned or Answer.NO in answers:
        return Answer.NO
    return Answer.CONDITIONS if Answer.CONDITIONS in answers else Answer.YES


def add_months(day: date, months: int) -> date:
    """Return the same day of the month `months` later, or the last day of that month where it has none."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
