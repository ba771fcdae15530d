"""Slots of status lists, leased in blocks before anything is signed (protocol 8, 19).

A licence names its slot inside the signed document, so the slot must be known before the commit. Each process leases
a block of counters in a short transaction of its own and turns them into slots with the list's keyed permutation
(`ledger.slot_order`). What was leased but not used, because the process ended or the row was refused, is burnt: the
counter never goes back. The commit records the used slot under a unique constraint, so even a counter restored from
an old backup cannot give one slot to two licences.

List numbers are a function of the expiry alone: `half-year << 8 | ordinal`, half-year 0 for open-ended licences, 1
for all that expire in the first half of 2000 or before, then one up for each half-year until 255 (2127, first half);
later expiries share the open-ended lists. The ordinal rises when a list is full. Sixteen bits are enough, which is
what a static code has room for.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Database, Reading, Writing
from ledger.slot_order import SLOTS, counters_of, slots_at
from ledger.tables.licences import licence_versions
from ledger.tables.publishing import slot_leases

BLOCK: Final = 256
"""Least number of counters leased at once: what a crash burns at most, per process and list."""

ORDINALS: Final = 256

HALVES_AHEAD: Final = 21
"""Half-years announced in advance: ten years and the one that has begun."""

_LAST_HALF: Final = 255
_ATTEMPTS: Final = 16


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a status list: number of the list, index in it, and the address the list is served at."""

    list_num: int
    idx: int
    uri: str


def half_year(valid_until: date | None) -> int:
    """Return the number of the half-year a licence expires in, 0 for open-ended ones."""
    if valid_until is None:
        return 0
    half = (valid_until.year - 2000) * 2 + (1 if valid_until.month <= 6 else 2)
    return 0 if half > _LAST_HALF else max(half, 1)


class SlotPool:
    """Slots this process has leased and not yet used; one per process, used from its event loop."""

    def __init__(self, database: Database, secret: bytes, base_url: str) -> None:
        self._database = database
        self._secret = secret
        self._base_url = base_url
        self._free: dict[int, deque[Slot]] = {}
        self._leasing: dict[int, asyncio.Lock] = {}

    async def take(self, valid_until: date | None, count: int = 1) -> list[Slot]:
        """Return `count` slots nobody ever had, in a list for licences that expire with `valid_until`."""
        half = half_year(valid_until)
        free = self._free.setdefault(half, deque())
        async with self._leasing.setdefault(half, asyncio.Lock()):
            while len(free) < count:
                free.extend(await asyncio.to_thread(self._lease, half, max(count - len(free), BLOCK)))
        return [free.popleft() for _ in range(count)]

    def _lease(self, half: int, count: int) -> list[Slot]:
        for _ in range(_ATTEMPTS):
            with self._database.writing() as tx:
                leased = lease_block(tx, half, count, self._base_url)
            if leased is not None:
                list_num, uri, counters = leased
                return [Slot(list_num, slot, uri) for slot in slots_at(self._secret, list_num, counters)]
        raise RuntimeError(f"no block of slots could be leased in {_ATTEMPTS} attempts")


def lease_block(tx: Writing, half: int, count: int, base_url: str) -> tuple[int, str, range] | None:
    """Lease up to `count` counters of the newest list of a half-year: number, address and counters, or None if
    another process was faster.

    Raises OverflowError when all 256 lists of the half-year are full (268 million licences).
    """
    ours = slot_leases.c.list_num.between(half << 8, half << 8 | ORDINALS - 1)
    newest = tx.execute(select(slot_leases).where(ours).order_by(slot_leases.c.list_num.desc()).limit(1)).one_or_none()
    if newest is None or newest.leased >= SLOTS:
        list_num = half << 8 if newest is None else newest.list_num + 1
        if list_num >> 8 != half:
            raise OverflowError(f"every status list of half-year {half} is full")
        uri, leased = f"{base_url}/status-lists/{list_num}", 0
        # Another process may open the same list at the same moment; then the swap below tells who was first.
        opening = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
        row = {"list_num": list_num, "uri": uri, "leased": 0}
        tx.execute(opening(slot_leases).values(row).on_conflict_do_nothing())
    else:
        list_num, uri, leased = newest.list_num, newest.uri, newest.leased
    until = min(leased + count, SLOTS)
    # The swap is in the WHERE: on PostgreSQL two processes may have read the same row.
    swapped = tx.execute(
        update(slot_leases)
        .where(slot_leases.c.list_num == list_num, slot_leases.c.leased == leased)
        .values(leased=until)
    )
    return (list_num, uri, range(leased, until)) if swapped.rowcount == 1 else None


def lists_in_use(tx: Reading) -> dict[int, str]:
    """Return the address of every list in which a licence has a slot, by number."""
    # The first slot, not EXISTS: PostgreSQL made that a join over all licences, and this is asked many times a second.
    first = select(licence_versions.c.slot).where(licence_versions.c.list_num == slot_leases.c.list_num)
    used = first.order_by(licence_versions.c.slot).limit(1).scalar_subquery().is_not(None)
    rows = tx.execute(select(slot_leases.c.list_num, slot_leases.c.uri).where(used).order_by(slot_leases.c.list_num))
    return {row.list_num: row.uri for row in rows}


def lists_announced(tx: Reading, today: date, base_url: str) -> dict[int, str]:
    """Return the lists a trust list names: those in use and those that licences of the next ten years will need.

    Announcing them early means that the first licence of a new half-year verifies with the trust list people already
    have.
    """
    first = half_year(today)
    coming = [0, *range(first, min(first + HALVES_AHEAD, _LAST_HALF) + 1)]
    return {half << 8: f"{base_url}/status-lists/{half << 8}" for half in coming} | lists_in_use(tx)


def skip_ahead(tx: Writing, secret: bytes, base_url: str, gap: int = 1 << 14) -> None:
    """Move every counter `gap` beyond the highest one in use; run once after a backup was restored.

    A backup may be older than the newest licences in people's hands. The gap burns the slots those may have, so that
    no new licence shares a bit with one the restored database does not know.
    """
    leased = {row.list_num: row.leased for row in tx.execute(select(slot_leases))}
    for half in range(_LAST_HALF + 1):
        # A list opened after the backup is unknown here: every list that could have been starts beyond the gap.
        if not any(list_num >> 8 == half for list_num in leased):
            leased[half << 8] = 0
            uri = f"{base_url}/status-lists/{half << 8}"
            tx.execute(insert(slot_leases).values(list_num=half << 8, uri=uri, leased=0))
    for list_num, counter in leased.items():
        used = tx.execute(select(licence_versions.c.slot).where(licence_versions.c.list_num == list_num)).scalars()
        highest = max(counters_of(secret, list_num, used), default=-1)
        floor = min(max(highest + 1, counter) + gap, SLOTS)
        tx.execute(update(slot_leases).where(slot_leases.c.list_num == list_num).values(leased=floor))
