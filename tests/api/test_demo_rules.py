"""The demo's rule of recognition: whoever runs the demo, at whatever hour."""

from datetime import UTC, datetime, timedelta

import pytest

from api.cli.demo_people import business_licence
from api.cli.demo_regions import FOUNDED, TESTS
from verifiers.legal_dates import day_of
from verifiers.rule import parse_rule


@pytest.mark.parametrize("hour", range(24))
def test_a_company_founded_today_is_recognised_at_every_hour(hour: int) -> None:
    """In the first eight hours of a day in China it is still the day before in UTC."""
    at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=hour)
    fields = business_licence(day_of(at))["fields"]

    assert parse_rule(FOUNDED).evaluate({"fields": fields}, at)


@pytest.mark.parametrize("case", range(len(TESTS)))
def test_the_rule_holds_in_its_own_cases(case: int) -> None:
    """Those that a region tries before it declares the rule."""
    given = TESTS[case]

    found = parse_rule(FOUNDED).evaluate(given["payload"], datetime.fromisoformat(given["at"]))

    assert found is given["expect"]
