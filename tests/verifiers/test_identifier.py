"""Licence identifiers of GB/T 36904."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.identifier import Identifier, IdentifierFinding, check_character, identifier_findings, parse_identifier

PUBLISHED = [
    "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
    "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
    "1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.F",
]
PARTS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=40)


def slow_check_character(body: str) -> str:
    """ISO 7064 MOD 37,36 as GB/T 36904 writes it, a second time."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    product = 36
    for character in body:
        product = ((product + alphabet.index(character)) % 36 or 36) * 2 % 37
    return alphabet[(37 - product) % 36]


@pytest.mark.parametrize("text", PUBLISHED)
def test_a_published_identifier_has_no_findings(text: str) -> None:
    """Identifiers printed by three provinces reproduce their check character."""
    assert identifier_findings(text) == ()
    assert parse_identifier(text).text == text


def test_a_region_code_in_place_of_the_issuer_is_a_finding_and_the_check_still_holds() -> None:
    """One implementer prints six digits there; import takes it with a warning."""
    text = "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9"

    assert identifier_findings(text) == (IdentifierFinding.ISSUER,)


def test_a_wrong_check_character_in_a_published_document_is_found() -> None:
    """This example prints M where D belongs."""
    text = "1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M"

    assert identifier_findings(text) == (IdentifierFinding.CHECK,)
    assert identifier_findings(text[:-1] + "D") == ()


@given(PARTS)
def test_the_check_character_equals_a_second_writing_of_the_rule(body: str) -> None:
    """The library and the standard's own formula agree."""
    assert check_character(body) == slow_check_character(body)


@given(PARTS.map(lambda text: text[:40]), st.integers(1, 999))
def test_what_we_make_has_no_findings_and_any_other_check_does(serial: str, version: int) -> None:
    """Format and parse are a pair."""
    identifier = Identifier("11100000000013338W011", "11430000006122244L", serial, version)

    assert parse_identifier(identifier.text) == identifier
    wrong = "0" if identifier.check != "0" else "1"
    assert identifier_findings(identifier.text[:-1] + wrong) == (IdentifierFinding.CHECK,)


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail(text: str) -> None:
    """Text that is no identifier has findings and raises nothing but a `ValueError` when it is parsed."""
    assert identifier_findings(text)
    with pytest.raises(ValueError):
        parse_identifier(text)


@pytest.mark.parametrize(
    "parts",
    [
        ("1" * 20, "1" * 18, "1", 1),
        ("1" * 21, "1" * 17, "1", 1),
        ("1" * 21, "1" * 18, "a", 1),
        ("1" * 21, "1" * 18, "1", 0),
    ],
)
def test_parts_of_the_wrong_shape_cannot_be_joined(parts: tuple[str, str, str, int]) -> None:
    """Our own mistake is a `ValueError`."""
    with pytest.raises(ValueError):
        Identifier(*parts)


def test_what_is_wrong_with_an_identifier_has_a_code() -> None:
    """Programs that import old licences compare them."""
    names = ("shape", "type_code", "issuer", "serial", "version", "check")
    assert [each.value for each in IdentifierFinding] == [f"identifier.{name}" for name in names]


TYPE, ISSUER = "11100000000013338W011", "11430000006122244L"


def spelled(root: str = "1.2.156.3005.2", kind: str = TYPE, issuer: str = ISSUER, serial: str = "7",
            version: str = "001", check: str | None = None) -> str:  # fmt: skip
    """An identifier with the right check character, if there is one, whatever its parts are."""
    if check is None:
        check = slow_check_character(kind + issuer + serial + version)
    return f"{root}.{kind}.{issuer}.{serial}.{version}.{check}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (spelled(), []),
        (spelled(serial="A" * 40), []),
        (spelled(version="999"), []),
        (spelled(root="1.2.156.3005.3"), ["shape"]),
        (spelled(root="2.156.3005.2"), ["shape"]),
        (spelled().removeprefix("1.2.156.3005.2."), ["shape"]),
        (spelled() + ".", ["shape"]),
        (spelled(kind="1" * 20), ["type_code"]),
        (spelled(kind="1" * 22), ["type_code"]),
        (spelled(issuer="11430000006122244M"), ["issuer"]),
        (spelled(serial="A" * 41), ["serial"]),
        (spelled(serial=""), ["serial"]),
        (spelled(version="000"), ["version"]),
        (spelled(version="01"), ["version"]),
        (spelled(version="0001"), ["version"]),
        (spelled(check=""), ["check"]),
        (spelled(serial="a", check="0"), ["serial", "check"]),
        (spelled(serial="-", check="0"), ["serial", "check"]),
        (spelled("1.2.156.3005.2", "x", "x", "x", "x", "x"), ["type_code", "issuer", "serial", "version", "check"]),
    ],
)
def test_each_part_is_judged_by_itself(text: str, found: list[str]) -> None:
    """In the order of the parts; the first of what is wrong is what reading it says."""
    assert [each.value for each in identifier_findings(text)] == [f"identifier.{name}" for name in found]
    if found:
        with pytest.raises(ValueError, match=f"^identifier.{found[0]}$"):
            parse_identifier(text)
    else:
        assert parse_identifier(text).text == text


def test_an_identifier_is_no_longer_than_any_that_could_be_one() -> None:
    """A hundred and sixty characters are split into parts, one more is not even looked at."""
    length = 160 - len(spelled(serial=""))

    assert identifier_findings(spelled(serial="A" * length)) == (IdentifierFinding.SERIAL,)
    assert identifier_findings(spelled(serial="A" * (length + 1))) == (IdentifierFinding.SHAPE,)


@pytest.mark.parametrize(
    ("parts", "good"),
    [
        (("1" * 21, "1" * 18, "A" * 40, 999), True),
        (("1" * 21, "1" * 18, "A" * 41, 1), False),
        (("1" * 21, "1" * 18, "", 1), False),
        (("1" * 21, "1" * 18, "A", 1000), False),
        (("1" * 22, "1" * 18, "A", 1), False),
        (("1" * 21, "1" * 19, "A", 1), False),
    ],
)
def test_parts_are_joined_up_to_their_limits(parts: tuple[str, str, str, int], good: bool) -> None:
    """The longest serial and the last version still fit."""
    if good:
        assert Identifier(*parts).text.endswith(f".{parts[2]}.{parts[3]}.{Identifier(*parts).check}")
        return
    with pytest.raises(ValueError):
        Identifier(*parts)


def test_only_digits_and_capitals_have_a_check_character() -> None:
    """Anything else is a mistake of the caller."""
    assert check_character("") == slow_check_character("") == "1"
    for body in ("a", "示", "1.2"):
        with pytest.raises(ValueError):
            check_character(body)
