"""The pages about the log's formats show what the code does, and cover every module of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from verifiers import entry, note, receipt

FORMATS = Path(__file__).parents[2] / "docs/formats"
PAGES = ["canonical-json", "entry", "commitment", "statement", "merkle", "tiles", "note", "checkpoint", "receipt"]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_code_references_lead_somewhere(page: str) -> None:
    """Every page named, every module named, exists."""
    text = (FORMATS / f"{page}.md").read_text(encoding="utf-8")

    for target in re.findall(r"\]\(([a-z-]+\.md)", text):
        assert (FORMATS / target).is_file(), target
    for path in re.findall(r"`((?:verifiers|tests)/[a-z_/]+\.(?:py|json))`", text):
        assert (FORMATS.parents[1] / path).is_file(), path


def test_the_leaf_shown_is_a_leaf() -> None:
    """The example on the entry page parses and prints as it stands there."""
    text = (FORMATS / "entry.md").read_text(encoding="utf-8")
    example = re.search(r"```json\n(.+)\n```", text)
    assert example is not None
    data = example[1].encode()

    assert entry.encode(entry.parse(data)) == data


def test_every_kind_is_listed() -> None:
    """The closed table of kinds is on the page."""
    text = (FORMATS / "entry.md").read_text(encoding="utf-8")

    assert {kind for kind in entry.KINDS if f"`{kind}`" not in text} == set()


def test_limits_are_as_written() -> None:
    """The numbers on the pages are those in the code."""
    assert note.MAX_BYTES == 256 * 1024 and "256 KiB" in (FORMATS / "note.md").read_text(encoding="utf-8")
    assert note.MAX_LINES == 64
    assert receipt.MAX_BYTES == 320 * 1024 and "320 KiB" in (FORMATS / "receipt.md").read_text(encoding="utf-8")
    assert receipt.HEADER in (FORMATS / "receipt.md").read_text(encoding="utf-8")


def test_the_tutorial_of_the_package_runs() -> None:
    """What `help(verifiers)` shows works as shown."""
    import doctest

    import verifiers

    assert doctest.testmod(verifiers).failed == 0 and doctest.testmod(verifiers).attempted > 3
