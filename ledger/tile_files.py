"""Tiles and entry bundles as files, made from the committed rows and from nothing else.

Every host that serves the log makes them itself. A checkpoint is served only when the tiles it covers are in place
and lead to its root.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import select

from ledger.database import Database, Reading
from ledger.precompressed import remove_compressed
from ledger.public_files import PublicFiles
from ledger.tables.log import entries
from verifiers.errors import Malformed
from verifiers.merkle import EMPTY_ROOT, Frontier, Node, root_nodes
from verifiers.tiles import (
    ENTRIES,
    WIDTH,
    HashReader,
    Tile,
    all_tiles,
    edge_tiles,
    format_bundle,
    grow,
    parse_bundle,
    parse_hashes,
)

SLICE: Final = 4096
"""Entries read and cut at once: about 1.2 MB, whatever the size of the log."""

TILES_KNOWN: Final = 512
"""Tiles a hash reader remembers: 4 MiB."""

COMPARED_AT_START: Final = 1 << 16
"""Newest entries whose tiles are made again and compared when a process starts; the audit compares all."""

_log = logging.getLogger(__name__)


class TreeMismatch(Exception):
    """The committed rows do not lead to the root they should lead to: the log was edited, or another one restored."""


def read_entries(tx: Reading, start: int, end: int) -> list[bytes]:
    """Return the entries `start` … `end` - 1; raises `TreeMismatch` where one is missing."""
    chosen = select(entries.c.bytes).where(entries.c.idx >= start, entries.c.idx < end).order_by(entries.c.idx)
    rows = [bytes(row) for row in tx.execute(chosen).scalars()]
    if len(rows) != end - start:
        raise TreeMismatch(f"{end - start - len(rows)} of the entries {start} to {end - 1} are missing")
    return rows


def read_tile(files: PublicFiles, tile: Tile) -> bytes | None:
    """Return the contents of `tile`; a partial one that was cleaned away is cut from the full one. None where neither
    is there.
    """
    data = files.read(tile.path())
    if data is not None or tile.full:
        return data
    full = files.read(Tile(tile.level, tile.place).path())
    if full is None:
        return None
    if tile.level == ENTRIES:
        return format_bundle(parse_bundle(full)[: tile.width])
    return b"".join(parse_hashes(full)[: tile.width])


def read_tiles(files: PublicFiles, tiles: Iterable[Tile]) -> dict[Tile, bytes]:
    """Return the contents of all `tiles`; raises `TreeMismatch` where one is missing."""
    contents = {}
    for tile in tiles:
        data = read_tile(files, tile)
        if data is None:
            raise TreeMismatch(f"{tile.path()} is missing")
        contents[tile] = data
    return contents


def hash_reader(files: PublicFiles, size: int) -> HashReader:
    """Return what reads hashes of the tree of `size` leaves out of the files; it remembers the tiles it has read.

    Neighbouring entries need mostly the same tiles. It is meant for one call's worth of proofs, not to be kept.
    """
    known: dict[Tile, bytes] = {}

    def read(tiles: Sequence[Tile]) -> Mapping[Tile, bytes]:
        if len(known) > TILES_KNOWN:
            known.clear()
        known.update(read_tiles(files, [tile for tile in tiles if tile not in known]))
        return known

    return HashReader(size, read)


def frontier_of(files: PublicFiles, size: int) -> Frontier:
    """Return the compact range of the tree of `size` leaves as the files tell it; raises `TreeMismatch` or
    `Malformed`.
    """
    nodes: list[Node] = root_nodes(size)
    return Frontier(size, hash_reader(files, size)(nodes) if nodes else ())


def materialise(database: Database, files: PublicFiles, old: int, new: int, root: bytes) -> None:
    """Put the files of the tree of `new` leaves in place, given those of `old`, and check that they lead to `root`.

    Files that are there with the same bytes are left alone. Where those of `old` turn out to be missing or wrong all
    are made again from the rows. Raises `TreeMismatch` when the rows themselves do not lead to `root`.
    """
    try:
        _grow(database, files, old, new)
        if frontier_of(files, new).root() == root:
            return
        _log.warning("published files differ from the rows; making all of them again")
    except (TreeMismatch, Malformed) as error:
        _log.warning("published files are incomplete (%s); making all of them again", error)
    remove_compressed(files)
    _grow(database, files, 0, new)
    if (frontier_of(files, new).root() if new else EMPTY_ROOT) != root:
        raise TreeMismatch(f"the {new} committed entries do not lead to the root of their checkpoint")


def start_of_comparison(files: PublicFiles, size: int) -> int:
    """Return from which entry on the files must be made again when a process starts with a served tree of `size`
    leaves.

    All of them where any is missing; else those of the newest `COMPARED_AT_START` entries, from the edge of a level-1
    tile on, because what lies left of it is read from full tiles.
    """
    if not _all_there(files, size):
        return 0
    span = WIDTH * WIDTH
    return max(0, size - COMPARED_AT_START) // span * span


def _all_there(files: PublicFiles, size: int) -> bool:
    """Whether the files of the tree of `size` leaves exist; each folder is listed once, because there may be 80,000."""
    wanted: dict[Path, set[str]] = {}
    for tile in all_tiles(size):
        folder, _, name = tile.path().rpartition("/")
        wanted.setdefault(files.root / folder, set()).add(name)
    return all(
        folder.is_dir() and names <= {file.name for file in os.scandir(folder)} for folder, names in wanted.items()
    )


def _grow(database: Database, files: PublicFiles, old: int, new: int) -> None:
    edge = read_tiles(files, edge_tiles(old))
    for start in range(old, new, SLICE):
        end = min(start + SLICE, new)
        with database.reading() as tx:  # short reads, so that SQLite can fold its write-ahead log back in between
            rows = read_entries(tx, start, end)
        made = grow(start, edge, rows)
        files.write((tile.path(), data) for tile, data in made.items() if tile.full)
        edge = {tile: made[tile] if tile in made else edge[tile] for tile in edge_tiles(end)}
    # Partial tiles in between belong to no published size; only the last ones are wanted.
    files.write((tile.path(), data) for tile, data in edge.items())


def remove_partials(files: PublicFiles, start: int, end: int) -> int:
    """Remove the partial tiles whose full tile was completed between the published sizes `start` and `end`, and
    return how many folders.

    A partial one is needed for as long as its full one does not exist (C2SP tlog-tiles); sizes that are
    not published yet do not count, because then the full tile may still be on its way.
    """
    removed = 0
    for level in range(ENTRIES, 8):
        span = WIDTH << (8 * max(level, 0))
        for place in range(start // span, end // span):
            full = Tile(level, place).path()
            if files.exists(f"{full}.p") and files.exists(full):
                files.remove(f"{full}.p")
                removed += 1
    return removed
