"""One batch, one transaction: the steps between taking the head's lock and moving the head.

Nothing here commits; `ledger.writer` does. Each step says what a crash there leaves: until the commit, always nothing,
because the head, the entries, their records and every projection move in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, update

from ledger.clock import Clock, SystemClock
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, project
from ledger.history import index_events
from ledger.idempotency import answer_row, find_answers
from ledger.largest_seen import LargestSeen
from ledger.proposals import Committed, Condition, Replayed
from ledger.sealing import CATALOGUE_KINDS, SealedProposal
from ledger.tables.log import entries, head, record_keys, records
from ledger.tables.operational import idempotency
from ledger.vault import Vault
from verifiers import entry
from verifiers.merkle import Frontier, leaf_hash

if TYPE_CHECKING:
    from ledger.catalogue import Catalogue

CLOCK_BEHIND = timedelta(seconds=5)
CLOCK_AHEAD = timedelta(seconds=60)

Outcome = Committed | Replayed | Refusal | Exception
"""What a caller gets; an `Exception` that is no refusal is a mistake of ours and is raised in the caller's task."""

CatalogueAt = Callable[[Reading, int], "Catalogue"]
"""Gives the catalogue as of an index, from memory where it can."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head row: where the log ends. `chain` is the leaf hash of the last entry, `frontier` the tree so far."""

    origin: str
    size: int
    chain: bytes
    frontier: Frontier
    at: datetime
    catalogue_idx: int


