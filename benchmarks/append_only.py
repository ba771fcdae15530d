"""Append-only path: prepared proposals through the writer, beside raw loading of the same rows, and beside peers.

`python -m benchmarks.append_only URL…` prints one table; the databases must be migrated and empty. Each batch that is
committed is loaded raw at once afterwards, into bare copies of its tables in the same database, so both are measured
under the same load. The peers are a ledger that takes one row's lock for each entry, and pymerkle's tree on SQLite
where that package is installed (it is no dependency of ours).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, text

from ledger.database import Database, Writing, bulk_insert
from ledger.proposals import Proposal
from ledger.sealing import seal
from ledger.tables.log import entries, record_keys, records, thing_events
from ledger.tables.subjects import record_subjects
from tests.ledger.small_log import SmallLog, draft, small_log

_TABLES = (entries, records, record_keys, thing_events, record_subjects)

PEER_ENTRIES: Final = 1000


@dataclass(slots=True)
class Spent:
    """Seconds of wall clock and of processor: ours, and the database server's where there is one."""

    server: Callable[[], float] = field(default=lambda: 0.0)
    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Add what the block takes."""
        wall, cpu = time.perf_counter(), time.process_time() + self.server()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() + self.server() - cpu


async def measure(url: str, count: int = 20_000, batch: int = 512) -> dict[str, float]:
    """Give entries a second through the writer and of the raw load of the same rows, CPU of both, and the peers'.

    `pymerkle_per_s` is missing where the package is.
    """
    figures: dict[str, float] = {}
    async with small_log(url) as log:
        sealed = [seal(Proposal([draft(about=["s" * 22], padding=400)]), log.vault) for _ in range(count)]
        writer, raw = _beside(log, lambda at: log.committer.commit(sealed[at : at + batch]), count, batch)
        figures["commit_per_s"], figures["raw_per_s"] = count / writer.wall, count / raw.wall
        figures["commit_us"], figures["raw_us"] = 1e6 * writer.cpu / count, 1e6 * raw.cpu / count
        figures["row_lock_per_s"] = _row_lock(log.database, [each.drafts[0].blobs[0] for each in sealed])
        leaves = await log.leaves()
    peer = _pymerkle(leaves)
    if peer is not None:
        figures["pymerkle_per_s"] = peer
    return figures


def _beside(log: SmallLog, commit: Callable[[int], Any], count: int, batch: int) -> tuple[Spent, Spent]:
    """Commit batch after batch, and load the rows of each raw before the next."""
    log.committer.probe()
    with log.database.writing() as tx:
        bare = [_bare(tx, table) for table in _TABLES]
    loader = log.database.writer_connection()
    ours, theirs = Spent(_server_clock(log)), Spent(_backend_clock(loader))
    for at in range(0, count, batch):
        with ours.clock():
            commit(at)
        with log.database.reading() as tx:
            rows = [_rows(tx, table, at, at + batch) for table in _TABLES]
        with theirs.clock(), log.database.turn(), loader.begin():
            for table, some in zip(bare, rows, strict=True):
                bulk_insert(loader, table, some)  # type: ignore[arg-type]
    with loader.begin():
        for table in bare:
            loader.execute(text(f"DROP TABLE {table.name}"))
    loader.close()
    return ours, theirs


def _bare(tx: Writing, table: Any) -> Any:
    """Make an empty copy of a table with its primary key and nothing else."""
    bare = table.to_metadata(type(table.metadata)(), name=f"raw_{table.name}")
    bare.dialect_options["postgresql"]["partition_by"] = None
    bare.indexes.clear()
    bare.primary_key.name = f"pk_raw_{table.name}"
    bare.create(tx)
    return bare


def _rows(tx: Any, table: Any, start: int, stop: int) -> list[tuple[Any, ...]]:
    chosen = select(table).where(table.c.idx >= start, table.c.idx < stop).order_by(table.c.idx)
    return [tuple(row) for row in tx.execute(chosen)]


def _server_clock(log: SmallLog) -> Callable[[], float]:
    return _backend_clock(log.committer._connected())


def _backend_clock(connection: Connection) -> Callable[[], float]:
    """Give the clock of the server's process behind a connection; it counts in hundredths of a second."""
    if connection.dialect.name == "sqlite":
        return lambda: 0.0
    with connection.begin():
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    stat, tick = Path(f"/proc/{pid}/stat"), os.sysconf("SC_CLK_TCK")

    def clock() -> float:
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / tick

    return clock if stat.exists() else lambda: 0.0


def _row_lock(database: Database, payloads: Sequence[bytes]) -> float:
    """Give entries a second of a ledger with one transaction an entry, whose chain head is a locked row."""
    lock = "" if database.is_sqlite else " FOR UPDATE"
    blob = "BLOB" if database.is_sqlite else "BYTEA"
    with database.writing() as tx:
        tx.exec_driver_sql("CREATE TABLE peer_head (id INTEGER PRIMARY KEY, size BIGINT, chain " + blob + ")")
        tx.exec_driver_sql(f"CREATE TABLE peer_entries (idx BIGINT PRIMARY KEY, prev {blob}, payload {blob})")
        tx.execute(text("INSERT INTO peer_head VALUES (1, 0, :chain)"), {"chain": bytes(32)})
    look = text(f"SELECT size, chain FROM peer_head WHERE id = 1{lock}")
    insert = text("INSERT INTO peer_entries VALUES (:idx, :prev, :payload)")
    move = text("UPDATE peer_head SET size = :size, chain = :chain WHERE id = 1")
    chosen = payloads[:PEER_ENTRIES]
    with database.writer_connection() as connection:
        began = time.perf_counter()
        for payload in chosen:
            with database.turn(), connection.begin():
                size, prev = connection.execute(look).one()
                connection.execute(insert, {"idx": size, "prev": bytes(prev), "payload": payload})
                chain = sha256(bytes(prev) + payload).digest()
                connection.execute(move, {"size": size + 1, "chain": chain})
        taken = time.perf_counter() - began
    with database.writing() as tx:
        tx.exec_driver_sql("DROP TABLE peer_entries")
        tx.exec_driver_sql("DROP TABLE peer_head")
    return len(chosen) / taken


def _pymerkle(leaves: Sequence[bytes]) -> float | None:
    """Give entries a second of pymerkle's tree in a SQLite file, one call an entry; None without the package."""
    try:
        pymerkle = importlib.import_module("pymerkle")
    except ImportError:
        return None
    chosen = leaves[:PEER_ENTRIES]
    with tempfile.TemporaryDirectory(prefix="elicence-peer-") as folder:
        tree = pymerkle.SqliteTree(str(Path(folder) / "tree.sqlite"), algorithm="sha256")
        began = time.perf_counter()
        for leaf in chosen:
            tree.append_entry(leaf)
        taken = time.perf_counter() - began
    return len(chosen) / taken


if __name__ == "__main__":
    for url in sys.argv[1:]:
        for name, value in asyncio.run(measure(url)).items():
            print(f"{url.split(':')[0]:12} {name:16} {value:10.0f}")
