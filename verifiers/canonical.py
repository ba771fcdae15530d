"""The one byte form of our own JSON documents: RFC 8785 (JCS) over a domain where it needs no number formatting.

The domain is ASCII keys, strings without NUL or lone surrogates, integers of magnitude below 2**53, booleans, null,
arrays and objects, at most 32 deep. There, sorted compact JSON *is* JCS, so `orjson` does the work; a property test
compares it with an RFC 8785 library. `decode` refuses whatever `encode` would not have written, which takes in
duplicate keys, white space, other escapes, floats and `-0`. See `docs/formats/canonical-json.md`.
"""

from __future__ import annotations

from typing import Any

import orjson

from verifiers.errors import Malformed, Reason

MAX_DEPTH = 32
"""Levels of arrays and objects; the deepest document of ours has six."""

MAX_BYTES = 65_536
"""Default size limit of `decode`; nothing a stranger hands us is larger unless its format says so."""

_MAX_INTEGER = 2**53 - 1
_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = frozenset({dict, list})
_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def encode(value: object) -> bytes:
    """Give the canonical bytes of `value`, made of `dict`, `list`, `str`, `int`, `bool` and `None` alone.

    Raises `ValueError` when `value` is outside the domain: it is then our own mistake.
    """
    if _is_plain(value):
        data = _dumped(value)
        if data is not None:
            return data
    fault = _fault(value)
    if fault is not None:
        raise ValueError(fault)
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:  # lone surrogates
        raise ValueError(str(error)) from error


def decode(data: bytes, limit: int = MAX_BYTES) -> Any:
    """Read canonical bytes of at most `limit` bytes.

    Raises `Malformed` unless `encode` of the result gives back exactly `data`.
    """
    if len(data) > limit:
        raise Malformed(Reason.CANONICAL, f"longer than {limit} bytes")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Malformed(Reason.CANONICAL, f"not JSON: {error}") from error
    if _is_plain(value) and _dumped(value) == data:
        return value
    fault = _fault(value)
    if fault is not None:
        raise Malformed(Reason.CANONICAL, fault)
    if orjson.dumps(value, option=_OPTIONS) != data:
        raise Malformed(Reason.CANONICAL, "not the canonical form: duplicate keys, order, white space or escapes")
    return value


def decode_object(data: bytes, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Read canonical bytes that must hold an object. Raises `Malformed` as `decode` does, or on anything else."""
    value = decode(data, limit)
    if not isinstance(value, dict):
        raise Malformed(Reason.CANONICAL, "not an object")
    return value


def _is_plain(value: object) -> bool:
    """Tell quickly that the shape of `value` is in the domain; `False` means that `_fault` has to look.

    What a string or an integer holds is left to `_dumped`: that is ten times as fast as looking into every value.
    """
    level: list[Any] = [value]
    if type(value) not in _CONTAINERS:
        return type(value) in _SCALARS
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                try:
                    if not "".join(item).isascii():
                        return False
                except TypeError:
                    return False
                item = item.values()
            for each in item:
                kind = type(each)
                if kind is str or kind is int:
                    continue
                if kind is dict or kind is list:
                    below.append(each)
                elif kind not in _SCALARS:
                    return False
        if not below:
            return True
        level = below
    return False


def _dumped(value: object) -> bytes | None:
    """Give the bytes of a plain value, or `None` where they may hold what the domain does not.

    The encoder itself refuses integers of 2**53 and more and lone surrogates; NUL it writes as an escape, and so may
    look a harmless text of six characters, which `_fault` tells apart.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return None
    return None if b"\\u0000" in data else data


def _fault(value: object) -> str | None:
    """Say what puts `value` outside the domain; walks level by level, so nesting cannot exhaust our stack."""
    level: list[object] = [value]
    depth = 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    return "NUL in a string"
                continue
            if isinstance(item, dict):
                below.extend(item.values())
                if not _good_keys(item):
                    return "a key that is not ASCII text"
            elif isinstance(item, list):
                below.extend(item)
            elif (fault := _scalar_fault(item)) is not None:
                return fault
            else:
                continue
            if depth == MAX_DEPTH:
                return f"nested deeper than {MAX_DEPTH}"
        level = below
        depth += 1
    return None


def _good_keys(members: dict[Any, Any]) -> bool:
    try:
        names = "".join(members)
    except TypeError:
        return False
    return names.isascii() and "\0" not in names


def _scalar_fault(item: object) -> str | None:
    if item is None or isinstance(item, bool):
        return None
    if isinstance(item, int):
        return None if -_MAX_INTEGER <= item <= _MAX_INTEGER else "an integer of 2**53 or more"
    return f"a {type(item).__name__}, which our documents never hold"
