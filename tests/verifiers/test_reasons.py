"""Codes and words of reasons and notes are those of the published page: some are compared, the others read."""

import re
from pathlib import Path
from typing import Any

import pytest

from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.reasons import ONLINE, UNDETERMINED, Note, title

PAGE = (Path(__file__).parents[2] / "docs" / "reasons.md").read_text("utf-8")
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in re.findall(r"^\| `.*$", PAGE, re.M)]
REASONS = [row for row in ROWS if len(row) == 4]
NOTES = [row for row in ROWS if len(row) == 3]


def test_the_codes_are_those_of_the_page() -> None:
    """No program that compares one is disappointed."""
    assert [f"`{reason.value}`" for reason in Reason] == [row[0] for row in REASONS]
    assert {f"`{note.value}`" for note in Note} == {row[0] for row in NOTES} and len(NOTES) == len(Note)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_words_are_those_of_the_page(row: tuple[str, ...]) -> None:
    """In both languages."""
    kind: Any = Reason if len(row) == 4 else Note
    code = kind(row[0].strip("`"))

    assert (title(code, "zh"), title(code, "en")) == row[1:3]


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row[0])
def test_the_outcomes_are_those_of_the_page(row: tuple[str, ...]) -> None:
    """Invalid, undetermined, or given by the ledger alone."""
    reason = Reason(row[0].strip("`"))
    outcome = "online" if reason in ONLINE else "undetermined" if reason in UNDETERMINED else "invalid"

    assert outcome == row[3]


def test_an_error_tells_its_reason_and_the_detail_if_there_is_one() -> None:
    """As text; programs take the members."""
    bare, told = VerificationError(Reason.CODE), Malformed(Reason.CODE, "too short", "shape")

    assert (str(bare), bare.detail, bare.step) == ("code.malformed", "", "")
    assert (str(told), told.detail, told.step) == ("code.malformed: too short", "too short", "shape")


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row[0])
def test_an_error_is_told_by_the_code_of_the_page(row: tuple[str, ...]) -> None:
    """Whoever logs one can look it up there."""
    [reason] = [each for each in Reason if f"`{each}`" == row[0]]

    assert str(VerificationError(reason)) == row[0].strip("`")
