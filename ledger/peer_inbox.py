"""Notices that other regions send: checked, taken down once, and never acted on by themselves (protocol 23).

What a notice can do is name a cause and make us look sooner. So all that is checked is whether the peer may say this at
all: its own key, addressed to us, about its own log and its own lists, at the place we know. A notice that fails is
refused and counted; it is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from keys.public_key import PublicKey
from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Reading, Writing
from ledger.foreign_meaning import name
from ledger.peer_calls import trust_list_of
from ledger.recognised import Peer
from ledger.request_members import RequestMembers
from ledger.tables.licences import lineage
from ledger.tables.peers import foreign_licences, peer_notices_in
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.legal_dates import format_time
from verifiers.notice import Notice, open_notice
from verifiers.trust_list import TrustList

if TYPE_CHECKING:
    from ledger.region import Region

WAITING: Final = "waiting"
KNOWN: Final = "known"
IGNORED: Final = "ignored"
REFUSED: Final = "refused"

TOGETHER: Final = 100
"""Notices in one call."""

KEPT: Final = 2_000
"""Notices kept of one peer, the newest: a copy of one that is forgotten changes nothing either."""

refused: Counter[str] = Counter()
"""Notices this process has refused, by the region that sent them; for metrics."""


async def receive(region: Region, peer: Peer, texts: Sequence[str]) -> list[str]:
    """Take in a peer's notices and return for each what became of it.

    `waiting`: taken down, and the peer is looked at now; `known`: had been taken down before; `ignored`: nothing here
    rests on what it names; `refused: …` with the reason. No state changes by any of them.
    """
    at = region.clock.now()
    trust = await trust_list_of(region, peer, at)
    opened: list[Notice | str] = []
    for text in texts:
        try:
            opened.append(_opened(region, peer, trust, text))
        except VerificationError as error:
            opened.append(f"{REFUSED}: {error.reason}")

    def write(tx: Writing) -> list[str]:
        return [
            each if isinstance(each, str) else _take_down(tx, peer.region, each, text, at)
            for each, text in zip(opened, texts, strict=True)
        ]

    states = [each for each in opened if isinstance(each, str)]
    if len(states) < len(opened):
        # One transaction for all, or a peer that sends a hundred at a time would keep those who issue waiting. A crash
        # after this line leaves notices that the peer sends again and that are then known.
        states = await region.database.write(write)
    refused[peer.region] += sum(each.startswith(REFUSED) for each in states)
    if WAITING in states:
        if region.following is not None:
            region.following.wake(peer.region)
        for wake in region.on_notice:
            wake(peer.region)
    return states


def _opened(region: Region, peer: Peer, trust: TrustList | None, text: str) -> Notice:
    def key_of(kid: str) -> PublicKey | None:
        key = None if trust is None else trust.key(kid)
        if key is None or key.purpose != "peer" or key.department is not None:
            return None
        return key.public_key if key.revoked is None and key.log_to is None else None

    notice = open_notice(text, sender=peer.region, receiver=region.config.region, key_of=key_of)
    if trust is None or trust.log(notice.origin) is None:
        raise Malformed(Reason.NOTICE, "about a log that is not the sender's")
    if any(each.uri not in trust.status_uris for each in notice.licences):
        raise Malformed(Reason.NOTICE, "about a status list that is not the sender's")
    return notice


def _take_down(tx: Writing, region_code: str, notice: Notice, text: str, at: datetime) -> str:
    """Keep a notice and the names it gives; one whose places are not those we know is refused as a whole."""
    table = peer_notices_in
    seen = select(table.c.state).where(
        table.c.region == region_code, table.c.entry == notice.entry, table.c.cause == notice.cause
    )
    if tx.execute(seen).first() is not None:
        return KNOWN
    places = _places(tx, region_code, [each.identifier for each in notice.licences])
    for each in notice.licences:
        if places.get(each.identifier, (each.uri, each.slot)) not in ((None, None), (each.uri, each.slot)):
            return f"{REFUSED}: place"
    rested = [each for each in notice.licences if each.identifier in places]
    state = WAITING if rested else IGNORED
    row = {"region": region_code, "entry": notice.entry, "cause": notice.cause, "notice": text}
    tx.execute(table.insert().values(**row, received_at=at, state=state, detail=notice.event))
    _forget_old(tx, region_code)
    for each in rested:
        name(tx, region_code, each.identifier, notice.cause, notice.entry, notice.event)
    return state


def _forget_old(tx: Writing, region_code: str) -> None:
    table = peer_notices_in
    mine = table.c.region == region_code
    while int(tx.execute(select(func.count()).where(mine)).scalar_one()) > KEPT:
        oldest = select(table.c.received_at, table.c.entry, table.c.cause).where(mine)
        row = tx.execute(oldest.order_by(table.c.received_at, table.c.entry).limit(1)).one()
        tx.execute(delete(table).where(mine, table.c.entry == row.entry, table.c.cause == row.cause))


def _places(tx: Reading, region_code: str, identifiers: Sequence[str]) -> dict[str, tuple[str | None, int | None]]:
    """Where those of the peer's licences lie that something here rests on; no place where it is not known yet."""
    ids = [f"{region_code}:{each}" for each in identifiers]
    rests = select(lineage.c.parent_id).where(lineage.c.parent_kind == "foreign", lineage.c.parent_id.in_(ids))
    found: dict[str, tuple[str | None, int | None]] = {
        each.partition(":")[2]: (None, None) for each in tx.execute(rests.distinct()).scalars()
    }
    table = foreign_licences
    known = select(table.c.identifier, table.c.uri, table.c.slot).where(
        table.c.region == region_code, table.c.identifier.in_(list(found))
    )
    found.update({row[0]: (row[1], row[2]) for row in tx.execute(known)})
    return found


def inbox(tx: Reading, region_code: str, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the notices taken down from one peer, newest entry of theirs first: `{"items": […], "cursor"?}`."""
    table, size = peer_notices_in, min(limit, LIMIT_MAX)
    query = select(table).where(table.c.region == region_code)
    if cursor:
        entry, cause = decode_cursor(cursor)
        query = query.where((table.c.entry < entry) | ((table.c.entry == entry) & (table.c.cause > cause)))
    rows = tx.execute(query.order_by(table.c.entry.desc(), table.c.cause).limit(size + 1)).all()
    answer: dict[str, Any] = {
        "items": [
            {
                "entry": row.entry,
                "cause": row.cause,
                "event": row.detail,
                "state": row.state,
                "received_at": format_time(row.received_at),
            }
            for row in rows[:size]
        ]
    }
    if len(rows) > size:
        answer["cursor"] = encode_cursor(rows[size - 1].entry, rows[size - 1].cause)
    return answer


def texts_of(body: Any) -> tuple[str, ...]:
    """Read the body `{"notices": [compact JWS, …]}` of a call. Raises `Refusal` request.member_…"""
    members = RequestMembers(body)
    texts = tuple(members.texts("notices", TOGETHER))
    members.done()
    return texts
