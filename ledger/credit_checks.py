"""Credit checks (信用核查): asked for a purpose, answered yes, no or with conditions, recorded, usable as a basis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from ledger.actors import Actor
from ledger.case_steps import Thread, officer_of, once
from ledger.credit import standing
from ledger.credit_rules import CONDITIONS, POLICIES, Answer, answer
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart, projector
from ledger.lineage import chunks
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.credit import bans, credit_checks, credit_records
from ledger.tables.subjects import subjects
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.drafting import Unsigned
    from ledger.region import Region


async def check(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Answer whether anything stands against somebody: `{"subject": id, "purpose", "matter"?}`.

    The policy is the matter's. Returns `{"id", "outcome": "yes|no|conditions", "conditions", "checked_at", "entry"}`
    and never the records. Raises `Refusal` with subject.unknown, matter.unknown or credit.policy_unknown.
    """
    members = RequestMembers(body)
    subject, purpose = members.id("subject"), members.text("purpose")
    matter = members.maybe("matter", lambda name: members.text(name, 64))
    members.done()

    async def attempt() -> dict[str, Any]:
        step, answered = await prepare_check(region, actor, subject, purpose, matter)
        return await record(region, [step], answered, idempotency=idempotency)

    return await once(region, idempotency, attempt)


async def prepare_check(
    region: Region, actor: Actor, subject: str, purpose: str, matter: str | None
) -> tuple[Unsigned, dict[str, Any]]:
    """Make a check without appending it: its entry and its answer."""
    officer = officer_of(actor)
    today = day_of(region.clock.now())
    definition = region.catalogue.matter(matter).definition if matter else {}
    policy = (definition.get("credit") or {}).get("policy", "refuse")
    if policy not in POLICIES:
        raise Refusal(Code.CREDIT_POLICY_UNKNOWN, "/matter", policy=policy)
    results = tuple(definition.get("results") or ())
    found = await region.database.read(lambda tx: assess(tx, subject, policy, results, today))
    thread = Thread.new()
    said = {
        "outcome": found.value,
        "conditions": list(CONDITIONS) if found is Answer.CONDITIONS else [],
        "checked_at": today.isoformat(),
    }
    facts = {**said, "subject": subject, "matter": matter, "policy": policy, "officer": officer}
    # The purpose is the caller's own words about a person, so it goes where it can be erased.
    parts = (SubjectPart(subject, {"purpose": purpose}),)
    return thread.step(actor.department, "credit.checked", facts, parts), {"id": thread.thing, **said}


def assess(tx: Reading, subject: str, policy: str, types: Sequence[str], today: date) -> Answer:
    """Compute what a check says of `subject`, who applies for licences of `types`. Raises subject.unknown."""
    if tx.execute(select(subjects.c.id).where(subjects.c.id == subject)).one_or_none() is None:
        raise Refusal(Code.SUBJECT_UNKNOWN, "/subject")
    rows = tx.execute(select(credit_records).where(credit_records.c.subject == subject))
    banned = bool(_banned(tx, [(subject, code) for code in types], today))
    return answer(policy, [standing(row) for row in rows], today, banned=banned)


def _banned(tx: Reading, pairs: Sequence[tuple[str, str]], today: date) -> set[tuple[str, str]]:
    if not pairs:
        return set()
    named = [and_(bans.c.subject == subject, bans.c.type == code) for subject, code in set(pairs)]
    rows = tx.execute(
        select(bans.c.subject, bans.c.type).where(
            or_(*named),
            bans.c.lifted_idx.is_(None),
            bans.c.from_on <= today.isoformat(),
            bans.c.until_on >= today.isoformat(),
        )
    )
    return {(row[0], row[1]) for row in rows}


@dataclass(frozen=True, slots=True)
class NotBanned:
    """Condition of an issue: no ban bars `subject` from licence type `type` on `today`. Refused as subject.banned."""

    subject: str
    type: str
    today: date

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NotBanned]) -> dict[NotBanned, Refusal]:
        """Return a refusal for each applicant under a ban, in one statement for the usual case of no ban at all."""
        subjects_asked = {condition.subject for condition in conditions}
        known: set[str] = set()
        for chunk in chunks(subjects_asked):
            known |= set(tx.execute(select(bans.c.subject).where(bans.c.subject.in_(chunk))).scalars())
        refused: dict[NotBanned, Refusal] = {}
        for condition in conditions:
            if condition.subject in known and _banned(tx, [(condition.subject, condition.type)], condition.today):
                refused[condition] = Refusal(Code.SUBJECT_BANNED, "/holders", type=condition.type)
        return refused


@projector("credit.checked")
def _project_checks(tx: Writing, events: Sequence[Event]) -> None:
    rows = [
        (
            e.thing,
            f["subject"],
            f["matter"],
            f["outcome"],
            json.dumps(f["conditions"]),
            e.by,
            f["checked_at"],
            b64u_decode(f["secret"], 32),
            e.idx,
        )
        for e in events
        for f in (e.facts,)
    ]
    bulk_insert(tx, credit_checks, rows)
