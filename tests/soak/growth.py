"""What must not grow: memory, open files, files left half written, and the tables that hold what passes.

The other tables grow with the log (docs/storage.md): entries, records, projections, and what was answered to whom.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, select

from api.settings import Settings
from ledger import followed, publication
from ledger.database import Reading
from ledger.tables.batches import batch_chunks, batches
from ledger.tables.catalogue import client_assertions
from ledger.tables.peers import followed_lists, held_falls, notice_cursor, peer_nonces, peer_notices_out
from ledger.tables.publishing import checkpoints, slot_leases, status_tokens
from ledger.tables.publishing import publication as publications
from ledger.tables.scans import redeemed_codes
from ledger.tables.witnessing import cosigners, misbehaviour, witnessed_checkpoints
from tests.soak.place import looked_up

TEMPORARY = ".new-"
LEFT_BY_A_KILL = 4
"""Files under way at one moment: a tile, a checkpoint, a list, a cosigned checkpoint; swept away after an hour."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How many rows of a table may be there, and why."""

    table: str
    what: str
    count: Callable[[Reading], int]
    most: int
    why: str


def _bound(table: Table, what: str, most: int, why: str, *where: ColumnElement[bool]) -> Bound:
    def count(tx: Reading) -> int:
        return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    return Bound(table.name, what, count, most, why)


def bounds(kills: int, minutes: float, scans: int, ended_at: datetime) -> list[Bound]:
    """Return what holds at the end of a run, when nobody asks any more.

    `ended_at` is when the services were told to stop: audits that follow take minutes, in which nobody sweeps.
    """
    second, thinned = int(ended_at.timestamp()), ended_at - timedelta(seconds=publication.KEPT_S + 120)
    a_minute = int(minutes) + 4 * (kills + 1)
    done = batch_chunks.c.batch.in_(select(batches.c.id).where(batches.c.state == "done"))
    open_, sent = batches.c.state.in_(("waiting", "running")), batches.c.state == "receiving"
    old = and_(checkpoints.c.signed_at < thinned, ~checkpoints.c.pinned)
    witnessed = witnessed_checkpoints.c.cosigned_at < thinned
    waiting = peer_notices_out.c.delivered_at.is_(None)
    return [
        _bound(batches, "not done", 0, "all were waited for", open_),
        _bound(batches, "being sent", kills, "a kill leaves one; swept after a day", sent),
        _bound(batch_chunks, "rows of done ones", 0, "dropped once done", and_(done, batch_chunks.c.sent.is_not(None))),
        _bound(client_assertions, "long past", 0, "the next token swept", client_assertions.c.expires < second - 1800),
        _bound(peer_nonces, "long past", 64, "the next call of a peer sweeps", peer_nonces.c.expires < second - 600),
        _bound(redeemed_codes, "all", scans, "one for each scan, for two days"),
        _bound(checkpoints, "old", a_minute, "one a minute after ten minutes, and those witnessed", old),
        _bound(witnessed_checkpoints, "old", a_minute, "the same", witnessed),
        _bound(publications, "all", 1, "one log, one head"),
        _bound(slot_leases, "all", 4, "licences without an end share a list of a million slots"),
        _bound(notice_cursor, "all", 1, "one position"),
        _bound(peer_notices_out, "not delivered", 0, "nobody relies on what fell", waiting),
        _bound(followed_lists, "all", followed.LISTS_KEPT, "the newest of one peer"),
        _bound(held_falls, "all", 0, "nothing here rests on what is abroad"),
        _bound(cosigners, "all", 1, "one a witness"),
        _bound(misbehaviour, "all", 0, "no log lied"),
    ]


def overgrown(settings: Settings, kept: Sequence[Bound]) -> list[tuple[Bound, int]]:
    """Return how many rows each has."""
    return looked_up(settings, lambda tx: [(bound, bound.count(tx)) for bound in kept])


def by_design(settings: Settings) -> dict[str, int]:
    """Return figures of what grows, for the table: tokens of status lists are kept for thirty days."""
    length = func.coalesce(func.sum(func.length(status_tokens.c.token)), 0)

    def read(tx: Reading) -> dict[str, int]:
        row: Any = tx.execute(select(func.count(), length)).one()
        return {"status tokens": int(row[0]), "their bytes": int(row[1])}

    return looked_up(settings, read)


def half_written(tiles: Path) -> int:
    """Count the files below `tiles` that were never put in their place."""
    return sum(1 for _ in tiles.rglob(f"{TEMPORARY}*"))


def grew(values: Sequence[float], share: float, slack: float) -> bool:
    """Tell whether the last third of `values` is larger than the first by more than `share` of it and `slack`.

    The very first is left out: whatever runs for the first time fills its caches.
    """
    settled = values[1:]
    third = len(settled) // 3
    if not third:
        return False
    before, after = statistics.median(settled[:third]), statistics.median(settled[-third:])
    return after > before * (1 + share) + slack
