"""What is stored of the peers we follow: the newest verified checkpoint, the mirror behind it, and trust lists.

Each function is one step of following, done in one transaction. The mirror may be ahead of the verified checkpoint,
never behind it where entries are mirrored at all; so whoever goes on after a crash fetches nothing twice. Every step
names the state it started from, and whoever finds another one has a rival and stops (`Overtaken`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Row

from ledger.database import Reading, Writing, bulk_insert
from ledger.tables.peers import followed, followed_lists, mirrored_entries
from verifiers.checkpoint import SignedCheckpoint
from verifiers.entry import FIRST_PREV
from verifiers.merkle import EMPTY_ROOT, Frontier
from verifiers.peer_view import Watch

LISTS_KEPT: Final = 8
"""Versions of a peer's trust list that are kept: the newest counts, older ones are for whoever has to judge."""


class Overtaken(Exception):
    """Another process follows the same peer and has gone on since; what was fetched here is thrown away."""


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a peer's log was followed: `size` and `root` of its newest verified checkpoint, `note` (empty before
    the first), and the mirror: `mirrored` entries with their compact range and the leaf hash of the last.
    """

    region: str
    origin: str
    size: int = 0
    root: bytes = EMPTY_ROOT
    note: str = ""
    mirrored: int = 0
    frontier: bytes = field(default=Frontier().to_bytes(), repr=False)
    chain: bytes = FIRST_PREV
    state: Watch = Watch.UNREACHABLE
    detail: str = "not looked at yet"
    signed_at: datetime | None = None
    checked_at: datetime | None = None
    good_at: datetime | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class StoredList:
    """One version of a peer's trust list as it is stored; `logged_idx` is None until it is proven to be logged."""

    seq: int
    digest: bytes
    text: str = field(repr=False)
    logged_idx: int | None


def read_followed(tx: Reading) -> dict[str, Followed]:
    """Return what is stored of every peer's log, by region."""
    return {row.region: _followed(row) for row in tx.execute(select(followed))}


def read_one(tx: Reading, region: str) -> Followed | None:
    """Return what is stored of one peer's log."""
    row = tx.execute(select(followed).where(followed.c.region == region)).one_or_none()
    return None if row is None else _followed(row)


def begin(tx: Writing, region: str, origin: str, before: Followed | None) -> None:
    """Start following the log `origin` of a peer from its first entry, in the place of `before`. Raises `Overtaken`."""
    if before is not None:
        tx.execute(delete(followed).where(followed.c.region == region, followed.c.origin == before.origin))
    start = Followed(region, origin)
    inserting = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    row = {name: getattr(start, name) for name in Followed.__slots__}
    begun = tx.execute(inserting(followed).values(row).on_conflict_do_nothing().returning(followed.c.region))
    if begun.first() is None:
        raise Overtaken(f"the log of {region} is followed already")
    tx.execute(delete(mirrored_entries).where(mirrored_entries.c.origin == origin))


def extend_mirror(tx: Writing, before: Followed, entries: Sequence[bytes], frontier: Frontier, chain: bytes) -> None:
    """Add the next entries to a peer's mirror, with the compact range that ends in them. Raises `Overtaken`."""
    _move_mirror(tx, before, frontier, chain)
    bulk_insert(tx, mirrored_entries, [(before.origin, before.mirrored + n, each) for n, each in enumerate(entries)])


def cut_mirror(tx: Writing, before: Followed, frontier: Frontier, chain: bytes) -> None:
    """Throw away the mirrored entries from `frontier.size` on, because they led nowhere. Raises `Overtaken`."""
    _move_mirror(tx, before, frontier, chain)
    rest = (mirrored_entries.c.origin == before.origin) & (mirrored_entries.c.idx >= frontier.size)
    tx.execute(delete(mirrored_entries).where(rest))


def _move_mirror(tx: Writing, before: Followed, frontier: Frontier, chain: bytes) -> None:
    # The compact range is compared, not its length alone: a rival may have cut and grown the mirror along a fork.
    place = (followed.c.region == before.region) & (followed.c.origin == before.origin)
    same = (followed.c.mirrored == before.mirrored) & (followed.c.frontier == before.frontier)
    values = {"mirrored": frontier.size, "frontier": frontier.to_bytes(), "chain": chain}
    if tx.execute(update(followed).where(place, same).values(values)).rowcount != 1:
        raise Overtaken(f"the mirror of {before.region} moved on from {before.mirrored}")


