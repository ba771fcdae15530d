"""The request to a witness has one form: what is read prints the same, and what is printed reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from tests.verifiers.log_world import LOG_KEYS, Log, sign
from verifiers import add_checkpoint, merkle
from verifiers.add_checkpoint import AddCheckpoint, format_request, origin_hash, parse_request
from verifiers.encoding import b64_encode
from verifiers.errors import Malformed, Reason
from verifiers.note import MAX_LINES, signature_line

NOTE = sign(Log.of(3).head)
HASHES = (b"\1" * 32, b"\2" * 32)
REQUEST = format_request(2, HASHES, NOTE)

hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=add_checkpoint.MAX_PROOF)
texts = st.text(min_size=1).filter(lambda text: not any("\ud800" <= each <= "\udfff" for each in text))


@given(st.integers(0, merkle.MAX_SIZE), hashes, texts)
def test_what_is_printed_reads_the_same(old: int, proof: list[bytes], note: str) -> None:
    """Whatever a note may hold, empty lines included: the first empty line ends the proof."""
    assert parse_request(format_request(old, proof, note)) == AddCheckpoint(old, tuple(proof), note)


@given(st.lists(st.sampled_from([b"old ", b"0", b"7", b"\n", b" ", b"=", b"A" * 43, b"\xff", "—".encode()])))
def test_what_is_read_prints_the_same(parts: list[bytes]) -> None:
    """Bytes are either refused as malformed or exactly what `format_request` gives."""
    data = b"".join(parts)
    try:
        read = parse_request(data)
    except Malformed:
        return
    assert format_request(read.old, read.proof, read.note_text) == data


def test_a_note_may_come_as_bytes() -> None:
    """As it came from a file or another service."""
    assert format_request(2, HASHES, NOTE.encode()) == REQUEST


def test_a_request_has_room_for_a_note_with_all_the_lines_it_may_have() -> None:
    """Sixty-three hashes and sixty-four post-quantum lines fit."""
    key = LOG_KEYS[1][0]
    lines = signature_line(key, bytes(2420), 1).to_text() * MAX_LINES

    data = format_request(merkle.MAX_SIZE, [bytes(32)] * 63, f"{key.name}\n1\n{b64_encode(bytes(32))}\n\n{lines}")

    assert len(data) < add_checkpoint.MAX_BYTES
    assert len(parse_request(data).proof) == 63


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("old 2", "old 02"),
        ("old 2", "old +2"),
        ("old 2", "old -2"),
        ("old 2", "old 2 "),
        ("old 2", "old  2"),
        ("old 2", "Old 2"),
        ("old 2", "old"),
        ("old 2", "old \uff12"),
        ("old 2", "old 9223372036854775808"),
        ("old 2", "old 99999999999999999999"),
        ("old 2\n", ""),
        ("old 2\n", "\n"),
        ("AQE=\n", "AQF=\n"),
        ("AQE=\n", "AQE\n"),
        ("AQE=\n", "AQE= \n"),
        ("AQE=\n", "AQE=\r\n"),
        ("AQEBAQE=\n", "AQE=\n"),
        ("old 2\n", "old 2\n" + ("A" * 43 + "=\n") * 62),
        (NOTE, ""),
        ("\n\n", "\n"),
        ("old 2", "x" * 300_000),
    ],
)
def test_requests_refused(old: str, new: str) -> None:
    """Leading zeros, loose base64, a hash too long or too many, and parts left out are malformed."""
    text = REQUEST.decode()
    assert old in text
    with pytest.raises(Malformed) as refused:
        parse_request(text.replace(old, new).encode())

    assert refused.value.reason is Reason.WITNESS_REQUEST


def test_bytes_that_are_no_text_are_refused() -> None:
    """A request is UTF-8 throughout."""
    with pytest.raises(Malformed) as refused:
        parse_request(REQUEST + b"\xff")

    assert refused.value.reason is Reason.WITNESS_REQUEST


@pytest.mark.parametrize(
    ("old", "proof", "note"),
    [(-1, (), NOTE), (2**63, (), NOTE), (1, (b"x",), NOTE), (1, (bytes(32),) * 64, NOTE), (1, (), "")],
)
def test_a_caller_s_own_mistake_is_a_value_error(old: int, proof: tuple[bytes, ...], note: str) -> None:
    """Nothing is printed that could not be read."""
    with pytest.raises(ValueError, match="not a size"):
        format_request(old, proof, note)


def test_published_requests_read_and_print_the_same() -> None:
    """Torchwood's nine requests."""
    for step in vectors("tlog")["witness_add_checkpoint_sequence"]["steps"]:
        data = step["request"].encode()
        read = parse_request(data)
        assert format_request(read.old, read.proof, read.note_text) == data


def test_a_log_is_known_by_the_hash_of_its_origin() -> None:
    """The figure of Sunlight's witness for `rome2026h1.example.org`."""
    text = vectors("tlog")["cosignature_v1_ed25519"][0]["note"]

    assert origin_hash(text.split("\n")[0]) == "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"


def test_a_request_is_bounded_to_the_byte() -> None:
    """256 KiB, and 63 hashes."""
    assert (add_checkpoint.MAX_BYTES, add_checkpoint.MAX_PROOF) == (262_144, 63)
    room = add_checkpoint.MAX_BYTES - len(format_request(0, (), "x")) + 1
    assert parse_request(format_request(0, (), "x" * room)).note_text == "x" * room

    with pytest.raises(Malformed):
        parse_request(format_request(0, (), "x" * (room + 1)))
