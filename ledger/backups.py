"""What a backup is: a folder of files that only its owner reads, and a manifest that is written last.

    <place>/                              0700   where backups are kept; never below the published files
      lock                                       held while one is made
      erased.json                                what was erased for good so far: a restore erases it again
      20261122T030230Z-1042/                     one backup: when it was made, how many entries it holds
        manifest.json                            what is in it, with SHA-256 sums; without it there is no backup
        database.sqlite | tables/<name>.copy     the database, in one state
        keys/…                                   the encrypted key store, only where it was asked for
      .new-<random>/                             one that is being made, or was not finished

See docs/operating/backup.md.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from ledger.errors import Code, Refusal
from verifiers.legal_dates import format_time, parse_time

FORMAT: Final = "elicence-backup/1"
MANIFEST: Final = "manifest.json"
UNFINISHED: Final = ".new-"
DATABASE: Final = "database.sqlite"
TABLES: Final = "tables"
KEYS: Final = "keys"

LEFT_OUT: Final = {
    "witness_identity": "a witness that may have forgotten what it cosigned gets new keys (ADR 13)",
    "witnessed_logs": "what our witness cosigned is never restored from a backup (protocol 33)",
}
"""Tables whose rows are in no backup, and why."""

CHUNK: Final = 1 << 20

Progress = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much of it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup: `path` below its folder, length in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `size`, `root` (hex) and `at` are those of the log's head; `checkpoint` and `witnessed` the
    newest signed notes, None before the first; `trust_seq` the newest trust list's; `rows` counts by table.
    """

    version: str
    product: str
    revision: str
    region: str
    origin: str
    size: int
    root: str
    at: str
    made_at: str
    checkpoint: str | None
    witnessed: str | None
    trust_seq: int
    rows: dict[str, int]
    columns: dict[str, list[str]]
    parts: tuple[Part, ...]

    @property
    def has_keys(self) -> bool:
        """Whether the key store is in the backup."""
        return any(part.path.startswith(f"{KEYS}/") for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return the members of `manifest.json`."""
        members = {name: getattr(self, name) for name in self.__slots__ if name != "parts"}
        parts = {part.path: {"bytes": part.size, "sha256": part.sha256} for part in self.parts}
        return {"format": FORMAT, **members, "parts": parts, "keys": self.has_keys, "left_out": LEFT_OUT}

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of the backup in `folder`. Raises `Refusal` backup.incomplete or backup.damaged."""
        try:
            data = (folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise Refusal(Code.BACKUP_INCOMPLETE, folder=str(folder)) from None
        try:
            members = orjson.loads(data)
            if members["format"] != FORMAT:
                raise Refusal(Code.BACKUP_OTHER, found=str(members["format"])[:64], wanted=FORMAT)
            parts = tuple(Part(path, each["bytes"], each["sha256"]) for path, each in members["parts"].items())
            found = cls(**{name: members[name] for name in cls.__slots__ if name != "parts"}, parts=parts)
            parse_time(found.made_at)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refusal(Code.BACKUP_DAMAGED, file=MANIFEST) from None
        if any(part.path.startswith("/") or ".." in Path(part.path).parts for part in parts):
            raise Refusal(Code.BACKUP_DAMAGED, file=MANIFEST)
        return found


def check_parts(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Compare every file with the manifest. Raises `Refusal` backup.damaged with the first `file` that differs."""
    whole, done = sum(part.size for part in manifest.parts), 0
    for part in manifest.parts:
        digest, size = sha256(), 0
        try:
            with (folder / part.path).open("rb") as file:
                for chunk in iter(lambda: file.read(CHUNK), b""):
                    digest.update(chunk)
                    size += len(chunk)
                    progress("check", done + size, whole)
        except FileNotFoundError:
            raise Refusal(Code.BACKUP_DAMAGED, file=part.path) from None
        if size != part.size or digest.hexdigest() != part.sha256:
            raise Refusal(Code.BACKUP_DAMAGED, file=part.path)
        done += size


class Writer:
    """Writes one file of a backup, private and synced, and sums it up on the way."""

    def __init__(self, folder: Path, path: str) -> None:
        self._path = path
        place = folder / path
        for above in reversed(Path(path).parents):
            (folder / above).mkdir(exist_ok=True, mode=0o700)
        self._file: BinaryIO = private(place)
        self._digest = sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Add `data`."""
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def done(self) -> Part:
        """Sync and close the file, and return what the manifest says of it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Part(self._path, self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Close the file, whatever is in it."""
        self._file.close()


def private(place: Path) -> BinaryIO:
    """Open a new file that only its owner may read."""
    return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def summed(folder: Path, path: str, progress: Progress) -> Part:
    """Return what the manifest says of a file that is there already, after syncing it."""
    digest, done = sha256(), 0
    with (folder / path).open("rb+") as file:
        whole = os.fstat(file.fileno()).st_size
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
            done += len(chunk)
            progress("sum", done, whole)
        os.fsync(file.fileno())
    return Part(path, done, digest.hexdigest())


def sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_backup(place: Path) -> Iterator[Path]:
    """Give a folder to make a backup in, alone in `place`; what an earlier one left unfinished is removed first."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in place.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = place / f"{UNFINISHED}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def finish(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest, then give the backup its name; returns its folder."""
    file = Writer(folder, MANIFEST)
    file.write(orjson.dumps(manifest.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    file.done()
    for inner in (each for each in folder.rglob("*") if each.is_dir()):
        sync(inner)
    sync(folder)
    stamp = manifest.made_at.replace("-", "").replace(":", "")
    named = folder.with_name(f"{stamp}-{manifest.size}")
    number = 1
    while named.exists():
        number += 1
        named = folder.with_name(f"{stamp}-{manifest.size}-{number}")
    folder.rename(named)
    sync(named.parent)
    return named


def kept(place: Path) -> list[tuple[Path, Manifest]]:
    """Return the finished backups in `place`, oldest first; what cannot be read is left out."""
    found = []
    for manifest in place.glob(f"[!.]*/{MANIFEST}"):
        try:
            found.append((manifest.parent, Manifest.read(manifest.parent)))
        except Refusal:
            continue
    return sorted(found, key=lambda each: (each[1].made_at, each[0].name))


def prune(place: Path, origin: str, days: int, now: datetime) -> list[str]:
    """Remove backups of the log `origin` that are older than `days`, and return their names.

    Their key tables could bring back what was erased (protocol 5).
    """
    oldest = format_time(now - timedelta(days=days))
    gone = [folder for folder, each in kept(place) if each.origin == origin and each.made_at < oldest]
    for folder in gone:
        # The manifest goes first: what a crash leaves of it is no backup.
        (folder / MANIFEST).unlink()
        aside = folder.rename(folder.with_name(f"{UNFINISHED}{secrets.token_hex(8)}"))
        shutil.rmtree(aside)
    return [folder.name for folder in gone]
