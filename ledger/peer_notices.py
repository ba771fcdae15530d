"""Notices between regions: ours to those who rely on our licences, and theirs to us (docs/formats/notice.md).

Outward: whenever a cause opens or closes on a licence that a peer relies on, a signed notice is laid into the outbox,
in the order of the log, and delivered until the peer has it. Inward: a notice names a cause and makes the follower look
at once; nothing here turns because of it (protocol 23).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Reading, Writing
from ledger.identifiers import PARTS, whole
from ledger.outside import Unreachable
from ledger.peer_calls import PeerRefused
from ledger.recognised import Peer
from ledger.sequencing import read_head
from ledger.tables.licences import causes, licence_versions, licences
from ledger.tables.peers import notice_cursor, peer_notices_out, reliances
from ledger.tables.publishing import slot_leases
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.jws import compact, read_object
from verifiers.legal_dates import format_time
from verifiers.notice import LICENCES_MAX, NamedLicence, Notice, signing_input

if TYPE_CHECKING:
    from ledger.region import Region

PATH: Final = "/peer/notices"
TOGETHER: Final = 50
"""Notices in one call."""

CHARACTERS: Final = 200_000
"""Characters of notices in one call; a single longer one goes alone."""

_UNWRITTEN: Final = 2000
_GRAVITY: Final = ("none", "suspended", "revoked")
_BACKOFF_S: Final = (1, 2, 5, 15, 60, 300)


@dataclass(frozen=True, slots=True)
class _Told:
    """One notice to be made: `licences` are ids of ours."""

    region: str
    entry: int
    cause: str
    event: str
    effect: str
    licences: tuple[str, ...]


class PeerNotices:
    """The outbox of one region; run by the process that leads publication."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def collect(self) -> int:
        """Lay a notice into the outbox for every cause that opened or closed since the last look; returns how many."""
        region = self._region
        told, size = await region.database.read(_changes)
        if not told and size - await region.database.read(_cursor) < _UNWRITTEN:
            # Nothing was left out, so the cursor may lag: busy hours of issuing cost no writes here.
            return 0
        now = region.clock.now().replace(microsecond=0)
        named = await region.database.read(lambda tx: _named(tx, {each for one in told for each in one.licences}))
        signer = region.signer(None, "peer")
        notices = [_notice(region, each, named, now) for each in told]
        messages = [signing_input(each, signer.public_key.kid) for each in notices]
        signatures = await signer.sign(messages) if messages else []
        rows = [
            {
                "region": each.region,
                "entry": each.entry,
                "cause": each.cause,
                "notice": compact(message, signature),
                "made_at": now,
                "attempts": 0,
                "next_at": now,
                "delivered_at": None,
                "answer": "",
            }
            for each, message, signature in zip(told, messages, signatures, strict=True)
        ]
        # Rows and cursor in one transaction: a crash before it makes the same notices again, none after it twice.
        await region.database.write(lambda tx: _store(tx, rows, size))
        return len(rows)

    async def deliver(self, peer: Peer) -> int:
        """Send the peer what is due, oldest entry first, until all is there or none goes; returns how many went."""
        region, sent = self._region, 0
        while True:
            now = region.clock.now()
            waiting = await region.database.read(lambda tx: _due(tx, peer.region, now))  # noqa: B023
            if not waiting or region.peer_calls is None:
                return sent
            try:
                answer = await region.peer_calls.call(peer, PATH, {"notices": [each[2] for each in waiting]})
            except (Unreachable, PeerRefused) as error:
                why = str(error)[:200]
                await region.database.write(lambda tx: _put_off(tx, peer.region, waiting, now, why))  # noqa: B023
                return sent
            states = answer.get("states")
            listed = states if isinstance(states, list) and len(states) == len(waiting) else [""] * len(waiting)
            # A crash before this line delivers them once more, which the peer knows by entry and cause.
            await region.database.write(lambda tx: _delivered(tx, peer.region, waiting, listed, now))  # noqa: B023
            sent += len(waiting)


def _changes(tx: Reading) -> tuple[list[_Told], int]:
    """What peers are to be told: open causes they have not heard of, and causes closed since the cursor."""
    size, cursor = read_head(tx).size, _cursor(tx)
    c, told = causes.c, defaultdict[tuple[str, int, str, str], dict[str, str]](dict)
    heard = (
        select(peer_notices_out.c.entry)
        .where(
            peer_notices_out.c.region == reliances.c.region,
            peer_notices_out.c.entry == c.opened_idx,
            peer_notices_out.c.cause == c.root,
        )
        .exists()
    )
    query = (
        select(reliances.c.region, reliances.c.licence, c.root, c.effect, c.opened_idx, c.closed_idx)
        .join(causes, c.licence == reliances.c.licence)
        .where(c.effect != "notice", c.opened_idx < size)
    )
    for row in tx.execute(query.where(c.closed_idx.is_(None), ~heard)):
        told[row.region, row.opened_idx, row.root, "fell"][row.licence] = row.effect
    closed = tx.execute(query.where(c.closed_idx >= cursor, c.closed_idx < size)).all()
    still = _still_under(tx, {row.licence for row in closed})
    for row in closed:
        if (row.licence, row.root) not in still:
            told[row.region, row.closed_idx, row.root, "restored"][row.licence] = "none"
    ordered = sorted(told.items(), key=lambda item: (item[0][1], item[0][0], item[0][2]))
    return [
        _Told(*key, max(effects.values(), key=_GRAVITY.index), tuple(sorted(effects)[:LICENCES_MAX]))
        for key, effects in ordered
    ], size


