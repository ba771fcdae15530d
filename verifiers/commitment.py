"""What a log entry commits to, and the opening that lets a verifier recompute it from the licence presented.

::

    commit = H("elicence/commit/v1\\0" ‖ Hdoc ‖ Hrec)
    Hdoc   = H(0x00 ‖ salt_d[32] ‖ H(JWS signing input) ‖ H(COSE Sig_structure))     all-zero digest: no such document
    Hrec   = H(0x01 ‖ u32 number of parts ‖ H(salt[32] ‖ part) for each part in order)

An erased part keeps its digest and so its place. `ref` of the n-th event of a thing is HMAC-SHA-256 under a secret kept
in that thing's record: only those shown the secret can follow the thing. See `docs/formats/commitment.md`.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from verifiers import entry
from verifiers.errors import Malformed, OpeningFailed, Reason

DIGEST_SIZE = 32
REF_SIZE = 16
NO_DOCUMENT = bytes(DIGEST_SIZE)
"""Stands where an entry has no licence document or no static code."""

_COMMIT_TAG = b"elicence/commit/v1\0"
_OPENING_VERSION = 1
_OPENING_HEAD = 1 + 4 * DIGEST_SIZE


def jws_digest(signing_input: bytes) -> bytes:
    """Give H of a licence's JWS signing input, the ASCII bytes `header.payload` (RFC 7515 §5.1)."""
    return sha256(signing_input).digest()


def code_digest(sig_structure: bytes) -> bytes:
    """Give H of a static code's COSE Sig_structure bytes (RFC 9052 §4.4)."""
    return sha256(sig_structure).digest()


def doc_hash(salt_d: bytes, jws: bytes = NO_DOCUMENT, code: bytes = NO_DOCUMENT) -> bytes:
    """Give Hdoc from the document salt and the two digests, 32 bytes each."""
    _require_digests(salt_d, jws, code)
    return sha256(b"\x00" + salt_d + jws + code).digest()


def part_digest(salt: bytes, part: bytes) -> bytes:
    """Give the digest of one record part under its own 32-byte salt."""
    _require_digests(salt)
    return sha256(salt + part).digest()


def record_hash(digests: Sequence[bytes]) -> bytes:
    """Give Hrec from the digests of all parts in order."""
    _require_digests(*digests)
    return sha256(b"\x01" + len(digests).to_bytes(4, "big") + b"".join(digests)).digest()


def commit(hdoc: bytes, hrec: bytes) -> bytes:
    """Give the commitment of an entry from its two halves."""
    _require_digests(hdoc, hrec)
    return sha256(_COMMIT_TAG + hdoc + hrec).digest()


def event_ref(secret: bytes, number: int) -> bytes:
    """Give the 16-byte `ref` of event `number` (from 0) of the thing whose 32-byte secret this is."""
    _require_digests(secret)
    return hmac.digest(secret, number.to_bytes(8, "big"), "sha256")[:REF_SIZE]


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a log entry to a document: carried as the `extra` of a receipt.

    Nothing in it is believed: `open_leaf` recomputes the commitment, the receipt proves the leaf is in the log, and the
    caller compares `jws` and `code` with what was presented.
    """

    salt_d: bytes
    jws: bytes
    code: bytes
    hrec: bytes
    leaf: bytes

    def to_bytes(self) -> bytes:
        """Give 0x01 ‖ salt_d ‖ jws ‖ code ‖ hrec ‖ leaf bytes."""
        _require_digests(self.salt_d, self.jws, self.code, self.hrec)
        return bytes((_OPENING_VERSION,)) + self.salt_d + self.jws + self.code + self.hrec + self.leaf

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises `Malformed` on another version or a length that cannot be right."""
        if not _OPENING_HEAD < len(data) <= _OPENING_HEAD + entry.MAX_BYTES:
            raise Malformed(Reason.RECEIPT, "an opening of impossible length")
        if data[0] != _OPENING_VERSION:
            raise Malformed(Reason.RECEIPT, f"opening version {data[0]}")
        ends = range(1, _OPENING_HEAD, DIGEST_SIZE)
        salt_d, jws, code, hrec = (data[at : at + DIGEST_SIZE] for at in ends)
        return cls(salt_d, jws, code, hrec, data[_OPENING_HEAD:])


def open_leaf(opening: Opening) -> entry.Leaf:
    """Give the leaf of `opening` once its commitment has been recomputed.

    Raises `Malformed` when the leaf is no entry, `OpeningFailed` when it commits to something else.
    """
    leaf = entry.parse(opening.leaf)
    found = commit(doc_hash(opening.salt_d, opening.jws, opening.code), opening.hrec)
    if not hmac.compare_digest(found, leaf.commit):
        raise OpeningFailed(Reason.RECEIPT_OPENING, "the entry commits to something else")
    return leaf


def _require_digests(*values: bytes) -> None:
    for value in values:
        if len(value) != DIGEST_SIZE:
            message = f"{len(value)} bytes where 32 belong"
            raise ValueError(message)
