"""Full entry bundles, compressed once for everybody who reads them: `<bundle>.gz` beside the bundle.

A bundle never changes, so it need not be compressed again for each reader; a plain web server sends the file as it is
(nginx: `gzip_static`). They are made some time after publication, off the path that anybody waits for, and whoever
finds none compresses or sends the bundle itself.
"""

import gzip
import zlib
from collections.abc import Iterator
from typing import Final

from ledger.public_files import PublicFiles
from verifiers.tiles import ENTRIES, WIDTH, Tile

SUFFIX: Final = ".gz"

_LEVEL: Final = 5
"""Of 54 KiB of entries level 1 leaves 44 %, level 5 43 % and level 9 42 %, in 0.5, 0.6 and 1.6 ms: most are hashes."""

_LARGEST: Final = WIDTH * (1 << 16)
"""No bundle is longer: the length of an entry has two bytes (C2SP tlog-tiles)."""


def compress_bundles(files: PublicFiles, start: int, end: int) -> int:
    """Compress the bundles that were completed between the published sizes `start` and `end`; return how many.

    A crash leaves some of them uncompressed until the next start, which looks at all of them once.
    """
    made = 0
    for place in range(start // WIDTH, end // WIDTH):
        path = Tile(ENTRIES, place).path()
        data = None if files.exists(path + SUFFIX) else files.read(path)
        if data is not None:
            made += files.write([(path + SUFFIX, gzip.compress(data, _LEVEL, mtime=0))])
    return made


def remove_compressed(files: PublicFiles) -> None:
    """Remove every compressed bundle, because bundles were wrong and are made again; what fits comes back by itself."""
    for file in files.root.glob(f"tile/entries/**/*{SUFFIX}"):
        file.unlink(missing_ok=True)


def wrong_copies(files: PublicFiles) -> Iterator[str]:
    """Yield the compressed bundles that do not hold what the bundle beside them holds."""
    for file in sorted(files.root.glob(f"tile/entries/**/*{SUFFIX}")):
        path = file.relative_to(files.root).as_posix()
        whole, small = files.read(path.removesuffix(SUFFIX)), files.read(path)
        if small is not None and _opened(small) != whole:
            yield path


def _opened(small: bytes) -> bytes | None:
    engine = zlib.decompressobj(wbits=31)
    try:
        data = engine.decompress(small, _LARGEST)
    except zlib.error:
        return None
    return data if engine.eof and not engine.unused_data else None