def _still_under(tx: Reading, licences: set[str]) -> set[tuple[str, str]]:
    """The (licence, root) pairs among `licences` on which the root stands by another cause."""
    query = select(causes.c.licence, causes.c.root).where(
        causes.c.licence.in_(licences), causes.c.closed_idx.is_(None), causes.c.effect != "notice"
    )
    return {(row[0], row[1]) for row in tx.execute(query)}


def _cursor(tx: Reading) -> int:
    return int(tx.execute(select(notice_cursor.c.size)).scalar_one_or_none() or 0)


def _named(tx: Reading, ids: Iterable[str]) -> dict[str, list[NamedLicence]]:
    """Each licence under every identifier its documents bear, at the place of the newest document."""
    newest = licence_versions.alias("newest")
    query = (
        select(licence_versions.c.licence, slot_leases.c.uri, newest.c.slot, *PARTS)
        .join(licences, licences.c.id == licence_versions.c.licence)
        .join(newest, and_(newest.c.licence == licence_versions.c.licence, newest.c.superseded_idx.is_(None)))
        .join(slot_leases, slot_leases.c.list_num == newest.c.list_num)
        .where(licence_versions.c.licence.in_(set(ids)))
    )
    named: dict[str, list[NamedLicence]] = defaultdict(list)
    for licence, uri, slot, *parts in tx.execute(query):
        named[licence].append(NamedLicence(whole(*parts), uri, slot))
    return named


def _notice(region: Region, told: _Told, named: dict[str, list[NamedLicence]], at: datetime) -> Notice:
    licences = [each for licence in told.licences for each in named[licence]]
    return Notice(
        sender=region.config.region,
        receiver=told.region,
        origin=region.origin,
        entry=told.entry,
        cause=told.cause,
        event=told.event,
        effect=told.effect,
        licences=tuple(licences[:LICENCES_MAX]),
        at=at,
    )


def _store(tx: Writing, rows: Sequence[dict[str, Any]], size: int) -> None:
    opening = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    if rows:
        tx.execute(opening(peer_notices_out).on_conflict_do_nothing(), rows)
    if tx.execute(update(notice_cursor).values(size=size)).rowcount == 0:
        tx.execute(notice_cursor.insert().values(id=1, size=size))


def _due(tx: Reading, region_code: str, now: datetime) -> list[tuple[int, str, str]]:
    """The (entry, cause, notice) to send now: the oldest first, and nothing while the oldest has to wait."""
    table = peer_notices_out
    query = (
        select(table.c.entry, table.c.cause, table.c.notice, table.c.next_at)
        .where(table.c.region == region_code, table.c.delivered_at.is_(None))
        .order_by(table.c.entry, table.c.cause)
        .limit(TOGETHER)
    )
    rows = tx.execute(query).all()
    if not rows or rows[0].next_at > now:
        return []
    lengths = list(accumulate(len(row.notice) for row in rows))
    fitting = max(1, sum(length <= CHARACTERS for length in lengths))
    return [(row.entry, row.cause, row.notice) for row in rows[:fitting]]


def _which(region_code: str, entry: int, cause: str) -> Any:
    table = peer_notices_out
    return and_(table.c.region == region_code, table.c.entry == entry, table.c.cause == cause)


def _delivered(
    tx: Writing, region_code: str, sent: Sequence[tuple[int, str, str]], states: Sequence[Any], now: datetime
) -> None:
    table = peer_notices_out
    for (entry, cause, _), state in zip(sent, states, strict=True):
        values = {"delivered_at": now, "attempts": table.c.attempts + 1, "answer": str(state)[:200]}
        tx.execute(update(table).where(_which(region_code, entry, cause)).values(values))


def _put_off(tx: Writing, region_code: str, sent: Sequence[tuple[int, str, str]], now: datetime, why: str) -> None:
    table = peer_notices_out
    for entry, cause, _ in sent:
        which = _which(region_code, entry, cause)
        attempts = tx.execute(select(table.c.attempts).where(which)).scalar_one()
        due = now + timedelta(seconds=_BACKOFF_S[min(attempts, len(_BACKOFF_S) - 1)])
        tx.execute(update(table).where(which).values(attempts=attempts + 1, next_at=due, answer=why))


def outbox(tx: Reading, region_code: str, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the notices to one peer and how far they have come, newest first: `{"items": […], "cursor"?}`."""
    table, size = peer_notices_out, min(limit, LIMIT_MAX)
    query = select(table).where(table.c.region == region_code)
    if cursor:
        entry, cause = decode_cursor(cursor)
        query = query.where((table.c.entry < entry) | ((table.c.entry == entry) & (table.c.cause > cause)))
    rows = tx.execute(query.order_by(table.c.entry.desc(), table.c.cause).limit(size + 1)).all()
    answer: dict[str, Any] = {"items": [_shown(row) for row in rows[:size]]}
    if len(rows) > size:
        answer["cursor"] = encode_cursor(rows[size - 1].entry, rows[size - 1].cause)
    return answer


def _shown(row: Any) -> dict[str, Any]:
    payload = read_object(b64u_decode(row.notice.split(".")[1]), Reason.NOTICE)
    return {
        "entry": row.entry,
        "cause": row.cause,
        "event": payload["event"],
        "effect": payload["effect"],
        "licences": [each["identifier"] for each in payload["licences"]],
        "made_at": format_time(row.made_at),
        "attempts": row.attempts,
        "delivered_at": None if row.delivered_at is None else format_time(row.delivered_at),
        "next_at": None if row.delivered_at is not None else format_time(row.next_at),
        "answer": row.answer,
    }
