"""The printed (static) code: a licence's essentials, signed by its department, small enough for a QR code of 4 cm.

    HTTPS://HOST/V#<BASE32 of a COSE_Sign1>

The signed bytes stand behind the `#`, so a phone that follows the link never sends them; HOST is not signed and selects
no trust. COSE_Sign1 (RFC 9052 §4.2) with tag 18, protected {alg: ES256, kid: 8 bytes}, nothing unprotected, and a fixed
binary payload: type, issuer and list as small numbers that the trust list explains. See docs/formats/static-code.md.
"""

import datetime as dt
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from verifiers.encoding import b32_decode, b32_encode
from verifiers.errors import Malformed, Reason

VERSION: Final = 1
LENGTH_MAX: Final = 180
"""Most bytes in all, so that with a host of 40 characters the QR code stays within version 13 at level Q."""

TEXT_MAX: Final = 1024
NAME_BYTES_MAX: Final = 36
SERIAL_LENGTH_MAX: Final = 40

_EPOCH = dt.date(2000, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_OPEN_ENDED = 0xFFFF
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SERIAL = re.compile(r"[0-9A-Z]{1,40}")
_HEAD = b"\xd2\x84\x4d\xa2\x01\x26\x04\x48"  # tag 18, array(4), bstr(13), {1: -7, 4: bstr(8) …
_CONTEXT = b"\x84\x6aSignature1"
_KID_LENGTH = 8
_PROTECTED_END = len(_CONTEXT) + len(_HEAD) - 2 + _KID_LENGTH
_NUMBERS = struct.Struct(">BHHHHHHI")
_PREFIX = re.compile(r"HTTPS?://[A-Z0-9.\-:]{1,80}/V")


@dataclass(slots=True)  # not frozen: made for every row
class CodePayload:
    """What a static code says; the three numbers are those of the trust list. `valid_until` `None` means 长期.

    `name` is the first holder's, at most 36 UTF-8 bytes; `name_cut` tells that it was longer, `several_holders` that
    there are more.
    """

    type_number: int
    issuer_number: int
    version: int
    valid_from: dt.date
    valid_until: dt.date | None
    list_number: int
    status_idx: int
    serial: str
    name: str
    name_cut: bool = False
    several_holders: bool = False


@dataclass(frozen=True, slots=True)
class UnverifiedCode:
    """A static code as scanned, parsed but believed by nobody yet; `kid` is the first 8 bytes of the key's id."""

    kid: bytes
    payload: CodePayload
    sig_structure: bytes
    signature: bytes


def cut_name(name: str) -> tuple[str, bool]:
    """`name` within 36 UTF-8 bytes, whole characters only, and whether anything was cut off."""
    data = name.encode("utf-8")
    if len(data) <= NAME_BYTES_MAX:
        return name, False
    return data[:NAME_BYTES_MAX].decode("utf-8", errors="ignore"), True


def sig_structure(payload: CodePayload, kid: bytes) -> bytes:
    """The bytes to sign (RFC 9052 §4.4) for `payload` under the key whose id begins with the 8 bytes `kid`.

    Raises `ValueError` where a number, date, serial or name does not fit its place.
    """
    if len(kid) != _KID_LENGTH:
        raise ValueError("a key id has 8 bytes")
    return _sig_structure(kid, format_payload(payload))


def build_code(payload: CodePayload, kid: bytes, signature: bytes) -> bytes:
    """The whole COSE_Sign1; `signature` is 64 bytes r‖s over `sig_structure(payload, kid)`."""
    return signed_code(sig_structure(payload, kid), signature)


def signed_code(structure: bytes, signature: bytes) -> bytes:
    """The whole COSE_Sign1 for what `sig_structure` gave, and 64 bytes r‖s over it."""
    if len(signature) != 64:
        raise ValueError("a signature has 64 bytes")
    protected, payload = structure[len(_CONTEXT) : _PROTECTED_END], structure[_PROTECTED_END + 1 :]
    return _HEAD[:2] + protected + b"\xa0" + payload + b"\x58\x40" + signature


def parse_code(cose: bytes) -> UnverifiedCode:
    """The code in `cose`. Raises `Malformed` with `code.malformed` unless `build_code` would write the same bytes."""
    if len(cose) > LENGTH_MAX or not cose.startswith(_HEAD):
        raise _malformed("not our COSE_Sign1")
    kid, rest = cose[8:16], cose[16:]
    signature = rest[-64:]
    if len(kid) != 8 or len(rest) < 69 or rest[:1] != b"\xa0" or rest[-66:-64] != b"\x58\x40":
        raise _malformed("not our COSE_Sign1")
    body = rest[1:-66]
    data = body[1:] if body[0] < 0x58 else body[2:]
    if body != _byte_string(data):
        raise _malformed("the payload's length is not as it says")
    return UnverifiedCode(kid, parse_payload(data), _sig_structure(kid, data), signature)


def code_text(base: str, cose: bytes) -> str:
    """The text to print: `base` (`https://host[:port]`) in capitals, `/V#` and the code.

    Raises `ValueError` where `base` is no bare host.
    """
    prefix = base.rstrip("/").upper() + "/V"
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("the base URL of a code is scheme, host and port")
    return f"{prefix}#{b32_encode(cose)}"


def parse_code_text(text: str) -> UnverifiedCode:
    """The code in a scanned text; white space around it, as scanners add, is dropped.

    Raises `Malformed` with `code.malformed`.
    """
    if len(text) > TEXT_MAX:
        raise _malformed(f"longer than {TEXT_MAX} characters")
    prefix, mark, code = text.strip().partition("#")
    if not mark or not _PREFIX.fullmatch(prefix):
        raise _malformed("not of the form HTTPS://HOST/V#…")
    try:
        cose = b32_decode(code)
    except Malformed as error:
        raise _malformed(error.detail) from None
    return parse_code(cose)


def segments(text: str) -> tuple[tuple[str, str], ...]:
    """The three QR segments of a code's text, each with its mode: only the `#` needs a byte.

    Raises `Malformed` with `code.malformed` where `text` is no code.
    """
    parse_code_text(text)
    prefix, mark, code = text.strip().partition("#")
    return (("alphanumeric", prefix), ("byte", mark), ("alphanumeric", code))


def format_payload(payload: CodePayload) -> bytes:
    """The fixed binary form, all numbers big-endian. Raises `ValueError` where something does not fit."""
    name = payload.name.encode("utf-8")
    if not 1 <= len(name) <= NAME_BYTES_MAX:
        raise ValueError(f"a name has 1 to {NAME_BYTES_MAX} UTF-8 bytes")
    if not 1 <= payload.version <= 999:
        raise ValueError("a version is 1 to 999")
    flags = len(name) | payload.name_cut << 7 | payload.several_holders << 6
    until = _OPEN_ENDED if payload.valid_until is None else _day_number(payload.valid_until)
    try:
        numbers = _NUMBERS.pack(
            VERSION,
            payload.type_number,
            payload.issuer_number,
            payload.version,
            _day_number(payload.valid_from),
            until,
            payload.list_number,
            payload.status_idx,
        )
    except struct.error as error:
        raise ValueError("a number does not fit its place") from error
    return numbers + _pack_serial(payload.serial) + bytes((flags,)) + name


def parse_payload(data: bytes) -> CodePayload:
    """The payload in `data`. Raises `Malformed` with `code.malformed` unless `format_payload` would write the same."""
    if len(data) < 21 or data[0] != VERSION:
        raise _malformed("a payload of another version")
    numbers = [int.from_bytes(data[place : place + 2]) for place in range(1, 13, 2)]
    length = data[17]
    if not 1 <= length <= SERIAL_LENGTH_MAX:
        raise _malformed("a serial of impossible length")
    name_at = 18 + _serial_bytes(length)
    flags = data[name_at] if name_at < len(data) else 0
    try:
        payload = CodePayload(
            type_number=numbers[0],
            issuer_number=numbers[1],
            version=numbers[2],
            valid_from=_day(numbers[3]),
            valid_until=None if numbers[4] == _OPEN_ENDED else _day(numbers[4]),
            list_number=numbers[5],
            status_idx=int.from_bytes(data[13:17]),
            serial=_unpack_serial(data[18:name_at], length),
            name=data[name_at + 1 :].decode("utf-8"),
            name_cut=bool(flags & 0x80),
            several_holders=bool(flags & 0x40),
        )
        if format_payload(payload) == data:
            return payload
    except ValueError:
        raise _malformed("a payload with an impossible value") from None
    raise _malformed("a payload that is not in the one form")


def _sig_structure(kid: bytes, data: bytes) -> bytes:
    return _CONTEXT + _HEAD[2:] + kid + b"\x40" + _byte_string(data)


def _byte_string(data: bytes) -> bytes:
    """CBOR byte string of at most 255 bytes in its shortest form."""
    head = bytes((0x40 + len(data),)) if len(data) < 24 else bytes((0x58, len(data)))
    return head + data


def _day_number(day: dt.date) -> int:
    number = day.toordinal() - _EPOCH_DAY
    if not 0 <= number < _OPEN_ENDED:
        raise ValueError("a date outside 2000 to 2179")
    return number


def _day(number: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=number)


@lru_cache(maxsize=SERIAL_LENGTH_MAX)
def _serial_bytes(length: int) -> int:
    largest: int = 36**length - 1
    return (largest.bit_length() + 7) // 8


def _pack_serial(serial: str) -> bytes:
    """One byte of length and the serial as a base-36 number, so that leading zeros survive."""
    if not _SERIAL.fullmatch(serial):
        raise ValueError("a serial has 1 to 40 characters 0-9 A-Z")
    return bytes((len(serial),)) + int(serial, 36).to_bytes(_serial_bytes(len(serial)))


def _unpack_serial(data: bytes, length: int) -> str:
    number = int.from_bytes(data)
    characters = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        characters.append(_ALPHABET[digit])
    if number:
        raise ValueError("a serial that does not fit its length")
    return "".join(reversed(characters))


def _malformed(detail: str) -> Malformed:
    return Malformed(Reason.CODE, detail)
