"""C2SP signed-note: a text and signature lines under it, with the three kinds of key this project accepts.

::

    <text, ends in a newline>
    <empty line>
    — <key name> <base64(key id[4] ‖ signature)>        one line per signature

0x01 is Ed25519 over the text, 0x04 an Ed25519 cosignature over time and text, 0x06 an ML-DSA-44 cosignature over time
and tree head (C2SP tlog-cosignature). Lines of keys we do not know are ignored; a line of a key we know that fails
refuses the note. Signing is split into "which bytes" and "which line", so that any signer can stand in between.
See `docs/formats/note.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, Self

from keys.errors import BadKey, BadSignature
from keys.public_key import PublicKey
from verifiers.encoding import b64_decode, b64_encode
from verifiers.errors import Malformed, Reason, SignatureFailed

MAX_BYTES: Final = 256 * 1024
"""Longest note. A post-quantum line takes 3.3 kB, so this leaves room for `MAX_LINES` of them."""

MAX_LINES: Final = 64
"""Most signature lines; C2SP asks readers to take at least 16."""

MAX_NAME: Final = 255
"""Longest key name or origin in bytes, set by the length byte in an 0x06 message."""

MAX_TIME: Final = 2**63 - 1

_MAX_VKEY: Final = 4096
_KEY_ID_SIZE: Final = 4
_TIME_SIZE: Final = 8
_LINE = re.compile(r"— ([^ ]+) ([A-Za-z0-9+/]+={0,2})\Z")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})\Z")

# y coordinates of the Ed25519 points of small order and their non-canonical twins (RFC 8032 §5.1.7, sign bit cleared):
# under such a key one signature fits many messages.
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8})


class KeyType(IntEnum):
    """The signature types we accept, with their C2SP numbers."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06


_SUITES: Final = {
    KeyType.ED25519: "Ed25519",
    KeyType.ED25519_COSIGNATURE: "Ed25519",
    KeyType.MLDSA44_COSIGNATURE: "ML-DSA-44",
}
_SIGNATURE_SIZES: Final = {"Ed25519": 64, "ML-DSA-44": 2420}


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A key that signs notes under a name; printed as a C2SP verifier key (`vkey`) `name+key id+base64`.

    `key_id` is SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4] and is always recomputed. Raises `Malformed` on a name that a note
    cannot carry, a suite that does not fit the type, or an Ed25519 point of small order.
    """

    name: str
    type: KeyType
    public_key: PublicKey
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise Malformed(Reason.VKEY, "not a key name")
        if self.public_key.suite != _SUITES[self.type]:
            raise Malformed(
                Reason.VKEY, f"a {self.public_key.suite} key cannot make signatures of type {self.type:#04x}"
            )
        raw = self.public_key.raw
        if self.public_key.suite == "Ed25519" and int.from_bytes(raw, "little") & (2**255 - 1) in _SMALL_ORDER:
            raise Malformed(Reason.VKEY, "an Ed25519 key of small order")
        hashed = self.name.encode() + b"\n" + bytes((self.type,)) + raw
        object.__setattr__(self, "key_id", sha256(hashed).digest()[:_KEY_ID_SIZE])

    def to_text(self) -> str:
        """Give the vkey."""
        body = bytes((self.type,)) + self.public_key.raw
        return f"{self.name}+{self.key_id.hex()}+{b64_encode(body)}"

    @classmethod
    @lru_cache(maxsize=1024)  # a verifier opens one trust list after another, and its logs' keys hardly ever change
    def from_text(cls, text: str) -> Self:
        """Read a vkey. Raises `Malformed`, also when the key id in it is not that of its name and key."""
        match = _VKEY.match(text) if len(text) <= _MAX_VKEY else None
        if match is None:
            raise Malformed(Reason.VKEY, "not a verifier key")
        name, key_id, encoded = match.groups()
        try:
            body = b64_decode(encoded)
            kind = KeyType(body[0])
            key = cls(name, kind, PublicKey.from_raw(_SUITES[kind], body[1:]))
        except (BadKey, ValueError) as error:
            raise Malformed(Reason.VKEY, "a signature type or key this version does not know") from error
        except Malformed as error:
            raise Malformed(Reason.VKEY, error.detail) from error
        if key.key_id.hex() != key_id:
            raise Malformed(Reason.VKEY, "the key id is not that of this name and key")
        return key

    @property
    def timed(self) -> bool:
        """Whether its signatures carry a time."""
        return self.type is not KeyType.ED25519


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line under a note: who claims to have signed, and the bytes after the key id."""

    name: str
    key_id: bytes
    blob: bytes

    def to_text(self) -> str:
        """Give the line with its newline."""
        return f"— {self.name} {b64_encode(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed, *unverified* note; `text` ends in a newline."""

    text: str
    lines: tuple[SignatureLine, ...]

    def to_text(self) -> str:
        """Give the note as it travels."""
        return format_note(self.text, self.lines)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature that was checked; `timestamp` in POSIX seconds, None for a key that signs no time."""

    key: NoteKey
    timestamp: int | None


# --- which bytes are signed, and the line that carries the signature -------------------------------------------------


def note_message(text: str) -> bytes:
    """Give what an 0x01 key signs: the text."""
    return text.encode()


def cosignature_message(text: str, timestamp: int) -> bytes:
    """Give what an 0x04 key signs at `timestamp` (POSIX seconds)."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def mldsa_message(cosigner: str, timestamp: int, origin: str, size: int, tree_root: bytes) -> bytes:
    """Give what the 0x06 key named `cosigner` signs for the tree head (`origin`, `size`, `tree_root`)."""
    return b"".join(
        (
            b"subtree/v1\n\0",
            _short(cosigner),
            timestamp.to_bytes(8, "big"),
            _short(origin),
            (0).to_bytes(8, "big"),
            size.to_bytes(8, "big"),
            tree_root,
        )
    )


