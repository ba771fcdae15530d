"""JSON from outside, read strictly: one meaning for every accepted byte string.

Python's own scanner accepts duplicate names (the last wins), lone surrogates, NUL and `NaN`; another reader of the
same bytes may see something else, and the ledger signs what it reads. So every body goes through `parse`, which
refuses what RFC 8259 leaves open and I-JSON (RFC 7493) forbids. Each cause has a code of its own.

Nearly every body is what a serializer writes without blanks. Such a one is read by a quick reader and written again:
where that gives the same bytes, no name can have stood there twice and no text can be read in two ways, so the careful
reading, which takes four times as long, is left for the rest and for whatever has to be refused.
"""

import json
import re
from typing import Any, Final, NoReturn

import orjson

from ledger.errors import Code, Refusal

MAX_DEPTH = 16
"""Levels of nesting: the deepest documented body has six; the rest is somebody trying out our stack."""

MAX_INTEGER = 2**53 - 1
"""Largest integer every JSON reader keeps exactly (RFC 7493 §2.2)."""

# Possessive, so that no input makes them try twice.
_TEXTS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BETWEEN_BRACKETS = re.compile(r"[^][{}]++")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89abAB]")


def parse(body: bytes, *, limit: int) -> Any:
    """Return the value of `body`, a UTF-8 JSON text of at most `limit` bytes.

    Raises `Refusal` with a `body.*` code: too large, not UTF-8, not JSON, duplicate name, NUL, lone surrogate,
    number out of range, nested too deep.
    """
    if len(body) > limit:
        raise Refusal(Code.BODY_TOO_LARGE, limit=limit)
    plain = _plain(body)
    return _careful(body) if plain is None else plain


def _plain(body: bytes) -> Any | None:
    """Return the object or array that is `body`, if it is written without blanks and nothing in it needs a look.

    `None` says nothing about `body`.
    """
    if b"\\" in body and b"\\u0000" in body:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(value) not in (dict, list) or not _is_plain(value, MAX_DEPTH):
        return None
    return value if orjson.dumps(value) == body else None


def _is_plain(value: Any, levels: int) -> bool:
    """Whether there are no fractions, no integers out of range, and no more than `levels` of nesting in `value`."""
    if not levels:
        return False
    for each in value.values() if type(value) is dict else value:
        kind = type(each)
        if kind is str:
            continue
        if kind is int:
            if not -MAX_INTEGER <= each <= MAX_INTEGER:
                return False
        elif kind is float or ((kind is dict or kind is list) and not _is_plain(each, levels - 1)):
            return False
    return True


def _careful(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(Code.BODY_NOT_UTF8, position=error.start) from None
    _refuse_deep(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Refusal(Code.BODY_NOT_JSON, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise Refusal(Code.BODY_TOO_DEEP, limit=MAX_DEPTH) from None
    # Escapes are rare in real bodies, so the walk over every string is paid only when one could hide something.
    if b"\\u0000" in body or _ESCAPED_SURROGATE.search(body):
        _refuse_bad_strings(value)
    return value


def _refuse_deep(text: str) -> None:
    """Refuse more than `MAX_DEPTH` open brackets before the recursive scanner sees them."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BETWEEN_BRACKETS.sub("", _TEXTS.sub("", text)):
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refusal(Code.BODY_TOO_DEEP, limit=MAX_DEPTH)
        else:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Refusal(Code.BODY_DUPLICATE_NAME, name=name[:64])
            seen.add(name)
    return value


def _float(_: str) -> NoReturn:
    raise Refusal(Code.BODY_NUMBER, limit=MAX_INTEGER)


def _constant(_: str) -> NoReturn:
    raise Refusal(Code.BODY_NUMBER, limit=MAX_INTEGER)


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise Refusal(Code.BODY_NUMBER, limit=MAX_INTEGER)
    return int(text)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_constant, parse_int=_integer
)


def _refuse_bad_strings(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise Refusal(Code.BODY_NUL)
            if _SURROGATE.search(item):
                raise Refusal(Code.BODY_SURROGATE)
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
