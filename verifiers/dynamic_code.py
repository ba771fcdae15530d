"""The dynamic code on a phone: a handle and a keyed digest of the current half-minute.

    HTTPS://HOST/C/<BASE32 of version ‖ handle[10] ‖ slice mod 256 ‖ mac[10]>

Handle and key belong to one prepared presentation; the phone mints a new text every 30 seconds without a server. Only
the issuing service can match one, so offline a dynamic code is never more than undetermined. See
docs/formats/dynamic-code.md.
"""

import datetime as dt
import hmac
import re
from dataclasses import dataclass
from typing import Final

from verifiers.encoding import b32_decode, b32_encode
from verifiers.errors import Malformed, Reason, VerificationError

SLICE_S: Final = 30
"""Length of a slice in seconds."""

VERSION: Final = 1
HANDLE_LENGTH: Final = 10
KEY_LENGTH: Final = 32
TEXT_MAX: Final = 256

_MAC_LENGTH = 10
_CONTEXT = b"elicence/dynamic/v1\0"
_PREFIX = re.compile(r"HTTPS?://[A-Z0-9.\-:]{1,80}/C/")
_TOLERATED = (0, -1, 1)


@dataclass(frozen=True, slots=True)
class DynamicCode:
    """A dynamic code as scanned, not yet matched; `slice_low` is the slice number modulo 256."""

    handle: bytes
    slice_low: int
    mac: bytes


def slice_at(at: dt.datetime) -> int:
    """The number of the slice that the aware instant `at` lies in."""
    return int(at.timestamp()) // SLICE_S


def mint(base: str, handle: bytes, key: bytes, at: dt.datetime) -> str:
    """The text to show at `at` for the presentation `handle` (10 bytes) with `key` (32 bytes).

    Raises `ValueError` where a length is wrong or `base` is no bare host.
    """
    prefix = base.rstrip("/").upper() + "/C/"
    if len(handle) != HANDLE_LENGTH or len(key) != KEY_LENGTH or not _PREFIX.fullmatch(prefix):
        raise ValueError("a handle has 10 bytes, a key 32, and a base URL is scheme, host and port")
    number = slice_at(at)
    return prefix + b32_encode(bytes((VERSION,)) + handle + bytes((number % 256,)) + _mac(key, handle, number))


def parse_dynamic_code(text: str) -> DynamicCode:
    """The code in a scanned text, with or without its link; white space around it is dropped.

    Raises `Malformed` with `dynamic.malformed`.
    """
    if len(text) > TEXT_MAX:
        raise Malformed(Reason.DYNAMIC, f"longer than {TEXT_MAX} characters")
    text = text.strip()
    link = _PREFIX.match(text)
    try:
        data = b32_decode(text[link.end() :] if link else text, 2 + HANDLE_LENGTH + _MAC_LENGTH)
    except Malformed as error:
        raise Malformed(Reason.DYNAMIC, error.detail) from None
    if data[0] != VERSION:
        raise Malformed(Reason.DYNAMIC, "a code of another version")
    return DynamicCode(data[1:11], data[11], data[12:])


def match(code: DynamicCode, key: bytes, at: dt.datetime) -> int:
    """The slice number in which `code` was minted with `key`, the current one or a neighbour.

    Raises `VerificationError` with `dynamic.clock_skew` where the digest is right for another half-minute within two
    hours (the phone's clock, or ours, is wrong, or the code is old), and with `dynamic.mac` where it is wrong.
    """
    now = slice_at(at)
    for offset in _TOLERATED:
        if _fits(code, key, now + offset):
            return now + offset
    for offset in (*range(-240, -1), *range(2, 241)):
        if _fits(code, key, now + offset):
            detail = f"the code is of a time {offset * SLICE_S} s from ours"
            raise VerificationError(Reason.DYNAMIC_SKEW, detail, "code")
    raise VerificationError(Reason.DYNAMIC_MAC, "the code was not minted for this presentation", "code")


def _fits(code: DynamicCode, key: bytes, number: int) -> bool:
    return number % 256 == code.slice_low and hmac.compare_digest(_mac(key, code.handle, number), code.mac)


def _mac(key: bytes, handle: bytes, number: int) -> bytes:
    return hmac.digest(key, _CONTEXT + handle + number.to_bytes(8), "sha256")[:_MAC_LENGTH]
