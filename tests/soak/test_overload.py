"""The short form of the overload: what is answered, and that all goes on as before; how fast is no question here."""

import pytest

from tests.soak.overload import SHORT, run


@pytest.mark.timeout(600)
def test_ten_times_too_much_and_strangers() -> None:
    """Nobody is answered but with success or 503; what was accepted is there once; strangers keep nobody out."""
    assert run(SHORT).broken == []
