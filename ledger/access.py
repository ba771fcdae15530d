"""Who looked at which licence, for what: written before anything is shown, seen by the holder, digested every hour.

Access records lie outside the log, because there are many and they are about officers and holders; a logged digest of
each hour makes any that is later dropped or changed stand out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, func, or_, select

from ledger.case_steps import Thread
from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.ids import new_id
from ledger.recording import record
from ledger.tables.licences import licence_holders
from ledger.tables.scans import access_digests, access_records
from verifiers import canonical
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

HOUR: Final = 3600
LATE_S: Final = 60
"""Seconds after the end of an hour in which a slow transaction may still write a record of it."""

_FIRST_COLUMNS: Final = 10

MEANS: Final = ("static", "dynamic", "search")


@dataclass(slots=True)  # not frozen: made for every scan
class Access:
    """One look at one licence: by whom, by which of `MEANS`, for what; `fields` are the names that were shown.

    `region` is that of the department, where it is another region's; `abroad` names the licence (`region:identifier`)
    where that is, and `licence` is then `None`.
    """

    licence: str | None
    department: str
    officer: str
    means: str
    matter: str | None
    purpose: str
    fields: tuple[str, ...]
    outcome: str
    region: str | None = None
    abroad: str | None = None


def write_accesses(tx: Writing, accesses: Sequence[tuple[Access, datetime]]) -> list[str]:
    """Write access records, each with its time, in the transaction that allows the looks, and return their ids."""
    ids = [new_id() for _ in accesses]
    rows = [
        (
            id_,
            int(at.timestamp()),
            each.licence,
            each.department,
            each.officer,
            each.means,
            each.matter,
            each.purpose,
            json.dumps(sorted(each.fields), ensure_ascii=False),
            each.outcome,
            each.region,
            each.abroad,
        )
        for id_, (each, at) in zip(ids, accesses, strict=True)
    ]
    bulk_insert(tx, access_records, rows)
    return ids


def accesses_to(tx: Reading, subject: str, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return who looked at the licences of `subject`, the newest first: `{"items": […], "cursor"?}`.

    Raises `Refusal` with `cursor.invalid`.
    """
    table, size = access_records, min(limit, LIMIT_MAX)
    mine = select(licence_holders.c.licence).where(licence_holders.c.subject == subject)
    query = select(table).where(table.c.licence.in_(mine)).order_by(table.c.at.desc(), table.c.id.desc())
    if cursor:
        moment, last = decode_cursor(cursor)
        query = query.where(or_(table.c.at < moment, and_(table.c.at == moment, table.c.id < last)))
    rows = tx.execute(query.limit(size + 1)).all()
    listed = [
        {
            "id": row.id,
            "at": format_time(datetime.fromtimestamp(row.at, UTC)),
            "licence": row.licence,
            "department": row.department,
            "means": row.means,
            "matter": row.matter,
            "purpose": row.purpose,
            "fields": json.loads(row.fields),
            "outcome": row.outcome,
            **({} if row.region is None else {"region": row.region}),
        }
        for row in rows[:size]
    ]
    answer: dict[str, Any] = {"items": listed}
    if len(rows) > size:
        answer["cursor"] = encode_cursor(rows[size - 1].at, rows[size - 1].id)
    return answer


async def digest_accesses(region: Region) -> int:
    """Log the digest of every hour that is over and has records, and return how many; several processes may run it."""
    now = int(region.clock.now().timestamp())
    last = (now - LATE_S) // HOUR * HOUR
    hours = await region.database.read(lambda tx: _undigested(tx, last))
    for hour in hours:
        count, digest = await region.database.read(lambda tx, hour=hour: digest_of_hour(tx, hour))  # type: ignore[misc]
        facts = {"hour": hour, "count": count, "digest": b64u_encode(digest)}
        step = Thread.new().step(REGION, "access.digested", facts)
        await record(region, [step], {}, conditions=(NotDigested(hour),), touches=(f"access:{hour}",))
    return len(hours)


def digest_of_hour(tx: Reading, hour: int) -> tuple[int, bytes]:
    """Return how many records the hour that begins at Unix second `hour` has, and their digest.

    H("elicence/access/v1\\0" ‖ per row, sorted by id: canonical JSON array of its columns in order, without
    `region` and `abroad` where they are empty at its end ‖ line feed).
    """
    here = access_records.c.at.between(hour, hour + HOUR - 1)
    rows = tx.execute(select(access_records).where(here).order_by(access_records.c.id)).all()
    hashed = hashlib.sha256(b"elicence/access/v1\0")
    for row in rows:
        columns = list(row)
        while len(columns) > _FIRST_COLUMNS and columns[-1] is None:  # as hours were digested before these were added
            columns.pop()
        hashed.update(canonical.encode(columns) + b"\n")
    return len(rows), hashed.digest()


def _undigested(tx: Reading, before: int) -> list[int]:
    done = tx.execute(select(func.max(access_digests.c.hour))).scalar_one()
    at = access_records.c.at
    since = 0 if done is None else int(done) + HOUR
    query = select((at - at % HOUR).label("hour")).where(at >= since, at < before).distinct()
    return sorted(int(each) for each in tx.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class NotDigested:
    """Condition: no other process has logged the digest of this hour. Refused as `stale`."""

    hour: int

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NotDigested]) -> dict[NotDigested, Refusal]:
        """Return a refusal for each hour that has its digest."""
        hours = [condition.hour for condition in conditions]
        done = set(tx.execute(select(access_digests.c.hour).where(access_digests.c.hour.in_(hours))).scalars())
        return {condition: Refusal(Code.STALE) for condition in conditions if condition.hour in done}


@projector("access.digested")
def _project_digests(tx: Writing, events: Sequence[Event]) -> None:
    rows = [
        (event.facts["hour"], event.facts["count"], b64u_decode(event.facts["digest"], 32), event.idx)
        for event in events
    ]
    bulk_insert(tx, access_digests, rows)
