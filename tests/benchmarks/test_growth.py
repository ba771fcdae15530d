"""A region can be grown and measured; here by a few hundred licences."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import growth, growth_plots


def test_a_small_region_is_grown_started_and_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every question gets its right answer at the mark, the audit finds nothing, and the figures are written."""
    out, plots = tmp_path / "growth.json", tmp_path / "plots"
    options = ["--licences", "300", "--engine", "sqlite", "--out", str(out), "--plots", str(plots)]
    monkeypatch.setattr(sys, "argv", ["growth", *options])
    monkeypatch.setattr(growth, "ASKED", 3)

    assert growth.main() == 0

    (grown,) = json.loads(out.read_text())
    assert [mark["licences"] for mark in grown["marks"]] == [300]
    assert set(grown["marks"][0]["p50"]) >= {"verify", "receipt", "history", "subject look-up"}
    assert grown["ends"]["entries"] > 300
    assert grown["ends"]["tables"]["entries"] > 0
    assert "sound" in capsys.readouterr().out
    assert sorted(path.name for path in plots.iterdir())[0] == "cpu.svg"


def test_copies_fill_what_lies_between_two_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They go through the writer, the real licences before and after them stay as they are, and the log is sound."""
    out = tmp_path / "growth.json"
    options = ["--licences", "420", "--copies-from", "260", "--engine", "sqlite", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["growth", *options, "--plots", str(tmp_path / "plots")])
    monkeypatch.setattr(growth, "ASKED", 3)
    monkeypatch.setattr(growth, "SMALL", 200)
    monkeypatch.setattr(growth, "TURNS", 1)
    monkeypatch.setattr(growth, "marks_to", lambda licences: [260, licences])

    assert growth.main() == 0

    (grown,) = json.loads(out.read_text())
    first, last = grown["marks"]
    assert (first["licences"], last["licences"]) == (260, 420)
    assert first["copied_per_second"] == 0 < last["copied_per_second"]
    assert last["start_s"] > 0
    assert {"small", "large"} <= set(grown["turns"][0])
    # The marks and the turn beside the small region are issued over HTTP; all of it is in the log.
    assert grown["ends"]["entries"] > 420 + 140
    assert "NOT SOUND" not in capsys.readouterr().out


def test_marks_rise_to_the_end() -> None:
    """Three or so a decade, and the last one is where the run ends."""
    assert growth.marks_to(300) == [300]
    assert growth.marks_to(1_000_000) == [30_000, 100_000, 300_000, 1_000_000]
    assert growth.marks_to(10_000_000)[-3:] == [1_000_000, 3_000_000, 10_000_000]


def test_a_plot_has_a_line_for_each_series() -> None:
    """Points further right were measured later, and higher ones are more."""
    drawn = ET.fromstring(growth_plots.plot("Rate <of all>", "1/s", {"a": [(10, 5), (100, 50)], "b": [(10, 7)]}))
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    first, second = ([float(part) for part in point.split(",")] for point in (lines[0].get("points") or "").split())

    assert len(lines) == 2
    assert first[0] < second[0]
    assert first[1] > second[1]


def test_what_has_no_logarithm_is_left_out() -> None:
    """A figure of zero (memory, where the system does not tell) draws nothing and breaks nothing."""
    assert "polyline" in growth_plots.plot("Memory", "MiB", {"a": [(10, 0), (20, 0)]})
