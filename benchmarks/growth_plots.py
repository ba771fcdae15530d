"""Plots of a growth run: SVG files with logarithmic axes, drawn from the figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

WIDTH: Final = 720
HEIGHT: Final = 400
LEFT, RIGHT, TOP, BOTTOM = 74, 190, 40, 48
COLOURS: Final = ("#1f5fa8", "#b3321f", "#2e7d4f", "#8a5a00", "#6a3fa0", "#00788a", "#9c2f6d", "#555555")

Series = dict[str, list[tuple[float, float]]]


def draw(grown: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw what `grown` holds (as `growth.main` writes it) below `folder`, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = {each["engine"]: each["marks"] for each in grown}
    plots = {
        "rate": ("Issued over HTTP in batches", "licences/s", _series(marks, lambda mark: mark["per_second"])),
        "cpu": ("CPU of the service", "us a licence", _series(marks, lambda mark: mark["micros"])),
        "disk": (
            "Database on disk",
            "bytes a licence",
            _series(marks, lambda mark: mark["disk"] / mark["licences"]),
        ),
        "memory": ("Memory of the service", "MiB", _series(marks, lambda mark: mark["memory"] / 2**20)),
    }
    for engine, theirs in marks.items():
        kinds = theirs[0]["p50"]
        latencies = {kind: [(mark["licences"], mark["p50"][kind]) for mark in theirs] for kind in kinds}
        plots[f"latency-{engine}"] = (f"One request at a time, median, {engine}", "ms", latencies)
    written = []
    for name, (title, unit, series) in plots.items():
        path = folder / f"{name}.svg"
        path.write_text(plot(title, unit, series), "utf-8")
        written.append(path)
    return written


def _series(marks: Mapping[str, Sequence[Any]], value: Any) -> Series:
    return {engine: [(mark["licences"], value(mark)) for mark in theirs] for engine, theirs in marks.items()}


def plot(title: str, unit: str, series: Series) -> str:
    """Return an SVG with one line a series over the number of licences; zeroes are left out of a logarithmic axis."""
    kept = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in series.items()}
    every = [point for points in kept.values() for point in points] or [(1.0, 1.0)]
    across, up = _Axis([x for x, _ in every], LEFT, WIDTH - RIGHT), _Axis([y for _, y in every], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)} ({escape(unit)})</text>',
    ]
    for value in across.ticks():
        x = across.place(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_short(value)}</text>')
    for value in up.ticks():
        y = up.place(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">licences issued</text>')
    for number, (name, points) in enumerate(kept.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="3" fill="{colour}"/>' for x, y in points
        ]
        at = TOP + 14 + 20 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{at - 9}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 32}" y="{at - 3}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """A logarithmic axis over `values`, from pixel `low` to pixel `high`; whole decades where they span one."""

    def __init__(self, values: Sequence[float], low: float, high: float) -> None:
        least, most = min(values), max(values)
        self._least = 10 ** math.floor(math.log10(least)) if most / least > 2 else least / 2
        self._most = max(most * 1.15, self._least * 4)
        self._low, self._high = low, high

    def place(self, value: float) -> float:
        """Return the pixel of `value`."""
        share = math.log(value / self._least) / math.log(self._most / self._least)
        return self._low + share * (self._high - self._low)

    def ticks(self) -> list[float]:
        """Return round values inside the axis."""
        decades = range(math.floor(math.log10(self._least)), math.ceil(math.log10(self._most)) + 1)
        found = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
        inside = [value for value in found if self._least <= value <= self._most]
        whole = [value for value in inside if round(math.log10(value), 6).is_integer()]
        return whole if len(whole) >= 3 else inside


def _short(value: float) -> str:
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"
