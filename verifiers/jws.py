"""Compact JWS (RFC 7515 §7.1): the envelope of licences, status lists and trust lists.

One kind of token never passes for another: the reader says which `typ` it expects. The key and its suite come from the
trust list; the header's `alg` must only agree. Base64 and JSON are accepted in one form: what would not re-encode the
same, duplicate members, NUL, numbers that are not finite and unknown critical headers are refused.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import orjson

from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason

HEADER_LIMIT = 16_384
"""Longest protected header in characters: three certificates of 4 KiB."""


class Jws(NamedTuple):
    """One parsed, *unverified* compact JWS; `header` is shared with others and not to be changed.

    `signing_input` is the ASCII `header.payload` that the 64-byte `signature` (r‖s) is over.
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    signing_input: bytes
    signature: bytes


def encode_segment(document: dict[str, Any]) -> str:
    """One segment of a token: `document` as sorted compact JSON in base64url."""
    return b64u_encode(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def compact(signing_input: bytes, signature: bytes) -> str:
    """The token made of a signing input and the signature over it."""
    return f"{signing_input.decode('ascii')}.{b64u_encode(signature)}"


def parse_jws(text: str, *, typ: str, reason: Reason, limit: int) -> Jws:
    """The parts of a compact ES256 token of kind `typ`, at most `limit` characters long.

    Raises `Malformed` with `reason`, or with `token.type` where the header names another kind.
    """
    if len(text) > limit:
        raise Malformed(reason, f"longer than {limit} characters")
    try:
        head, body, tail = text.split(".")
        signing_input = text[: len(head) + 1 + len(body)].encode("ascii")
    except ValueError:
        raise Malformed(reason, "not three base64url segments") from None
    if len(head) > HEADER_LIMIT:
        raise Malformed(reason, "the header is too long")
    header = read_header(head, reason)
    if header.get("typ") != typ:
        raise Malformed(Reason.TOKEN_TYPE, f"typ is not {typ}")
    if header.get("alg") != "ES256" or "crit" in header:
        raise Malformed(reason, "the header asks for something other than plain ES256")
    payload = read_object(_bytes(body, reason), reason)
    signature = _bytes(tail, reason)
    if len(signature) != 64:
        raise Malformed(reason, "an ES256 signature has 64 bytes")
    return Jws(header, payload, signing_input, signature)


def read_object(data: bytes, reason: Reason) -> dict[str, Any]:
    """The JSON object that `data` spells. Raises `Malformed` with `reason` for anything else."""
    value = read_json(data, reason)
    if not isinstance(value, dict):
        raise Malformed(reason, "not a JSON object")
    return value


def read_json(data: bytes, reason: Reason) -> Any:
    """The JSON value that `data` spells, by anybody's serialiser, without duplicate members or NUL.

    Raises `Malformed` with `reason`.
    """
    try:
        value = orjson.loads(data)
        # Bytes that sorted compact printing reproduces hold every member once; others take the slow, counting reader.
        # The limit on nesting is that of the printer, 254.
        if orjson.dumps(value, option=orjson.OPT_SORT_KEYS) != data:
            value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, TypeError, RecursionError):
        raise Malformed(reason, "not JSON with unique members") from None
    if b"\\u0000" in data:
        raise Malformed(reason, "a NUL in a string")
    return value


@lru_cache(maxsize=128)
def read_header(head: str, reason: Reason) -> dict[str, Any]:
    """The protected header; thousands of tokens share one, certificate and all. Reading decides nothing about trust."""
    return read_object(_bytes(head, reason), reason)


def _bytes(segment: str, reason: Reason) -> bytes:
    try:
        return b64u_decode(segment)
    except Malformed as error:
        raise Malformed(reason, error.detail) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
