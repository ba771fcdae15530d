"""A SQLite database into one file and back, while a service writes to it.

SQLite's own backup copies page by page. The copy is taken inside one reading transaction: whatever is written meanwhile
goes to the WAL, so the copy is one state and never has to begin anew, and nobody waits for it. Until it is done the WAL
cannot be cut; it grows by what is written meanwhile (protocol 36).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from ledger.backups import LEFT_OUT, Progress, private, sync
from ledger.errors import Code, Refusal

_PAGES: Final = 1024
"""Pages a slice: 4 MiB, some milliseconds, between which progress is told and a signal is heard."""


def copy(source: Path, target: Path, progress: Progress) -> None:
    """Copy the database `source` to the new file `target`, without what is left out, and check the copy.

    Raises `Refusal` storage.full, database.unavailable, or backup.damaged where the source itself is not sound.
    """
    private(target).close()
    with _told(), closing(_connected(source)) as reader, closing(_connected(target)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on it sees one state
        writer.execute("PRAGMA synchronous=OFF")  # whoever calls syncs the file when it is whole
        reader.backup(writer, pages=_PAGES, progress=lambda _, left, whole: progress("copy", whole - left, whole))
        reader.execute("ROLLBACK")
        writer.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        writer.execute("PRAGMA secure_delete=ON")
        for table in LEFT_OUT:
            writer.execute(f"DELETE FROM {table}")  # noqa: S608 - our own tables
        progress("examine", 0, 1)
        found = writer.execute("PRAGMA integrity_check(1)").fetchone()[0]
        progress("examine", 1, 1)
        if found != "ok":
            raise Refusal(Code.BACKUP_DAMAGED, file=str(source), why=str(found)[:200])


def is_empty(file: Path) -> bool:
    """Tell whether there is no database at `file`, or one in which no log was ever opened."""
    if not file.exists() or file.stat().st_size == 0:
        return True
    with _told(), closing(_connected(file)) as reader:
        there = reader.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('head', 'entries')").fetchone()[0]
        if there:
            there = reader.execute("SELECT count(*) FROM head").fetchone()[0]
        return int(there) == 0


@contextmanager
def put_back(backup: Path, file: Path) -> Iterator[Path]:
    """Give a private copy of `backup` to work on, beside `file`, whose place it takes at the end of the block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.restoring")
    _forget(aside)
    try:
        with backup.open("rb") as source, private(aside) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield aside
        with _told(), closing(_connected(aside)) as database:
            # What was done in the block may still be in a WAL, and only the file itself is renamed.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA journal_mode=DELETE")
        if not is_empty(file):
            raise Refusal(Code.DATABASE_NOT_EMPTY, database=str(file))
        with aside.open("rb+") as whole:
            os.fsync(whole.fileno())
        _forget(file)  # an empty one, and above all its WAL, which is no part of what takes its place
        aside.rename(file)
        sync(file.parent)
    except BaseException:
        _forget(aside)
        raise


def _forget(file: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _connected(file: Path) -> sqlite3.Connection:
    if not file.exists():
        raise Refusal(Code.LOG_MISSING)
    return sqlite3.connect(file, timeout=10, isolation_level=None)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        words = str(error).lower()
        if "full" in words:
            raise Refusal(Code.STORAGE_FULL) from error
        if "malformed" in words or "not a database" in words:
            raise Refusal(Code.BACKUP_DAMAGED, why=words) from error
        raise Refusal(Code.DATABASE_UNAVAILABLE, why=words) from error
