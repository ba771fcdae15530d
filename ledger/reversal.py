"""Reversing a decision: one root cause closes, and what remains is exactly what other open causes demand (protocol 20).

Everything the decision put on licences carries its root, so closing is one statement; states and status bits are then
recomputed from what is still open. Credit records of the case are withdrawn, each by an entry of its own, and its bans
are lifted. A revocation that had become final keeps its status bit: relief is a new version with a new slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ledger import causes
from ledger.actors import Actor
from ledger.bans import lift_bans
from ledger.case_steps import officer_of, once
from ledger.credit import withdrawal_steps
from ledger.database import Reading, Writing
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.fraud import Case, load_case, mark
from ledger.notices import Notice, post, relied_on
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.fraud import decision_effects, decisions, review_cases
from ledger.tables.licences import causes as cause_rows
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region


async def reverse(
    region: Region, actor: Actor, flag_id: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Reverse an upheld case: `{"authority", "articles", "document_no", "decided_at"?}`.

    `authority` is the court, the reconsideration body or the department itself. Returns `{"state": "reversed",
    "licences": count, "credit_records": [withdrawn ids], "entry"}`. Raises `Refusal` with flag.unknown,
    flag.undecided, flag.not_upheld, flag.reversed or decision.dates.
    """
    members = RequestMembers(body)
    authority, document_no = members.text("authority"), members.text("document_no", 128)
    articles = members.texts("articles")
    today = day_of(region.clock.now()).isoformat()
    decided_at = members.maybe("decided_at", members.day) or today
    members.done()
    officer = officer_of(actor)
    if decided_at > today:
        raise Refusal(Code.DECISION_DATES, "/decided_at")

    def prepare(tx: Reading) -> tuple[Case, list[str], list[list[str]], list[Unsigned]]:
        case = load_case(tx, flag_id, actor.department)
        case.require("upheld")
        touched = select(decision_effects.c.licence).where(decision_effects.c.flag == flag_id)
        licences = sorted(tx.execute(touched).scalars())
        return case, licences, relied_on(tx, licences), withdrawal_steps(tx, flag_id, case.raised_by, document_no)

    async def attempt() -> dict[str, Any]:
        case, licences, relied, withdrawals = await region.database.read(prepare)
        facts = {
            "officer": officer,
            "authority": authority,
            "articles": articles,
            "document_no": document_no,
            "decided_at": decided_at,
            "relied": relied,
        }
        steps = [case.thread.step(case.raised_by, "fraud.reversed", facts), *withdrawals]
        answer = {
            "state": "reversed",
            "licences": len(licences),
            "credit_records": [step.thing for step in withdrawals],
        }
        return await record(region, steps, answer, touches=licences, idempotency=idempotency)

    return await once(region, idempotency, attempt)


def project_reversed(tx: Writing, e: Event) -> None:
    """Close everything the decision opened, recompute what is left, withdraw its bans and tell those concerned."""
    root = tx.execute(select(decisions.c.root).where(decisions.c.flag == e.thing)).scalar_one()
    today = day_of(e.at)
    restored = causes.close_causes(tx, cause_rows.c.root == root, e.idx, today)
    reviews = update(review_cases).where(review_cases.c.flag == e.thing, review_cases.c.closed_idx.is_(None))
    tx.execute(reviews.values(closed_idx=e.idx, outcome="reversed"))
    causes.recompute(tx, restored, today)
    lift_bans(tx, e.thing, e.idx)
    mark(tx, e.thing, state="reversed", reversed_idx=e.idx)
    post(tx, e.idx, _notices(tx, e, set(restored)))


def _notices(tx: Reading, e: Event, restored: set[str]) -> list[Notice]:
    told = {"document_no": e.facts["document_no"], "decided_at": e.facts["decided_at"], "by": e.by}
    table = decision_effects
    owners = tx.execute(select(table.c.by, table.c.licence).where(table.c.flag == e.thing).order_by(table.c.ord))
    return [
        *(Notice(row[0], "licence.restored", row[1], told) for row in owners if row[1] in restored),
        *(Notice(department, "licence.restored", licence, told, True) for department, licence in e.facts["relied"]),
    ]
