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


@pytest.mark.parametrize(
    "changes",
    [
        {"type_number": 0, "issuer_number": 0, "list_number": 0, "status_idx": 0},
        {"type_number": 65_535, "issuer_number": 65_535, "list_number": 65_535, "status_idx": 2**32 - 1},
        {"version": 1},
        {"version": 999},
        {"valid_from": dt.date(2000, 1, 1)},
        {"valid_until": dt.date(2000, 1, 1)},
        {"valid_until": dt.date(2179, 6, 5)},
        {"serial": "Z" * 40},
        {"serial": "0" * 40},
        {"serial": "0"},
        {"name": "x"},
        {"name": "示" * 12},
        {"name_cut": True},
        {"several_holders": True},
    ],
    ids=str,
)
def test_what_just_fits_reads_back(changes: dict[str, object]) -> None:
    """The first and the last of everything, in bytes and back."""
    payload = replace(PAYLOAD, **changes)  # type: ignore[arg-type]

    assert parse_payload(format_payload(payload)) == payload


def test_a_payload_lies_in_bytes_as_the_page_says() -> None:
    """Written down a second time, in hexadecimal."""
    payload = CodePayload(1, 2, 3, dt.date(2000, 1, 2), None, 4, 5, "Z", "A", True, True)

    assert format_payload(payload).hex(" ") == "01 00 01 00 02 00 03 00 01 ff ff 00 04 00 00 00 05 01 23 c1 41"
    assert parse_payload(format_payload(payload)) == payload


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2), (17, 0), (17, 41), (18, 0x24), (19, 0x02), (19, 0x00), (19, 0x21), (19, 0x11), (6, 0)],
)
def test_a_byte_out_of_its_range_is_refused(place: int, value: int) -> None:
    """Version, lengths, a serial beyond its length, flags that are none, a version of 0."""
    data = bytearray(format_payload(CodePayload(1, 2, 3, dt.date(2000, 1, 2), None, 4, 5, "Z", "A")))
    data[place] = value

    assert reason_of(parse_payload, bytes(data)) is Reason.CODE


def test_a_code_begins_and_ends_as_a_cose_message_does() -> None:
    """Tag, protected header with the key id, nothing unprotected, payload, signature."""
    data, signature = format_payload(PAYLOAD), bytes(range(64))
    cose = build_code(PAYLOAD, KID, signature)

    signed = b"\x58" + bytes([len(data)]) + data
    assert cose == bytes.fromhex("d2844da201260448") + KID + b"\xa0" + signed + b"\x58\x40" + signature
    assert sig_structure(PAYLOAD, KID) == b"\x84\x6aSignature1" + cose[2:8] + KID + b"\x40" + signed
    short = replace(PAYLOAD, serial="7", name="A")
    length = len(format_payload(short))
    assert length == 21 and build_code(short, KID, signature)[16:18] == bytes([0xA0, 0x40 + length])
    assert parse_code(build_code(short, KID, signature)).payload == short
    for wrong in (7, 9):
        with pytest.raises(ValueError):
            sig_structure(PAYLOAD, bytes(wrong))
    for wrong in (63, 65):
        with pytest.raises(ValueError):
            build_code(PAYLOAD, KID, bytes(wrong))


@pytest.mark.parametrize("length", [21, 22, 23, 24, 25])
def test_a_payload_on_either_side_of_a_long_length_reads_back(length: int) -> None:
    """Up to 23 bytes the length stands in the first byte, from 24 on in one of its own."""
    payload = replace(PAYLOAD, serial="7", name="A" * (length - 20))
    cose = build_code(payload, KID, bytes(64))

    assert len(format_payload(payload)) == length and parse_code(cose).payload == payload
    longer = cose[:17] + b"\x58" + bytes([length]) + format_payload(payload) + cose[-66:]
    assert reason_of(parse_code, longer) is (Reason.CODE if length < 24 else None)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 5, 6, 7, 16, -66, -65])
def test_every_byte_around_the_payload_is_fixed(place: int) -> None:
    """Another tag, header or length is another format."""
    cose = bytearray(build_code(PAYLOAD, KID, bytes(64)))
    cose[place] ^= 1

    assert reason_of(parse_code, bytes(cose)) is Reason.CODE


@pytest.mark.parametrize(
    ("host", "good"),
    [("h" * 80, True), ("h:8000", True), ("h-1.example", True), ("hX", True), ("h" * 81, False), ("h_1", False)],
)
def test_a_host_is_written_in_capitals_and_at_most_eighty_of_them(host: str, good: bool) -> None:
    """With a port where there is one; http is for tests of one machine."""
    cose = build_code(PAYLOAD, KID, bytes(64))
    for scheme in ("http", "https"):
        if good:
            text = code_text(f"{scheme}://{host}/", cose)
            assert text == f"{scheme}://{host}/V#".upper() + b32_encode(cose)
            assert parse_code_text(f" {text}\n").payload == PAYLOAD
        else:
            with pytest.raises(ValueError):
                code_text(f"{scheme}://{host}", cose)


def test_a_scanned_text_has_at_most_a_thousand_characters() -> None:
    """White space is dropped, as scanners add it, but not without limit."""
    text = code_text(BASE, build_code(PAYLOAD, KID, bytes(64)))

    assert parse_code_text(text.ljust(1024)).payload == PAYLOAD
    assert reason_of(parse_code_text, text.ljust(1025)) is Reason.CODE


def test_a_code_has_at_most_a_hundred_and_eighty_bytes() -> None:
    """The largest payload stays within; what is longer is not even read."""
    largest = replace(PAYLOAD, serial="Z" * 40, name="示" * 12)
    cose = build_code(largest, KID, bytes(64))

    assert LENGTH_MAX == 180 and len(cose) <= 180 and parse_code(cose).payload == largest
    assert reason_of(parse_code, cose + bytes(181 - len(cose))) is Reason.CODE
