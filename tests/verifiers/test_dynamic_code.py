"""Dynamic codes: minted without a server, good for about a minute."""

import base64
import datetime as dt
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.issuer import BASE, NOW, reason_of
from verifiers.dynamic_code import match, mint, parse_dynamic_code, slice_at
from verifiers.errors import Reason, VerificationError

HANDLE, KEY = bytes(range(10)), bytes(range(32))


def later(seconds: int) -> dt.datetime:
    """`NOW` and so many seconds."""
    return NOW + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [-30, 0, 29, 30, 59])
def test_a_code_is_good_in_its_slice_and_the_two_beside_it(seconds: int) -> None:
    """Phones and counters need not agree to the second."""
    code = parse_dynamic_code(mint(BASE, HANDLE, KEY, NOW))

    assert code.handle == HANDLE
    assert match(code, KEY, later(seconds)) == slice_at(NOW)


@pytest.mark.parametrize("seconds", [-7200, -31, 60, 300, 7200])
def test_a_code_of_another_time_has_its_own_reason(seconds: int) -> None:
    """So that a wrong clock is told apart from a wrong code."""
    code = parse_dynamic_code(mint(BASE, HANDLE, KEY, NOW))
    with pytest.raises(VerificationError) as caught:
        match(code, KEY, later(seconds))

    assert caught.value.reason is Reason.DYNAMIC_SKEW


def test_a_code_under_another_key_or_of_another_day_does_not_match() -> None:
    """Both are just wrong."""
    code = parse_dynamic_code(mint(BASE, HANDLE, KEY, NOW))
    for key, at in ((bytes(32), NOW), (KEY, later(86_400))):
        with pytest.raises(VerificationError) as caught:
            match(code, key, at)
        assert caught.value.reason is Reason.DYNAMIC_MAC


def test_every_flipped_bit_is_refused_or_another_handle() -> None:
    """Version, slice and digest are bound; another handle is another presentation, whose key is another."""
    text = mint(BASE, HANDLE, KEY, NOW)
    link, code = text.rsplit("/", 1)
    for place in range(len(code)):
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567":
            if letter == code[place]:
                continue
            changed = f"{link}/{code[:place]}{letter}{code[place + 1 :]}"
            if reason_of(parse_dynamic_code, changed) is None:
                with pytest.raises(VerificationError):
                    match(parse_dynamic_code(changed), KEY, NOW)


def test_the_text_is_short_and_in_capitals() -> None:
    """A QR code of version 4 holds it with a host of some length."""
    text = mint("https://licence.example.gov.cn", HANDLE, KEY, NOW)

    assert text.startswith("HTTPS://LICENCE.EXAMPLE.GOV.CN/C/") and len(text) < 70
    assert parse_dynamic_code(f" {text}\n") == parse_dynamic_code(text.rsplit("/", 1)[1])


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    """Anything is a code or malformed."""
    assert reason_of(parse_dynamic_code, text) in (None, Reason.DYNAMIC)


def test_wrong_lengths_cannot_be_minted() -> None:
    """Our own mistake is a `ValueError`."""
    for base, handle, key in ((BASE, b"1", KEY), (BASE, HANDLE, b"1"), ("ledger", HANDLE, KEY)):
        with pytest.raises(ValueError):
            mint(base, handle, key, NOW)


def test_a_base_with_a_slash_at_its_end_is_the_same_base() -> None:
    """And the text is upper case, which packs best."""
    assert mint(BASE + "/", HANDLE, KEY, NOW) == mint(BASE, HANDLE, KEY, NOW)
    assert mint(BASE, HANDLE, KEY, NOW).startswith("HTTPS://LEDGER.EXAMPLE/C/")
    assert mint("https://hostX/", HANDLE, KEY, NOW).startswith("HTTPS://HOSTX/C/")


def test_a_code_is_what_the_format_says() -> None:
    """Version, handle, slice and ten bytes of HMAC-SHA-256, written a second time here, in base32."""
    number = int(NOW.timestamp()) // 30
    mac = hmac.new(KEY, b"elicence/dynamic/v1\0" + HANDLE + number.to_bytes(8, "big"), "sha256").digest()[:10]
    data = b"\x01" + HANDLE + bytes([number % 256]) + mac

    assert mint(BASE, HANDLE, KEY, NOW).rpartition("/")[2] == base64.b32encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    ("slices", "reason"),
    [(-1, None), (1, None), (-2, Reason.DYNAMIC_SKEW), (2, Reason.DYNAMIC_SKEW), (-240, Reason.DYNAMIC_SKEW),
     (240, Reason.DYNAMIC_SKEW), (-241, Reason.DYNAMIC_MAC), (241, Reason.DYNAMIC_MAC)],
)  # fmt: skip
def test_a_wrong_clock_is_told_within_two_hours(slices: int, reason: Reason | None) -> None:
    """With how far it is from ours."""
    code = parse_dynamic_code(mint(BASE, HANDLE, KEY, later(30 * slices)))
    if reason is None:
        assert match(code, KEY, NOW) == slice_at(NOW) + slices
        return
    with pytest.raises(VerificationError) as caught:
        match(code, KEY, NOW)
    assert (caught.value.reason, caught.value.step) == (reason, "code")
    if reason is Reason.DYNAMIC_SKEW:
        assert caught.value.detail == f"the code is of a time {30 * slices} s from ours"


@pytest.mark.parametrize(("handle", "key"), [(9, 32), (11, 32), (10, 31), (10, 33)])
def test_a_handle_has_ten_bytes_and_a_key_thirty_two(handle: int, key: int) -> None:
    """No fewer and no more."""
    with pytest.raises(ValueError):
        mint(BASE, bytes(handle), bytes(key), NOW)


def test_a_dynamic_code_has_at_most_as_many_characters_as_a_link_needs() -> None:
    """White space around it counts with them; a host has at most eighty."""
    text = mint(f"https://{'h' * 80}", HANDLE, KEY, NOW)

    assert parse_dynamic_code(text.ljust(256)).handle == HANDLE
    assert reason_of(parse_dynamic_code, text.ljust(257)) is Reason.DYNAMIC
    assert reason_of(parse_dynamic_code, text.replace("/C/", "/V/")) is Reason.DYNAMIC
    with pytest.raises(ValueError):
        mint(f"https://{'h' * 81}", HANDLE, KEY, NOW)
    other = base64.b32encode(b"\x02" + bytes(21)).decode().rstrip("=")
    assert reason_of(parse_dynamic_code, other) is Reason.DYNAMIC
