"""Every part of the benchmarks runs, here with a hundredth of the work; whether it was fast is not asked."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.figures import figure, machine, table


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_served_region_is_measured_and_its_figures_are_written(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each figure has a unit and lies between the least and the most of its runs."""
    out = tmp_path / "bench.json"
    options = ["--runs", "2", "--scale", "0.01", "--engine", engine, "--only", "http", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])

    assert bench.main() == 0

    figures = json.loads(out.read_text())["figures"]
    names = {each["name"] for each in figures}
    assert {"batch issue over HTTP", "single issue, 64 clients", "online verify, 64 clients"} <= names
    assert all(each["unit"] and each["least"] <= each["median"] <= each["most"] for each in figures)
    assert all(name in capsys.readouterr().out for name in ["batch issue over HTTP"])


def test_a_fall_and_an_append_are_measured(tmp_path: Path) -> None:
    """Without a service: the writer and the decision alone."""
    figures = bench.measure(["append", "cascade"], ["sqlite"], runs=1, scale=0.01)

    names = [each.name for each in figures]
    assert "append-only, prepared entries" in names
    assert any(name.startswith("a fall of 100 dependants") for name in names)


def test_a_table_has_a_line_for_each_figure() -> None:
    """And names the machine above."""
    shown = table([figure("a thing", "-", "us", [1, 3, 2], "another", 4.0)], machine(0.5))

    assert "a thing" in shown.splitlines()[2]
    assert "0.500 of another" in shown
