"""Append-only path: prepared proposals through the writer, against the fastest way the same rows can be loaded.

`python -m benchmarks.append_only URL…` prints one table; the databases must be migrated and empty.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from sqlalchemy import select, text

from ledger.database import Database, bulk_insert
from ledger.proposals import Proposal
from ledger.sealing import seal
from ledger.tables.log import entries, record_keys, records, thing_events
from ledger.tables.subjects import record_subjects
from tests.ledger.small_log import draft, small_log

_TABLES = (entries, records, record_keys, thing_events, record_subjects)


async def measure(url: str, count: int = 20_000, batch: int = 512) -> dict[str, float]:
    """Give entries a second through the writer, with and without sealing, and of the raw load of the same rows."""
    figures: dict[str, float] = {}
    proposals = [Proposal([draft(about=["s" * 22], padding=400)]) for _ in range(count)]
    async with small_log(url) as log:
        start = time.perf_counter()
        sealed = [seal(each, log.vault) for each in proposals]
        figures["seal_per_s"] = count / (time.perf_counter() - start)
        start = time.perf_counter()
        for at in range(0, count, batch):
            log.committer.commit(sealed[at : at + batch])
        figures["commit_per_s"] = count / (time.perf_counter() - start)
        log.committer.close()
        more = [Proposal([draft(about=["s" * 22], padding=400)]) for _ in range(count)]
        start = time.perf_counter()
        await log.writer.append_many(more)
        figures["append_per_s"] = count / (time.perf_counter() - start)
        figures["raw_per_s"] = count / _raw(log.database, count, batch)
    return figures


def _raw(database: Database, count: int, batch: int) -> float:
    """Load the rows of the first `count` entries into bare copies of their tables, and give the seconds it took."""
    copies: list[tuple[Any, list[tuple[Any, ...]]]] = []
    with database.writing() as tx:
        for table in _TABLES:
            column = table.c.idx
            rows = [tuple(row) for row in tx.execute(select(table).where(column < count).order_by(column))]
            bare = table.to_metadata(type(table.metadata)(), name=f"raw_{table.name}")
            bare.dialect_options["postgresql"]["partition_by"] = None
            bare.indexes.clear()
            bare.primary_key.name = f"pk_raw_{table.name}"
            bare.create(tx)
            copies.append((bare, rows))
    start = time.perf_counter()
    for at in range(0, count, batch):
        with database.writing() as tx:
            for bare, rows in copies:
                bulk_insert(tx, bare, rows[at : at + batch])
    taken = time.perf_counter() - start
    with database.writing() as tx:
        for bare, _ in copies:
            tx.execute(text(f"DROP TABLE {bare.name}"))
    return taken


if __name__ == "__main__":
    for url in sys.argv[1:]:
        for name, value in asyncio.run(measure(url)).items():
            print(f"{url.split(':')[0]:12} {name:16} {value:10.0f}")
