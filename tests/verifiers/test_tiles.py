"""Tiles are cut as C2SP says, however the tree grew, and proofs can be read from them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from verifiers import merkle, tiles
from verifiers.errors import Malformed, Reason
from verifiers.tiles import ENTRIES, Tile

ENTRIES_70000 = [b"entry-%d" % number for number in range(70_000)]
SOURCES = vectors("tlog")


@pytest.fixture(scope="module")
def large() -> dict[Tile, bytes]:
    """All files of the tree of 70,000 leaves, cut in one go."""
    return tiles.grow(0, {}, ENTRIES_70000)


@pytest.mark.parametrize("size", [300, 70_000])
def test_tiles_two_other_implementations_agree_on(size: int) -> None:
    """Names, lengths and digests of the files of `entry-0`, `entry-1` …"""
    made = tiles.grow(0, {}, ENTRIES_70000[:size])
    published = SOURCES["tiles_sha256"][str(size)]

    assert len(made) == published.pop("files", len(published))
    for path, (length, digest) in published.items():
        data = made[tiles.parse_path(path)]
        assert (len(data), sha256(data).hexdigest()) == (length, digest), path


@given(st.lists(st.integers(0, 700) | st.sampled_from([1, 255, 256, 257]), max_size=8))
def test_growing_in_steps_gives_the_same_files(steps: list[int]) -> None:
    """However a tree grew, each step writes exactly the new files and the end result is the same."""
    kept: dict[Tile, bytes] = {}
    size = 0

    for step in steps:
        edge = {tile: kept[tile] for tile in tiles.edge_tiles(size)}
        made = tiles.grow(size, edge, ENTRIES_70000[size : size + step])
        assert set(made) == set(tiles.new_tiles(size, size + step))
        kept |= made
        size += step

    whole = tiles.grow(0, {}, ENTRIES_70000[:size])
    assert whole == {tile: kept[tile] for tile in tiles.all_tiles(size)}
    assert all(tiles.superseded(tile, size) for tile in kept.keys() - whole.keys() if Tile(*tile[:2]) in whole)
    assert not any(tiles.superseded(tile, size) for tile in whole)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 300, 65_535, 65_536, 65_537, 70_000])
def test_proofs_read_from_tiles(size: int) -> None:
    """Root, inclusion and consistency proofs come out of the tiles of that very size, asked for once each."""
    kept = tiles.grow(0, {}, ENTRIES_70000[:size])
    asked = []

    def read(wanted: Sequence[Tile]) -> Mapping[Tile, bytes]:
        asked.append(wanted)
        return {tile: kept[tile] for tile in wanted}

    reader = tiles.HashReader(size, read)
    root = merkle.root_from(size, reader(merkle.root_nodes(size)))
    assert root == merkle.root(map(merkle.leaf_hash, ENTRIES_70000[:size]))
    for index in {0, size // 3, size // 2, size - 1}:
        proof = merkle.prove_inclusion(index, size, reader)
        merkle.check_inclusion(merkle.leaf_hash(ENTRIES_70000[index]), index, size, proof, root)
    for old in {1, size // 3 + 1, size}:
        old_root = merkle.root(map(merkle.leaf_hash, ENTRIES_70000[:old]))
        merkle.check_consistency(old, old_root, size, root, merkle.prove_consistency(old, size, reader))
    assert all(len(wanted) <= 4 for wanted in asked)


def test_bundles_hold_the_entries(large: dict[Tile, bytes]) -> None:
    """Reading all bundles in order gives back the log."""
    bundles = [tile for tile in tiles.all_tiles(70_000) if tile.level == ENTRIES]

    assert [entry for tile in bundles for entry in tiles.parse_bundle(large[tile], tile.width)] == ENTRIES_70000


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 273), "tile/0/273"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(ENTRIES, 999, 7), "tile/entries/999.p/7"),
        (Tile(2, 1000, 255), "tile/2/x001/000.p/255"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    """Numbers are cut into threes, all but the last marked with an x."""
    assert tile.path() == path
    assert tiles.parse_path(path) == tile


@given(st.integers(-1, 7), st.integers(0, 2**40), st.integers(1, 256))
def test_every_path_reads_back(level: int, place: int, width: int) -> None:
    """`parse_path` undoes `path`."""
    assert tiles.parse_path(Tile(level, place, width).path()) == Tile(level, place, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/07",
        "tile/8/000",
        "tile/entries/x1/000",
        "tile/0/1000",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/0/٠٠٠",
        "tile/0/../000",
        "checkpoint",
    ],
)
def test_paths_refused(path: str) -> None:
    """Every other way of writing a path, and every other path, is refused."""
    with pytest.raises(Malformed) as caught:
        tiles.parse_path(path)

    assert caught.value.reason is Reason.TILE


@given(st.lists(st.binary(max_size=20), max_size=256))
def test_bundles_read_back(entries: list[bytes]) -> None:
    """`parse_bundle` undoes `format_bundle`, and refuses one byte more, one less or another count."""
    data = tiles.format_bundle(entries)

    assert tiles.parse_bundle(data, len(entries)) == entries
    for bad, width in ((data + b"\0", len(entries)), (data, len(entries) + 1)):
        with pytest.raises(Malformed):
            tiles.parse_bundle(bad, width)
    if data:
        with pytest.raises(Malformed):
            tiles.parse_bundle(data[:-1], len(entries))
        with pytest.raises(Malformed):
            tiles.parse_bundle(data, len(entries) - 1)


def test_bundle_limits() -> None:
    """An entry of 65,535 bytes fits, one more byte or a 257th entry does not."""
    assert tiles.parse_bundle(tiles.format_bundle([bytes(65_535)]), 1) == [bytes(65_535)]
    for entries in ([bytes(65_536)], [b""] * 257):
        with pytest.raises(ValueError, match="256 entries"):
            tiles.format_bundle(entries)


def test_hash_tiles_have_their_length() -> None:
    """A tile with a hash too few, too many or cut is refused."""
    for length in (0, 31, 32, 33, 96):
        with pytest.raises(Malformed):
            tiles.parse_hashes(bytes(length), 2)
    assert tiles.parse_hashes(bytes(64), 2) == [bytes(32)] * 2


def test_only_what_a_published_full_tile_replaces_may_go() -> None:
    """A partial tile stays until a checkpoint covers its full one, at every level."""
    assert not tiles.superseded(Tile(0, 0, 44), 255)
    assert tiles.superseded(Tile(0, 0, 44), 256)
    assert not tiles.superseded(Tile(0, 0), 70_000)
    assert not tiles.superseded(Tile(1, 0, 3), 65_535)
    assert tiles.superseded(Tile(1, 0, 3), 65_536)
    assert tiles.superseded(Tile(ENTRIES, 0, 3), 256)


def test_root_of_a_tile_is_the_entry_above(large: dict[Tile, bytes]) -> None:
    """Level 1 holds the roots of the full tiles of level 0."""
    first = tiles.parse_hashes(large[Tile(1, 0)])[0]

    assert first == merkle.root(tiles.parse_hashes(large[Tile(0, 0)]))
    assert base64.b64encode(first).decode() == SOURCES["entry_n_roots_b64"]["roots"]["256"]


def test_asking_for_what_cannot_be_is_the_callers_mistake() -> None:
    """A tree that shrinks and nodes beyond the tree are `ValueError`."""
    with pytest.raises(ValueError, match="extend"):
        list(tiles.new_tiles(5, 4))
    with pytest.raises(ValueError, match="no node"):
        tiles.tiles_for([merkle.Node(0, 5)], 5)
    with pytest.raises(KeyError):
        tiles.grow(1, {}, [b"entry"])


def test_a_tree_has_files_of_eight_levels_at_most() -> None:
    """The largest one too; each is the last of its level, and cut where the level ends."""
    size = 2**63 - 1

    assert [(tile.level, tile.width) for tile in tiles.edge_tiles(size)] == [
        (ENTRIES, 255), *[(level, 255) for level in range(7)], (7, 127),
    ]  # fmt: skip
    assert [tile.place for tile in tiles.edge_tiles(size)][1:] == [size >> 8 * (level + 1) for level in range(8)]
    assert tiles.edge_tiles(0) == []
    assert [tile.level for tile in tiles.edge_tiles(2**56)] == [7]


def test_a_full_tile_ends_where_its_tree_does() -> None:
    """In leaves; a partial one earlier."""
    ends = [Tile(ENTRIES, 1).end, Tile(0, 1).end, Tile(1, 0).end, Tile(1, 2, 3).end, Tile(0, 0, 7).end]

    assert ends == [512, 512, 65_536, (512 + 3) * 256, 7]
    assert (Tile(0, 0).full, Tile(0, 0, 255).full, Tile(3, 4).width) == (True, False, 256)
    assert tiles.superseded(Tile(0, 1, 5), 512) and not tiles.superseded(Tile(0, 1, 5), 511)
