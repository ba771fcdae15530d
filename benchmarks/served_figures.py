"""Figures of a served region: batches, single requests, verification, revocation and codes, over HTTP on loopback."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from api.cli.demo_service import DemoService
from benchmarks import dynamic_codes, over_http, signing
from benchmarks.figures import Figure, figure
from benchmarks.load import Load
from benchmarks.served import ServerClock, served


def _scaled(count: int, scale: float) -> int:
    return max(3, int(count * scale))


def measured_scans(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: float) -> list[Figure]:
    """Redeem dynamic codes at windows over 64 connections."""
    dynamic_codes.add_matter(service)
    loads: list[Load] = []
    micros = []
    for run in range(runs):
        prepared = dynamic_codes.presentations(service, 20_000_000 + 1000 * run, 20, _scaled(20, scale))
        micros.append(clock.micros_each(lambda: loads.append(dynamic_codes.redeem(service, prepared)), len(prepared)))  # noqa: B023
    name = "dynamic codes redeemed"
    return [
        figure(f"{name}, 64 clients", engine, "/s", [load.per_second for load in loads]),
        figure(f"{name}, CPU of the server", engine, "us", micros),
        figure(f"{name} p50", engine, "ms", [load.quantile_ms(0.50) for load in loads]),
        figure(f"{name} p99", engine, "ms", [load.quantile_ms(0.99) for load in loads]),
    ]


def measured_batches(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: float) -> list[Figure]:
    """Issue in batches, each run beside a run of two processes that only build and sign."""
    rows, rates, micros, limits, least = _scaled(4000, scale), [], [], [], []
    root = over_http.issued(service, 1, 8_000_000)[0]["id"]
    over_http.batch_issue(service, _scaled(500, scale), 0, root)  # warm
    for run in range(runs):
        limits.append(signing.per_s(2))
        least.append(signing.micros_each())
        first = 10_000 + 100_000 * run
        micros.append(clock.micros_each(lambda: rates.append(over_http.batch_issue(service, rows, first, root)), rows))  # noqa: B023
    limit, least_cpu = statistics.median(limits), statistics.median(least)
    return [
        figure("build and sign only, two processes", engine, "/s", limits),
        figure("batch issue over HTTP", engine, "/s", rates, "building and signing", limit),
        figure("build and sign only, CPU", engine, "us", least),
        figure("batch issue, CPU of the server", engine, "us", micros, "building and signing", least_cpu),
    ]


def measured_requests(service: DemoService, clock: ServerClock, engine: str, runs: int, scale: float) -> list[Figure]:
    """Single issue and online verification over 64 connections, each run beside the trivial endpoint."""
    licences = over_http.issued(service, 300, 9_000_000)
    count = _scaled(3000, scale)
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
    waited = [
        over_http.issue_with_receipt(service, _scaled(300, scale), 7_000_000 + 100_000 * run) for run in range(runs)
    ]
    interval = float(service.settings.publish_interval_ms)
    for percent in (50, 99):
        values = [load.quantile_ms(percent / 100) for load in waited]
        found.append(
            figure(f"single issue, receipt awaited, p{percent}", engine, "ms", values, "the publish interval", interval)
        )
    revoked = over_http.revocation_ms(service, licences[: _scaled(40, scale)])
    found.append(figure("revocation to signed status list, p50", engine, "ms", [statistics.median(revoked)]))
    found.append(figure("revocation to signed status list, p95", engine, "ms", [over_http.p95(revoked)]))
    return found


def measured_over_http(engine: str, runs: int, scale: float) -> list[Figure]:
    """Measure a served region."""
    with served(engine) as service:
        clock = ServerClock()
        return [
            *measured_batches(service, clock, engine, runs, scale),
            *measured_requests(service, clock, engine, runs, scale),
            *measured_scans(service, clock, engine, runs, scale),
        ]
