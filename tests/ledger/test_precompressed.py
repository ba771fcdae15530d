"""Full bundles lie there compressed as well, once, and say the same."""

import gzip
from pathlib import Path

from ledger.precompressed import SUFFIX, compress_bundles, remove_compressed, wrong_copies
from ledger.public_files import PublicFiles
from verifiers.tiles import ENTRIES, WIDTH, Tile


def _bundle(place: int) -> str:
    return Tile(ENTRIES, place).path()


def test_each_full_bundle_is_compressed_once(tmp_path: Path) -> None:
    """Partial ones never are: they go when the full one comes."""
    files = PublicFiles(tmp_path)
    files.write([(_bundle(0), b"first" * 500), (_bundle(1), b"second" * 500)])
    files.write([(Tile(ENTRIES, 2, 7).path(), b"part" * 500)])

    assert compress_bundles(files, 0, 2 * WIDTH + 7) == 2
    assert compress_bundles(files, 0, 2 * WIDTH + 7) == 0

    assert gzip.decompress(files.read(_bundle(1) + SUFFIX) or b"") == b"second" * 500
    assert not files.exists(Tile(ENTRIES, 2, 7).path() + SUFFIX)


def test_a_copy_that_says_something_else_is_found_and_replaced(tmp_path: Path) -> None:
    """Cut, of other bytes, or no gzip at all; where bundles were wrong all copies go and come again."""
    files = PublicFiles(tmp_path)
    files.write([(_bundle(place), b"entry %d" % place * 300) for place in range(4)])
    compress_bundles(files, 0, 4 * WIDTH)
    good = files.read(_bundle(3) + SUFFIX) or b""
    wrong = [(_bundle(0) + SUFFIX, good), (_bundle(1) + SUFFIX, good[:-9]), (_bundle(2) + SUFFIX, b"nothing")]
    files.write(wrong)

    assert list(wrong_copies(files)) == [path for path, _ in wrong]

    remove_compressed(files)
    assert compress_bundles(files, 0, 4 * WIDTH) == 4
    assert not list(wrong_copies(files))


def test_a_bundle_that_is_not_there_yet_is_left_for_later(tmp_path: Path) -> None:
    """The files of a host that is behind come by and by."""
    files = PublicFiles(tmp_path)
    assert compress_bundles(files, 0, WIDTH) == 0

    files.write([(_bundle(0), b"x" * 2000)])
    assert compress_bundles(files, 0, WIDTH) == 1


def test_the_same_bundle_gives_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """Hosts that serve one log have equal files, so a cache in front of them sees one ETag."""
    made = []
    for name in ("here", "there"):
        files = PublicFiles(tmp_path / name)
        files.write([(_bundle(0), b"entry" * 1000)])
        compress_bundles(files, 0, WIDTH)
        made.append(files.read(_bundle(0) + SUFFIX))
    assert made[0] == made[1]
