"""Bytes as text, in exactly one way: what would not re-encode to the same text is refused.

Three alphabets of RFC 4648: base64url without padding (§5; our JSON and everything of JOSE), base64 with padding (§4;
signed notes) and base32 without padding in capitals (§6; the codes people scan). See `docs/formats/canonical-json.md`.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache

from verifiers.errors import Malformed, Reason

FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
"""Turns base64url into base64; what belongs to the other alphabet becomes what belongs to none."""

_PADDING = (b"", b"!", b"==", b"=")  # no bytes give one letter more than a group of four
# Last letters whose spare bits are zero, by how many letters stand in the last group of four.
_LAST = (None, None, frozenset("AQgw"), frozenset("AEIMQUYcgkosw048"))
_BASE32 = re.compile(r"[A-Z2-7]*\Z")
_BASE32_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".ljust(256)
_BASE32_VALUES = bytes.maketrans(_BASE32_LETTERS[:32], bytes(range(32)))
_NO_BASE32 = frozenset({1, 3, 6})
"""Letters in the last group of eight that no bytes give."""


def b64u_encode(data: bytes) -> str:
    """Give base64url text without padding (RFC 4648 §5)."""
    # Two replacements find next to nothing in JSON, which is three times as fast as translating every letter.
    return b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_").decode("ascii")


def b64u_encode_all(values: Sequence[bytes], length: int) -> list[str]:
    """Give the base64url text of each of `values`, all of `length` bytes, in one pass.

    Raises `ValueError` where they have another length in all.
    """
    if not values:
        return []
    # Zero bytes fill each value up to whole groups; what they add to its text are letters behind its own last one.
    spare = bytes(-length % 3)
    text = b64u_encode(spare.join(values) + spare)
    step, own = (length + len(spare)) * 4 // 3, (length * 4 + 2) // 3
    if len(text) != step * len(values):
        raise ValueError(f"not {len(values)} values of {length} bytes")
    return [text[at : at + own] for at in range(0, len(text), step)]


def b64u_decode(text: str, length: int | None = None) -> bytes:
    """Read base64url without padding; `length` is the number of bytes it must give.

    Raises `Malformed` on padding, white space, other alphabets, stray trailing bits or another length.
    """
    over = len(text) & 3
    try:
        data = a2b_base64(text.encode("ascii").translate(FROM_URL) + _PADDING[over], strict_mode=True)
    except ValueError as error:  # binascii.Error and UnicodeEncodeError are ones
        raise Malformed(Reason.ENCODING, "not base64url without padding") from error
    last = _LAST[over]
    if last is not None and text[-1] not in last:
        raise Malformed(Reason.ENCODING, "not the canonical encoding of its bytes")
    if length is not None and len(data) != length:
        raise Malformed(Reason.ENCODING, f"{len(data)} bytes where {length} belong")
    return data


def b64_encode(data: bytes) -> str:
    """Give base64 text with padding (RFC 4648 §4)."""
    return b2a_base64(data, newline=False).decode("ascii")


def b64_decode(text: str, length: int | None = None) -> bytes:
    """Read base64 with padding; `length` is the number of bytes it must give.

    Raises `Malformed` on anything that would not re-encode to the same text, or another length.
    """
    try:
        data = a2b_base64(text)
    except ValueError as error:  # binascii.Error is one, and text beyond ASCII raises one
        raise Malformed(Reason.ENCODING, "not base64") from error
    return _settled(data, b64_encode(data), text, length)


def b32_encode(data: bytes) -> str:
    """Give base32 text in capitals without padding (RFC 4648 §6), which QR codes pack as alphanumeric."""
    # Each five bytes go behind three zero bytes; then all groups at once are spread, as one large number, until every
    # byte holds five bits. That is a quarter of the time of a walk over the groups.
    groups = -(-len(data) // 5)
    whole, spread = data + bytes(-len(data) % 5), bytearray(8 * groups)
    for position in range(5):
        spread[position + 3 :: 8] = whole[position::5]
    number = int.from_bytes(spread)
    for high, low, shift in _spreading(groups):
        number = (number & high) << shift | number & low
    text = number.to_bytes(8 * groups).translate(_BASE32_LETTERS)
    return text[: (8 * len(data) + 4) // 5].decode("ascii")


@lru_cache(maxsize=64)
def _spreading(groups: int) -> tuple[tuple[int, int, int], ...]:
    """Masks and shifts that halve runs of 40 bits to 20, 10 and 5, for so many groups of eight bytes side by side."""
    return tuple(
        (int.from_bytes(bytes.fromhex(high) * groups), int.from_bytes(bytes.fromhex(low) * groups), shift)
        for high, low, shift in (
            ("000000fffff00000", "00000000000fffff", 12),
            ("000ffc00000ffc00", "000003ff000003ff", 6),
            ("03e003e003e003e0", "001f001f001f001f", 3),
        )
    )


def b32_decode(text: str, length: int | None = None) -> bytes:
    """Read base32 in capitals without padding; `length` is the number of bytes it must give.

    Raises `Malformed` on small letters, padding, stray trailing bits or another length.
    """
    over = len(text) % 8
    if not _BASE32.match(text) or over in _NO_BASE32:
        raise Malformed(Reason.ENCODING, "not base32 in capitals without padding")
    # The way of `b32_encode` back: the last letters' spare bits end up in the bytes after those that were spelt.
    groups = -(-len(text) // 8)
    number = int.from_bytes(text.encode("ascii").translate(_BASE32_VALUES).ljust(8 * groups, b"\0"))
    for high, low, shift in reversed(_spreading(groups)):
        number = number >> shift & high | number & low
    spread, whole = number.to_bytes(8 * groups), bytearray(5 * groups)
    for position in range(5):
        whole[position::5] = spread[position + 3 :: 8]
    count = 5 * len(text) // 8
    if any(whole[count:]):
        raise Malformed(Reason.ENCODING, "not the canonical encoding of its bytes")
    if length is not None and count != length:
        raise Malformed(Reason.ENCODING, f"{count} bytes where {length} belong")
    return bytes(whole[:count])


def _settled(data: bytes, again: str, text: str, length: int | None) -> bytes:
    if again != text:
        raise Malformed(Reason.ENCODING, "not the canonical encoding of its bytes")
    if length is not None and len(data) != length:
        raise Malformed(Reason.ENCODING, f"{len(data)} bytes where {length} belong")
    return data
