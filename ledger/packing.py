"""Making record parts small before they are sealed, and giving them back byte for byte.

::

    packed    u8 packing ‖ [u8 dictionary] ‖ [JWS] ‖ [u24 length ‖ ids] ‖ text
    JWS       u16 header length ‖ u8 signature length ‖ signature

Bit 0 of `packing`: the text is a Zstandard frame (RFC 8878) without magic number and checksum, compressed with the
dictionary of that number. Bit 1: the part is a compact JWS, its base64url taken off; the text is header and payload.
Bit 2, with bit 1 only: JSON strings that are base64url of 16, 32 or 64 bytes were taken out; they stand in `ids` as
bytes, in the text a byte 1, 2 or 3 in place of the string and its quotes, which no JSON holds. Each step is taken only
where it can be taken back. See docs/formats/record.md.
"""

from __future__ import annotations

import re
import threading
from binascii import a2b_base64
from functools import cache
from importlib import resources
from typing import Final

import zstandard

from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed

MAX_PART: Final = 16 * 1024 * 1024
"""Longest part in bytes."""

DICTIONARY: Final = 1
"""The dictionary with which parts are compressed now; those of lower numbers stay for what was written before."""

_ZSTD = 1
_JWS = 2
_IDS = 4
_LEVEL: Final = 1
# Fewer bytes than this leave nothing to save.
_COMPRESS_FROM: Final = 16

# Last letters with spare bits that are not zero do not match: what they spell would come back spelt otherwise.
_ID = re.compile(rb'"([\w-]{21}(?:[AQgw]|[\w-]{21}[AEIMQUYcgkosw048]|[\w-]{64}[AQgw]))"', re.ASCII)
_MARKS: Final = {22: b"\x01", 43: b"\x02", 86: b"\x03"}
_SIZES: Final = {b"\x01": 16, b"\x02": 32, b"\x03": 64}
_MARK = re.compile(rb"([\x01-\x03])")
_TO_PLAIN = bytes.maketrans(b"-_", b"+/")

_own = threading.local()
"""A (de)compressor is used by one thread at a time, so each thread has its own."""


Segments = tuple[bytes, bytes, bytes]
"""Header, payload and signature of a compact JWS, before base64url."""


def pack(part: bytes, segments: Segments | None = None) -> bytes:
    """Give `part`, at most `MAX_PART` bytes, as small as it gets; `segments` are its own, where they are at hand."""
    packing, head, text = reduce(part, segments)
    if len(text) >= _COMPRESS_FROM:
        small = _compressor().compress(text)
        if len(small) < len(text):
            return bytes((packing | _ZSTD, DICTIONARY)) + head + small
    return bytes((packing,)) + head + text


def reduce(part: bytes, segments: Segments | None = None) -> tuple[int, bytes, bytes]:
    """Give what is compressed of `part` last, behind the packing so far and the bytes that nothing makes smaller."""
    header, payload, signature = segments or _segments(part) or (b"", b"", b"")
    if not header or len(header) > 0xFFFF or len(signature) > 0xFF:
        return 0, b"", part
    packing, text = _JWS, header + payload
    head = len(header).to_bytes(2, "big") + len(signature).to_bytes(1, "big") + signature
    parts = _ID.split(text)
    if len(parts) > 1:
        found = parts[1::2]
        parts[1::2] = [_MARKS[len(each)] for each in found]
        marked = b"".join(parts)
        if sum(map(marked.count, _SIZES)) == len(found):  # or something in the text looks like a mark
            packing |= _IDS
            ids = b"".join([a2b_base64(each.translate(_TO_PLAIN) + b"==") for each in found])
            head += len(ids).to_bytes(3, "big") + ids
            text = marked
    return packing, head, text


def unpack(data: bytes) -> bytes:
    """Give the part that `pack` made `data` of. Raises `ValueError` for what it would never have made."""
    text, header, signature = _opened(data)
    if header is None:
        return text
    return ".".join(map(b64u_encode, (text[:header], text[header:], signature))).encode("ascii")


def unpack_payload(data: bytes) -> bytes | None:
    """Give the payload of the compact JWS that `pack` made `data` of, `None` where it was no such JWS.

    Raises `ValueError` as `unpack` does.
    """
    text, header, _ = _opened(data)
    return None if header is None else text[header:]


def _opened(data: bytes) -> tuple[bytes, int | None, bytes]:
    """Give the text of a part, without base64url that was taken off; then how long its header is, and its signature."""
    if not data:
        raise ValueError("nothing was packed")
    packing, at = data[0], 1
    number, signature, header = 0, b"", None
    if packing & _ZSTD:
        number, at = int.from_bytes(data[1:2], "big"), 2
    if packing & _JWS:
        header, start = int.from_bytes(data[at : at + 2], "big"), at + 3
        at = start + int.from_bytes(data[at + 2 : start], "big")
        signature = data[start:at]
    ids = b""
    if packing & _IDS:
        end = at + 3 + int.from_bytes(data[at : at + 3], "big")
        ids, at = data[at + 3 : end], end
    text = data[at:]
    if packing & _ZSTD:
        text = _decompressed(number, text)
    if packing & _IDS:
        text = _with_ids(text, ids)
    return text, header, signature


def _segments(part: bytes) -> Segments | None:
    """Take the base64url off a compact JWS; `None` for anything else."""
    if part[:1] == b"{" or part.count(b".") != 2:
        return None
    try:
        # What is not the one encoding of its bytes is refused, so what comes back is what was taken apart.
        header, payload, signature = map(b64u_decode, part.decode("ascii").split("."))
    except (UnicodeDecodeError, Malformed):
        return None
    return header, payload, signature


def _with_ids(text: bytes, ids: bytes) -> bytes:
    parts, at = _MARK.split(text), 0
    for position in range(1, len(parts), 2):
        end = at + _SIZES[parts[position]]
        parts[position] = b'"' + b64u_encode(ids[at:end]).encode("ascii") + b'"'
        at = end
    if at != len(ids):
        raise ValueError("more identifiers than places for them")
    return b"".join(parts)


def _compressor() -> zstandard.ZstdCompressor:
    found: zstandard.ZstdCompressor | None = getattr(_own, "compressor", None)
    if found is None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=True, write_dict_id=False
        )
        _own.compressor = found = zstandard.ZstdCompressor(
            dict_data=_dictionary(DICTIONARY), compression_params=parameters
        )
    return found


def _decompressed(number: int, frame: bytes) -> bytes:
    known: dict[int, zstandard.ZstdDecompressor] | None = getattr(_own, "decompressors", None)
    if known is None:
        _own.decompressors = known = {}
    found = known.get(number)
    if found is None:
        known[number] = found = zstandard.ZstdDecompressor(
            dict_data=_dictionary(number), format=zstandard.FORMAT_ZSTD1_MAGICLESS
        )
    try:
        return found.decompress(frame, max_output_size=MAX_PART)
    except zstandard.ZstdError as error:
        raise ValueError("no frame of ours") from error


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    file = resources.files("ledger").joinpath("dictionaries", f"record-{number}.zstd-dictionary")
    try:
        return zstandard.ZstdCompressionDict(file.read_bytes())
    except OSError as error:
        raise ValueError(f"no dictionary {number}") from error
