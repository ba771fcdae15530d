"""An independent C2SP implementation from PyPI, tlog-scales, reads what we write, and we read what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import MLDSA44CosignatureSigner, PlainEd25519Signer, Vkey, VkeySet
from tlog_scales.tlog import Checkpoint as ScalesCheckpoint
from tlog_scales.tlog import InclusionProof
from tlog_scales.writer import TilesWriter

from tests.verifiers.log_world import LOG_KEYS, ORIGIN, POLICY, WITNESSES, Log, sign
from verifiers import checkpoint, merkle, receipt, tiles
from verifiers.checkpoint import LogPolicy
from verifiers.errors import SignatureFailed
from verifiers.note import NoteKey
from verifiers.tiles import ENTRIES, Tile

pytestmark = pytest.mark.interop

SIZE = 700


@pytest.fixture(scope="module")
def log() -> Log:
    """Our log of 700 entries."""
    return Log.of(SIZE)


@pytest.fixture(scope="module")
def folder(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our log as files, the way a web server would serve them."""
    base = tmp_path_factory.mktemp("ours")
    for tile, data in log.files.items():
        path = base / tile.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (base / "checkpoint").write_text(sign(log.head, witnesses=WITNESSES), encoding="utf-8")
    return base


def test_they_verify_our_checkpoint(folder: Path) -> None:
    """Both log signatures (0x01, 0x06) and cosignatures of both types (0x04, 0x06) hold for them."""
    theirs = ScalesCheckpoint.from_text((folder / "checkpoint").read_text(encoding="utf-8"))
    keys = [key for key, _ in (*LOG_KEYS, *WITNESSES)]

    verified = VkeySet(*(Vkey.from_string(key.to_text()) for key in keys)).verify(theirs.signatures, theirs)

    assert {(vkey.name, vkey.key_id) for vkey, _ in verified} == {(k.name, int(k.key_id.hex(), 16)) for k in keys}
    assert len({key.type for key in keys}) == 3
    for key in keys:
        theirs.verify(Vkey.from_string(key.to_text()))


def test_they_read_our_tiles_and_bundles(log: Log, folder: Path) -> None:
    """Their reader finds every entry in our bundles and our root in our tiles."""
    reader = TilesReader(LocalBackend(folder))

    head = reader.get_checkpoint()

    assert (head.origin, head.size, head.root_hash) == (ORIGIN, SIZE, log.head.root)
    assert reader.calculate_root_hash() == log.head.root
    assert [reader.get_entry(index) for index in range(SIZE)] == log.entries


def test_they_check_our_receipts_and_proofs(log: Log, folder: Path) -> None:
    """Their check accepts our audit paths, and their reader makes the same proofs from our tiles."""
    reader = TilesReader(LocalBackend(folder))
    reader.get_checkpoint()
    note = (folder / "checkpoint").read_text(encoding="utf-8")
    read = tiles.HashReader(SIZE, log.read)

    for index in (0, 1, 255, 256, 511, 512, 698, 699):
        ours = receipt.parse_receipt(log.receipt(index, note))
        proof = InclusionProof(index, SIZE, list(ours.hashes))
        proof.check(merkle.leaf_hash(log.entries[index]), log.head.root)
        assert reader.get_inclusion_proof(index, SIZE).node_hashes == list(ours.hashes)
    for old in (1, 2, 255, 256, 300, 699, 700):
        theirs = reader.get_consistency_proof(old, SIZE)
        assert theirs.node_hashes == merkle.prove_consistency(old, SIZE, read)
        theirs.check(merkle.root(map(merkle.leaf_hash, log.entries[:old])), log.head.root)


def test_we_read_their_log(log: Log, tmp_path: Path) -> None:
    """A log written by them in steps: our code verifies its checkpoint, and gives the same files to the byte."""
    origin = "other.example/log"
    ed, ml = PlainEd25519Signer(origin, bytes(32)), MLDSA44CosignatureSigner(origin, b"m" * 32)
    writer = TilesWriter.create(tmp_path / "theirs", origin)
    for start, end in ((0, 300), (300, 512), (512, SIZE)):
        for data in log.entries[start:end]:
            writer.add_leaf(data)
        writer.commit([ed, ml])
    keys = tuple(NoteKey.from_text(str(signer.vkey.serialize())) for signer in (ed, ml))  # type: ignore[no-untyped-call]

    text = (tmp_path / "theirs/checkpoint").read_text(encoding="utf-8")
    opened = checkpoint.open_checkpoint(text, LogPolicy(origin, keys))

    assert (opened.size, opened.root) == (SIZE, log.head.root)
    for tile in tiles.all_tiles(SIZE):
        data = (tmp_path / "theirs" / tile.path()).read_bytes()
        assert data == log.files[tile]
        if tile.level == ENTRIES:
            assert tiles.parse_bundle(data, tile.width)[0] == log.entries[tile.place * 256]
    with pytest.raises(SignatureFailed):
        checkpoint.open_checkpoint(text.replace(f"\n{SIZE}\n", "\n699\n"), LogPolicy(origin, keys))
    with pytest.raises(SignatureFailed):
        checkpoint.open_checkpoint(text, POLICY)


def test_we_prove_from_their_tiles(log: Log, tmp_path: Path) -> None:
    """Receipts composed from their files are accepted by our verifier."""
    writer = TilesWriter.create(tmp_path / "theirs", ORIGIN)
    for data in log.entries:
        writer.add_leaf(data)
    writer.commit([PlainEd25519Signer(ORIGIN, b"\1" * 32), MLDSA44CosignatureSigner(ORIGIN, b"\2" * 32)])
    note = (tmp_path / "theirs/checkpoint").read_text(encoding="utf-8")

    def read(wanted: Sequence[Tile]) -> dict[Tile, bytes]:
        return {tile: (tmp_path / "theirs" / tile.path()).read_bytes() for tile in wanted}

    hashes = merkle.prove_inclusion(600, SIZE, tiles.HashReader(SIZE, read))
    opened = receipt.check_receipt(receipt.compose(log.openings[600], 600, hashes, note), POLICY)

    assert opened.leaf.ref == (600).to_bytes(16, "big")
