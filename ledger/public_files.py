"""The folder of published files, laid out so that any static web server can serve it as it is.

`checkpoint` and `tile/…` are exactly the paths of C2SP tlog-tiles; status lists and trust lists lie beside them.
Every file appears whole or not at all: written under a temporary name, synced, renamed, and its folder synced.
Several processes may share one folder; they write the same bytes, and the checkpoint moves forward only, under a
lock. See docs/formats/publication.md.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

CHECKPOINT: Final = "checkpoint"
_TEMPORARY: Final = ".new-"
_ABANDONED_S: Final = 3600


def served_size(note: str) -> int:
    """Return the tree size in the text of a checkpoint, its second line (C2SP tlog-checkpoint); the signatures are
    for others to check.
    """
    return int(note.split("\n", 2)[1])


class PublicFiles:
    """The published files below `root`; creates the folder when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._synced: set[Path] = set()
        root.mkdir(parents=True, exist_ok=True)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of the file at `path` (relative, with slashes), or None where there is none."""
        try:
            return self._place(path).read_bytes()
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """Tell whether there is a file or folder at `path`."""
        return self._place(path).exists()

    def write(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Put files in place, durably, and return how many were not there with these very bytes already.

        Files are taken one at a time, so memory does not grow with their number. When the call returns, contents and
        names survive a crash; a crash in between leaves each file either absent or whole.
        """
        folders: set[Path] = set()
        written = 0
        try:
            for path, data in files:
                place = self._place(path)
                if self.read(path) != data:
                    self._make(place.parent)
                    self._synced.discard(place.parent)
                    self._put(place, data)
                    written += 1
                # What is there already may be of a process that died, or of a try of ours that failed, before its
                # folder was synced.
                folders |= self._unsynced(place.parent)
        finally:
            # A rename is durable only once its folder is.
            for folder in folders:
                self._sync(folder)
        return written

    def checkpoint(self) -> str | None:
        """Return the checkpoint now served, or None before the first."""
        data = self.read(CHECKPOINT)
        return None if data is None else data.decode("utf-8")

    def write_forward(self, path: str, data: bytes, order: Callable[[bytes], Any]) -> bool:
        """Replace the file at `path` unless what is there comes later in `order`; tell whether it was written.

        The lock orders the processes that share the folder: without it a slow one could put something older over
        something newer.
        """
        with self._locked():
            served = self.read(path)
            if served is not None and order(served) > order(data):
                return False
            return self.write([(path, data)]) > 0

    def write_checkpoint(self, note: str) -> bool:
        """Serve `note`, unless a checkpoint of a larger tree is served already; tell whether it was written."""
        return self.write_forward(CHECKPOINT, note.encode("utf-8"), lambda served: served_size(served.decode("utf-8")))

    def remove(self, path: str) -> None:
        """Remove the file or folder at `path` if it is there."""
        place = self._place(path)
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)

    def remove_abandoned(self, folder: str) -> int:
        """Remove temporary files that a crash left in `folder` more than an hour ago, and return how many."""
        removed = 0
        place = self._place(folder)
        for file in place.glob(f"{_TEMPORARY}*") if place.is_dir() else ():
            if time.time() - file.stat().st_mtime > _ABANDONED_S:
                file.unlink(missing_ok=True)
                removed += 1
        return removed

    def _place(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise ValueError(f"not a published path: {path!r}")
        return self.root.joinpath(*parts)

    def _make(self, folder: Path) -> None:
        """Create `folder`; those that get a new entry by it are to be synced again."""
        missing = folder
        while not missing.is_dir():
            self._synced.discard(missing)
            missing = missing.parent
            self._synced.discard(missing)
        folder.mkdir(parents=True, exist_ok=True)

    def _unsynced(self, folder: Path) -> set[Path]:
        """Return which of `folder` and those it lies in, up to the root, have changes that may not be durable."""
        found = set()
        while folder not in self._synced:
            found.add(folder)
            if folder == self.root:
                break
            folder = folder.parent
        return found

    def _sync(self, folder: Path) -> None:
        self._synced.discard(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._synced.add(folder)

    def _put(self, place: Path, data: bytes) -> None:
        temporary = place.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
