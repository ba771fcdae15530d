"""Published files: whole or absent, made from the rows alone, and never cleaned away too early."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert

from ledger.database import Database
from ledger.public_files import PublicFiles
from ledger.tables.base import metadata
from ledger.tables.log import entries
from ledger.tile_files import (
    TreeMismatch,
    frontier_of,
    materialise,
    read_tile,
    remove_partials,
    start_of_comparison,
)
from verifiers.merkle import EMPTY_ROOT, leaf_hash, root
from verifiers.tiles import ENTRIES, Tile, all_tiles, edge_tiles

LEAVES = [b'{"entry":%d}' % number for number in range(70_000)]


def root_at(size: int) -> bytes:
    """Compute the root of the first `size` leaves the plain way."""
    return root(leaf_hash(leaf) for leaf in LEAVES[:size]) if size else EMPTY_ROOT


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with 70,000 rows that stand for entries: enough for three levels of tiles."""
    url = f"sqlite:///{tmp_path_factory.mktemp('rows') / 'log.sqlite'}"
    engine = create_engine(url)
    metadata.create_all(engine, tables=[entries])
    with engine.begin() as tx:
        tx.execute(insert(entries), [{"idx": idx, "bytes": leaf} for idx, leaf in enumerate(LEAVES)])
    engine.dispose()
    database = Database.open(url)
    yield database
    database.close()


@pytest.fixture
def files(tmp_path: Path) -> PublicFiles:
    """An empty folder of published files."""
    return PublicFiles(tmp_path / "public")


def test_growing_in_steps_gives_the_same_files_as_growing_at_once(database: Database, tmp_path: Path) -> None:
    """Whatever sizes were published on the way, the files of a size are the same."""
    steps, once = PublicFiles(tmp_path / "steps"), PublicFiles(tmp_path / "once")
    sizes = [0, 1, 255, 256, 257, 300, 5000, 65_535, 65_536, 66_000, 70_000]

    for old, new in pairwise(sizes):
        materialise(database, steps, old, new, root_at(new))
    materialise(database, once, 0, 70_000, root_at(70_000))

    for tile in all_tiles(70_000):
        assert steps.read(tile.path()) == once.read(tile.path()) is not None
    assert frontier_of(once, 70_000).root() == root_at(70_000)


def test_a_missing_or_damaged_file_is_made_again(database: Database, files: PublicFiles) -> None:
    """What a disk loses or somebody edits near the edge is put right from the rows."""
    materialise(database, files, 0, 1000, root_at(1000))
    for tile in edge_tiles(1000):
        (files.root / tile.path()).write_bytes(b"not a tile")

    materialise(database, files, 1000, 1100, root_at(1100))

    assert frontier_of(files, 1100).root() == root_at(1100)


def test_rows_that_lead_to_another_root_stop_the_publication(database: Database, files: PublicFiles) -> None:
    """An edited row never becomes a published tree."""
    with pytest.raises(TreeMismatch):
        materialise(database, files, 0, 500, root_at(501))


def test_a_row_that_is_not_there_stops_the_publication(database: Database, files: PublicFiles) -> None:
    """A log with a hole is not published."""
    with pytest.raises(TreeMismatch, match="missing"):
        materialise(database, files, 0, 70_001, bytes(32))


def test_partial_tiles_stay_until_their_full_one_is_published(database: Database, files: PublicFiles) -> None:
    """Cleaning looks at published sizes only, and a partial tile can still be had out of the full one."""
    materialise(database, files, 0, 300, root_at(300))
    partial = read_tile(files, Tile(0, 1, 44))
    bundle = read_tile(files, Tile(ENTRIES, 1, 44))
    materialise(database, files, 300, 600, root_at(600))

    assert remove_partials(files, 0, 511) == 0
    assert files.exists(Tile(0, 1, 44).path())
    assert remove_partials(files, 300, 600) == 2
    assert not files.exists(Tile(0, 1, 44).path())
    assert read_tile(files, Tile(0, 1, 44)) == partial
    assert read_tile(files, Tile(ENTRIES, 1, 44)) == bundle
    materialise(database, files, 300, 600, root_at(600))


def test_a_start_compares_everything_when_a_file_is_missing(database: Database, files: PublicFiles) -> None:
    """Only where all files are there may old ones be taken on trust until the audit."""
    materialise(database, files, 0, 1000, root_at(1000))
    assert start_of_comparison(files, 1000) == 0

    files.remove(Tile(0, 0).path())
    assert start_of_comparison(files, 1000) == 0
    materialise(database, files, 0, 1000, root_at(1000))
    assert files.exists(Tile(0, 0).path())


def test_a_failed_write_leaves_no_half_file(files: PublicFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the old file or none."""
    files.write([("tile/0/000.p/1", b"old")])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write([("tile/0/000.p/1", b"new")])

    assert files.read("tile/0/000.p/1") == b"old"
    assert [path.name for path in (files.root / "tile/0/000.p").iterdir()] == ["1"]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../outside", "tile/../../outside"])
def test_nothing_is_written_outside_the_folder(files: PublicFiles, path: str) -> None:
    """A path that leads out of the published folder is a mistake of ours."""
    with pytest.raises(ValueError, match="not a published path"):
        files.read(path)
