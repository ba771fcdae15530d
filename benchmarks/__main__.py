"""`make bench`: figures, each beside its limit in the same run, on both databases; a table and `var/bench.json`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from api.cli.demo_service import DemoService
from benchmarks import across_regions, append_only, dynamic_codes, offline, over_http, signing, steps
from benchmarks.load import Load
from benchmarks.served import ENGINES, ServerClock, served
from ledger.database import migrate
from tests.postgres_server import cluster


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: median, least and most of the runs, and what it is compared with."""

    name: str
    engine: str
    unit: str
    median: float
    least: float
    most: float
    beside: str = ""
    ratio: float | None = None


def figure(
    name: str, engine: str, unit: str, values: list[float], beside: str = "", limit: float | None = None
) -> Figure:
    """Sum runs up; `limit` is the figure of what it stands beside, taken in the same run."""
    median = statistics.median(values)
    ratio = None if not limit else round(median / limit, 3)
    return Figure(name, engine, unit, round(median, 1), round(min(values), 1), round(max(values), 1), beside, ratio)


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
    return [first, *(figure(each, "-", "/s a core", found[each], "raw ES256 check", limit) for each in found), minted]


def measured_scans(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: int) -> list[Figure]:
    """Redeem dynamic codes at windows over 64 connections."""
    dynamic_codes.add_matter(service)
    loads: list[Load] = []
    micros = []
    for run in range(runs):
        prepared = dynamic_codes.presentations(service, 20_000_000 + 1000 * run, 20, 20 * scale)
        micros.append(clock.micros_each(lambda: loads.append(dynamic_codes.redeem(service, prepared)), len(prepared)))  # noqa: B023
    name = "dynamic codes redeemed"
    return [
        figure(f"{name}, 64 clients", engine, "/s", [load.per_second for load in loads]),
        figure(f"{name}, CPU of the server", engine, "us", micros),
        figure(f"{name} p99", engine, "ms", [load.quantile_ms(0.99) for load in loads]),
    ]


def measured_batches(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: int) -> list[Figure]:
    """Issue in batches, each run beside a run of two processes that only build and sign."""
    rows, rates, micros, limits, least = 4000 * scale, [], [], [], []
    over_http.batch_issue(service, 500, 0)  # warm
    for run in range(runs):
        limits.append(signing.per_s(2))
        least.append(signing.micros_each())
        first = 10_000 + 100_000 * run
        micros.append(clock.micros_each(lambda: rates.append(over_http.batch_issue(service, rows, first)), rows))  # noqa: B023
    limit, least_cpu = statistics.median(limits), statistics.median(least)
    return [
        figure("build and sign only, two processes", engine, "/s", limits),
        figure("batch issue over HTTP", engine, "/s", rates, "building and signing", limit),
        figure("build and sign only, CPU", engine, "us", least),
        figure("batch issue, CPU of the server", engine, "us", micros, "building and signing", least_cpu),
    ]


def measured_requests(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: int) -> list[Figure]:
    """Single issue and online verification over 64 connections, each run beside the trivial endpoint."""
    licences = over_http.issued(service, 300, 9_000_000)
    count = 3000 * scale
    kinds: dict[str, Callable[[int], Load]] = {
        "trivial endpoint": lambda _: over_http.trivial(service, count),
        "single issue": lambda run: over_http.single_issue(service, count, 5_000_000 + 100_000 * run),
        "online verify": lambda _: over_http.online_verify(service, licences, count),
    }
    loads: dict[str, list[Load]] = {name: [] for name in kinds}
    micros: dict[str, list[float]] = {name: [] for name in kinds}
    for run in range(runs):
        for name, make in kinds.items():
            micros[name].append(clock.micros_each(lambda: loads[name].append(make(run)), count))  # noqa: B023
    limit = statistics.median(load.per_second for load in loads["trivial endpoint"])
    found = []
    for name, theirs in loads.items():
        rates = [load.per_second for load in theirs]
        beside = "" if name == "trivial endpoint" else "trivial endpoint"
        found.append(figure(f"{name}, 64 clients", engine, "/s", rates, beside, limit if beside else None))
        least = statistics.median(micros["trivial endpoint"]) if beside else None
        found.append(figure(f"{name}, CPU of the server", engine, "us", micros[name], beside, least))
        found.append(figure(f"{name}, CPU of the load generator", engine, "us", [load.micros_each for load in theirs]))
        found += [
            figure(f"{name} p{percent}", engine, "ms", [load.quantile_ms(percent / 100) for load in theirs])
            for percent in (50, 99)
        ]
    waited = [over_http.issue_with_receipt(service, 300 * scale, 7_000_000 + 100_000 * run) for run in range(runs)]
    interval = float(service.settings.publish_interval_ms)
    for percent in (50, 99):
        values = [load.quantile_ms(percent / 100) for load in waited]
        found.append(
            figure(f"single issue, receipt awaited, p{percent}", engine, "ms", values, "the publish interval", interval)
        )
    revoked = over_http.revocation_ms(service, licences[: 40 * scale])
    found.append(figure("revocation to signed status list, p50", engine, "ms", [statistics.median(revoked)]))
    found.append(figure("revocation to signed status list, p95", engine, "ms", [over_http.p95(revoked)]))
    return found


