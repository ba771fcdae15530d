"""The pages made from the code are the ones that are kept, and nothing in them is empty."""

from pathlib import Path

import pytest

from api.reference_pages import PAGES
from api.settings import Settings
from verifiers.errors import Reason
from verifiers.reasons import NOTE_TITLES, TITLES, UNDETERMINED, Note

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", list(PAGES))
def test_a_kept_page_is_what_the_code_says(name: str) -> None:
    """`python -m api.reference_pages docs` writes them."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


def test_every_reason_and_note_is_listed_with_its_words_and_outcome() -> None:
    """The table and the closed enumerations agree, so no failing path is without a sentence in either language."""
    reasons, _, notes = (DOCS / "reasons.md").read_text("utf-8").partition("## Notes")
    listed, noted = _table(reasons), _table(notes)

    assert set(listed) == set(Reason) and set(noted) == set(Note)
    assert {note: tuple(cells) for note, cells in noted.items()} == NOTE_TITLES
    for reason in Reason:
        zh, en, outcome = listed[reason]
        assert (zh, en) == TITLES[reason] and zh and en
        assert (outcome == "undetermined") is (reason in UNDETERMINED)


def _table(page: str) -> dict[str, list[str]]:
    """The rows of a table by the code in their first cell."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_setting_says_what_it_is() -> None:
    """An operator can choose a value from the page alone."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
