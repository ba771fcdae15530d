"""Random schedules of regions, liars and faults: after every step of each, every invariant holds."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from tests.simulation.schedules import drawn, first_failure, run

CHUNKS, EACH = 40, 50
"""2,000 schedules, in pieces that workers share."""

FIXED = 20_261_121


@pytest.mark.parametrize("chunk", range(CHUNKS), ids=lambda chunk: f"chunk-{chunk:02}")
def test_every_invariant_holds_after_every_step(chunk: int) -> None:
    """Seeds are fixed where the answer decides whether a change lands; everybody else's runs look for new ones."""
    first = FIXED + chunk * EACH if os.environ.get("CI") else secrets.randbelow(2**31)
    print(f"seeds {first} to {first + EACH - 1}")

    failed = first_failure(range(first, first + EACH))

    assert failed is None, f"\n{failed}"


@pytest.mark.long
def test_every_invariant_holds_over_ten_thousand_schedules() -> None:
    """The long profile, from a fresh seed; `python -m tests.simulation --schedules N` runs as many as you like."""
    first = secrets.randbelow(2**31)
    print(f"first seed {first}")

    failed = first_failure(range(first, first + 10_000))

    assert failed is None, f"\n{failed}"


def test_a_seed_is_enough_to_repeat_a_run() -> None:
    """The same seed gives the same steps with the same outcomes, here and in another process."""
    seeds = range(FIXED, FIXED + 6)
    program = f"from tests.simulation.schedules import drawn, run\nfor seed in {list(seeds)}: print(run(drawn(seed)))"

    here = [str(run(drawn(seed))) for seed in seeds]
    again = [str(run(drawn(seed))) for seed in seeds]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert here == again
    assert there == "".join(f"{each}\n" for each in here)
