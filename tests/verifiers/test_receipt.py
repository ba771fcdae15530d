"""A receipt shows one entry in one log, opened to its document; nothing else can be made of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import vectors
from tests.verifiers.log_world import POLICY, WITNESSES, Log, sign
from verifiers import checkpoint, commitment, merkle, receipt
from verifiers.checkpoint import Grade, LogPolicy
from verifiers.commitment import Opening
from verifiers.errors import Malformed, OpeningFailed, ProofFailed, Reason, VerificationError
from verifiers.note import NoteKey

LOG = Log.of(300)
NOTE = sign(LOG.head, witnesses=WITNESSES[:2])
TEXT = LOG.receipt(123, NOTE)


@pytest.mark.parametrize("index", [0, 1, 123, 255, 256, 298, 299])
def test_every_entry_has_a_receipt(index: int) -> None:
    """Made from tiles, read back, checked, and opened to the leaf and its digests."""
    text = LOG.receipt(index, NOTE)
    opened = receipt.check_receipt(text, POLICY)

    assert (opened.index, opened.checkpoint.grade) == (index, Grade.WITNESSED)
    assert opened.opening == LOG.openings[index]
    assert opened.opening.jws == commitment.jws_digest(b"%d" % index)
    assert opened.leaf.ref == index.to_bytes(16, "big")
    assert receipt.parse_receipt(text.encode()).to_text() == text


def test_the_proof_of_a_go_program() -> None:
    """A tlog-proof written by torchwood's `spicy`, with the first line of v1 put before it."""
    example = vectors("tlog")["proof_go_spicy_0_9_0"]
    key = NoteKey.from_text(example["vkey"])
    parsed = receipt.parse_receipt(receipt.HEADER + "\n" + example["file"])
    opened = checkpoint.open_checkpoint(parsed.checkpoint, LogPolicy(key.name, (key,)))

    receipt.check_inclusion(parsed, example["leaf"].encode(), opened)
    with pytest.raises(ProofFailed):
        receipt.check_inclusion(parsed, b"hello3\n", opened)
    with pytest.raises(Malformed):
        receipt.parse_receipt(example["file"])


def test_another_entrys_opening_is_refused() -> None:
    """The honest proof of one entry shows nothing about another, nor a leaf opened to another document."""
    mine, other = receipt.parse_receipt(TEXT), LOG.openings[124]
    with pytest.raises(ProofFailed) as moved:
        receipt.check_receipt(replace(mine, extra=other.to_bytes()).to_text(), POLICY)
    forged = replace(LOG.openings[123], jws=commitment.jws_digest(b"forged"))
    with pytest.raises(OpeningFailed) as stapled:
        receipt.check_receipt(replace(mine, extra=forged.to_bytes()).to_text(), POLICY)

    assert moved.value.reason is Reason.RECEIPT_INCLUSION
    assert stapled.value.reason is Reason.RECEIPT_OPENING


def test_a_receipt_without_an_opening_is_refused() -> None:
    """C2SP allows a proof without `extra`; a receipt of ours needs one."""
    bare = replace(receipt.parse_receipt(TEXT), extra=b"")

    assert receipt.parse_receipt(bare.to_text()) == bare
    with pytest.raises(Malformed):
        receipt.check_receipt(bare.to_text(), POLICY)


def test_a_shared_checkpoint_must_be_the_receipts_own() -> None:
    """Handing over another receipt's checkpoint is a programmer's error."""
    other = checkpoint.open_checkpoint(sign(LOG.head), POLICY)
    with pytest.raises(ValueError, match="another receipt"):
        receipt.open_receipt(receipt.parse_receipt(TEXT), other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("@v1", "@v2"),
        ("extra ", "extra  "),
        ("extra ", "Extra "),
        ("index 123", "index 0123"),
        ("index 123", "index +123"),
        ("index 123", "index 123 "),
        ("index 123", "index -1"),
        ("index 123", "index 9999999999999999999"),
        ("index 123\n", ""),
        ("index 123\n", "index 123\nAAAA\n"),
        ("index 123\n", "index 123\n" + ("A" * 43 + "=\n") * 60),
        ("\n", "\r\n"),
        (TEXT, ""),
        (TEXT, "x" * 400_000),
        (TEXT, receipt.HEADER),
        (TEXT, receipt.HEADER + "\n\n"),
        (TEXT, receipt.HEADER + "\nextra \nindex 0\n\n"),
    ],
)
def test_texts_refused(old: str, new: str) -> None:
    """Other spellings, missing lines and too many hashes are refused as malformed."""
    assert old in TEXT
    with pytest.raises(Malformed) as caught:
        receipt.parse_receipt(TEXT.replace(old, new))

    assert caught.value.reason is Reason.RECEIPT


