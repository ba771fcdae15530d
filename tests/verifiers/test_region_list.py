"""A hub's list of regions counts under two pinned keys, for the regions it names, and never goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.private_key import PrivateKey
from verifiers import canonical, region_list
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import encode_segment
from verifiers.region_list import ListedRegion, RegionList, open_region_list
from verifiers.trust_document import Names

AT = datetime(2026, 11, 21, 8, tzinfo=UTC)
ANCHOR, SECOND, STRANGER = (PrivateKey.from_secret("ES256", bytes([n]) * 32) for n in (1, 2, 3))
REGIONS = tuple(
    ListedRegion(code, Names(f"示例{code}", f"Example {code}"), f"https://r{code}.example", code[:2] * 32)
    for code in ("610000", "620000")
)
DOCUMENT = RegionList(7, bytes(32), AT, AT + timedelta(days=30), AT + timedelta(days=90), REGIONS)


def pin(key: PrivateKey) -> str:
    """What people write down of a key."""
    return key.public_key.key_id.hex()


def line(document: RegionList = DOCUMENT, key: PrivateKey = ANCHOR) -> str:
    """The anchor's line."""
    to_sign = region_list.signing_input(document, key.public_key)
    return region_list.finish(to_sign, key.sign(to_sign))


def signed(document: RegionList = DOCUMENT, anchor: PrivateKey = ANCHOR, second: PrivateKey = SECOND) -> str:
    """The whole file."""
    first = line(document, anchor)
    to_sign = region_list.countersigning_input(first, second.public_key)
    return region_list.format_region_list(first, region_list.finish(to_sign, second.sign(to_sign)))


def opened(text: str, *, at: datetime = AT, seen: int = 0, second: PrivateKey = SECOND) -> RegionList:
    """Open a file as somebody who pinned both keys."""
    return open_region_list(text, anchor=pin(ANCHOR), countersigner=pin(second), at=at, seen_seq=seen)


def test_the_header_of_each_line_names_its_key() -> None:
    """Kind, suite, the key itself and its id, in canonical JSON, as docs/formats/region-list.md has it."""
    kinds = (region_list.TYP, region_list.COUNTERSIGNATURE)
    for text, key, typ in zip(signed().splitlines(), (ANCHOR, SECOND), kinds, strict=True):
        public = key.public_key
        wanted = {"alg": "ES256", "jwk": public.jwk(), "kid": public.kid, "typ": typ}
        assert canonical.decode(b64u_decode(text.split(".")[0])) == wanted


def test_a_list_under_both_pinned_keys_is_read() -> None:
    """What was signed comes back, and regions are found by code or address."""
    found = opened(signed(), seen=7)

    assert found == DOCUMENT == region_list.read_draft(line()) == region_list.read_draft(line(), anchor=pin(ANCHOR))
    assert found.find("620000") is found.find("https://r620000.example/") is found.regions[1]
    assert found.find("650000") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(signed(anchor=STRANGER), Reason.REGION_LIST_SIGNATURE, id="another anchor"),
        pytest.param(signed(second=STRANGER), Reason.REGION_LIST_SIGNATURE, id="another countersigner"),
        pytest.param(signed(second=ANCHOR), Reason.REGION_LIST_SIGNATURE, id="countersigned by the anchor itself"),
        pytest.param(line() + "\n", Reason.REGION_LIST, id="not countersigned"),
        pytest.param(f"{line()}\n{line()}\n", Reason.TOKEN_TYPE, id="the list instead of a countersignature"),
        pytest.param(
            line(replace(DOCUMENT, seq=8)) + "\n" + signed().split("\n")[1] + "\n",
            Reason.REGION_LIST_SIGNATURE,
            id="countersigned another version",
        ),
        pytest.param(signed(replace(DOCUMENT, regions=REGIONS[:1] * 2)), Reason.REGION_LIST, id="a region twice"),
        pytest.param(
            signed(replace(DOCUMENT, next_update=AT + timedelta(days=91))), Reason.REGION_LIST, id="times reversed"
        ),
        pytest.param(signed() + signed(), Reason.REGION_LIST, id="more than two lines"),
    ],
)
def test_anything_else_is_refused(text: str, reason: Reason) -> None:
    """Each way in which a list fails has its reason."""
    with pytest.raises(VerificationError) as caught:
        opened(text)

    assert caught.value.reason is reason


