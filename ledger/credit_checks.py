"""Credit checks (信用核查): asked for a purpose, answered yes, no or with conditions, recorded, usable as a basis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ledger.actors import Actor
from ledger.bans import banned_pairs
from ledger.case_steps import Thread, officer_of, once
from ledger.credit import standing
from ledger.credit_rules import CONDITIONS, POLICIES, Answer, answer
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart, projector
from ledger.named_subjects import Named, SubjectName, read_subject, resolve_subjects
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.subjects import introduce
from ledger.tables.credit import credit_checks, credit_records
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region


async def check(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Answer whether anything stands against somebody: `{"subject", "purpose", "matter"?}`.

    `subject` is an id or `{"kind", "name", "id_type", "id"}`; of somebody unknown nothing is known, which is yes. The
    policy is the matter's. Returns `{"id", "outcome": "yes|no|conditions", "conditions", "checked_at", "entry"}`
    and never the records. Raises `Refusal` with subject.unknown, matter.unknown or credit.policy_unknown.
    """
    members = RequestMembers(body)
    subject, purpose = read_subject(members), members.text("purpose")
    matter = members.maybe("matter", lambda name: members.text(name, 64))
    members.done()

    async def attempt() -> dict[str, Any]:
        return await append_check(region, actor, subject, purpose, matter, idempotency)

    return await once(region, idempotency, attempt)


async def append_check(
    region: Region,
    actor: Actor,
    subject: SubjectName,
    purpose: str,
    matter: str | None,
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Make one check and record it; `check` without the reading of a request."""
    officer = officer_of(actor)
    today = day_of(region.clock.now())
    definition = region.catalogue.matter(matter).definition if matter else {}
    policy = (definition.get("credit") or {}).get("policy", "refuse")
    if policy not in POLICIES:
        raise Refusal(Code.CREDIT_POLICY_UNKNOWN, "/matter", policy=policy)
    results = tuple(definition.get("results") or ())

    def look(tx: Reading) -> tuple[Named, str, Answer]:
        named = resolve_subjects(tx, region.vault, [subject])
        id_ = named.ids[subject]
        return named, id_, assess(tx, id_, policy, results, today)

    named, id_, found = await region.database.read(look)
    thread = Thread.new()
    said = {
        "outcome": found.value,
        "conditions": list(CONDITIONS) if found is Answer.CONDITIONS else [],
        "checked_at": today.isoformat(),
    }
    facts = {**said, "subject": id_, "matter": matter, "policy": policy, "officer": officer}
    # The purpose is the caller's own words about a person, so it goes where it can be erased.
    body = named.parts[subject].body if subject in named.parts else {}
    parts = (SubjectPart(id_, {**body, "purpose": purpose}),)
    step = thread.step(actor.department, "credit.checked", facts, parts)
    answered = {"id": thread.thing, **said}
    return await record(
        region, [step], answered, conditions=named.conditions, touches=named.touches, idempotency=idempotency
    )


def assess(tx: Reading, subject: str, policy: str, types: Sequence[str], today: date) -> Answer:
    """Compute what a check says of `subject`, who applies for licences of `types`."""
    rows = tx.execute(select(credit_records).where(credit_records.c.subject == subject))
    banned = bool(banned_pairs(tx, [(subject, code) for code in types], today))
    return answer(policy, [standing(row) for row in rows], today, banned=banned)


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
    introduce(tx, events)
    bulk_insert(tx, credit_checks, rows)
