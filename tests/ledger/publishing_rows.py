"""Rows that stand for a log, put straight into the tables, so that publishing is tested without the writer."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import insert, update

from keys.memory_store import MemoryKeyStore
from ledger.clock import ManualClock
from ledger.database import Database, Writing
from ledger.largest_seen import LargestSeen
from ledger.log_signing import LogSigner
from ledger.public_files import PublicFiles
from ledger.publishing import Publisher
from ledger.tables.log import entries, head
from verifiers.merkle import Frontier, leaf_hash

ORIGIN = "ledger.example/log/1"
NOON = datetime(2026, 11, 21, 4, 0, 0, tzinfo=UTC)


class LogRows:
    """A database with `entries` and `head` that grow on demand; entries are bytes without meaning."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self.frontier = Frontier()

    def grow(self, size: int) -> None:
        """Append entries until the log has `size`, and move the head."""
        rows = [(idx, b'{"entry":%d}' % idx) for idx in range(self.frontier.size, size)]
        for _, leaf in rows:
            self.frontier.append(leaf_hash(leaf))
        with self.database.writing() as tx:
            if rows:
                tx.execute(insert(entries), [{"idx": idx, "bytes": leaf} for idx, leaf in rows])
            self.write_head(tx, size, self.frontier.to_bytes())

    def write_head(self, tx: Writing, size: int, frontier: bytes) -> None:
        """Put the head row in place as given."""
        row = {
            "id": 1,
            "origin": ORIGIN,
            "size": size,
            "chain": bytes(32),
            "frontier": frontier,
            "at": NOON,
            "catalogue_idx": -1,
        }
        if tx.execute(update(head).values(row)).rowcount == 0:
            tx.execute(insert(head).values(row))

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def log_signer(origin: str = ORIGIN) -> LogSigner:
    """Make a log signer with both keys."""
    store = MemoryKeyStore()
    names = (("log-ed25519", "Ed25519"), ("log-mldsa44", "ML-DSA-44"))
    for name, suite in names:
        store.create(name, suite)
    return LogSigner(origin, tuple(store.signer(name) for name, _ in names))


def publisher(
    rows: LogRows,
    files: PublicFiles,
    signer: LogSigner,
    *,
    crash_after: str | None = None,
    seen: int = 0,
    lease_ms: int = 0,
) -> Publisher:
    """Make a publisher that raises `Crash` after the named step; by default others may take its lease at once."""

    def step_done(step: str) -> None:
        if step == crash_after:
            raise Crash(step)

    clock = ManualClock(NOON)
    known = LargestSeen(seen)
    return Publisher(
        rows.database, files, clock, signer, interval_s=0.01, lease_ms=lease_ms, seen=known, step_done=step_done
    )


class Crash(Exception):
    """Stands for the process ending at this point."""


def sizes(notes: Sequence[str | None]) -> list[int]:
    """Give the tree sizes of checkpoint texts."""
    return [0 if note is None else int(note.split("\n")[1]) for note in notes]
