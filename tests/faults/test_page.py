"""docs/reliability.md shows the fault table as it is tested, and the table leaves no step and no fault out."""

from __future__ import annotations

from pathlib import Path

from tests.faults.faults import Fault, Step
from tests.faults.table import ENGINES, ROWS, markdown, possible

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"


def test_the_page_shows_the_table() -> None:
    """Row for row; `python -m tests.faults.table` prints it anew."""
    begun = PAGE.read_text("utf-8").partition("<!-- fault table: python -m tests.faults.table -->\n")[2]

    assert begun.partition("<!-- end of the fault table -->")[0] == markdown()


def test_every_fault_has_its_row_at_every_step() -> None:
    """Once each; and whatever cannot happen says why."""
    assert [(row.step, row.fault) for row in ROWS] == [(step, fault) for step in Step for fault in Fault]
    for row in ROWS:
        assert row.impossible or all(possible(row, engine) for engine in ENGINES)
