"""A fraud case up to the decision: flag, notice, statements; who is concerned; what everybody may see of it.

A flag accuses and changes no verdict (protocol 22b). Every step is a sealed entry of the case; what persons wrote is
in personal parts of the record and can be erased, the step itself cannot. Freezing, deciding and reversing are in
`ledger.freezing`, `ledger.decisions` and `ledger.reversal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from ledger.actors import Actor
from ledger.case_steps import Thread, event_counts, officer_of, once
from ledger.catalogue import require_area
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart
from ledger.lineage import MAX_TARGETS, chunks
from ledger.preview import preview
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.fraud import (
    decision_effects,
    decisions,
    flag_steps,
    flag_subjects,
    flag_targets,
    fraud_flags,
    freeze_targets,
    freezes,
)
from ledger.tables.licences import licence_holders, licences
from ledger.tables.submissions import materials, submission_results, submissions
from verifiers.cascade import Thing
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

TARGET_KINDS: Final = ("submission", "material", "licence")


@dataclass(frozen=True, slots=True)
class Case:
    """A fraud case as its own department sees it: `thread` is where its history stands."""

    thread: Thread = field(repr=False)
    raised_by: str
    officer: str
    state: str
    targets: tuple[Thing, ...]
    subjects: tuple[str, ...]

    def require(self, state: str) -> None:
        """Raise the `Refusal` that says why the case is not in `state` (any more, or yet)."""
        if self.state == state:
            return
        if state == "open":
            raise Refusal(Code.FLAG_DECIDED, state=self.state)
        raise Refusal(
            {"open": Code.FLAG_UNDECIDED, "reversed": Code.FLAG_REVERSED}.get(self.state, Code.FLAG_NOT_UPHELD)
        )


def load_case(tx: Reading, flag: str, department: str) -> Case:
    """Read a case of `department`. Raises `Refusal` with `flag.unknown`, also where it is another department's."""
    row = tx.execute(select(fraud_flags).where(fraud_flags.c.id == flag)).one_or_none()
    if row is None or row.raised_by != department:
        raise Refusal(Code.FLAG_UNKNOWN)
    targets = tx.execute(select(flag_targets.c.kind, flag_targets.c.id).where(flag_targets.c.flag == flag))
    concerned = tx.execute(select(flag_subjects.c.subject).where(flag_subjects.c.flag == flag)).scalars()
    return Case(
        thread=Thread(flag, event_counts(tx, [flag])[flag], bytes(row.secret)),
        raised_by=row.raised_by,
        officer=row.officer,
        state=row.state,
        targets=tuple(sorted(Thing(each[0], each[1]) for each in targets)),
        subjects=tuple(sorted(concerned)),
    )


async def flag(region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None) -> dict[str, Any]:
    """Open a case: `{"targets": [{"submission"|"material"|"licence": id}], "reason", "evidence": [digest]?}`.

    Evidence is named by lower-case hex SHA-256. Returns `{"id", "state", "targets", "entry"}`. Raises `Refusal` with
    `flag.target_unknown`, `flag.too_many_targets` or `operator.missing`.
    """
    members = RequestMembers(body)
    wanted = sorted(set(members.objects("targets", read_target, MAX_TARGETS)))
    said = {"reason": members.text("reason"), "evidence": members.texts("evidence")}
    members.done()
    officer = officer_of(actor)
    if not wanted:
        raise Refusal(Code.FLAG_TARGET_UNKNOWN, "/targets")
    thread = Thread.new()

    async def attempt() -> dict[str, Any]:
        concerned = await region.database.read(lambda tx: _concerned(tx, wanted, actor.areas))
        # The accusation is written down for each holder apart, so that erasing a holder erases what was said of them.
        parts = tuple(SubjectPart(subject, said) for subject in concerned)
        facts: dict[str, Any] = {
            "officer": officer,
            "targets": [list(target) for target in wanted],
            "concerned": concerned,
        }
        step = thread.step(actor.department, "fraud.flagged", facts if parts else facts | said, parts)
        answer = {"id": thread.thing, "state": "open", "targets": [target_json(target) for target in wanted]}
        return await record(region, [step], answer, reads=[each.id for each in wanted], idempotency=idempotency)

    return await once(region, idempotency, attempt)