def read_mirrored(tx: Reading, origin: str, start: int, end: int) -> list[bytes]:
    """Return the mirrored entries `start` … `end` - 1 of a log, fewer where the mirror ends before."""
    table = mirrored_entries.c
    chosen = select(table.bytes).where(table.origin == origin, table.idx >= start, table.idx < end).order_by(table.idx)
    return [bytes(each) for each in tx.execute(chosen).scalars()]


def verified(tx: Writing, before: Followed, checkpoint: SignedCheckpoint, signed_at: datetime | None) -> None:
    """Make `checkpoint` the newest one that was verified of this log. Raises `Overtaken`."""
    place = (followed.c.region == before.region) & (followed.c.origin == before.origin)
    values = {
        "size": checkpoint.size,
        "root": checkpoint.root,
        "note": checkpoint.text,
        "signed_at": signed_at,
    }
    done = tx.execute(update(followed).where(place, followed.c.size == before.size).values(values))
    if done.rowcount != 1:
        raise Overtaken(f"the checkpoint of {before.region} moved on from {before.size}")


def judge(tx: Writing, now: Followed, before: Watch) -> bool:
    """Store how a peer fares: its state and why, and when it was looked at; the log itself is left as it is.

    Not, and false, where its state is no longer `before`: who was overtaken must not call a fork seen meanwhile good.
    """
    names = ("state", "detail", "checked_at", "good_at", "failures")
    values = {name: getattr(now, name) for name in names}
    same = (followed.c.region == now.region) & (followed.c.state == before)
    return tx.execute(update(followed).where(same).values(values)).rowcount == 1


def judge_anew(tx: Writing, region: str) -> None:
    """Let a peer that operators admitted again be judged by what it shows from now on; what was verified stays."""
    values = {"state": Watch.UNREACHABLE, "detail": "not looked at since it was admitted again", "failures": 0}
    tx.execute(update(followed).where(followed.c.region == region).values(values))


def read_lists(tx: Reading, region: str, root: str) -> list[StoredList]:
    """Return the stored versions of a peer's trust list under this root, newest first."""
    table = followed_lists.c
    mine = select(followed_lists).where(table.region == region, table.root == root).order_by(table.seq.desc())
    return [StoredList(row.seq, bytes(row.digest), row.list, row.logged_idx) for row in tx.execute(mine)]


def newest_list(tx: Reading, region: str, root: str) -> tuple[int, bytes] | None:
    """Return number and digest of the newest version that is proven to be logged, without reading it."""
    table = followed_lists.c
    mine = select(table.seq, table.digest).where(
        table.region == region, table.root == root, table.logged_idx.is_not(None)
    )
    row = tx.execute(mine.order_by(table.seq.desc()).limit(1)).one_or_none()
    return None if row is None else (row.seq, bytes(row.digest))


def newest_text(tx: Reading, region: str, root: str, *, proven: bool) -> str | None:
    """Return the newest stored version; `proven`: the newest that is proven to be logged, not just approved."""
    table = followed_lists.c
    mine = select(table.list).where(table.region == region, table.root == root)
    if proven:
        mine = mine.where(table.logged_idx.is_not(None))
    text: str | None = tx.execute(mine.order_by(table.seq.desc()).limit(1)).scalar_one_or_none()
    return text


def keep_list(tx: Writing, region: str, root: str, found: StoredList, at: datetime) -> None:
    """Store a version that is proven to be logged, and drop those that are older than the newest few.

    Raises `Overtaken` where another one is proven under that number: what two of us were shown is for one to compare.
    """
    table = followed_lists.c
    mine = (table.region == region) & (table.root == root)
    proven = select(table.digest).where(mine, table.seq == found.seq, table.logged_idx.is_not(None))
    if tx.execute(proven).scalar_one_or_none() not in (None, found.digest):
        raise Overtaken(f"another list {found.seq} of {region} was stored")
    tx.execute(delete(followed_lists).where(mine, table.seq == found.seq))
    row = {"seq": found.seq, "digest": found.digest, "list": found.text, "logged_idx": found.logged_idx}
    tx.execute(insert(followed_lists).values(region=region, root=root, fetched_at=at, **row))
    tx.execute(delete(followed_lists).where(mine, table.seq <= found.seq - LISTS_KEPT))


def _followed(row: Row[Any]) -> Followed:
    return Followed(
        region=row.region,
        origin=row.origin,
        size=row.size,
        root=bytes(row.root),
        note=row.note,
        mirrored=row.mirrored,
        frontier=bytes(row.frontier),
        chain=bytes(row.chain),
        state=Watch(row.state),
        detail=row.detail,
        signed_at=row.signed_at,
        checked_at=row.checked_at,
        good_at=row.good_at,
        failures=row.failures,
    )
