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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import append_only, offline, over_http, signing
from benchmarks.served import ENGINES, served
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
    """Verify offline, cold and warm, beside raw signature checks; sign and build whole licences."""
    raw = [offline.raw_checks_per_s() for _ in range(runs)]
    limit = statistics.median(raw)
    found = [figure("raw ES256 check", "-", "/s", raw)]
    for name, run in (
        ("offline verify, cold", offline.cold_per_s),
        ("offline verify, warm", offline.warm_per_s),
        ("offline verify with receipt, warm", offline.receipt_per_s),
    ):
        found.append(figure(name, "-", "/s", [run() for _ in range(runs)], "raw ES256 check", limit))
    found.append(
        figure("build and sign whole licences, one process", "-", "/s", [signing.per_s(1) for _ in range(runs)])
    )
    both = [signing.per_s(2) for _ in range(runs)]
    found.append(figure("build and sign whole licences, two processes", "-", "/s", both))
    return found


def measured_over_http(engine: str, runs: int, scale: int, signing_limit: float) -> list[Figure]:
    """Measure a served region."""
    found = []
    with served(engine) as service:
        over_http.batch_issue(service, 500, 0)  # warm
        batch = [over_http.batch_issue(service, 4000 * scale, 10_000 + 100_000 * run) for run in range(runs)]
        found.append(figure("batch issue over HTTP", engine, "/s", batch, "two signing processes", signing_limit))
        plain = [over_http.trivial(service, 8000).per_second for _ in range(runs)]
        loads = [over_http.single_issue(service, 3000 * scale, 5_000_000 + 100_000 * run) for run in range(runs)]
        base = statistics.median(plain)
        found.append(figure("trivial endpoint, 64 clients", engine, "/s", plain))
        single = [load.per_second for load in loads]
        found.append(figure("single issue, 64 clients", engine, "/s", single, "trivial endpoint", base))
        found.append(figure("single issue p50", engine, "ms", [load.quantile_ms(0.5) for load in loads]))
        found.append(figure("single issue p99", engine, "ms", [load.quantile_ms(0.99) for load in loads]))
        licences = over_http.issued(service, 300, 9_000_000)
        checks = [over_http.online_verify(service, licences, 6000 * scale) for _ in range(runs)]
        verified = [load.per_second for load in checks]
        found.append(figure("online verify, 64 clients", engine, "/s", verified, "trivial endpoint", base))
        found.append(figure("online verify p99", engine, "ms", [load.quantile_ms(0.99) for load in checks]))
        revoked = over_http.revocation_ms(service, licences[: 40 * scale])
        found.append(figure("revocation to signed status list, p50", engine, "ms", [statistics.median(revoked)]))
        found.append(figure("revocation to signed status list, p95", engine, "ms", [over_http.p95(revoked)]))
    return found


def measured_append(engine: str, runs: int) -> list[Figure]:
    """Append prepared entries beside loading the same rows raw."""
    found: list[dict[str, float]] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
            found.append(_append_once(engine, Path(folder)))
    raw = statistics.median(each["raw_per_s"] for each in found)
    beside = "raw COPY of the same rows" if engine == "postgresql" else "raw inserts of the same rows"
    return [
        figure(beside, engine, "entries/s", [each["raw_per_s"] for each in found]),
        figure(
            "append-only, prepared entries", engine, "entries/s", [each["commit_per_s"] for each in found], beside, raw
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
    began = time.time()
    figures = measured_offline(chosen.runs)
    signing_limit = figures[-1].median
    steps: list[Callable[[str], list[Figure]]] = [
        lambda engine: measured_append(engine, chosen.runs),
        lambda engine: measured_over_http(engine, chosen.runs, chosen.scale, signing_limit),
    ]
    for engine in chosen.engine or ENGINES:
        for step in steps:
            sys.stderr.write(f"{engine} …\n")
            figures += step(engine)
    machine = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
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


def _print(figures: list[Figure], machine: dict[str, object]) -> None:
    sys.stdout.write(f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}\n")
    sys.stdout.write(f"{'figure':<46}{'on':<12}{'median':>10}{'least':>10}{'most':>10}  {'unit':<10}ratio\n")
    for each in figures:
        ratio = "" if each.ratio is None else f"{each.ratio:.3f} of {each.beside}"
        sys.stdout.write(
            f"{each.name:<46}{each.engine:<12}{each.median:>10,.1f}{each.least:>10,.1f}{each.most:>10,.1f}"
            f"  {each.unit:<10}{ratio}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