def read_target(members: RequestMembers) -> Thing:
    """Read `{"<kind>": "<id>"}`. Raises `Refusal` with request.member_missing where no kind of target is named."""
    kind = next((kind for kind in TARGET_KINDS if members.has(kind)), TARGET_KINDS[0])
    return Thing(kind, members.id(kind))


def target_json(target: Thing) -> dict[str, str]:
    """Return a target in the shape it is asked for."""
    return {target.kind: target.id}


def _concerned(tx: Reading, targets: Sequence[Thing], areas: frozenset[str]) -> list[str]:
    """The holders and applicants behind `targets`, whom the law lets speak.

    Raises `flag.target_unknown`, and area.invalid for a licence outside the `areas` the client is limited to.
    """
    submission_of = {t.id: t.id for t in targets if t.kind == "submission"}
    lone = [t.id for t in targets if t.kind == "material"]
    submission_of |= {
        row[0]: row[1]
        for row in tx.execute(select(materials.c.id, materials.c.submission).where(materials.c.id.in_(lone)))
    }
    found = {
        row[0]: row[1]
        for row in tx.execute(
            select(submissions.c.id, submissions.c.subject).where(submissions.c.id.in_(set(submission_of.values())))
        )
    }
    licensed = {t.id for t in targets if t.kind == "licence"}
    named = tx.execute(select(licences.c.id, licences.c.area).where(licences.c.id.in_(licensed))).all()
    known = {row.id for row in named}
    for row in named:
        require_area(areas, row.area)
    for position, target in enumerate(targets):
        exists = target.id in known if target.kind == "licence" else submission_of.get(target.id) in found
        if not exists or target.kind not in TARGET_KINDS:
            raise Refusal(Code.FLAG_TARGET_UNKNOWN, f"/targets/{position}")
    results = select(submission_results.c.licence).where(submission_results.c.submission.in_(list(found)))
    licensed |= set(tx.execute(results).scalars())
    holders: set[str] = {subject for subject in found.values() if subject is not None}
    for chunk in chunks(licensed):
        holders |= set(
            tx.execute(select(licence_holders.c.subject).where(licence_holders.c.licence.in_(chunk))).scalars()
        )
    return sorted(holders)


