"""An entry commits to its document and its record, and only the right opening opens it."""

from __future__ import annotations

import dataclasses
import hmac
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import commitment, entry
from verifiers.commitment import Opening
from verifiers.errors import Malformed, OpeningFailed, Reason, VerificationError

SALT, JWS, CODE = (bytes([fill]) * 32 for fill in (1, 2, 3))
PARTS = [commitment.part_digest(bytes([fill]) * 32, b"part") for fill in (4, 5)]
HREC = commitment.record_hash(PARTS)


def opening(jws: bytes = JWS) -> Opening:
    """An opening of a leaf that commits to `jws`, `CODE` and the record."""
    commit = commitment.commit(commitment.doc_hash(SALT, jws, CODE), HREC)
    at = datetime(2026, 11, 21, 8, tzinfo=UTC)
    leaf = entry.Leaf("licence.issued", at, "91350211M000100Y43", bytes(16), commit, entry.FIRST_PREV)
    return Opening(SALT, jws, CODE, HREC, entry.encode(leaf))


def test_formulas_to_the_byte() -> None:
    """The commitment spelt out with nothing but SHA-256 and concatenation."""
    assert commitment.doc_hash(SALT, JWS, CODE) == sha256(b"\x00" + SALT + JWS + CODE).digest()
    assert commitment.doc_hash(SALT) == sha256(b"\x00" + SALT + bytes(64)).digest()
    assert PARTS[0] == sha256(b"\x04" * 32 + b"part").digest()
    assert commitment.record_hash(PARTS) == sha256(b"\x01\x00\x00\x00\x02" + PARTS[0] + PARTS[1]).digest()
    assert commitment.commit(JWS, HREC) == sha256(b"elicence/commit/v1\x00" + JWS + HREC).digest()
    assert commitment.event_ref(SALT, 7) == hmac.new(SALT, bytes(7) + b"\x07", sha256).digest()[:16]
    assert commitment.jws_digest(b"h.p") == sha256(b"h.p").digest() == commitment.code_digest(b"h.p")


@pytest.mark.parametrize("member", ["salt_d", "jws", "code", "hrec"])
def test_an_opening_with_a_digest_of_another_length_is_not_written(member: str) -> None:
    """Whoever read it would cut it elsewhere."""
    with pytest.raises(ValueError, match="31 bytes where 32 belong"):
        dataclasses.replace(opening(), **{member: bytes(31)}).to_bytes()


def test_the_right_opening_opens() -> None:
    """An opening survives its bytes and gives the leaf it is of."""
    given_opening = opening()
    restored = Opening.from_bytes(given_opening.to_bytes())

    assert restored == given_opening
    assert entry.encode(commitment.open_leaf(restored)) == given_opening.leaf


@pytest.mark.parametrize("member", ["salt_d", "jws", "code", "hrec"])
def test_an_opening_to_anything_else_fails(member: str) -> None:
    """A leaf opens to one salt, one document, one code and one record."""
    with pytest.raises(OpeningFailed) as caught:
        commitment.open_leaf(dataclasses.replace(opening(), **{member: bytes(32)}))

    assert caught.value.reason is Reason.RECEIPT_OPENING


def test_every_flipped_byte_of_an_opening_is_refused_or_another_leaf() -> None:
    """Outside the leaf nothing can change; inside it only what the inclusion proof then refuses."""
    data = opening().to_bytes()

    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            commitment.open_leaf(Opening.from_bytes(bytes(changed)))
        except VerificationError:
            continue
        assert at >= 129 and bytes(changed[129:]) != data[129:]


def test_an_erased_part_keeps_its_place() -> None:
    """The record hash depends on number and order of the parts, and on nothing but their digests."""
    assert commitment.record_hash(PARTS) != commitment.record_hash(PARTS[::-1])
    assert commitment.record_hash(PARTS) != commitment.record_hash(PARTS[:1])
    assert commitment.record_hash([]) != commitment.record_hash([bytes(32)])


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    """Nothing but a `VerificationError` comes of bytes that are no opening."""
    for candidate in (data, b"\x01" + data.ljust(200)):
        with pytest.raises(VerificationError):
            commitment.open_leaf(Opening.from_bytes(candidate))


def test_openings_have_bounds() -> None:
    """No leaf, a leaf of more than 4 KiB or another version is refused before anything is hashed."""
    head = b"\x01" + bytes(128)
    for data in (b"", head, head + bytes(4097), b"\x02" + bytes(200)):
        with pytest.raises(Malformed):
            Opening.from_bytes(data)


def test_digests_of_another_length_are_the_callers_mistake() -> None:
    """Hash inputs without lengths of their own take 32 bytes each or nothing."""
    with pytest.raises(ValueError, match="32"):
        commitment.doc_hash(b"")
    with pytest.raises(ValueError, match="32"):
        commitment.part_digest(b"short", b"")
    with pytest.raises(ValueError, match="32"):
        commitment.record_hash([b""])
    with pytest.raises(ValueError, match="32"):
        commitment.commit(JWS, b"")
    with pytest.raises(ValueError, match="32"):
        commitment.event_ref(b"", 0)
