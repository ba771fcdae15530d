"""What the causes that a peer names mean here: its own stand as they are, ours count only as long as we stand by them.

A cause travels with what it did, so a decision of ours comes back through a region whose licences rested on ours. It
is known by its name: the entry of our log, or the slot of ours that a region saw before our notice had reached it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import and_, delete, select, tuple_, update

from ledger.database import Reading, Writing
from ledger.foreign_judging import entry_of, place_of
from ledger.foreign_licences import ForeignLicence
from ledger.tables.licences import causes, licence_versions
from ledger.tables.peers import foreign_falls, named_causes
from ledger.tables.publishing import slot_leases

FELL = "fell"
RESTORED = "restored"
SPENT = "spent"

CAUSES_MAX: Final = 16
"""Causes that are kept of one licence: each may become entries of our log, and the bit stands for those beyond."""


def named_causes_of(tx: Reading, origin: str, licence: ForeignLicence, as_of: int) -> Mapping[str, frozenset[str]]:
    """Return the causes that the peer's notices put on its licence, each with what it means here.

    Only what the status list can show counts: notices about entries before `as_of`. `origin` is our log's.
    """
    table = named_causes
    query = select(table.c.cause).where(
        table.c.region == licence.region,
        table.c.identifier == licence.identifier,
        table.c.event == FELL,
        table.c.entry < as_of,
    )
    return {cause: _meaning(tx, origin, licence, cause) for cause in tx.execute(query).scalars()}


def _meaning(tx: Reading, origin: str, licence: ForeignLicence, cause: str) -> frozenset[str]:
    if (place := place_of(cause, origin)) is not None:
        return _roots_at(tx, licence, *place)
    if (entry := entry_of(cause, origin)) is None:
        return frozenset({cause})
    ours = select(causes.c.closed_idx).where(causes.c.opened_idx == entry, causes.c.root == cause)
    closed = tx.execute(ours).scalars().all()
    # An entry that is no cause of ours explains nothing: it stands like any name the peer may choose.
    return frozenset({cause}) if not closed or None in closed else frozenset()


def _roots_at(tx: Reading, licence: ForeignLicence, uri: str, slot: int) -> frozenset[str]:
    """The causes on our own licence at that slot that did not come from the peer itself."""
    from_peer = select(foreign_falls.c.opened_idx).where(foreign_falls.c.region == licence.region)
    query = (
        select(causes.c.root)
        .join(licence_versions, licence_versions.c.licence == causes.c.licence)
        .join(slot_leases, slot_leases.c.list_num == licence_versions.c.list_num)
        .where(
            slot_leases.c.uri == uri,
            licence_versions.c.slot == slot,
            causes.c.closed_idx.is_(None),
            causes.c.effect != "notice",
            causes.c.opened_idx.not_in(from_peer),
        )
    )
    return frozenset(tx.execute(query).scalars())


def name(tx: Writing, region_code: str, identifier: str, cause: str, entry: int, event: str) -> None:
    """Take down what a peer's notice says of a cause on its licence; a notice about an older entry changes nothing."""
    table = named_causes
    key = and_(table.c.region == region_code, table.c.identifier == identifier, table.c.cause == cause)
    known = tx.execute(select(table.c.entry).where(key)).scalar_one_or_none()
    if known is None:
        if not _has_room(tx, region_code, identifier):
            return
        values = {"region": region_code, "identifier": identifier, "cause": cause, "entry": entry, "event": event}
        tx.execute(table.insert().values(values))
    elif known < entry:
        tx.execute(update(table).where(key).values(entry=entry, event=event))


def _has_room(tx: Writing, region_code: str, identifier: str) -> bool:
    """Whether one more cause may be named on a licence; the oldest one that stands no more makes room for it."""
    table = named_causes
    here = and_(table.c.region == region_code, table.c.identifier == identifier)
    rows = tx.execute(select(table.c.cause, table.c.event).where(here).order_by(table.c.entry)).all()
    if len(rows) < CAUSES_MAX:
        return True
    over = next((row.cause for row in rows if row.event != FELL), None)
    tx.execute(delete(table).where(here, table.c.cause == over))
    return over is not None


def to_spend(tx: Reading, region_code: str, zero: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the (identifier, cause) that notices name and a zero bit has ended; `zero` gives list sizes.

    A suspension that lapses by its date is never called restored, so the bit itself ends its name.
    """
    table = named_causes
    query = select(table.c.identifier, table.c.cause, table.c.entry).where(
        table.c.region == region_code, table.c.event == FELL
    )
    return [(row[0], row[1]) for row in tx.execute(query) if row[2] < zero.get(row[0], 0)]


def spend(tx: Writing, region_code: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Let these names count no more until a newer notice says so."""
    table = named_causes
    for start in range(0, len(listed := sorted(set(pairs))), 500):
        which = tuple_(table.c.identifier, table.c.cause).in_(listed[start : start + 500])
        tx.execute(update(table).where(table.c.region == region_code, which).values(event=SPENT))
