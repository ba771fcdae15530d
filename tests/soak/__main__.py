"""Ten times too much, then a long day with a kill every minute; exit code 1 where a promise broke."""

from __future__ import annotations

import argparse
import sys

from tests.soak import overload, running

ENGINES = ("sqlite", "postgresql")
PARTS = ("overload", "soak")


def main(arguments: list[str]) -> int:
    """Run what was asked for, print its tables, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="of the soak run")
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    asked = parser.parse_args(arguments)
    broken: list[str] = []
    if asked.only in (None, "overload"):
        broken += overload.run(overload.full(asked.engine)).broken
    if asked.only in (None, "soak"):
        broken += running.run(running.full(asked.engine, asked.minutes)).told.broken
    print(f"{len(broken)} promises broken" + "".join(f"\n  {each}" for each in broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
