"""`make bench`: figures, each beside its limit in the same run, on both databases; a table and `var/bench.json`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks import across_regions, append_only, cascade, dynamic_codes, offline, steps
from benchmarks.figures import Figure, figure, machine, table
from benchmarks.served import ENGINES
from benchmarks.served_figures import measured_over_http
from ledger.database import migrate
from tests.postgres_server import cluster


def measured_offline(runs: int) -> list[Figure]:
    """Verify offline, cold and warm, beside raw signature checks; each run takes all of them, one after the other."""
    kinds: dict[str, Callable[[], float]] = {
        "raw ES256 check": offline.raw_checks_per_s,
        "offline verify, cold": offline.cold_per_s,
        "offline verify, warm": offline.warm_per_s,
        "offline verify with receipt, warm": offline.receipt_per_s,
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, run in kinds.items():
            found[name].append(run())
    raw = found.pop("raw ES256 check")
    limit = statistics.median(raw)
    first = figure("raw ES256 check", "-", "/s a core", raw)
    minted = figure("dynamic codes minted", "-", "/s a core", [dynamic_codes.minted_per_s() for _ in range(runs)])
    phone = [rate for _ in range(runs) if (rate := dynamic_codes.minted_in_javascript_per_s()) is not None]
    ours = [minted, *([figure("dynamic codes minted, JavaScript", "-", "/s", phone)] if phone else [])]
    return [first, *(figure(each, "-", "/s a core", found[each], "raw ES256 check", limit) for each in found), *ours]


def measured_across(engine: str, _runs: int, scale: float) -> list[Figure]:
    """Withdraw licences in one region and look at another, beside the bound that its settings promise."""
    found = across_regions.measure(engine, max(5, int(200 * scale)))
    name, beside = "withdrawn in one region, refused in another", "the bound computed from settings"
    told = (("p50", found.p50), ("p95", found.p95), ("longest", max(found.each)))
    return [
        *(figure(f"{name}, {which}", engine, "ms", [value], beside, found.bound_ms) for which, value in told),
        figure(beside, engine, "ms", [found.bound_ms]),
    ]


def measured_steps() -> list[Figure]:
    """Take one licence apart, on SQLite."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
        found = steps.measure(Path(folder))
    whole = sum(step.micros for step in found)
    return [
        *(figure(step.name, "sqlite", "us CPU", [step.micros], "a whole licence", whole) for step in found),
        figure("a whole licence of a batch", "sqlite", "us CPU", [whole]),
    ]


def measured_append(engine: str, runs: int, scale: float) -> list[Figure]:
    """Append prepared entries beside loading the same rows raw, and beside peers."""
    found: list[dict[str, float]] = []
    for _ in range(runs):
        with fresh_database(engine) as url:
            found.append(asyncio.run(append_only.measure(url, max(1024, int(10_000 * scale)))))
    median = {name: statistics.median(each[name] for each in found) for name in found[0]}
    ours, raw = "append-only, prepared entries", "raw COPY of the same rows"
    if engine == "sqlite":
        raw = "raw inserts of the same rows"
    peers = {"row_lock_per_s": "peer: a locked row and a transaction an entry", "pymerkle_per_s": "peer: pymerkle"}
    return [
        figure(raw, engine, "entries/s", [each["raw_per_s"] for each in found]),
        figure(ours, engine, "entries/s", [each["commit_per_s"] for each in found], raw, median["raw_per_s"]),
        figure(f"{raw}, CPU", engine, "us", [each["raw_us"] for each in found]),
        figure(f"{ours}, CPU", engine, "us", [each["commit_us"] for each in found], raw, median["raw_us"]),
        *(
            figure(peer, engine, "entries/s", [each[name] for each in found], ours, median["commit_per_s"])
            for name, peer in peers.items()
            if name in median
        ),
    ]


def measured_cascade(engine: str, runs: int, scale: float) -> list[Figure]:
    """Decide over a forged licence on which thousands rest, and take the decision back."""
    count = max(10, int(cascade.DEPENDANTS * scale))
    found = []
    for _ in range(max(1, runs // 2)):  # each fills a region first
        with fresh_database(engine) as url:
            found.append(asyncio.run(cascade.measure(url, count)))
    name = f"a fall of {count:,} dependants"
    told = {"preview_s": "previewed", "decide_s": "decided", "decide_cpu_s": "decided, CPU", "reverse_s": "reversed"}
    return [figure(f"{name}, {what}", engine, "ms", [1000 * each[key] for each in found]) for key, what in told.items()]


@contextmanager
def fresh_database(engine: str) -> Iterator[str]:
    """Give the address of a database that is empty and migrated."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
            url = f"sqlite:///{Path(folder) / 'region.sqlite'}"
            migrate(url)
            yield url
        return
    server = cluster({})
    try:
        url = str(server.url(server.create_database()))
        migrate(url)
        yield url
    finally:
        server.close()


PARTS: Final[dict[str, Callable[[str, int, float], list[Figure]]]] = {
    "append": measured_append,
    "http": measured_over_http,
    "cascade": measured_cascade,
    "regions": measured_across,
}
"""What is measured on each database."""


def measure(parts: Sequence[str], engines: Sequence[str], runs: int, scale: float) -> list[Figure]:
    """Measure `parts`: `offline` and `steps`, which need no service, and those of `PARTS` on each of `engines`."""
    figures = []
    if "offline" in parts:
        figures += measured_offline(runs)
    if "steps" in parts:
        figures += measured_steps()
    for engine in engines:
        for name, part in PARTS.items():
            if name in parts:
                sys.stderr.write(f"{engine}: {name} …\n")
                figures += part(engine, runs, scale)
    return figures


def main() -> int:
    """Run everything asked for, print the table, write the figures."""
    every = ["offline", "steps", *PARTS]
    options = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--scale", type=float, default=1.0, help="multiplies the work of each run")
    options.add_argument("--engine", choices=ENGINES, action="append")
    options.add_argument("--only", choices=every, action="append", help="measure this part alone; may be repeated")
    options.add_argument("--out", type=Path, default=Path("var/bench.json"))
    chosen = options.parse_args()
    began, on = time.time(), machine(os.getloadavg()[0])
    figures = measure(chosen.only or every, chosen.engine or ENGINES, chosen.runs, chosen.scale)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": on,
        "seconds": round(time.time() - began),
        "runs": chosen.runs,
        "figures": [asdict(each) for each in figures],
    }
    chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(table(figures, on))
    return 0


if __name__ == "__main__":
    sys.exit(main())
