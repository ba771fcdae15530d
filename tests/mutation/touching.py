"""Which tests touch which line, and what each costs: one run of the tests under a coverage meter.

`python -m tests.mutation.touching GROUP FILE` writes JSON: for each module its lines with the tests that run them, and
for each test its CPU seconds. It runs in the copy of the tree that the driver made.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutation.groups import GROUPS, ROOT, few_examples


class Contexts:
    """Tells the meter which test is running, and notes how much it took."""

    def __init__(self, meter: coverage.Coverage) -> None:
        self.meter = meter
        self.cost: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_sessionstart(self) -> None:
        """Ask for as few examples as the judging does."""
        few_examples()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Give what a test runs, its fixtures included, the name of the test."""
        self.meter.switch_context(item.nodeid)
        start = time.process_time()
        result = yield
        self.cost[item.nodeid] = time.process_time() - start
        self.meter.switch_context("")
        return result  # a wrapper hands on what it got

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what fails without any mutant: it can tell nothing."""
        if report.failed:
            self.failed.append(report.nodeid)


def measure(name: str) -> dict[str, Any]:
    """Run the tests of a group once; give lines with their tests, and costs."""
    group = GROUPS[name]
    measured = [str(ROOT / module) for module in group.modules]
    meter = coverage.Coverage(data_file=None, include=measured, config_file=False)
    contexts = Contexts(meter)
    meter.start()
    pytest.main([*group.arguments, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"], [contexts])
    meter.stop()
    data = meter.get_data()
    lines = {
        module: {
            str(line): sorted(set(tests) - {"", *contexts.failed})
            for line, tests in data.contexts_by_lineno(str(ROOT / module)).items()
        }
        for module in group.modules
    }
    return {"cost": contexts.cost, "failed": contexts.failed, "lines": lines}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(measure(sys.argv[1])))