@given(
    st.integers(0, merkle.MAX_SIZE - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=5),
    st.binary(max_size=40),
    st.text("a\n—", max_size=9),
)
def test_texts_read_back(index: int, hashes: list[bytes], extra: bytes, note: str) -> None:
    """`parse_receipt` undoes `to_text`."""
    made = receipt.Receipt(index, tuple(hashes), note, extra)

    assert receipt.parse_receipt(made.to_text()) == made


@given(
    st.text(max_size=60)
    | st.binary(max_size=60)
    | st.lists(st.sampled_from([receipt.HEADER, "\n", "\n\n", "extra AAAA", "index 0", "A" * 43 + "="])).map("".join)
)
def test_texts_are_canonical_or_refused(data: str | bytes) -> None:
    """What parses prints as it was, and nothing but a `VerificationError` comes of the rest."""
    try:
        parsed = receipt.parse_receipt(data)
    except VerificationError:
        return
    assert parsed.to_text() == (data if isinstance(data, str) else data.decode())


def test_every_flipped_byte_is_refused_or_in_a_strangers_line() -> None:
    """Before the checkpoint no byte is free; under it only the positions `docs/formats/checkpoint.md` lists."""
    data = TEXT.encode()
    signatures = data.index(b"\n\n", data.index(b"\n\n") + 2)
    opened = receipt.check_receipt(data, POLICY)

    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at * 5 + 1) % 7
        try:
            found = receipt.check_receipt(bytes(changed), POLICY)
        except VerificationError:
            continue
        assert at > signatures
        assert (found.index, found.leaf, found.opening) == (opened.index, opened.leaf, opened.opening)
        assert found.checkpoint.checkpoint == opened.checkpoint.checkpoint


@settings(max_examples=200)
@given(st.data())
def test_random_damage_never_crashes(data: st.DataObject) -> None:
    """Bytes cut, doubled or overwritten anywhere give a `VerificationError` or the same entry."""
    text = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(at, min(len(text), at + 80)))
        text[at:end] = data.draw(st.binary(max_size=4) | st.just(bytes(text[at:end]) * 2))
        if not text:
            return
    try:
        found = receipt.check_receipt(bytes(text), POLICY)
    except VerificationError:
        return
    assert found.leaf.ref == (123).to_bytes(16, "big")


def test_openings_with_extra_bytes_are_refused() -> None:
    """Bytes after the leaf are part of the leaf, and then it is none."""
    opening = LOG.openings[123]
    with pytest.raises(VerificationError):
        commitment.open_leaf(Opening.from_bytes(opening.to_bytes() + b"\n"))


def test_a_receipt_is_named_and_begins_as_c2sp_says() -> None:
    """tlog-proof, version 1."""
    assert (receipt.HEADER, receipt.SUFFIX) == ("c2sp.org/tlog-proof@v1", ".tlog-proof")


def test_a_receipt_has_at_most_sixty_four_hashes() -> None:
    """No tree of any size needs more."""
    for count, good in ((64, True), (65, False)):
        text = receipt.Receipt(0, (bytes(32),) * count, "note").to_text()
        if good:
            assert len(receipt.parse_receipt(text).hashes) == 64
            continue
        with pytest.raises(Malformed):
            receipt.parse_receipt(text)


def test_a_receipt_has_a_length_and_its_opening_too() -> None:
    """The last byte that may be there is read, one more is not."""
    for size, good in ((48 * 1024, True), (48 * 1024 + 1, False)):
        made = receipt.Receipt(0, (), "note", bytes(size))
        if good:
            assert receipt.parse_receipt(made.to_text()) == made
            continue
        with pytest.raises(Malformed):
            receipt.parse_receipt(made.to_text())
    head = receipt.Receipt(0, (), "").to_text()
    longest = head + "x" * (256 * 1024 + 64 * 1024 - len(head))
    assert receipt.parse_receipt(longest).to_text() == longest
    for data in (longest + "x", longest.encode() + b"x"):
        with pytest.raises(Malformed):
            receipt.parse_receipt(data)


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("index 0", 0),
        (f"index {merkle.MAX_SIZE - 1}", merkle.MAX_SIZE - 1),
        (f"index {merkle.MAX_SIZE}", None),
        ("index 10000000000000000000", None),
        ("index 00", None),
        ("index -1", None),
        ("index", None),
        ("extra AAAA", None),
        ("", None),
    ],
)
def test_an_index_is_that_of_a_leaf(line: str, index: int | None) -> None:
    """In decimal, below the largest size there is."""
    text = f"{receipt.HEADER}\n{line}\n\nnote"
    if index is not None:
        assert receipt.parse_receipt(text).index == index
        return
    with pytest.raises(Malformed) as caught:
        receipt.parse_receipt(text)
    assert caught.value.reason is Reason.RECEIPT
