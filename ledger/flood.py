"""When too much would fall here at once because of one region: it is held, and an operator lets it go on or drops it.

A peer's word suspends people's licences here, so a peer that is careless or taken over must not suspend thousands
before anybody looks (protocol 23). What is held changes no verdict on the foreign licence itself, and nothing new is
built on it meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, delete, func, select, update

from ledger.actors import Actor
from ledger.case_steps import officer_of
from ledger.database import Reading, Writing
from ledger.foreign_licences import ForeignLicence
from ledger.request_members import RequestMembers
from ledger.tables.peers import foreign_falls, held_falls
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

WINDOW: Final = timedelta(hours=1)


class Held(NamedTuple):
    """A fall that is held: what would follow from which cause; at most one of the two operators has spoken."""

    cause: str
    effects: int
    released_by: str | None
    dropped_by: str | None


def lately(tx: Reading, region_code: str, now: datetime, *, idle: bool = False) -> int:
    """Count the licences here that fell because of one peer within the last hour; `idle`: the falls that felled none.

    Another name for what stands already suspends nobody, but each makes entries and cases, so these are counted too.
    """
    table = foreign_falls.c
    recent = (table.region == region_code) & (table.at > now - WINDOW)
    if idle:
        return int(tx.execute(select(func.count()).where(recent, table.affected == 0)).scalar_one())
    return int(tx.execute(select(func.coalesce(func.sum(table.affected), 0)).where(recent)).scalar_one())


def held(tx: Reading, licence: ForeignLicence) -> Held | None:
    """Return the state of what is held about a foreign licence, None where nothing is."""
    row = tx.execute(select(*(held_falls.c[name] for name in Held._fields)).where(_about(licence))).one_or_none()
    return None if row is None else Held(*row)


def hold(tx: Writing, licence: ForeignLicence, cause: str, effects: int, now: datetime) -> None:
    """Hold what `cause` would do here; what is held already keeps its time, and forgets no operator's word."""
    about = _about(licence)
    changed = tx.execute(update(held_falls).where(about).values(cause=cause, effects=effects))
    if changed.rowcount == 0:
        row = {"region": licence.region, "identifier": licence.identifier, "cause": cause, "effects": effects}
        tx.execute(held_falls.insert().values(**row, since=now, released_by=None, dropped_by=None))


def forget(tx: Writing, licence: ForeignLicence) -> None:
    """End what was held: it has been acted on, or the licence is good again."""
    tx.execute(delete(held_falls).where(_about(licence)))


def listed(tx: Reading, region_code: str | None = None) -> list[dict[str, Any]]:
    """Return what is held or dropped, oldest first, of one peer or of all."""
    query = select(held_falls).order_by(held_falls.c.since, held_falls.c.region, held_falls.c.identifier)
    if region_code is not None:
        query = query.where(held_falls.c.region == region_code)
    return [
        {
            "region": row.region,
            "identifier": row.identifier,
            "cause": row.cause,
            "effects": row.effects,
            "since": format_time(row.since),
            "state": "dropped" if row.dropped_by else "released" if row.released_by else "held",
        }
        for row in tx.execute(query)
    ]


async def release(region: Region, actor: Actor, region_code: str, body: Any) -> dict[str, Any]:
    """Let what is held because of a peer go on, or drop it: `{"identifiers"?: […], "drop"?: false}`.

    Without `identifiers` it is everything that is held. What was dropped is not acted on until the peer's licence has
    been valid again. Returns `{"region", "released" | "dropped": count}`. Raises `Refusal` with peer.unknown or
    operator.missing.
    """
    members = RequestMembers(body)
    identifiers = members.texts("identifiers", 10_000) if members.has("identifiers") else ()
    dropped = members.take("drop") if members.has("drop") else False
    members.done()
    if type(dropped) is not bool:
        raise members.invalid("drop", expected="boolean")
    officer = officer_of(actor)
    region.catalogue.recognised.peer(region_code, None)

    def change(tx: Writing) -> int:
        which = and_(
            held_falls.c.region == region_code,
            held_falls.c.dropped_by.is_(None),
            held_falls.c.released_by.is_(None),
        )
        if identifiers:
            which = and_(which, held_falls.c.identifier.in_(identifiers))
        return tx.execute(update(held_falls).where(which).values({_COLUMN[dropped]: officer})).rowcount

    count = await region.database.write(change)
    for wake in region.on_notice:
        wake(region_code)
    return {"region": region_code, "dropped" if dropped else "released": count}


_COLUMN: Final = {True: "dropped_by", False: "released_by"}


def _about(licence: ForeignLicence) -> Any:
    return and_(held_falls.c.region == licence.region, held_falls.c.identifier == licence.identifier)