def test_one_key_cannot_be_pinned_for_both() -> None:
    """Two people, two keys."""
    with pytest.raises(VerificationError) as caught:
        opened(signed(second=ANCHOR), second=ANCHOR)

    assert caught.value.reason is Reason.REGION_LIST_SIGNATURE


def test_the_second_person_countersigns_only_what_the_anchor_signed() -> None:
    """Who looks before countersigning has pinned the anchor too."""
    with pytest.raises(VerificationError) as caught:
        region_list.read_draft(line(key=STRANGER), anchor=pin(ANCHOR))

    assert caught.value.reason is Reason.REGION_LIST_SIGNATURE


def test_an_older_list_than_one_seen_is_refused_and_so_is_an_expired_one() -> None:
    """`seq` never goes back, and no list counts for ever."""
    with pytest.raises(VerificationError) as rolled_back:
        opened(signed(), seen=8)
    with pytest.raises(VerificationError) as expired:
        opened(signed(), at=AT + timedelta(days=91))

    assert rolled_back.value.reason is Reason.REGION_LIST_ROLLBACK
    assert expired.value.reason is Reason.REGION_LIST


@given(st.integers(min_value=0), st.sampled_from("Aa09_-.~\n"))
def test_no_character_can_be_exchanged(position: int, character: str) -> None:
    """Every byte is signed, or is a signature."""
    text = signed()
    position %= len(text)
    changed = text[:position] + character + text[position + 1 :]
    if changed == text:
        return

    with pytest.raises(VerificationError):
        opened(changed)


@given(st.text(max_size=300))
def test_what_is_no_list_is_refused_and_nothing_else(text: str) -> None:
    """Only the family of refusals comes out."""
    with pytest.raises(VerificationError):
        opened(text)


def test_a_region_is_found_by_its_code_or_address() -> None:
    """With or without a slash at its end; by no part of either."""
    first, second = REGIONS

    assert DOCUMENT.find("610000") == DOCUMENT.find(f"{first.base}/") == first
    assert DOCUMENT.find(second.base) == second
    for wanted in ("61", "6100000", f"{first.base}X", f"{first.base}/X", "", "630000"):
        assert DOCUMENT.find(wanted) is None


@pytest.mark.parametrize(("days", "good"), [((0, 0), True), ((0, 1), True), ((-1, 0), False), ((1, 0), False)])
def test_the_times_of_a_list_stand_in_their_order(days: tuple[int, int], good: bool) -> None:
    """Made, then renewed, then ended; all three may be one."""
    renewed, ended = (AT + timedelta(days=count) for count in days)
    text = signed(replace(DOCUMENT, next_update=renewed, expires_at=ended))
    if good:
        assert opened(text, at=ended).expires_at == ended
        with pytest.raises(VerificationError) as caught:
            opened(text, at=ended + timedelta(seconds=1))
    else:
        with pytest.raises(VerificationError) as caught:
            opened(text, at=ended)
    assert caught.value.reason is Reason.REGION_LIST


def test_a_list_of_regions_has_a_length_and_two_lines() -> None:
    """What follows them, or is missing, makes it none."""
    assert region_list.MAX_CHARACTERS == 1_048_576
    text = signed()
    for wrong in (text + "\n", text[:-1], text.splitlines()[0] + "\n", text + "x", text.ljust(1_048_577, "\n")):
        with pytest.raises(VerificationError) as caught:
            opened(wrong)
        assert caught.value.reason is Reason.REGION_LIST


@pytest.mark.parametrize("odd", [{"more": 1.5}, {"seq": 2**53}, {"more": 1}, {"v": 2}], ids=str)
def test_what_our_json_cannot_hold_is_no_list(odd: dict[str, object]) -> None:
    """Fractions and integers that engines hold differently, and members of another version."""
    head = region_list.signing_input(DOCUMENT, ANCHOR.public_key).split(b".")[0].decode()
    to_sign = f"{head}.{encode_segment(DOCUMENT.to_json() | odd)}".encode()

    with pytest.raises(VerificationError) as caught:
        region_list.read_draft(region_list.finish(to_sign, ANCHOR.sign(to_sign)))
    assert caught.value.reason is Reason.REGION_LIST