def signature_line(key: NoteKey, signature: bytes, timestamp: int = 0) -> SignatureLine:
    """Give the line for `signature`, made over the message of `key` at `timestamp`."""
    if len(signature) != _SIGNATURE_SIZES[key.public_key.suite]:
        message = f"not a signature of suite {key.public_key.suite}"
        raise ValueError(message)
    time = timestamp.to_bytes(_TIME_SIZE, "big") if key.timed else b""
    return SignatureLine(key.name, key.key_id, time + signature)


def grease_line(random: bytes) -> SignatureLine:
    """Give a line of a key nobody has, from 76 random bytes: readers that do not ignore it are found out early."""
    if len(random) != 76:
        message = "a line to be ignored takes 76 random bytes"
        raise ValueError(message)
    return SignatureLine(f"grease.invalid/{random[:4].hex()}", random[4:8], random[8:])


# --- notes -----------------------------------------------------------------------------------------------------------


def format_note(text: str, lines: Iterable[SignatureLine]) -> str:
    """Give the note of `text`, which ends in a newline, with `lines` under it."""
    if not text.endswith("\n"):
        message = "the text of a note ends in a newline"
        raise ValueError(message)
    return text + "\n" + "".join(line.to_text() for line in lines)


def parse_note(data: str | bytes) -> Note:
    """Read a note without believing it, splitting at the last empty line. Raises `Malformed` on anything else."""
    whole = _text_of(data)
    middle = whole.rfind("\n\n")
    if middle < 0 or not whole.endswith("\n"):
        raise Malformed(Reason.NOTE, "no text, empty line and signature lines")
    if _CONTROL.search(whole, 0, middle):  # signature lines have a form that leaves no room for them
        raise Malformed(Reason.NOTE, "control characters")
    return Note(whole[: middle + 1], parse_lines(whole[middle + 2 :]))


