"""JSON from outside has one meaning or is refused, each cause under its own code."""

import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.strict_json import MAX_DEPTH, MAX_INTEGER, parse
from ledger.errors import Code, Refusal

LIMIT = 10_000
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)

REFUSED = [
    ("too large", b'"' + b"x" * LIMIT + b'"', Code.BODY_TOO_LARGE),
    ("not utf-8", b'{"a":"\xff"}', Code.BODY_NOT_UTF8),
    ("cut short", b'{"a":', Code.BODY_NOT_JSON),
    ("two values", b"{} {}", Code.BODY_NOT_JSON),
    ("empty", b"", Code.BODY_NOT_JSON),
    ("control character", b'"\x01"', Code.BODY_NOT_JSON),
    ("bare NUL", b'"\x00"', Code.BODY_NOT_JSON),
    ("the same name twice", b'{"a":1,"b":{"c":1,"c":2}}', Code.BODY_DUPLICATE_NAME),
    ("the same name once escaped", b'{"a":1,"\\u0061":2}', Code.BODY_DUPLICATE_NAME),
    ("escaped NUL", b'{"a":"\\u0000"}', Code.BODY_NUL),
    ("NUL in a name", b'{"\\u0000":1}', Code.BODY_NUL),
    ("lone surrogate", b'["\\ud83d"]', Code.BODY_SURROGATE),
    ("surrogates in the wrong order", b'["\\ude00\\ud83d"]', Code.BODY_SURROGATE),
    ("fraction", b"[1.5]", Code.BODY_NUMBER),
    ("whole number written as fraction", b"[1.0]", Code.BODY_NUMBER),
    ("exponent", b"[1e3]", Code.BODY_NUMBER),
    ("not a number", b"[NaN]", Code.BODY_NUMBER),
    ("too big", b"[9007199254740992]", Code.BODY_NUMBER),
    ("far too big", b"[" + b"9" * 5000 + b"]", Code.BODY_NUMBER),
    ("nested arrays", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), Code.BODY_TOO_DEEP),
    ("nested without end", b'{"a":' * 1500, Code.BODY_TOO_DEEP),
]


@pytest.mark.parametrize(("body", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_body_with_two_meanings_or_none_is_refused(body: bytes, code: Code) -> None:
    """Each way of being wrong has its own code."""
    with pytest.raises(Refusal) as refused:
        parse(body, limit=LIMIT)

    assert refused.value.code is code


@given(VALUES)
def test_every_plain_value_comes_back(value: object) -> None:
    """What is within the bounds is read as Python's own reader reads it."""
    assert parse(json.dumps(value).encode(), limit=1_000_000) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode(), limit=1_000_000) == value


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_value_or_a_refusal(body: bytes) -> None:
    """No other exception escapes, whatever comes in."""
    with suppress(Refusal):
        parse(body, limit=LIMIT)


def test_brackets_inside_texts_do_not_count_as_nesting() -> None:
    """A text full of brackets is still one text."""
    assert parse(json.dumps(["[{" * 100, '\\"[' * 50]).encode(), limit=LIMIT) == ["[{" * 100, '\\"[' * 50]


def test_a_whole_surrogate_pair_is_one_character() -> None:
    """Escaped characters beyond the first plane are fine."""
    assert parse(b'"\\ud83d\\ude00"', limit=LIMIT) == "\U0001f600"


@given(VALUES)
def test_what_a_serializer_writes_is_read_quickly_and_the_same(value: object) -> None:
    """The quick reading and the careful one agree, on the bytes that the quick one is for."""
    wrapped = {"value": value}

    assert parse(orjson.dumps(wrapped), limit=1_000_000) == wrapped == json.loads(orjson.dumps(wrapped))


COMPACT = [
    ("the same name twice", b'{"a":"x","a":"x"}', Code.BODY_DUPLICATE_NAME),
    ("the same name twice, deep", b'{"a":[{"b":"x","b":"y"}]}', Code.BODY_DUPLICATE_NAME),
    ("fraction among texts", b'{"a":"x","b":1.5}', Code.BODY_NUMBER),
    ("whole number with an exponent", b'{"a":1e2}', Code.BODY_NUMBER),
    ("beyond 64 bits", b'{"a":18446744073709551616}', Code.BODY_NUMBER),
    ("too big below zero", b'{"a":-9007199254740992}', Code.BODY_NUMBER),
    ("NUL in a text", b'{"a":"x\\u0000"}', Code.BODY_NUL),
    ("one level too many, empty", b"[" * MAX_DEPTH + b"{}" + b"]" * MAX_DEPTH, Code.BODY_TOO_DEEP),
]


@pytest.mark.parametrize(("body", "code"), [row[1:] for row in COMPACT], ids=[row[0] for row in COMPACT])
def test_the_quick_reading_lets_nothing_through(body: bytes, code: Code) -> None:
    """What looks like a serializer's work is still refused, under the same code."""
    with pytest.raises(Refusal) as refused:
        parse(body, limit=LIMIT)

    assert refused.value.code is code