@dataclass(frozen=True, slots=True)
class Sequenced:
    """A batch with its places: outcomes in the order asked, and what proves later that the commit happened."""

    outcomes: list[Outcome]
    size: int
    kinds: frozenset[str]
    last: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the transaction needs to know beside the batch.

    `ahead` tells that others' clocks are behind ours, `seen` how large the log is known to be in other hands.
    """

    origin: str
    vault: Vault
    clock: Clock
    catalogue_at: CatalogueAt
    ahead: Callable[[], bool] = lambda: False
    seen: LargestSeen = field(default_factory=LargestSeen)


_head_columns = (*head.columns,)
_lock_head_sqlite = select(*_head_columns)
_lock_head_postgres = select(
    *_head_columns, func.extract("epoch", func.clock_timestamp()).label("now")
).with_for_update()
_move_head = (
    update(head)
    .where(head.c.id == 1, head.c.size == bindparam("old_size"))
    .values(
        size=bindparam("new_size"),
        chain=bindparam("new_chain"),
        frontier=bindparam("new_frontier"),
        at=bindparam("new_at"),
        catalogue_idx=bindparam("new_catalogue_idx"),
    )
)


def read_head(tx: Reading) -> Head:
    """Read where the log ends. Raises `Refusal` with `log.missing` where no log was opened."""
    return _head(tx.execute(_lock_head_sqlite).one_or_none())


def lock_head(tx: Writing, clock: Clock) -> tuple[Head, datetime]:
    """Take the lock that makes a writer, and give the head and the time.

    With the system's clock the time is the database server's, the same for all processes; this machine must agree to a
    minute. Raises `Refusal` with `log.missing` or `clock.ahead`.
    """
    if tx.dialect.name == "sqlite":  # BEGIN IMMEDIATE has locked the whole file
        return read_head(tx), clock.now()
    row: Any = tx.execute(_lock_head_postgres).one_or_none()
    found = _head(row)
    if row is None or not isinstance(clock, SystemClock):
        return found, clock.now()
    now = datetime.fromtimestamp(float(row.now), UTC)
    if abs(now - clock.now()) > CLOCK_AHEAD:
        raise Refusal(Code.CLOCK_AHEAD, retry_after=30)
    return found, now


def _head(row: Any) -> Head:
    if row is None:
        raise Refusal(Code.LOG_MISSING)
    return Head(row.origin, row.size, row.chain, Frontier.from_bytes(row.frontier), row.at, row.catalogue_idx)


def writable_head(tx: Writing, rules: Rules) -> tuple[Head, datetime]:
    """Lock the head and return it with the time now.

    Raises `Refusal` with log.missing, log.other, log.rolled_back, clock.behind or clock.ahead where nothing may be
    written.
    """
    start, now = lock_head(tx, rules.clock)
    if start.origin != rules.origin:
        raise Refusal(Code.LOG_OTHER, found=start.origin)
    behind = rules.seen.compare(start.size)
    if behind is not None:
        raise behind
    if now < start.at - CLOCK_BEHIND:
        raise Refusal(Code.CLOCK_BEHIND, retry_after=max(1, int((start.at - now).total_seconds())))
    if rules.ahead():
        # An entry dated after the witnesses' present would have to be believed by everybody later (protocol 7).
        raise Refusal(Code.CLOCK_AHEAD, retry_after=30)
    return start, now


def sequence(tx: Writing, batch: Sequence[SealedProposal], rules: Rules) -> Sequenced:
    """Give every proposal of `batch` that still holds its place in the log, and bring all projections up to date.

    Raises what the database raises, and what a projector raises: then nothing of the batch may be committed.
    """
    # (1) Lock. Another process that dies holding the lock loses it with its connection.
    try:
        start, now = writable_head(tx, rules)
    except Refusal as refusal:
        return Sequenced([refusal] * len(batch), -1, frozenset(), None)
    at = max(start.at, now.astimezone(UTC).replace(microsecond=0))

    # (2) What was asked before is answered as before; (3) what no longer holds is refused. Both only read.
    outcomes: list[Outcome | None] = [None] * len(batch)
    _answer_repeated(tx, batch, outcomes, rules.vault)
    _refuse_unauthorised(tx, batch, outcomes, start.catalogue_idx, rules.catalogue_at)
    _refuse_by_condition(tx, batch, outcomes)

    # (4) Indexes, chain and tree, in memory. A crash here or below rolls back: no index was told to anybody.
    accepted = [number for number, outcome in enumerate(outcomes) if outcome is None]
    places = _places(batch, accepted)
    if not places:
        return Sequenced([each for each in outcomes if each is not None], start.size, frozenset(), None)
    end, rows, indexes = _append(start, at, batch, places)
    for number in accepted:
        theirs = tuple(indexes[number])
        outcomes[number] = Committed(min(theirs), theirs, at)

    # (5) Rows of the log, (6) projections by the same code that rebuilds them, (7) the head moves.
    _insert(tx, rows, batch, outcomes)
    project(tx, rows.events)
    _move(tx, start, end)
    kinds = frozenset(event.kind for event in rows.events)
    return Sequenced([each for each in outcomes if each is not None], end.size, kinds, rows.entries[-1])


def _answer_repeated(
    tx: Writing, batch: Sequence[SealedProposal], outcomes: list[Outcome | None], vault: Vault
) -> None:
    stored = find_answers(tx, [each.slot for each in batch if each.slot is not None])
    if not stored:
        return
    for number, each in enumerate(batch):
        found, again = stored.get(each.slot or b""), each.proposal.idempotency
        if found is None or again is None:
            continue
        if not secrets.compare_digest(found.mac, again.mac):
            outcomes[number] = Refusal(Code.IDEMPOTENCY_CONFLICT)
        elif found.erased:
            outcomes[number] = Refusal(Code.ANSWER_ERASED)
        else:
            answer = None if found.answer is None else vault.open_answer(found.answer)
            outcomes[number] = Replayed(found.indexes, found.at, answer)


def _refuse_unauthorised(
    tx: Writing,
    batch: Sequence[SealedProposal],
    outcomes: list[Outcome | None],
    catalogue_idx: int,
    catalogue_at: CatalogueAt,
) -> None:
    """Ask again whether the caller may, where the catalogue has changed since he was asked."""
    for number, each in enumerate(batch):
        authorise = each.proposal.authorise
        if outcomes[number] is not None or authorise is None or each.proposal.catalogue == catalogue_idx:
            continue
        try:
            authorise(catalogue_at(tx, catalogue_idx))
        except Refusal as refusal:
            outcomes[number] = refusal


def _refuse_by_condition(tx: Writing, batch: Sequence[SealedProposal], outcomes: list[Outcome | None]) -> None:
    """Check all conditions of one class with one query, however many proposals state them."""
    stated: dict[type[Condition], dict[Condition, None]] = {}
    for each, outcome in zip(batch, outcomes, strict=True):
        if outcome is None:
            for condition in each.proposal.conditions:
                stated.setdefault(type(condition), {})[condition] = None
    refusals: dict[Condition, Refusal] = {}
    for kind, conditions in stated.items():
        refusals.update(kind.check(tx, list(conditions)))
    if refusals:
        for number, each in enumerate(batch):
            if outcomes[number] is None:
                failed = (refusals[one] for one in each.proposal.conditions if one in refusals)
                outcomes[number] = next(failed, None)


def _places(batch: Sequence[SealedProposal], accepted: Iterable[int]) -> list[tuple[int, int]]:
    """Order the drafts (proposal number, draft number): as they came, but `sealed` ones at random among themselves.

    So neighbours in the log say nothing about each other (protocol rule 1). Events of one thing keep their order.
    """
    places = [(number, position) for number in accepted for position in range(len(batch[number].drafts))]
    drafts = [batch[number].drafts[position].draft for number, position in places]
    seats = [seat for seat, draft in enumerate(drafts) if draft.kind == "sealed"]
    if len(seats) < 2:
        return places
    shuffled = _shuffled(seats)
    by_thing: dict[str, list[int]] = {}
    for seat in shuffled:
        by_thing.setdefault(drafts[seat].thing, []).append(seat)
    if len(by_thing) < len(seats):
        in_order = {thing: iter(sorted(theirs, key=lambda seat: drafts[seat].n)) for thing, theirs in by_thing.items()}
        shuffled = [next(in_order[drafts[seat].thing]) for seat in shuffled]
    ordered = places.copy()
    for seat, taken in zip(seats, shuffled, strict=True):
        ordered[seat] = places[taken]
    return ordered


def _shuffled(seats: Sequence[int]) -> list[int]:
    """Put `seats` into an order nobody can guess: by 64 random bits each, asked of the system in one call."""
    drawn = memoryview(secrets.token_bytes(8 * len(seats))).cast("Q")
    return [seat for _, seat in sorted(zip(drawn, seats, strict=True))]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one batch adds to the log's own tables, and the events the projectors are shown."""

    entries: list[tuple[int, bytes]]
    records: list[tuple[int, int, bytes]]
    keys: list[tuple[int, int, bytes]]
    events: list[Event]


