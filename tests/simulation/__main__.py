"""Run schedules from the command line: one by its seed, or many; exit code 1 where something did not hold."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from tests.simulation.schedules import drawn, run, shrunk


def main(arguments: list[str] | None = None) -> int:
    """Do as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the schedule to run, or the first of many")
    parser.add_argument("--schedules", type=int, default=1, help="how many to run, one seed after another")
    parser.add_argument("--shrink", action="store_true", help="drop steps of what fails while it still fails")
    asked = parser.parse_args(arguments)
    first = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    print(f"first seed {first}", flush=True)
    began, failed = time.process_time(), 0
    for seed in range(first, first + asked.schedules):
        ran = run(drawn(seed))
        if ran.fault is not None:
            failed += 1
            print(shrunk(ran) if asked.shrink else ran, flush=True)
        elif asked.schedules == 1:
            print(ran)
    spent = time.process_time() - began
    print(f"{asked.schedules} schedules, {failed} failed, {spent / asked.schedules * 1000:.0f} ms CPU each")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
