"""Making a backup of a running region (protocol 5, 33): one state of the database, summed up in a manifest.

In this order, and whatever stops it on the way leaves no backup but a folder `.new-…` that the next one removes:

1. copy the database in one state into a new folder (`backing_up_sqlite`, `backing_up_postgres`)
2. copy the encrypted key store, where that was asked for
3. describe what was copied, from the copy's own state
4. write the manifest, sync everything, and give the folder its name
5. note what was erased so far beside the backups, and remove those that are too old
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ledger import witnessed
from ledger.backing_up_postgres import exported
from ledger.backing_up_sqlite import copy
from ledger.backups import (
    DATABASE,
    KEYS,
    LEFT_OUT,
    Manifest,
    Part,
    Progress,
    Writer,
    finish,
    new_backup,
    prune,
    summed,
)
from ledger.database import Database, Reading
from ledger.erased_before import note_erasures
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.publication import read_publication
from ledger.schema import current_revision, require_newest
from ledger.sequencing import read_head
from ledger.tables import metadata
from ledger.tables.publishing import trust_lists
from ledger.vault import Vault
from verifiers.legal_dates import format_time


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: its folder, its manifest, and the names of older ones that were removed."""

    folder: Path
    manifest: Manifest
    pruned: tuple[str, ...]


def back_up(
    database: Database,
    vault: Vault,
    place: Path,
    *,
    now: datetime,
    days: int,
    keys: Path | None = None,
    published: Path | None = None,
    progress: Progress = lambda _what, _done, _all: None,
) -> Backup:
    """Back the region up into a new folder below `place`, and remove backups there that are older than `days`.

    `keys` is the folder of the encrypted key store if that is to be copied, `published` the one nothing may be put
    into. Raises `Refusal` backup.unsafe, backup.damaged (the database is not sound), storage.full, log.missing.
    """
    require_apart(place, published)
    columns: dict[str, list[str]] = {}
    with _room(), new_backup(place) as folder:
        if database.is_sqlite:
            copy(Path(database.url.database or ""), folder / DATABASE, progress)
            copied = Database.open(f"sqlite:///{folder / DATABASE}")
            try:
                with copied.reading() as tx:
                    described = _described(tx, vault)
            finally:
                copied.close()
            parts = [summed(folder, DATABASE, progress)]
        else:
            with database.reading() as tx:
                require_newest(tx)
                parts, columns = exported(tx, folder, progress)
                described = _described(tx, vault)
        if keys is not None:
            parts += _copy_keys(keys, folder)
        made = format_time(now)
        product = "sqlite" if database.is_sqlite else "postgresql"
        manifest = Manifest(
            version=version("elicence-ledger"),
            product=product,
            made_at=made,
            columns=columns,
            parts=tuple(parts),
            **described,
        )
        named = finish(folder, manifest)
        note_erasures(database, vault, place, manifest.origin)
        return Backup(named, manifest, tuple(prune(place, manifest.origin, days, now)))


def require_apart(place: Path, published: Path | None) -> None:
    """Refuse a place for backups that is, or lies in, the folder everybody may read. Raises backup.unsafe."""
    if published is not None and place.resolve().is_relative_to(published.resolve()):
        raise Refusal(Code.BACKUP_UNSAFE, folder=str(place))
    if place.exists() and (not place.is_dir() or place.stat().st_mode & 0o022):
        raise Refusal(Code.BACKUP_UNSAFE, folder=str(place))


def _described(tx: Reading, vault: Vault) -> dict[str, Any]:
    require_newest(tx)
    head = read_head(tx)
    opened = load_event(tx, vault, 0).facts  # also says that the key store is this database's
    newest = witnessed.newest(tx)
    rows = {
        str(table.name): int(tx.execute(select(func.count()).select_from(table)).scalar_one())
        for table in metadata.sorted_tables
        if table.name not in LEFT_OUT
    }
    return {
        "revision": current_revision(tx),
        "region": opened["region"],
        "origin": head.origin,
        "size": head.size,
        "root": head.frontier.root().hex(),
        "at": format_time(head.at),
        "checkpoint": read_publication(tx).note,
        "witnessed": None if newest is None else newest.note,
        "trust_seq": int(tx.execute(select(func.coalesce(func.max(trust_lists.c.seq), 0))).scalar_one()),
        "rows": rows,
    }


def _copy_keys(keys: Path, folder: Path) -> list[Part]:
    """Copy the files of a key store as they are; the index last, as the store itself writes it."""
    names = [each.relative_to(keys) for each in keys.rglob("*") if each.is_file() and each.name[:1] != "."]
    found = []
    for name in sorted(names, key=lambda each: (each.name == "index", str(each))):
        if name.name == "lock":
            continue
        file = Writer(folder, f"{KEYS}/{name}")
        file.write((keys / name).read_bytes())
        found.append(file.done())
    return found


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refusal(Code.STORAGE_FULL) from error
        raise
