"""C2SP tlog-proof: one text that shows, off line and for ever, that an entry is in a log.

::

    c2sp.org/tlog-proof@v1
    extra <base64>                  our opening: salt, digests, record hash and the leaf itself
    index <decimal>
    <base64 hash> …                 audit path, leaf sibling first

    <checkpoint note, verbatim>

C2SP leaves `extra` unauthenticated; ours is bound in full, because its leaf is what the path proves and the rest must
recompute that leaf's commitment. See `docs/formats/receipt.md`, which lists the few bytes that may change unnoticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from verifiers import commitment, merkle, note
from verifiers.checkpoint import LogPolicy, SignedCheckpoint, open_checkpoint
from verifiers.commitment import Opening
from verifiers.encoding import b64_decode, b64_encode
from verifiers.entry import Leaf
from verifiers.errors import Malformed, ProofFailed, Reason

HEADER: Final = "c2sp.org/tlog-proof@v1"
SUFFIX: Final = ".tlog-proof"
MAX_BYTES: Final = note.MAX_BYTES + 64 * 1024
"""Longest receipt: a note, and room for `extra` and 64 hashes."""

_MAX_EXTRA: Final = 48 * 1024
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed, *unverified* receipt; `checkpoint` is the whole signed note."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""

    def to_text(self) -> str:
        """Give the receipt as it travels; without the `extra` line when that is empty."""
        head = [HEADER]
        if self.extra:
            head.append(f"extra {b64_encode(self.extra)}")
        head.append(f"index {self.index}")
        head.extend(b64_encode(value) for value in self.hashes)
        return "\n".join(head) + "\n\n" + self.checkpoint


@dataclass(frozen=True, slots=True)
class OpenedReceipt:
    """An entry shown to be in a log: number `index`, `leaf`, under `checkpoint`, and the opening of its commitment.

    Whether `opening.jws` and `opening.code` are those of the documents presented is for the caller to compare.
    """

    index: int
    leaf: Leaf
    opening: Opening
    checkpoint: SignedCheckpoint


def compose(opening: Opening, index: int, hashes: list[bytes], checkpoint: str) -> str:
    """Give the text of the receipt for entry `index`, from its audit path and a signed checkpoint note."""
    return Receipt(index, tuple(hashes), checkpoint, opening.to_bytes()).to_text()


def parse_receipt(data: str | bytes) -> Receipt:
    """Read a receipt without believing it. Raises `Malformed` unless `Receipt.to_text` gives the same text."""
    if len(data) > MAX_BYTES:
        raise Malformed(Reason.RECEIPT, f"longer than {MAX_BYTES} bytes")
    try:
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise Malformed(Reason.RECEIPT, "not UTF-8") from error
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != HEADER:
        raise Malformed(Reason.RECEIPT, f"does not begin with {HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = _decoded(lines.pop(0).removeprefix("extra "), None)
        if not 0 < len(extra) <= _MAX_EXTRA:
            raise Malformed(Reason.RECEIPT, "an `extra` of impossible length")
    match = _INDEX.match(lines.pop(0)) if lines else None
    if match is None or int(match[1]) >= merkle.MAX_SIZE:
        raise Malformed(Reason.RECEIPT, "no index")
    if len(lines) > merkle.MAX_PROOF:
        raise Malformed(Reason.RECEIPT, f"more than {merkle.MAX_PROOF} hashes")
    hashes = tuple(_decoded(line, merkle.HASH_SIZE) for line in lines)
    return Receipt(int(match[1]), hashes, checkpoint, extra)


def check_inclusion(receipt: Receipt, entry: bytes, checkpoint: SignedCheckpoint) -> None:
    """Check that `entry` is number `receipt.index` of the tree under `checkpoint`, which must be the receipt's own.

    Raises `ProofFailed` with `receipt.inclusion`.
    """
    if checkpoint.text != receipt.checkpoint:
        message = "the checkpoint of another receipt"
        raise ValueError(message)
    leaf_hash = merkle.leaf_hash(entry)
    try:
        merkle.check_inclusion(leaf_hash, receipt.index, checkpoint.size, receipt.hashes, checkpoint.root)
    except ProofFailed as error:
        raise ProofFailed(Reason.RECEIPT_INCLUSION, error.detail) from error


def open_receipt(receipt: Receipt, checkpoint: SignedCheckpoint) -> OpenedReceipt:
    """Check a receipt under its own checkpoint, opened before (checkpoints are shared by many receipts).

    Raises `Malformed`, `ProofFailed` when the leaf is not in the tree, `OpeningFailed` when it commits to other things.
    """
    opening = Opening.from_bytes(receipt.extra)
    check_inclusion(receipt, opening.leaf, checkpoint)
    return OpenedReceipt(receipt.index, commitment.open_leaf(opening), opening, checkpoint)


def check_receipt(data: str | bytes, policy: LogPolicy) -> OpenedReceipt:
    """Read and check a receipt of the log that `policy` describes: checkpoint, inclusion, opening.

    Raises `Malformed`, `SignatureFailed`, `ProofFailed` or `OpeningFailed`.
    """
    receipt = parse_receipt(data)
    return open_receipt(receipt, open_checkpoint(receipt.checkpoint, policy))


def _decoded(text: str, length: int | None) -> bytes:
    try:
        return b64_decode(text, length)
    except Malformed as error:
        raise Malformed(Reason.RECEIPT, error.detail) from error
