"""An audit compares the files of every level of the tree, each where it lies."""

from __future__ import annotations

from tests.verifiers.log_world import ORIGIN
from verifiers import tiles
from verifiers.audit import Fault, Replay
from verifiers.tiles import Tile


def test_the_tiles_of_every_level_are_compared_where_they_lie() -> None:
    """Entries that are none are told; their files are those of the bytes that there are."""
    data = [b"%d" % number for number in range(65_536 + 300)]
    files = tiles.grow(0, {}, data)
    asked: list[Tile] = []

    def read(tile: Tile) -> bytes | None:
        asked.append(tile)
        return files.get(tile)

    run = Replay(ORIGIN, read_tile=read, tiles_up_to=len(data))
    found = [each for index, entry in enumerate(data) for each in run.feed(index, entry)] + run.finish()

    assert {each.fault for each in found} == {Fault.ENTRY_MALFORMED}
    assert sorted(asked) == sorted(files) and Tile(1, 0) in asked
