"""The pages made from the code are the ones that are kept, and nothing in them is empty."""

from pathlib import Path

import pytest

from api.reference_pages import PAGES
from api.settings import Settings

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", list(PAGES))
def test_a_kept_page_is_what_the_code_says(name: str) -> None:
    """`python -m api.reference_pages docs` writes them."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


def test_every_setting_says_what_it_is() -> None:
    """An operator can choose a value from the page alone."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
