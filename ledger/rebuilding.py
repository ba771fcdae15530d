"""Making the projections again from the log, in place.

The log is replayed into a scratch database, as the audit does, and the tables that differ are replaced, all in one
transaction under the head lock. The long part happens before the lock: only what was appended meanwhile is replayed
under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Table, delete, select

from ledger.audit_projections import compare_tables
from ledger.audit_report import Report
from ledger.auditing import newest_day
from ledger.clock import Clock
from ledger.database import Database, Reading, bulk_insert
from ledger.history import load_events
from ledger.replaying import Scratch, projections
from ledger.sequencing import lock_head, read_head
from ledger.vault import Vault

SLICE: Final = 1024
_ROWS: Final = 2000

Progress = Callable[[int, int], None]
"""Is told how many entries of how many have been replayed."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: log size, the tables that were replaced, and what was wrong with them."""

    size: int
    replaced: tuple[str, ...]
    differences: Report = field(repr=False)


def rebuild(database: Database, vault: Vault, clock: Clock, progress: Progress = lambda _done, _all: None) -> Rebuilt:
    """Replace every projection that is not what the log says; changes nothing where all are right.

    Raises `Refusal` record.damaged where a record cannot be opened: then there is nothing to rebuild from, and
    nothing is changed.
    """
    with Scratch() as scratch:
        with database.reading() as tx:
            _replay(tx, vault, scratch, read_head(tx).size, progress)
        with database.writing() as tx:
            head, _ = lock_head(tx, clock)
            _replay(tx, vault, scratch, head.size, progress)
            scratch.turn(newest_day(tx, head.at))
            report = Report(head.origin, head.size)
            differing = compare_tables(tx, scratch.tx, projections(), report)
            for table in projections():
                if table.name in differing:
                    tx.execute(delete(table))
                    for rows in _rows(scratch.tx, table):
                        bulk_insert(tx, table, rows)
        return Rebuilt(head.size, tuple(sorted(differing)), report)


def _replay(tx: Reading, vault: Vault, scratch: Scratch, size: int, progress: Progress) -> None:
    for start in range(scratch.size, size, SLICE):
        end = min(start + SLICE, size)
        scratch.project(list(load_events(tx, vault, start, end)))
        progress(end, size)


def _rows(tx: Reading, table: Table) -> Iterator[list[tuple[object, ...]]]:
    result = tx.execute(select(table).execution_options(yield_per=_ROWS))
    for part in result.partitions(_ROWS):
        yield [tuple(row) for row in part]