async def serve_notice(
    region: Region, actor: Actor, flag_id: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Record that those concerned were told in writing: `{"document_no", "served_at", "respond_by"}` (dates).

    Returns `{"step", "served_at", "respond_by", "entry"}`. Raises `Refusal` with `notice.period` where the notice was
    served later than today or the time to answer ends before it was served, `flag.unknown` or `flag.decided`.
    """
    members = RequestMembers(body)
    document_no = members.text("document_no", 128)
    served_at, respond_by = members.day("served_at"), members.day("respond_by")
    members.done()
    if served_at > day_of(region.clock.now()).isoformat() or respond_by < served_at:
        raise Refusal(Code.NOTICE_PERIOD, "/respond_by")
    told = {"served_at": served_at, "respond_by": respond_by}
    facts = {"officer": officer_of(actor), "document_no": document_no, **told}

    async def attempt() -> dict[str, Any]:
        case = await open_case(region, actor, flag_id)
        step = case.thread.step(actor.department, "fraud.notified", facts)
        return await record(region, [step], {"step": "notice", **told}, idempotency=idempotency)

    return await once(region, idempotency, attempt)


async def hear(
    region: Region, actor: Actor, flag_id: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Take down a statement in defence (陈述申辩): `{"text"?, "waives"?: bool, "subject"?: id}`.

    `waives` says that those concerned want no (more) time. The text is kept in the personal part of `subject`, by
    default the first of those concerned. Returns `{"step": "statement"|"waiver", "entry"}`.
    """
    members = RequestMembers(body)
    text = members.maybe("text", members.text)
    waives = members.maybe("waives", members.boolean) or False
    subject = members.maybe("subject", members.id)
    members.done()
    if text is None and not waives:
        raise Refusal(Code.REQUEST_MEMBER_MISSING, "/text")
    facts: dict[str, Any] = {"officer": officer_of(actor), "waives": waives}

    async def attempt() -> dict[str, Any]:
        case = await open_case(region, actor, flag_id)
        if subject is not None and subject not in case.subjects:
            raise Refusal(Code.SUBJECT_UNKNOWN, "/subject")
        speaker = subject or next(iter(case.subjects), None)
        parts = (SubjectPart(speaker, {"text": text}),) if text and speaker else ()
        said = facts | ({"text": text} if text and not parts else {})
        step = case.thread.step(actor.department, "fraud.heard", said, parts)
        return await record(region, [step], {"step": "waiver" if waives else "statement"}, idempotency=idempotency)

    return await once(region, idempotency, attempt)


async def open_case(region: Region, actor: Actor, flag_id: str) -> Case:
    """Read a case that is still open. Raises `Refusal` with `flag.unknown` or `flag.decided`."""
    case = await region.database.read(lambda tx: load_case(tx, flag_id, actor.department))
    case.require("open")
    return case


def view_case(tx: Reading, flag_id: str, department: str) -> dict[str, Any]:
    """Return a case as its department sees it, with the preview of what upholding it would do while it is open."""
    case = load_case(tx, flag_id, department)
    steps = tx.execute(select(flag_steps).where(flag_steps.c.flag == flag_id).order_by(flag_steps.c.idx))
    frozen = tx.execute(select(freezes).where(freezes.c.flag == flag_id).order_by(freezes.c.idx)).all()
    named = tx.execute(
        select(freeze_targets)
        .where(freeze_targets.c.freeze.in_([row.id for row in frozen]))
        .order_by(freeze_targets.c.id)
    ).all()
    seen: dict[str, Any] = {
        "id": flag_id,
        "state": case.state,
        "raised_by": case.raised_by,
        "officer": case.officer,
        "targets": [target_json(target) for target in case.targets],
        "concerned": list(case.subjects),
        "steps": [
            {
                "step": row.step,
                "entry": row.idx,
                **(
                    {"document_no": row.document_no, "served_at": row.served_on, "respond_by": row.respond_by}
                    if row.step == "notice"
                    else {}
                ),
            }
            for row in steps
        ],
        "freezes": [
            {
                "id": row.id,
                "ground": row.ground,
                "document_no": row.document_no,
                "until": row.until,
                "ended": row.ended_idx is not None,
                "targets": [{each.kind: each.id} for each in named if each.freeze == row.id],
            }
            for row in frozen
        ],
    }
    if case.state == "open":
        return seen | {"preview": preview(tx, case.targets, case.raised_by).to_json()}
    return seen | {"decision": view_decision(tx, flag_id)}


def view_decision(tx: Reading, flag_id: str) -> dict[str, Any]:
    """Return the decision of a case, counted by effect, and how far its entries per licence have come."""
    row = tx.execute(select(decisions).where(decisions.c.flag == flag_id)).one()
    effects: dict[str, int] = {}
    for effect in tx.execute(select(decision_effects.c.effect).where(decision_effects.c.flag == flag_id)).scalars():
        effects[effect] = effects.get(effect, 0) + 1
    return {
        "outcome": row.outcome,
        "document_no": row.document_no,
        "decided_at": row.decided_on,
        "served_at": row.served_on,
        "officer": row.officer,
        "appealable_until": row.appealable_until,
        "entry": row.idx,
        "effects": effects,
        "settled": row.settled_idx is not None,
    }


def project_flagged(tx: Writing, e: Event) -> None:
    """Write the rows of a new case."""
    facts = e.facts
    row = (e.thing, e.by, facts["officer"], "open", b64u_decode(facts["secret"], 32), e.idx, None, None)
    bulk_insert(tx, fraud_flags, [row])
    bulk_insert(tx, flag_targets, [(e.thing, kind, id_) for kind, id_ in facts["targets"]])
    bulk_insert(tx, flag_subjects, [(e.thing, subject) for subject in facts["concerned"]])


def project_notified(tx: Writing, e: Event) -> None:
    """Write the row of a notice that was served."""
    facts = e.facts
    row = (e.idx, e.thing, "notice", facts["document_no"], facts["served_at"], facts["respond_by"])
    bulk_insert(tx, flag_steps, [row])


def project_heard(tx: Writing, e: Event) -> None:
    """Write the row of a statement or waiver; what was said stays in the record."""
    bulk_insert(tx, flag_steps, [(e.idx, e.thing, "waiver" if e.facts["waives"] else "statement", None, None, None)])


def mark(tx: Writing, flag_id: str, **changes: Any) -> None:
    """Change the row of a case; called by projectors only."""
    tx.execute(update(fraud_flags).where(fraud_flags.c.id == flag_id).values(**changes))