def parse_lines(text: str) -> tuple[SignatureLine, ...]:
    """Read signature lines, as under a note or in a witness's answer. Raises `Malformed`."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise Malformed(Reason.NOTE, f"more than {MAX_LINES} signatures")
    return tuple(_parse_line(line) for line in lines)


MessageOf = Callable[[NoteKey, str, int], bytes]
"""Gives what a key signs for a text at a time; `checkpoint.message` also knows 0x06 keys."""


def text_message(key: NoteKey, text: str, timestamp: int) -> bytes:
    """Give what `key` signs for any text; 0x06 keys sign tree heads only, so theirs fail."""
    if key.type is KeyType.MLDSA44_COSIGNATURE:
        raise SignatureFailed(Reason.NOTE_SIGNATURE, f"{key.name} signs tree heads, and this is none")
    return cosignature_message(text, timestamp) if key.timed else note_message(text)


def open_note(data: str | bytes, keys: Sequence[NoteKey]) -> tuple[Note, tuple[Signature, ...]]:
    """Read a note and check it: at least one of `keys` signed, and no line of theirs fails.

    Raises `Malformed` or `SignatureFailed`.
    """
    note = parse_note(data)
    signatures = check_lines(note, keys, text_message)
    if not signatures:
        raise SignatureFailed(Reason.NOTE_UNSIGNED, "none of the known keys signed")
    return note, signatures


def check_lines(note: Note, keys: Sequence[NoteKey], message_of: MessageOf) -> tuple[Signature, ...]:
    """Check every line that claims to be by one of `keys`, and ignore all others.

    Raises `SignatureFailed` when one fails or a key signed twice: a second line could only serve to confuse.
    """
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(keys):
        raise Malformed(Reason.VKEY, "two keys answer to one signature line")
    found: dict[NoteKey, Signature] = {}
    for line in note.lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if key in found:
            raise SignatureFailed(Reason.NOTE_SIGNATURE, f"{key.name} signed twice")
        found[key] = _checked(line, key, note.text, message_of)
    return tuple(found.values())


def _checked(line: SignatureLine, key: NoteKey, text: str, message_of: MessageOf) -> Signature:
    head = _TIME_SIZE if key.timed else 0
    timestamp, signature = int.from_bytes(line.blob[:head], "big"), line.blob[head:]
    if len(line.blob) != head + _SIGNATURE_SIZES[key.public_key.suite] or timestamp > MAX_TIME:
        raise SignatureFailed(Reason.NOTE_SIGNATURE, f"the line of {key.name} has the wrong length or time")
    try:
        key.public_key.check(message_of(key, text, timestamp), signature)
    except BadSignature as error:
        raise SignatureFailed(Reason.NOTE_SIGNATURE, f"the signature of {key.name} does not fit") from error
    return Signature(key, timestamp if key.timed else None)


def _text_of(data: str | bytes) -> str:
    if len(data) > MAX_BYTES:  # what is far too long is not even decoded; letters may be several bytes, so again below
        raise Malformed(Reason.NOTE, f"longer than {MAX_BYTES} bytes")
    try:
        raw, text = (data.encode(), data) if isinstance(data, str) else (data, data.decode())
    except UnicodeError as error:
        raise Malformed(Reason.NOTE, "not UTF-8") from error
    if len(raw) > MAX_BYTES:
        raise Malformed(Reason.NOTE, f"longer than {MAX_BYTES} bytes")
    return text


def _parse_line(text: str) -> SignatureLine:
    match = _LINE.match(text)
    if match is None or not _is_name(match[1]):
        raise Malformed(Reason.NOTE, "a signature line that is none")
    try:
        blob = b64_decode(match[2])
    except Malformed as error:
        raise Malformed(Reason.NOTE, error.detail) from error
    if len(blob) <= _KEY_ID_SIZE:
        raise Malformed(Reason.NOTE, "a signature line without a signature")
    return SignatureLine(match[1], blob[:_KEY_ID_SIZE], blob[_KEY_ID_SIZE:])


def _is_name(name: str) -> bool:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < length <= MAX_NAME and not any(char.isspace() or char == "+" or char < " " for char in name)


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data
