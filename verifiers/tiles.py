"""C2SP tlog-tiles: the tree and its entries cut into files that never change once full.

A tile is 256 hashes of one tree level (levels count in eights), an entry bundle 256 entries. Tile (level, index) of a
tree depends on nothing but the entries, so writer, recovery and audit all call `grow`. Nothing here does I/O: callers
read and write what these functions name. See `docs/formats/tiles.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from verifiers.errors import Malformed, Reason
from verifiers.merkle import HASH_SIZE, Node, leaf_hash, node_hash, root

WIDTH: Final = 256
ENTRIES: Final = -1
"""The `level` of an entry bundle."""

MAX_ENTRY: Final = 65_535
"""Longest entry a bundle can carry."""

_HEIGHT: Final = 8
_MAX_LEVEL: Final = 7  # 256**8 leaves is the largest 64-bit tree
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z", re.ASCII)


class Tile(NamedTuple):
    """One file: hash tile at `level` 0 and up, or bundle at `ENTRIES`; `width` items of 256, `place` from the left."""

    level: int
    place: int
    width: int = WIDTH

    @property
    def full(self) -> bool:
        """Whether nothing can be added any more."""
        return self.width == WIDTH

    @property
    def end(self) -> int:
        """Number of leaves of the smallest tree that has this tile."""
        return (self.place * WIDTH + self.width) << (_HEIGHT * max(self.level, 0))

    def path(self) -> str:
        """Give the path below the log's prefix, such as `tile/0/x001/x234/067.p/8`."""
        text = f"{self.place:03d}"
        text = text.zfill(-(-len(text) // 3) * 3)
        groups = [text[at : at + 3] for at in range(0, len(text), 3)]
        number = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{number}" if self.full else f"tile/{level}/{number}.p/{self.width}"


def parse_path(path: str) -> Tile:
    """Read a path. Raises `Malformed` unless `Tile.path` would give the same text."""
    match = _PATH.match(path)
    if match is None:
        raise Malformed(Reason.TILE, "not a tile path")
    level, number, width = match.groups()
    place = int(number.replace("x", "").replace("/", ""))
    tile = Tile(ENTRIES if level == "entries" else int(level), place, WIDTH if width is None else int(width))
    if tile.width > WIDTH or tile.path() != path:
        raise Malformed(Reason.TILE, "not the canonical tile path")
    return tile


# --- which tiles there are -----------------------------------------------------------------------------------------


def new_tiles(old: int, new: int) -> Iterator[Tile]:
    """Name the files that exist for the tree of `new` leaves and not yet for that of `old`, bundles first."""
    if not 0 <= old <= new:
        message = f"size {new} does not extend size {old}"
        raise ValueError(message)
    for level in range(ENTRIES, _MAX_LEVEL + 1):
        before, after = _width_at(level, old), _width_at(level, new)
        if after == 0:
            return
        if before == after:
            continue
        for place in range(before // WIDTH, after // WIDTH):
            yield Tile(level, place)
        if after % WIDTH:
            yield Tile(level, after // WIDTH, after % WIDTH)


def all_tiles(size: int) -> Iterator[Tile]:
    """Name every file of the tree of `size` leaves that is not superseded by a wider one."""
    return new_tiles(0, size)


def edge_tiles(size: int) -> list[Tile]:
    """Name the partial files of the tree of `size` leaves: what `grow` needs to go on from there."""
    return [tile for level in range(ENTRIES, _MAX_LEVEL + 1) if (tile := _edge(level, size)) is not None]


def superseded(tile: Tile, published: int) -> bool:
    """Whether a partial `tile` may be deleted once a checkpoint of size `published` is public: its full one exists."""
    return not tile.full and Tile(tile.level, tile.place).end <= published


# --- contents ------------------------------------------------------------------------------------------------------


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Give an entry bundle: u16 length ‖ bytes for each of at most 256 entries."""
    if len(entries) > WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        message = "a bundle holds at most 256 entries of at most 65,535 bytes"
        raise ValueError(message)
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int = WIDTH) -> list[bytes]:
    """Read an entry bundle of exactly `width` entries. Raises `Malformed` on anything left over or cut short."""
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise Malformed(Reason.TILE, f"a bundle cut short after {len(entries)} entries")
        entries.append(data[start:at])
    if at != len(data):
        raise Malformed(Reason.TILE, f"a bundle with more than {width} entries")
    return entries


def format_hashes(hashes: Sequence[bytes]) -> bytes:
    """Give a hash tile: the hashes end to end."""
    return b"".join(hashes)


def parse_hashes(data: bytes, width: int = WIDTH) -> list[bytes]:
    """Read a hash tile of exactly `width` hashes. Raises `Malformed` on another length."""
    if len(data) != width * HASH_SIZE:
        raise Malformed(Reason.TILE, f"a hash tile of {len(data)} bytes where {width * HASH_SIZE} belong")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def grow(old: int, edge: Mapping[Tile, bytes], entries: Sequence[bytes]) -> dict[Tile, bytes]:
    """Give the contents of all `new_tiles(old, old + len(entries))`.

    `edge` holds the contents of `edge_tiles(old)`. Raises `Malformed` when one of those does not parse, `KeyError` when
    one is missing. Memory is that of the entries; long catch-ups call it in slices.
    """
    if not entries:
        return {}
    made: dict[Tile, bytes] = {}
    bundled: list[bytes] = []
    partial = _edge(ENTRIES, old)
    if partial is not None:
        bundled = parse_bundle(edge[partial], partial.width)
    _cut(made, ENTRIES, old, [*bundled, *entries], format_bundle)
    fresh, before = [leaf_hash(entry) for entry in entries], old
    for level in range(_MAX_LEVEL + 1):
        if not fresh:
            break
        partial = _edge(level, old)
        kept = [] if partial is None else parse_hashes(edge[partial], partial.width)
        fresh = _cut(made, level, before, [*kept, *fresh], format_hashes)
        before //= WIDTH
    return made


def _cut(
    made: dict[Tile, bytes],
    level: int,
    before: int,
    items: Sequence[bytes],
    format_items: Callable[[Sequence[bytes]], bytes],
) -> list[bytes]:
    """Cut `items`, of which the first tile may be old in part, into tiles; gives the roots of the full hash tiles."""
    roots = []
    first = before // WIDTH
    for at in range(0, len(items), WIDTH):
        part = items[at : at + WIDTH]
        made[Tile(level, first + at // WIDTH, len(part))] = format_items(part)
        if len(part) == WIDTH and level != ENTRIES:
            roots.append(root(part))
    return roots


# --- reading hashes for proofs ---------------------------------------------------------------------------------------


def tiles_for(nodes: Sequence[Node], size: int) -> list[Tile]:
    """Name the hash tiles of the tree of `size` leaves that hold `nodes`, each once."""
    return list(dict.fromkeys(_tile_of(node, size) for node in nodes))


def hashes_from(nodes: Sequence[Node], size: int, contents: Mapping[Tile, bytes]) -> list[bytes]:
    """Compute the hashes of `nodes` from the contents of `tiles_for(nodes, size)`. Raises `Malformed` on a bad tile."""
    parsed: dict[Tile, list[bytes]] = {}
    hashes = []
    for node in nodes:
        tile = _tile_of(node, size)
        if tile not in parsed:
            parsed[tile] = parse_hashes(contents[tile], tile.width)
        height = node.level % _HEIGHT
        start = (node.number << height) % WIDTH
        row = parsed[tile][start : start + (1 << height)]
        while len(row) > 1:
            row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        hashes.append(row[0])
    return hashes


class HashReader:
    """A `merkle.ReadHashes` over tiles: asks `read` once for all the tiles a proof needs."""

    def __init__(self, size: int, read: Callable[[Sequence[Tile]], Mapping[Tile, bytes]]) -> None:
        self._size = size
        self._read = read

    def __call__(self, nodes: Sequence[Node]) -> list[bytes]:
        """Give the hashes of `nodes`."""
        return hashes_from(nodes, self._size, self._read(tiles_for(nodes, self._size)))


def _width_at(level: int, size: int) -> int:
    """Number of items at `level` for the tree of `size` leaves."""
    return size >> (_HEIGHT * max(level, 0))


def _edge(level: int, size: int) -> Tile | None:
    count = _width_at(level, size)
    return Tile(level, count // WIDTH, count % WIDTH) if count % WIDTH else None


def _tile_of(node: Node, size: int) -> Tile:
    if not 0 < (node.number + 1) << node.level <= size:
        message = f"no node {node} in a tree of {size}"
        raise ValueError(message)
    level, height = divmod(node.level, _HEIGHT)
    place = (node.number << height) // WIDTH
    return Tile(level, place, min(WIDTH, _width_at(level, size) - place * WIDTH))
