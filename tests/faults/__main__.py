"""Run every fault there is and print one row for each: `python -m tests.faults`; exit code 1 where a promise broke."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
WORKERS = "2"


class Table:
    """Prints a row when its case has ended."""

    def __init__(self) -> None:
        self.rows = 0
        self.broken = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the rows of a case, and whether it held."""
        if report.when != "call" and not report.failed:
            if report.skipped:
                print(f"SKIPPED  {report.nodeid.partition('::')[2]}  {_why(report)}", flush=True)
            return
        word = "BROKEN" if report.failed else "holds"
        rows: list[Any] = [value for name, value in report.user_properties if name == "row"]
        alone = [report.nodeid.partition("::")[2], "", "", "", ""]
        for row in rows or [alone]:
            where, step, fault, expected, seen = (str(each) for each in row)
            print(f"{word:7}| {where} | {step} | {fault} | expected: {expected} | seen: {seen}", flush=True)
            self.rows += 1
        self.broken += report.failed


def _why(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""


def main(arguments: list[str]) -> int:
    """Run the tests of this folder, short and full forms, and say what came of it."""
    table = Table()
    print("result | where | step | fault | expected | seen")
    chosen = ["-n", WORKERS, "--dist", "worksteal", "-q", "--no-header", "--timeout", "1800", *arguments]
    code = pytest.main([str(HERE), *chosen], plugins=[table])
    print(f"{table.rows} rows, {table.broken} broken")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
