"""The signed statement behind a log entry: who says what happened, as a compact JWS (RFC 7515 §7.1).

It is part 0 (`facts`) of the entry's record. Header ``{"alg":"ES256","kid":…,"typ":"elicence-statement+jwt"}``, payload
``{"v":1,"origin":…,"ref":…,"kind":…,"by":…,"event":…, facts…}``, both canonical JSON. It names origin, ref, kind and
department of its own entry, so it cannot be moved to another entry or another log. See `docs/formats/statement.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from keys.errors import BadSignature
from keys.public_key import PublicKey
from verifiers import canonical
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import KINDS, Leaf
from verifiers.errors import Malformed, OpeningFailed, Reason, SignatureFailed, VerificationError

TYP: Final = "elicence-statement+jwt"
VERSION: Final = 1
MAX_BYTES: Final = 8 * 2**20
"""Longest statement: a decision that lists 10,000 dependants takes about 1 MiB."""

_FIXED = ("v", "origin", "ref", "kind", "by", "event")
_SIGNATURE_SIZE = 64
_KID_SIZE = 16

KeyOf = Callable[[str], PublicKey | None]
"""Gives the statement key with a `kid`, or None when there is none whose purpose is to sign statements."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement; believed only if it came from `open_statement`.

    `ref` is 16 bytes, `payload` everything that was signed, `signature` 64 bytes r‖s.
    """

    kid: str
    origin: str
    ref: bytes
    kind: str
    by: str
    event: str
    payload: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """The payload without the members every statement has."""
        return {name: value for name, value in self.payload.items() if name not in _FIXED}


def payload(*, origin: str, ref: bytes, kind: str, by: str, event: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Give the payload of a statement. Raises `ValueError` when `facts` uses a name every statement has."""
    fixed = {"v": VERSION, "origin": origin, "ref": b64u_encode(ref), "kind": kind, "by": by, "event": event}
    if not fixed.keys().isdisjoint(facts):
        message = f"facts may not be named {sorted(fixed.keys() & facts.keys())}"
        raise ValueError(message)
    return fixed | facts


def signing_input(kid: str, statement_payload: dict[str, Any]) -> bytes:
    """Give the bytes to sign with the ES256 key `kid`: ASCII `header.payload`."""
    return signing_input_of(kid, encoded(statement_payload))


def encoded(statement_payload: dict[str, Any]) -> bytes:
    """Give the canonical JSON of a payload. Raises `ValueError` where it is outside what that holds."""
    return canonical.encode(statement_payload)


def signing_input_of(kid: str, encoded_payload: bytes) -> bytes:
    """Give the bytes to sign with the ES256 key `kid` for a payload that is canonical JSON already."""
    return f"{_header_segment(kid)}.{b64u_encode(encoded_payload)}".encode("ascii")


@lru_cache(maxsize=1024)
def header_of(kid: str) -> bytes:
    """Give the header of every statement that the key `kid` signs, canonical JSON."""
    return canonical.encode({"alg": "ES256", "kid": kid, "typ": TYP})


def assemble(to_sign: bytes, signature: bytes) -> bytes:
    """Give the compact JWS of a signing input and its 64-byte signature."""
    if len(signature) != _SIGNATURE_SIZE:
        message = "an ES256 signature is 64 bytes"
        raise ValueError(message)
    return to_sign + b"." + b64u_encode(signature).encode("ascii")


def parse(data: bytes, limit: int = MAX_BYTES) -> Statement:
    """Read a compact statement without believing it. Raises `Malformed` on anything but its one form."""
    if len(data) > limit:
        raise Malformed(Reason.STATEMENT, f"longer than {limit} bytes")
    try:
        header, body, signature = data.decode("ascii").split(".")
        kid = canonical.decode_object(b64u_decode(header)).get("kid")
        if not isinstance(kid, str):
            raise Malformed(Reason.STATEMENT, "no `kid`")
        b64u_decode(kid, _KID_SIZE)
        if b64u_decode(header) != header_of(kid):
            raise Malformed(Reason.STATEMENT, "not the header of a statement")
        members = canonical.decode_object(b64u_decode(body), limit)
        origin, ref, kind, by, event = (_text(members, name) for name in _FIXED[1:])
        if members.get("v") != VERSION or kind not in KINDS:
            raise Malformed(Reason.STATEMENT, "another version or an unknown kind")
        return Statement(
            kid,
            origin,
            b64u_decode(ref, 16),
            kind,
            by,
            event,
            members,
            data[: len(header) + 1 + len(body)],
            b64u_decode(signature, _SIGNATURE_SIZE),
        )
    except ValueError as error:
        raise Malformed(Reason.STATEMENT, "not three base64url parts") from error
    except VerificationError as error:
        raise Malformed(Reason.STATEMENT, error.detail) from error


def open_statement(data: bytes, *, origin: str, leaf: Leaf, key_of: KeyOf) -> Statement:
    """Read the statement of the entry `leaf` in the log `origin` and check who signed it.

    Raises `Malformed`, `OpeningFailed` when it speaks of another entry, `SignatureFailed` for an unknown key or a
    signature that is not that key's.
    """
    statement = parse(data)
    check_belongs(statement, origin=origin, leaf=leaf)
    check_signature(statement, key_of)
    return statement


def check_belongs(statement: Statement, *, origin: str, leaf: Leaf) -> None:
    """Check that a statement names the entry it lies behind. Raises `OpeningFailed`."""
    for name, said, found in (
        ("origin", statement.origin, origin),
        ("ref", statement.ref, leaf.ref),
        ("kind", statement.kind, leaf.kind),
        ("by", statement.by, leaf.by),
    ):
        if said != found:
            raise OpeningFailed(Reason.STATEMENT_MISMATCH, f"the statement names another `{name}` than its entry")


def check_signature(statement: Statement, key_of: KeyOf) -> None:
    """Check the signature with the key `key_of` gives. Raises `SignatureFailed`."""
    key = key_of(statement.kid)
    if key is None or key.suite != "ES256":
        raise SignatureFailed(Reason.STATEMENT_KEY, f"no statement key {statement.kid}")
    try:
        key.check(statement.signing_input, statement.signature)
    except BadSignature as error:
        raise SignatureFailed(Reason.STATEMENT_SIGNATURE, f"not signed by {statement.kid}") from error


@lru_cache(maxsize=1024)
def _header_segment(kid: str) -> str:
    return b64u_encode(header_of(kid))


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(Reason.STATEMENT, f"no `{name}`")
    return value
