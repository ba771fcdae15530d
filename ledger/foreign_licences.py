"""Licences of other regions that licences here rest on: where their status bit lies, and what it last said.

A basis abroad is named by region and identifier. Issuing never waits for the network, so where its bit lies is learnt
later: from a scan, from the document, or by asking the peer, which thereby learns that we rely on it. What was learnt
is operational; what follows from it is logged (`ledger.foreign_causes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Reading, Writing
from ledger.lineage import chunks
from ledger.reliances import Located
from ledger.tables.licences import lineage
from ledger.tables.peers import foreign_licences

BACKOFF_S: Final = (1, 2, 5, 15, 60, 300)
"""Seconds until a peer that did not answer is asked again."""

ASKED_AT_ONCE: Final = 100
"""Identifiers in one question to a peer."""


@dataclass(frozen=True, slots=True)
class ForeignLicence:
    """A peer's licence whose place in the peer's status lists is known; `value` is what was last seen there."""

    region: str
    identifier: str
    uri: str
    slot: int
    value: int | None
    as_of: int | None

    @property
    def id(self) -> str:
        """How the lineage names it."""
        return f"{self.region}:{self.identifier}"


def remember(
    tx: Writing,
    region_code: str,
    identifier: str,
    uri: str | None,
    slot: int | None,
    type: str | None,  # noqa: A002 - the word for what kind of licence it is
    major: int | None,
    source: str,
    *,
    at: datetime,
) -> None:
    """Take down where the status bit of a foreign licence lies, as `source` (scan, issue or peer) has it.

    What the peer says wins over what a document says, because a licence moves to another slot with each new version;
    what is known is never forgotten for a source that knows less. A new place forgets the value of the old one.
    """
    table = foreign_licences
    key = and_(table.c.region == region_code, table.c.identifier == identifier)
    known = tx.execute(select(table).where(key)).one_or_none()
    if known is None:
        values = {
            "region": region_code,
            "identifier": identifier,
            "uri": uri,
            "slot": slot,
            "type": type,
            "major": major,
            "source": source,
            "learned_at": at,
            "attempts": 0,
            "told_at": at if source == "peer" else None,
            "next_at": None if source == "peer" else at,
        }
        tx.execute(_insert(tx).values(values).on_conflict_do_nothing())
        return
    if uri is not None and (known.uri is None or source == "peer") and (known.uri, known.slot) != (uri, slot):
        place = {"uri": uri, "slot": slot, "source": source, "learned_at": at, "value": None, "as_of": None}
        tx.execute(update(table).where(key).values(place))
    if type is not None and known.type is None:
        tx.execute(update(table).where(key).values(type=type, major=major))
    if source == "peer":
        tx.execute(update(table).where(key).values(told_at=at, next_at=None, attempts=0))


def note_unknown(tx: Writing, peers: Iterable[str], at: datetime, since: int = 0) -> int:
    """Make a row for each licence of one of `peers` that licences here rest on, and that has none; count them.

    Looks at what entries from `since` on rest on.
    """
    query = select(lineage.c.parent_id).where(lineage.c.parent_kind == "foreign", lineage.c.idx >= since).distinct()
    wanted = set(peers)
    named = {
        (region, identifier)
        for region, _, identifier in (each.partition(":") for each in tx.execute(query).scalars())
        if region in wanted
    }
    known = {
        (row[0], row[1])
        for chunk in chunks(identifier for _, identifier in named)
        for row in tx.execute(
            select(foreign_licences.c.region, foreign_licences.c.identifier).where(
                foreign_licences.c.identifier.in_(chunk)
            )
        )
    }
    for region, identifier in sorted(named - known):
        remember(tx, region, identifier, None, None, None, None, "issue", at=at)
    return len(named - known)


def names_any(tx: Reading, since: int) -> bool:
    """Whether an entry from `since` on rests on a licence of another region."""
    query = select(lineage.c.parent_id).where(lineage.c.parent_kind == "foreign", lineage.c.idx >= since)
    return tx.execute(query.limit(1)).first() is not None


def to_ask(tx: Reading, region_code: str, now: datetime) -> list[str]:
    """Return the identifiers that the peer is to be asked about now: unknown place, or not told that we rely on them.

    Only what a licence here rests on is asked about, so that scans alone tell a peer nothing.
    """
    table = foreign_licences
    query = (
        select(table.c.identifier)
        .where(
            table.c.region == region_code,
            or_(table.c.uri.is_(None), table.c.told_at.is_(None), table.c.next_at.is_not(None)),
            or_(table.c.next_at.is_(None), table.c.next_at <= now),
            _relied(),
        )
        .order_by(table.c.identifier)
        .limit(ASKED_AT_ONCE)
    )
    return list(tx.execute(query).scalars())


def learn(tx: Writing, region_code: str, asked: Sequence[str], located: Sequence[Located], at: datetime) -> list[str]:
    """Take down what a peer answered about the identifiers it was `asked` for, and return those it said nothing of.

    These are asked about again, later each time.
    """
    for each in located:
        remember(tx, region_code, each.identifier, each.uri, each.slot, each.type, each.major, "peer", at=at)
    silent = sorted(set(asked) - {each.identifier for each in located})
    put_off(tx, region_code, silent, at)
    return silent


def put_off(tx: Writing, region_code: str, identifiers: Sequence[str], now: datetime) -> None:
    """Ask again about these later, each time a little later than the time before."""
    table = foreign_licences
    for identifier in identifiers:
        key = and_(table.c.region == region_code, table.c.identifier == identifier)
        attempts = tx.execute(select(table.c.attempts).where(key)).scalar_one_or_none() or 0
        pause = BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)]
        tx.execute(update(table).where(key).values(attempts=attempts + 1, next_at=now + timedelta(seconds=pause)))


def ask_again(tx: Writing, region_code: str, identifier: str, now: datetime) -> None:
    """Have the peer asked once more where a licence lies: its bit turned, and it may have a new version elsewhere."""
    key = and_(foreign_licences.c.region == region_code, foreign_licences.c.identifier == identifier)
    tx.execute(update(foreign_licences).where(key).values(next_at=now))


def placed(tx: Reading, region_code: str) -> list[ForeignLicence]:
    """Return the peer's licences whose place is known and that a licence here rests on, by identifier."""
    table = foreign_licences
    query = (
        select(table)
        .where(table.c.region == region_code, table.c.uri.is_not(None), _relied())
        .order_by(table.c.identifier)
    )
    return [
        ForeignLicence(row.region, row.identifier, row.uri, row.slot, row.value, row.as_of) for row in tx.execute(query)
    ]


def saw(tx: Writing, seen: Iterable[tuple[ForeignLicence, int, int]]) -> None:
    """Take down what status lists said: licence, value, log size it shows."""
    table = foreign_licences
    for licence, value, as_of in seen:
        # The place is part of the condition: what was seen at an old place says nothing about a new one.
        key = and_(
            table.c.region == licence.region,
            table.c.identifier == licence.identifier,
            table.c.uri == licence.uri,
            table.c.slot == licence.slot,
        )
        tx.execute(update(table).where(key).values(value=value, as_of=as_of))


def unresolved(tx: Reading) -> dict[str, int]:
    """Count for each peer the licences here relied on whose place is not known yet."""
    table = foreign_licences
    query = select(table.c.region, func.count()).where(table.c.uri.is_(None), _relied()).group_by(table.c.region)
    return {row[0]: row[1] for row in tx.execute(query)}


def _relied() -> Any:
    """Whether a licence here rests on the row's licence."""
    table = foreign_licences
    name = table.c.region + ":" + table.c.identifier
    rests = select(literal(1)).where(lineage.c.parent_kind == "foreign", lineage.c.parent_id == name)
    return rests.exists()


def _insert(tx: Writing) -> Any:
    return (sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert)(foreign_licences)
