"""C2SP tlog-witness: the request with which a log asks a witness for its cosignature.

::

    old <size>                      size the witness cosigned last, 0 if it never did
    <base64 hash>  × 0 … 63         proof that the tree of that size is the beginning of the one below
    <empty line>
    <checkpoint note, verbatim>

The answer is one or more signature lines (`note.parse_lines`). See `docs/formats/witness.md`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from verifiers.encoding import b64_decode, b64_encode
from verifiers.errors import Malformed, Reason
from verifiers.merkle import HASH_SIZE, MAX_SIZE

MAX_BYTES: Final = 256 * 1024
"""Longest request: 63 hashes take 3 kB, and the rest holds a note with all the post-quantum lines one may have."""

MAX_PROOF: Final = 63
"""Most hashes: a longer proof belongs to no tree of fewer than 2^63 leaves."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A parsed, *unverified* request: `note_text` is the whole signed note as it came, still to be read."""

    old: int
    proof: tuple[bytes, ...]
    note_text: str


def format_request(old: int, proof: Sequence[bytes], note: str | bytes) -> bytes:
    """Give the request that asks to go from size `old` to the checkpoint `note`, by `proof` (hashes of 32 bytes)."""
    text = note.decode() if isinstance(note, bytes) else note
    if not 0 <= old <= MAX_SIZE or len(proof) > MAX_PROOF or any(len(each) != HASH_SIZE for each in proof) or not text:
        message = "not a size, a consistency proof and a note"
        raise ValueError(message)
    return "".join((f"old {old}\n", *(f"{b64_encode(each)}\n" for each in proof), "\n", text)).encode()


def parse_request(data: bytes) -> AddCheckpoint:
    """Read a request without believing it. Raises `Malformed` unless `format_request` gives the same bytes."""
    if len(data) > MAX_BYTES:
        raise Malformed(Reason.WITNESS_REQUEST, f"longer than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(Reason.WITNESS_REQUEST, "not UTF-8") from error
    # No line before the note is empty, so the first empty line ends them; the note has one of its own.
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    match = _OLD.match(first)
    if not blank or not note or match is None or int(match[1]) > MAX_SIZE:
        raise Malformed(Reason.WITNESS_REQUEST, "no old size, proof, empty line and note")
    if len(lines) > MAX_PROOF:
        raise Malformed(Reason.WITNESS_REQUEST, f"more than {MAX_PROOF} hashes")
    return AddCheckpoint(int(match[1]), tuple(_hash(line) for line in lines), note)


def origin_hash(origin: str) -> str:
    """Give the name under which witnesses serve the newest checkpoint of a log: SHA-256 in lower-case hex."""
    return sha256(origin.encode()).hexdigest()


def _hash(line: str) -> bytes:
    try:
        return b64_decode(line, HASH_SIZE)
    except Malformed as error:
        raise Malformed(Reason.WITNESS_REQUEST, f"a line of the proof is {error.detail}") from error
