"""Putting a backup back into an empty database, so that it may be served again (protocol 5, 8, 11, 33).

Everything is checked before anything is touched. What has to be different from the backup is changed in the same step
that makes the database appear, a rename or a commit, so an interrupted restore leaves an empty database and is simply
done again:

- the slot counters skip what people may hold that the backup does not know;
- nobody holds the lease of the publication;
- what our witness cosigned is not there, so it gets new keys (the caller's `witness_identity.renew`);
- what is known of our log's witnesses is forgotten: until a quorum has answered, nothing is written (`cosigning`).

What was erased after the backup was made is erased again afterwards (`erased_before`), by entries of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, delete, text, update

from keys.signer import KeyStore
from ledger import erasing, witness_states
from ledger.backing_up_postgres import imported, require_empty
from ledger.backing_up_sqlite import is_empty, put_back
from ledger.backups import DATABASE, Manifest, Progress, check_parts
from ledger.database import Database, Reading, Writing
from ledger.engines import normal_url
from ledger.errors import Code, Refusal
from ledger.schema import current_revision, migrate, newest_revision, require_newest
from ledger.sequencing import read_head
from ledger.status_slots import skip_ahead
from ledger.tables.publishing import publication
from ledger.tables.witnessing import witness_identity, witnessed_logs


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: the backup's manifest, and how many erased parts had to be shredded again at once."""

    manifest: Manifest
    shredded: int


def restore(
    folder: Path,
    url: str | URL,
    store: KeyStore,
    *,
    base_url: str,
    service_role: str | None = None,
    progress: Progress = lambda _what, _done, _all: None,
) -> Restored:
    """Restore the backup in `folder` into the empty database at `url` (on PostgreSQL the owner's address).

    Raises `Refusal` backup.incomplete, backup.damaged, backup.other (another kind of database, another release or key
    store), database.not_empty, storage.full.
    """
    manifest = Manifest.read(folder)
    address = normal_url(url)
    product = address.get_backend_name()
    if manifest.product != product:
        raise Refusal(Code.BACKUP_OTHER, found=manifest.product, wanted=product)
    if manifest.revision != newest_revision():
        raise Refusal(Code.BACKUP_OTHER, found=manifest.revision, wanted=newest_revision(), release=manifest.version)
    secret = store.secret("slots")
    if product == "sqlite":
        target = Path(address.database or "")
        if not is_empty(target):
            raise Refusal(Code.DATABASE_NOT_EMPTY, database=str(target))
        check_parts(folder, manifest, progress)
        with put_back(folder / DATABASE, target) as aside:
            return Restored(manifest, _finish(f"sqlite:///{aside}", manifest, secret, base_url))
    database = Database.open(address)
    try:
        with database.reading() as tx:
            if current_revision(tx) is not None:
                require_empty(tx)
        check_parts(folder, manifest, progress)
        migrate(address, service_role=service_role)
        with database.writing() as tx:
            require_empty(tx)
            imported(tx, folder, manifest.columns, progress)
            shredded = _prepare(tx, manifest, secret, base_url)
        with database.writing() as tx:
            tx.execute(text("ANALYZE"))
    finally:
        database.close()
    return Restored(manifest, shredded)


def _finish(url: str, manifest: Manifest, secret: bytes, base_url: str) -> int:
    database = Database.open(url)
    try:
        with database.writing() as tx:
            return _prepare(tx, manifest, secret, base_url)
    finally:
        database.close()


def _prepare(tx: Writing, manifest: Manifest, secret: bytes, base_url: str) -> int:
    """Check that `tx` shows what the manifest says, and change what must be different; returns the parts shredded."""
    require_newest(tx)
    _require_same(tx, manifest)
    # Licences issued after the backup are in people's hands: no new one may share a bit with them.
    skip_ahead(tx, secret, base_url)
    tx.execute(update(publication).values(holder="", lease_until=0, token=publication.c.token + 1))
    for table in (witness_identity, witnessed_logs):
        tx.execute(delete(table))
    witness_states.forget(tx)
    found = erasing.brought_back(tx)
    return erasing.shred(tx, found) if found else 0


def _require_same(tx: Reading, manifest: Manifest) -> None:
    head = read_head(tx)
    if (head.origin, head.size, head.frontier.root().hex()) != (manifest.origin, manifest.size, manifest.root):
        raise Refusal(Code.BACKUP_DAMAGED, found=head.size, wanted=manifest.size)
