"""Looking at published files while the region that writes them may be running."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from ledger.cosigning import FILE
from ledger.public_files import CHECKPOINT, PublicFiles
from ledger.status_tokens import FOLDER as LISTS
from ledger.trust_publishing import LATEST

_PAUSE_S: Final = 0.1
_PAUSES: Final = 30


class Arrivals:
    """Gives files that should be there a moment to arrive: three seconds in all, for one whole audit.

    Everything published is stored first and written afterwards, so in a running region a file may be just on its way.
    """

    def __init__(self, files: PublicFiles) -> None:
        self._files = files
        self._left = _PAUSES

    def wait(self, path: str, enough: Callable[[bytes], bool] = lambda _: True) -> bool:
        """Wait until there is a file at `path` that is `enough`; tell whether there is."""
        while True:
            data = self._files.read(path)
            if data is not None and _holds(enough, data):
                return True
            if not self._left:
                return False
            self._left -= 1
            time.sleep(_PAUSE_S)


def served_files(files: PublicFiles) -> dict[str, bytes]:
    """Read the published files that are replaced as time goes by.

    To be called before the snapshot of the database is taken: what a file says was stored before the file was written,
    so whatever is read here must be found there, also while the region runs.
    """
    changing = [CHECKPOINT, FILE, LATEST]
    changing += [file.relative_to(files.root).as_posix() for file in sorted(files.root.glob(f"{LISTS}/*"))]
    found = {path: files.read(path) for path in changing if not PurePosixPath(path).name.startswith(".")}
    return {path: data for path, data in found.items() if data is not None}


def _holds(enough: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return enough(data)
    except (ValueError, IndexError):
        return False
