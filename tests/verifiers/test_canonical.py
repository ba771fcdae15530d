"""Our JSON has one byte form, it is RFC 8785's, and everything else is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from verifiers import canonical
from verifiers.errors import Malformed, Reason, VerificationError

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
KEYS = st.text(st.characters(min_codepoint=1, max_codepoint=127))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


@given(DOCUMENTS)
def test_bytes_are_those_of_an_rfc_8785_library(value: Any) -> None:
    """Within our domain, sorted compact JSON is JCS to the byte, and reads back as the same value."""
    data = canonical.encode(value)

    assert data == rfc8785.dumps(value)
    assert canonical.decode(data) == value


@given(st.binary(max_size=40) | TEXT.map(lambda text: text.encode()) | DOCUMENTS.map(lambda v: json.dumps(v).encode()))
def test_decode_gives_back_the_same_bytes_or_refuses(data: bytes) -> None:
    """Whatever the bytes, they are the encoding of what was read, or a `VerificationError`."""
    try:
        value = canonical.decode(data)
    except VerificationError:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":1,"a":1}', id="duplicate key"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate key by escape"),
        pytest.param(b'{"b":1,"a":2}', id="order"),
        pytest.param(b'{"a": 1}', id="white space"),
        pytest.param(b' {"a":1}', id="leading space"),
        pytest.param(b'{"a":1}\n', id="trailing newline"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param(b'{"a":1.0}', id="float"),
        pytest.param(b'{"a":1e2}', id="exponent"),
        pytest.param(b'{"a":-0}', id="minus zero"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":9007199254740992}', id="2**53"),
        pytest.param(b'{"a":-9007199254740992}', id="-2**53"),
        pytest.param(b'{"a":18446744073709551616}', id="2**64"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b'{"a":"\\u0000"}', id="NUL escaped"),
        pytest.param(b'{"a":"\0"}', id="NUL raw"),
        pytest.param(b'{"\\u0000":1}', id="NUL in a key"),
        pytest.param(b'{"a":"\\ud800"}', id="lone surrogate escaped"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="lone surrogate raw"),
        pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"a":"\\u4e2d"}', id="needless escape"),
        pytest.param(b'{"a":"\\/"}', id="escaped slash"),
        pytest.param(b'{"a":"\\u000A"}', id="long escape"),
        pytest.param('{"中":1}'.encode(), id="key outside ASCII"),
        pytest.param(b"[" * 33 + b"]" * 33, id="33 levels"),
        pytest.param(b"[" * 500 + b"]" * 500, id="500 levels"),
        pytest.param(b"[" * 60_000, id="60,000 levels"),
        pytest.param(b'"' + b"a" * 65_536 + b'"', id="too long"),
        pytest.param(b"", id="empty"),
    ],
)
def test_decode_refuses(data: bytes) -> None:
    """Each way of writing what our encoder would not have written has its own refusal."""
    with pytest.raises(Malformed) as caught:
        canonical.decode(data)

    assert caught.value.reason is Reason.CANONICAL and caught.value.detail


def test_thirty_two_levels_are_the_limit() -> None:
    """A document of 32 levels passes both ways, one of 33 neither way."""
    value: Any = "x"
    for _ in range(canonical.MAX_DEPTH):
        value = [value]

    assert canonical.decode(canonical.encode(value)) == value
    with pytest.raises(ValueError, match="deeper"):
        canonical.encode({"a": value})


def test_limit_is_the_callers() -> None:
    """A format that allows more says so, and the limit counts bytes."""
    data = canonical.encode("a" * 70_000)

    assert canonical.decode(data, limit=len(data)) == "a" * 70_000
    with pytest.raises(Malformed, match="longer"):
        canonical.decode(data, limit=len(data) - 1)


@pytest.mark.parametrize("value", [1.5, b"x", {1: 2}, (1,), {"a": {1}}, 2**53, "\0", "\ud800", {"é": 1}, object()])
def test_encode_refuses_what_is_outside_the_domain(value: object) -> None:
    """A value of ours outside the domain is a programmer's error, a `ValueError`."""
    with pytest.raises(ValueError, match=r"."):
        canonical.encode(value)


def test_text_that_only_looks_like_an_escaped_nul_passes() -> None:
    """A backslash, a `u` and four zeros are six harmless characters."""
    value = {"\\u0000": ["\\u0000", "\\\\u0000"]}

    assert canonical.decode(canonical.encode(value)) == value


def test_decode_object_wants_an_object() -> None:
    """An array or a text is refused where an object belongs."""
    assert canonical.decode_object(b'{"a":[]}') == {"a": []}
    with pytest.raises(Malformed, match="not an object"):
        canonical.decode_object(b"[]")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([2**53 - 1, 1.5], "a float, which our documents never hold"),
        (["text", 1.5], "a float, which our documents never hold"),
        ([2**53], "an integer of 2**53 or more"),
        ([-(2**53)], "an integer of 2**53 or more"),
        ([{"é": 1}], "a key that is not ASCII text"),
        ([{1: 1}], "a key that is not ASCII text"),
    ],
)
def test_what_cannot_be_written_is_named(value: Any, fault: str) -> None:
    """So that whoever sent a document of a hundred members finds it."""
    with pytest.raises(ValueError, match=re.escape(fault)):
        canonical.encode(value)


def test_documents_are_32_levels_deep_at_most() -> None:
    """That many are written and read, one more is neither."""
    deep: Any = 1
    for _ in range(canonical.MAX_DEPTH):
        deep = [deep]

    assert canonical.MAX_DEPTH == 32 and canonical.decode(canonical.encode(deep)) == deep
    with pytest.raises(ValueError, match="nested deeper than 32"):
        canonical.encode([deep])
    with pytest.raises(Malformed):
        canonical.decode(b"[" * 33 + b"1" + b"]" * 33)
