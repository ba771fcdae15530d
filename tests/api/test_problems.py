"""Every refusal has its problem, in both languages."""

import re

import pytest

from api import problems
from ledger.errors import Code, Refusal


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    """Nothing can be refused that the caller is not told about."""
    assert set(problems.table()) == {str(code) for code in Code}


@pytest.mark.parametrize("code", list(problems.table()))
def test_a_row_is_complete(code: str) -> None:
    """A status that is a refusal, and four sentences, two of them Chinese."""
    row = problems.table()[code]

    assert 400 <= row.status < 600
    assert re.search(r"[\u4e00-\u9fff]", row.title["zh"]) and re.search(r"[\u4e00-\u9fff]", row.next_step["zh"])
    assert re.fullmatch(r"[\x20-\x7e]+", row.title["en"]) and re.fullmatch(r"[\x20-\x7e]+", row.next_step["en"])


def test_no_two_codes_say_the_same_sentence() -> None:
    """A clerk who reads the sentence to somebody on the phone names one cause."""
    for language in ("zh", "en"):
        titles = [row.title[language] for row in problems.table().values()]
        assert len(titles) == len(set(titles)), sorted(title for title in titles if titles.count(title) > 1)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        ("", "zh"),
        ("*", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en", "en"),
        ("en-GB,en;q=0.9,zh;q=0.5", "en"),
        ("en;q=0.5,zh-TW", "zh"),
        ("fr,en;q=0.3", "en"),
        ("en;q=x", "zh"),
    ],
)
def test_the_callers_language_is_used(header: str | None, language: str) -> None:
    """English where it is preferred to Chinese, Chinese otherwise."""
    assert problems.language_of(header) == language


def test_a_problem_has_the_standard_members_and_a_pointer() -> None:
    """RFC 9457 members, a stable type, and where in the body it is."""
    document = problems.problem(Refusal(Code.BODY_NUL, "/fields/name"), "en", "https://region.example")

    assert document["type"] == "https://region.example/problems/body.nul"
    assert document["status"] == 400
    assert document["errors"][0]["pointer"] == "/fields/name"


def test_facts_cannot_replace_standard_members() -> None:
    """A refusal's facts stand beside the members, never over them."""
    document = problems.problem(Refusal(Code.BODY_TOO_DEEP, status=200, limit=16), "zh", "https://region.example")

    assert document["status"] == 400
    assert document["limit"] == 16