def measured_over_http(engine: str, runs: int, scale: int) -> list[Figure]:
    """Measure a served region."""
    with served(engine) as service:
        clock = ServerClock()
        return [
            *measured_batches(service, clock, engine, runs, scale),
            *measured_requests(service, clock, engine, runs, scale),
            *measured_scans(service, clock, engine, runs, scale),
        ]


def measured_across(engine: str, scale: int) -> list[Figure]:
    """Withdraw licences in one region and look at another, beside the bound that its settings promise."""
    found = across_regions.measure(engine, 200 * scale)
    name, beside = "withdrawn in one region, refused in another", "the bound computed from settings"
    told = (("p50", found.p50), ("p95", found.p95), ("longest", max(found.each)))
    return [
        *(figure(f"{name}, {which}", engine, "ms", [value], beside, found.bound_ms) for which, value in told),
        figure(beside, engine, "ms", [found.bound_ms]),
    ]


def measured_steps(_engine: str) -> list[Figure]:
    """Take one licence apart, on SQLite."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
        found = steps.measure(Path(folder))
    whole = sum(step.micros for step in found)
    return [
        *(figure(step.name, "sqlite", "us CPU", [step.micros], "a whole licence", whole) for step in found),
        figure("a whole licence of a batch", "sqlite", "us CPU", [whole]),
    ]


def measured_append(engine: str, runs: int) -> list[Figure]:
    """Append prepared entries beside loading the same rows raw, and beside peers."""
    found: list[dict[str, float]] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
            found.append(_append_once(engine, Path(folder)))
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


def _append_once(engine: str, folder: Path) -> dict[str, float]:
    if engine == "sqlite":
        url = f"sqlite:///{folder / 'log.sqlite'}"
        migrate(url)
        return asyncio.run(append_only.measure(url, 10_000))
    server = cluster({})
    try:
        url = str(server.url(server.create_database()))
        migrate(url)
        return asyncio.run(append_only.measure(url, 10_000))
    finally:
        server.close()


def main() -> int:
    """Run everything asked for, print the table, write the figures."""
    options = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--scale", type=int, default=1, help="multiplies the work of each HTTP run")
    options.add_argument("--engine", choices=ENGINES, action="append")
    options.add_argument("--out", type=Path, default=Path("var/bench.json"))
    chosen = options.parse_args()
    began, load_before = time.time(), os.getloadavg()
    figures = measured_offline(chosen.runs) + measured_steps("sqlite")
    taken: list[Callable[[str], list[Figure]]] = [
        lambda engine: measured_append(engine, chosen.runs),
        lambda engine: measured_over_http(engine, chosen.runs, chosen.scale),
        lambda engine: measured_across(engine, chosen.scale),
    ]
    for engine in chosen.engine or ENGINES:
        for step in taken:
            sys.stderr.write(f"{engine} …\n")
            figures += step(engine)
    machine = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_before": round(load_before[0], 1),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine,
        "seconds": round(time.time() - began),
        "runs": chosen.runs,
        "figures": [asdict(each) for each in figures],
    }
    chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    _print(figures, machine)
    return 0


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _print(figures: list[Figure], machine: Mapping[str, object]) -> None:
    sys.stdout.write(
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; load when it began "
        f"{machine['load_before']}: beside others' work only ratios and CPU times mean something\n"
    )
    sys.stdout.write(f"{'figure':<76}{'on':<12}{'median':>10}{'least':>10}{'most':>10}  {'unit':<10}ratio\n")
    for each in figures:
        ratio = "" if each.ratio is None else f"{each.ratio:.3f} of {each.beside}"
        sys.stdout.write(
            f"{each.name:<76}{each.engine:<12}{each.median:>10,.1f}{each.least:>10,.1f}{each.most:>10,.1f}"
            f"  {each.unit:<10}{ratio}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