def _append(
    start: Head, at: datetime, batch: Sequence[SealedProposal], places: Sequence[tuple[int, int]]
) -> tuple[Head, _Rows, dict[int, list[int]]]:
    """Build leaves, chain and tree for the drafts in `places`; gives the new head, the rows and indexes by proposal."""
    rows = _Rows([], [], [], [])
    frontier, chain, catalogue_idx = start.frontier.copy(), start.chain, start.catalogue_idx
    indexes = {number: [-1] * len(batch[number].drafts) for number, _ in places}
    encode, hashes = entry.Encoder(at).encode, []
    for idx, (number, position) in enumerate(places, start.size):
        sealed = batch[number].drafts[position]
        draft = sealed.draft
        leaf = encode(draft.kind, draft.by, draft.ref, sealed.commit, chain)
        chain = leaf_hash(leaf)
        hashes.append(chain)
        if draft.kind in CATALOGUE_KINDS:
            catalogue_idx = idx
        indexes[number][position] = idx
        rows.entries.append((idx, leaf))
        for part, blob in enumerate(sealed.blobs):
            rows.records.append((idx, part, blob))
        for part, key in enumerate(sealed.keys, 1):
            rows.keys.append((idx, part, key))
        rows.events.append(Event(idx, at, draft.kind, draft.by, draft.ref, draft.event, draft.facts, draft.subjects))
    frontier.extend(hashes)
    end = Head(start.origin, start.size + len(places), chain, frontier, at, catalogue_idx)
    return end, rows, indexes


def _insert(tx: Writing, rows: _Rows, batch: Sequence[SealedProposal], outcomes: Sequence[Outcome | None]) -> None:
    bulk_insert(tx, entries, rows.entries)
    bulk_insert(tx, records, rows.records)
    bulk_insert(tx, record_keys, rows.keys)
    index_events(tx, rows.events)
    answers = [
        answer_row(each.slot, each.proposal.idempotency.mac, outcome.indexes, outcome.at, each.answer)
        for each, outcome in zip(batch, outcomes, strict=True)
        if isinstance(outcome, Committed) and each.slot is not None and each.proposal.idempotency is not None
    ]
    bulk_insert(tx, idempotency, answers)


def _move(tx: Writing, start: Head, end: Head) -> None:
    moved = tx.execute(
        _move_head,
        {
            "old_size": start.size,
            "new_size": end.size,
            "new_chain": end.chain,
            "new_frontier": end.frontier.to_bytes(),
            "new_at": end.at,
            "new_catalogue_idx": end.catalogue_idx,
        },
    )
    if moved.rowcount != 1:  # the lock was not one: better no batch than a fork
        raise RuntimeError("the head moved while it was locked")
