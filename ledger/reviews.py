"""Review cases: a licence was suspended because what it rests on fell, and its owner must look again (protocol 22a).

The owner either keeps the suspension (and acts by its own grounds, `ledger.acts`) or lifts it, which closes exactly the
cause that the case put on this licence. A reversal closes the case by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, and_, select, update

from ledger import causes
from ledger.actors import Actor
from ledger.case_steps import Thread, officer_of, once
from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart
from ledger.foreign_judging import root_of
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.fraud import decisions, review_cases
from ledger.tables.licences import causes as cause_rows
from ledger.tables.licences import licence_holders
from ledger.tables.peers import foreign_falls
from verifiers.cascade import Consequence
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region


def review_rows(e: Event, effects: Sequence[Consequence]) -> list[tuple[Any, ...]]:
    """Return the rows of the review cases that a decision opens."""
    return [
        (f"{e.thing}:{each.licence}", e.thing, each.licence, each.by, e.facts["review_by"], e.idx, None, None)
        for each in effects
        if each.review
    ]


def open_reviews(tx: Reading, department: str, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the open review cases of `department`, oldest first: `{"items": […], "cursor"?}`."""
    table = review_cases
    query = select(table).where(table.c.department == department, table.c.closed_idx.is_(None))
    if cursor:
        idx, id_ = decode_cursor(cursor)
        query = query.where((table.c.opened_idx > idx) | ((table.c.opened_idx == idx) & (table.c.id > id_)))
    size = min(limit, LIMIT_MAX)
    rows = tx.execute(query.order_by(table.c.opened_idx, table.c.id).limit(size + 1)).all()
    items = [{"id": row.id, "licence": row.licence, "due": row.due, "entry": row.opened_idx} for row in rows[:size]]
    answer: dict[str, Any] = {"items": items}
    if len(rows) > size:
        answer["cursor"] = encode_cursor(rows[size - 1].opened_idx, rows[size - 1].id)
    return answer


async def conclude(
    region: Region, actor: Actor, review: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Close a review case of the caller's department: `{"outcome": "kept|restored", "reason"}`.

    `kept` leaves the suspension, `restored` lifts it. Returns `{"review", "outcome", "entry"}`. Raises `Refusal` with
    `review.unknown` or `review.closed`.
    """
    members = RequestMembers(body)
    outcome, reason = members.one_of("outcome", ("kept", "restored")), members.text("reason")
    members.done()
    officer = officer_of(actor)

    async def attempt() -> dict[str, Any]:
        row, cause, holder = await region.database.read(lambda tx: _load(tx, review, actor.department))
        facts = {
            "officer": officer,
            "review": review,
            "licence": row.licence,
            **cause,
            "outcome": outcome,
        }
        parts = (SubjectPart(holder, {"reason": reason}),)
        step = Thread.new().step(actor.department, "review.closed", facts, parts)
        answer = {"review": review, "outcome": outcome}
        # Two officers who close it at once touch the same names, so the second finds it closed under the lock.
        return await record(
            region,
            [step],
            answer,
            conditions=(ReviewOpen(review),),
            touches=(review, row.licence),
            idempotency=idempotency,
        )

    return await once(region, idempotency, attempt)


def _load(tx: Reading, review: str, department: str) -> tuple[Row[Any], dict[str, Any], str]:
    row = tx.execute(select(review_cases).where(review_cases.c.id == review)).one_or_none()
    if row is None or row.department != department:
        raise Refusal(Code.REVIEW_UNKNOWN)
    if row.closed_idx is not None:
        raise Refusal(Code.REVIEW_CLOSED, outcome=row.outcome)
    holders = select(licence_holders.c.subject).where(licence_holders.c.licence == row.licence)
    return row, _cause(tx, row.flag), tx.execute(holders.order_by(licence_holders.c.ord).limit(1)).scalar_one()


def _cause(tx: Reading, flag: str) -> dict[str, Any]:
    """Name what put the suspension on the licence: the decision's root, or a fall abroad, which may share its root."""
    decided = tx.execute(select(decisions.c.root).where(decisions.c.flag == flag)).scalar_one_or_none()
    if decided is not None:
        return {"root": decided}
    fall = tx.execute(select(foreign_falls).where(foreign_falls.c.id == flag)).one()
    return {"root": root_of(fall.cause), "opened": fall.opened_idx}


@dataclass(frozen=True, slots=True)
class ReviewOpen:
    """Condition: nobody has closed the review case yet. Refused with `review.closed`."""

    review: str

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[ReviewOpen]) -> dict[ReviewOpen, Refusal]:
        """Return a refusal for each review case that is closed."""
        wanted = [condition.review for condition in conditions]
        still = select(review_cases.c.id).where(review_cases.c.id.in_(wanted), review_cases.c.closed_idx.is_(None))
        open_ids = set(tx.execute(still).scalars())
        return {each: Refusal(Code.REVIEW_CLOSED) for each in conditions if each.review not in open_ids}


def project_review_closed(tx: Writing, e: Event) -> None:
    """Close a review case and, where the owner lifts the suspension, the one cause behind it."""
    facts = e.facts
    closed = update(review_cases).where(review_cases.c.id == facts["review"])
    tx.execute(closed.values(closed_idx=e.idx, outcome=facts["outcome"]))
    if facts["outcome"] == "restored":
        today = day_of(e.at)
        which = and_(cause_rows.c.licence == facts["licence"], cause_rows.c.root == facts["root"])
        if "opened" in facts:
            which = and_(which, cause_rows.c.opened_idx == facts["opened"])
        causes.recompute(tx, causes.close_causes(tx, which, e.idx, today), today)
