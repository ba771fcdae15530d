"""Printed codes: fixed bytes, small enough, one text each."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.issuer import BASE, MARKET, Issuer, reason_of
from verifiers.code import (
    LENGTH_MAX,
    CodePayload,
    build_code,
    code_text,
    cut_name,
    format_payload,
    parse_code,
    parse_code_text,
    parse_payload,
    segments,
    sig_structure,
)
from verifiers.encoding import b32_encode
from verifiers.errors import Malformed, Reason

ISSUER = Issuer()
KID = b"\x01" * 8
DATES = st.dates(dt.date(2000, 1, 1), dt.date(2179, 1, 1))
PAYLOADS = st.builds(
    CodePayload,
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(1, 999),
    DATES,
    st.none() | DATES,
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=40),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(lambda name: cut_name(name)[0]),
    st.booleans(),
    st.booleans(),
)
PAYLOAD = CodePayload(1, 2, 1, dt.date(2026, 11, 21), None, 3, 4, "2026000007", "示例食品有限公司")


@given(PAYLOADS, st.binary(min_size=64, max_size=64))
def test_a_code_reads_back_and_stays_small(payload: CodePayload, signature: bytes) -> None:
    """Every payload fits 180 bytes and comes back the same, from bytes and from text."""
    cose = build_code(payload, KID, signature)
    code = parse_code_text(code_text(BASE, cose) + "\n")

    assert len(cose) <= LENGTH_MAX
    assert (code.payload, code.kid, code.signature) == (payload, KID, signature)
    assert code.sig_structure == sig_structure(payload, KID)


@given(st.binary(max_size=200))
def test_bytes_that_parse_are_the_bytes_that_would_be_written(data: bytes) -> None:
    """A payload has one form; whatever is not that form is refused."""
    if reason_of(parse_payload, data) is None:
        assert format_payload(parse_payload(data)) == data


def test_every_flipped_bit_of_a_payload_is_another_payload_or_refused() -> None:
    """No two byte strings mean the same, so nothing can be changed without changing what is signed."""
    data = format_payload(PAYLOAD)
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        try:
            assert parse_payload(bytes(flipped)) != PAYLOAD
        except Malformed:
            continue


def test_the_text_packs_as_alphanumeric_but_for_the_mark() -> None:
    """Three segments, of which only `#` needs a byte."""
    text = code_text(BASE, build_code(PAYLOAD, KID, bytes(64)))
    parts = segments(text)

    assert [mode for mode, _ in parts] == ["alphanumeric", "byte", "alphanumeric"]
    assert "".join(part for _, part in parts) == text
    assert text.startswith("HTTPS://LEDGER.EXAMPLE/V#2KCE")


def test_a_long_name_is_cut_between_characters() -> None:
    """At most 36 bytes of UTF-8, and the code says that it was cut."""
    assert cut_name("示例" * 6) == ("示例" * 6, False)
    assert cut_name("示例" * 7) == ("示例" * 6, True)
    assert cut_name("a" + "示" * 12) == ("a" + "示" * 11, True)


def test_a_code_that_is_signed_by_the_department_verifies() -> None:
    """The signature is over the COSE Sig_structure."""
    structure, text = ISSUER.sign_code(ISSUER.code_payload(ISSUER.face()))
    code = parse_code_text(text)

    assert code.sig_structure == structure
    ISSUER.public(f"{MARKET}/code").check(structure, code.signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"type_number": 65536},
        {"issuer_number": -1},
        {"version": 0},
        {"version": 1000},
        {"valid_from": dt.date(1999, 12, 31)},
        {"valid_until": dt.date(2179, 6, 6)},
        {"status_idx": 2**32},
        {"serial": ""},
        {"serial": "a"},
        {"serial": "A" * 41},
        {"name": ""},
        {"name": "示" * 13},
    ],
)
def test_what_does_not_fit_cannot_be_built(changes: dict[str, object]) -> None:
    """Our own mistake is a `ValueError`."""
    with pytest.raises(ValueError):
        format_payload(replace(PAYLOAD, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HTTPS://LEDGER.EXAMPLE/V",
        "HTTPS://LEDGER.EXAMPLE/V#",
        "HTTPS://LEDGER.EXAMPLE/V#!",
        "https://ledger.example/V#2KCE",
        "HTTPS://LEDGER.EXAMPLE/X#2KCE",
        "HTTPS://LEDGER.EXAMPLE/V#" + b32_encode(bytes(100)),
        "HTTPS://LEDGER.EXAMPLE/V#" + b32_encode(build_code(PAYLOAD, KID, bytes(64))).lower(),
        "HTTPS://LEDGER.EXAMPLE/V#" + b32_encode(build_code(PAYLOAD, KID, bytes(64))) + "A" * 700,
        "HTTPS://LEDGER.EXAMPLE/V#" + b32_encode(build_code(PAYLOAD, KID, bytes(64))[:-1]),
        "HTTPS://LEDGER.EXAMPLE/V#" + b32_encode(b"\xd2\x84\x4d\xa2\x01\x26\x04\x48"),
    ],
)
def test_a_text_that_is_no_code_is_refused(text: str) -> None:
    """One form of text, in capitals, canonical base32."""
    with pytest.raises(Malformed) as caught:
        parse_code_text(text)

    assert caught.value.reason is Reason.CODE


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail(data: bytes) -> None:
    """Anything is a code or malformed."""
    for candidate in (data, b"\xd2\x84\x4d\xa2\x01\x26\x04\x48" + data):
        assert reason_of(parse_code, candidate) in (None, Reason.CODE)


def test_a_base_with_a_path_makes_no_code() -> None:
    """The page behind the code stands at the root of its host."""
    with pytest.raises(ValueError):
        code_text("https://ledger.example/region", build_code(PAYLOAD, KID, bytes(64)))
    with pytest.raises(ValueError):
        build_code(PAYLOAD, b"1", bytes(64))


def test_a_payload_that_ends_before_its_flags_is_refused() -> None:
    """Nothing is read behind the end."""
    data = format_payload(PAYLOAD)

    for end in range(len(data)):
        assert reason_of(parse_payload, data[:end]) is Reason.CODE
