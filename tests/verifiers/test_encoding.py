"""Every byte string has one text, and every other text is refused."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import encoding
from verifiers.errors import Malformed, Reason

PAIRS = [
    pytest.param(encoding.b64u_encode, encoding.b64u_decode, id="base64url"),
    pytest.param(encoding.b64_encode, encoding.b64_decode, id="base64"),
    pytest.param(encoding.b32_encode, encoding.b32_decode, id="base32"),
]
Encode = Callable[[bytes], str]
Decode = Callable[..., bytes]


@pytest.mark.parametrize(("encode", "decode"), PAIRS)
@given(data=st.binary(max_size=70))
def test_bytes_survive(encode: Encode, decode: Decode, data: bytes) -> None:
    """What was encoded decodes to itself, with the right length and with no other."""
    assert decode(encode(data)) == data == decode(encode(data), len(data))
    with pytest.raises(Malformed):
        decode(encode(data), len(data) + 1)


@given(
    st.integers(1, 70).flatmap(
        lambda length: st.tuples(st.just(length), st.lists(st.binary(min_size=length, max_size=length), max_size=6))
    )
)
def test_many_values_have_the_texts_that_each_has(values: tuple[int, list[bytes]]) -> None:
    """One pass over all gives what one call for each gives, and notices a value of another length."""
    length, each = values
    assert encoding.b64u_encode_all(each, length) == [encoding.b64u_encode(one) for one in each]
    if each:
        with pytest.raises(ValueError, match="values of"):
            encoding.b64u_encode_all([*each, each[0] + bytes(3)], length)


@given(text=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", max_size=80))
def test_base32_says_what_the_standard_library_says(text: str) -> None:
    """Where that reads a text at all, and the text is the one of its bytes; else it is refused."""
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        data = None
    if data is None or base64.b32encode(data).decode().rstrip("=") != text:
        with pytest.raises(Malformed):
            encoding.b32_decode(text)
    else:
        assert encoding.b32_decode(text) == data


@pytest.mark.parametrize(("encode", "decode"), PAIRS)
@given(text=st.text(st.sampled_from("AQabz059-_+/= \n2é"), max_size=12) | st.text(max_size=8))
def test_text_is_canonical_or_refused(encode: Encode, decode: Decode, text: str) -> None:
    """No two texts decode to the same bytes."""
    try:
        data = decode(text)
    except Malformed:
        return
    assert encode(data) == text


@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (encoding.b64u_decode, "AB"),
        (encoding.b64u_decode, "AA=="),
        (encoding.b64u_decode, "A"),
        (encoding.b64u_decode, "+/+/"),
        (encoding.b64u_decode, "AAAA\n"),
        (encoding.b64_decode, "AA"),
        (encoding.b64_decode, "AB=="),
        (encoding.b64_decode, "AA==AA=="),
        (encoding.b64_decode, "-_-_"),
        (encoding.b64_decode, "AA=\n="),
        (encoding.b32_decode, "aa"),
        (encoding.b32_decode, "AA======"),
        (encoding.b32_decode, "AB"),
        (encoding.b32_decode, "A"),
        (encoding.b32_decode, "AAA"),
        (encoding.b32_decode, "AAAAAA"),
        (encoding.b32_decode, "AAAAAAB"),
        (encoding.b32_decode, "AAAAAAAAA"),
        (encoding.b32_decode, "A1"),
    ],
)
def test_decode_refuses(decode: Decode, text: str) -> None:
    """Padding, spare bits, white space and other alphabets are refused by name."""
    with pytest.raises(Malformed) as caught:
        decode(text)

    assert caught.value.reason is Reason.ENCODING
