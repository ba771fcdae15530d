"""The short form of the soak: two kills under a mixed load, and everything acknowledged is there."""

import pytest

from tests.soak.running import SHORT, run


@pytest.mark.timeout(900)
def test_a_short_day_with_two_kills() -> None:
    """Nothing acknowledged is lost, the audit passes, onlookers saw one log, nothing grew."""
    found = run(SHORT)

    assert found.told.broken == []
    assert found.asked > 0
