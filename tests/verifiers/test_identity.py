"""Numbers of people and organisations."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.identity import (
    HOLDER_ID_TYPES,
    NumberFinding,
    citizen_findings,
    expand_citizen_number,
    holder_findings,
    organisation_check_character,
    region_known,
    region_name,
    uscc_findings,
)

GOOD_USCC = ["91350100M000100Y43", "91110000600037341L", "9144030071526726XG", "11100000000013338W"]


@pytest.mark.parametrize("number", GOOD_USCC)
def test_a_published_credit_code_has_no_findings(number: str) -> None:
    """Codes of the standard's own examples and of public bodies pass both check characters."""
    assert uscc_findings(number) == ()


@pytest.mark.parametrize("number", GOOD_USCC)
def test_every_other_check_character_is_found(number: str) -> None:
    """Of the 31 possible check characters only one is right."""
    for character in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        findings = uscc_findings(number[:17] + character)

        assert (findings == ()) == (character == number[17])


def test_the_inner_organisation_code_is_checked_by_itself() -> None:
    """A code can be right by GB 32100 and wrong by GB 11714; old ones are, so it is a finding apart."""
    from stdnum.cn import uscc

    body = "91350100M000100Y" + "3"
    number = body + uscc.calc_check_digit(body)

    assert organisation_check_character("M000100Y") == "4"
    assert uscc_findings(number) == (NumberFinding.INNER_CHECKSUM,)


@pytest.mark.parametrize(
    ("number", "finding"),
    [
        ("9135010M000100Y43", NumberFinding.LENGTH),
        ("91350100I000100Y43", NumberFinding.ALPHABET),
        ("91350100m000100y43", NumberFinding.ALPHABET),
        ("9135010ZM000100Y43", NumberFinding.ALPHABET),
    ],
)
def test_a_credit_code_of_another_shape_is_found(number: str, finding: NumberFinding) -> None:
    """Length, small letters, the letters I O S V Z and letters in the region code are findings."""
    assert uscc_findings(number) == (finding,)


def test_the_standard_examples_of_citizen_numbers_pass() -> None:
    """The two numbers printed in GB 11643, one of them of a region that exists no more."""
    assert citizen_findings("11010519491231002X") == ()
    assert citizen_findings("440524188001010014") == ()


@pytest.mark.parametrize(
    ("number", "findings"),
    [
        ("110105194912310026", (NumberFinding.CHECKSUM,)),
        ("110105194913310021", (NumberFinding.DATE,)),
        ("990105194912310023", (NumberFinding.REGION,)),
        ("990105194913310020", (NumberFinding.CHECKSUM, NumberFinding.DATE, NumberFinding.REGION)),
        ("11010519491231002x", (NumberFinding.ALPHABET,)),
        ("1101051949123100", (NumberFinding.LENGTH,)),
    ],
)
def test_checksum_date_and_region_are_three_findings(number: str, findings: tuple[NumberFinding, ...]) -> None:
    """What is wrong with a citizen number is told one by one, so that a caller can be strict about some only."""
    assert set(citizen_findings(number)) == set(findings)


def test_a_birth_date_in_the_future_is_found() -> None:
    """Nobody is born tomorrow."""
    assert citizen_findings("11010519491231002X", dt.date(1949, 12, 30)) == (NumberFinding.DATE,)


def test_fifteen_digits_grow_to_eighteen() -> None:
    """The old form gains its century and check character; everything else stays as it is."""
    assert expand_citizen_number("110105491231002") == "11010519491231002X"
    assert citizen_findings("110105491231002") == ()
    assert expand_citizen_number("11010519491231002X") == "11010519491231002X"
    assert expand_citizen_number("A10105491231002") == "A10105491231002"


@given(st.text(max_size=24))
def test_no_text_makes_the_checks_fail(text: str) -> None:
    """Whatever is asked, the answer is a tuple of findings."""
    for kind in (*HOLDER_ID_TYPES, "000"):
        assert isinstance(holder_findings(kind, text), tuple)


def test_holder_numbers_are_checked_by_their_kind() -> None:
    """Kinds with a public rule are checked by it; passports and the like only for their characters."""
    assert holder_findings("001", "91350100M000100Y43") == ()
    assert holder_findings("111", "110105194912310026") == (NumberFinding.CHECKSUM,)
    assert holder_findings("414", "E12345678") == ()
    assert holder_findings("414", "示例") == (NumberFinding.ALPHABET,)
    assert holder_findings("112", "1") == (NumberFinding.TYPE,)


def test_regions_of_today_and_of_the_past_have_names() -> None:
    """Old licences carry codes that were abolished."""
    assert region_name("610000") == "陕西省"
    assert region_name("610113") == "陕西省雁塔区"
    assert region_name("440524") == "广东省潮阳县"
    assert not region_known("999999")
    assert not region_known("61011")


def test_what_is_wrong_with_a_number_has_a_code() -> None:
    """Programs that import old licences compare them."""
    assert [each.value for each in NumberFinding] == [
        "number.length",
        "number.alphabet",
        "number.checksum",
        "number.inner_checksum",
        "number.date",
        "number.region",
        "number.type",
    ]
