"""Figures: what a run of the benchmarks says, on which machine, as a table and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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


def machine(load_before: float) -> dict[str, object]:
    """Return what the figures were measured on; `load_before` is the load average when the run began."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_before": round(load_before, 1),
    }


def table(figures: Sequence[Figure], on: dict[str, object]) -> str:
    """Return the figures as a table, one a line, under a line that names the machine."""
    lines = [
        f"{on['cpu']}, {on['cores']} cores, Python {on['python']}; load when it began "
        f"{on['load_before']}: beside others' work only ratios and CPU times mean something",
        f"{'figure':<76}{'on':<12}{'median':>10}{'least':>10}{'most':>10}  {'unit':<10}ratio",
    ]
    for each in figures:
        ratio = "" if each.ratio is None else f"{each.ratio:.3f} of {each.beside}"
        lines.append(
            f"{each.name:<76}{each.engine:<12}{each.median:>10,.1f}{each.least:>10,.1f}{each.most:>10,.1f}"
            f"  {each.unit:<10}{ratio}"
        )
    return "\n".join(lines) + "\n"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
