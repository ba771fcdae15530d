"""Deciding a case: a second officer upholds or dismisses what the first one flagged (protocol 10, 22a, 22b).

The decision is one entry whose record lists every consequence. States, status bits, reviews, notices and the credit
records of those liable turn in the same transaction, set by set; one entry per licence follows (`ledger.settling`).
Order of checks: case open, other officer, heard or time over, dates, the preview its maker saw, then the lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ledger import causes
from ledger.actors import Actor
from ledger.case_steps import officer_of, once
from ledger.credit import Ground, Liable, check_liable, liable_steps, read_liable
from ledger.credit_rules import add_months
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.fallen_rows import list_effects, open_listed, open_listed_reviews, tell_owners
from ledger.fraud import Case, load_case, mark
from ledger.freezing import end_freezes
from ledger.named_subjects import Named
from ledger.notices import notices_of_reliers, post, relied_on, said_by_kind
from ledger.preview import Preview, PreviewCurrent, preview
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.fraud import decisions, flag_steps
from ledger.vault import Vault
from verifiers.cascade import Consequence, Effect
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import VerificationError
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

APPEAL_MONTHS: Final = 6
"""Months in which a court may be asked, the longer of the two ways (行政诉讼法 46; reconsideration: 60 days)."""

REVIEW_DAYS: Final = 30
"""Calendar days an owner has to re-examine a licence that was suspended."""


@dataclass(frozen=True, slots=True)
class Spared:
    """A dependant that keeps its state, and why (行政许可法 69: public interest)."""

    licence: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the second officer decides: `digest` is the preview's (32 bytes), dates are calendar dates in +08:00."""

    outcome: str
    articles: tuple[str, ...]
    document_no: str
    digest: bytes
    decided_at: date
    served_at: date
    appealable_until: date | None = None
    liable: tuple[Liable, ...] = ()
    spared: tuple[Spared, ...] = ()


@dataclass(frozen=True, slots=True)
class _Prepared:
    case: Case
    seen: Preview
    effects: tuple[Consequence, ...]
    relied: list[list[str]] = field(repr=False)
    named: Named = field(repr=False)


async def decide(
    region: Region, actor: Actor, flag_id: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Decide a case; `body` is read by `read_ruling`.

    Returns `{"outcome", "effects": {word: count}, "credit_records": [id], "entry"}`. Raises `Refusal` with
    flag.unknown, flag.decided, decision.same_officer, flag.not_notified, flag.response_open, decision.dates,
    preview.changed, spared.unknown, subject.unknown, credit.rule_unknown or credit.list_entry_missing.
    """
    officer = officer_of(actor)
    today = day_of(region.clock.now())
    ruling = read_ruling(body, today)

    async def attempt() -> dict[str, Any]:
        prepared = await region.database.read(lambda tx: _prepare(tx, region.vault, flag_id, actor, ruling, today))
        return await _append(region, officer, ruling, prepared, idempotency)

    return await once(region, idempotency, attempt)


def read_ruling(body: Any, today: date) -> Ruling:
    """Read `{"outcome", "articles", "document_no", "preview", "liable", "spared", "decided_at"?, "served_at"?, …}`.

    Both dates default to `today`, `appealable_until` to `APPEAL_MONTHS` after service. A dismissal needs no preview.
    """
    members = RequestMembers(body)
    outcome = members.one_of("outcome", ("upheld", "dismissed"))
    decided_at = _day(members, "decided_at") or today
    ruling = Ruling(
        outcome=outcome,
        articles=tuple(members.texts("articles")),
        document_no=members.text("document_no", 128),
        digest=_digest(members) if outcome == "upheld" or members.has("preview") else b"",
        decided_at=decided_at,
        served_at=_day(members, "served_at") or decided_at,
        appealable_until=_day(members, "appealable_until"),
        liable=tuple(members.objects("liable", read_liable)),
        spared=tuple(members.objects("spared", lambda each: Spared(each.id("licence"), each.text("reason")))),
    )
    members.done()
    if decided_at > today or ruling.served_at < decided_at:
        raise Refusal(Code.DECISION_DATES, "/served_at")
    if ruling.appealable_until is not None and ruling.appealable_until < ruling.served_at:
        raise Refusal(Code.DECISION_DATES, "/appealable_until")
    if outcome == "dismissed" and (ruling.liable or ruling.spared):
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/liable" if ruling.liable else "/spared")
    return ruling


def _day(members: RequestMembers, name: str) -> date | None:
    text = members.maybe(name, members.day)
    return None if text is None else date.fromisoformat(text)


def _digest(members: RequestMembers) -> bytes:
    try:
        return b64u_decode(members.text("preview", 43), 32)
    except VerificationError as error:
        raise members.invalid("preview", expected="the digest of a preview") from error


def _prepare(tx: Reading, vault: Vault, flag_id: str, actor: Actor, ruling: Ruling, today: date) -> _Prepared:
    case = load_case(tx, flag_id, actor.department)
    case.require("open")
    if actor.operator == case.officer:
        raise Refusal(Code.DECISION_SAME_OFFICER)
    seen = preview(tx, case.targets, case.raised_by)
    if ruling.outcome == "dismissed":
        return _Prepared(case, seen, (), [], Named({}, {}))
    _require_heard(tx, flag_id, today)
    if seen.digest != ruling.digest:
        raise Refusal(Code.PREVIEW_CHANGED, "/preview", digest=b64u_encode(seen.digest), size=seen.size)
    effects = seen.with_spared(frozenset(each.licence for each in ruling.spared))
    named = check_liable(tx, vault, ruling.liable, ruling.decided_at)
    return _Prepared(case, seen, effects, relied_on(tx, (each.licence for each in effects)), named)


def _require_heard(tx: Reading, flag_id: str, today: date) -> None:
    """Those concerned were told, and their time to answer is over or they want no more of it."""
    steps = tx.execute(
        select(flag_steps.c.step, flag_steps.c.respond_by)
        .where(flag_steps.c.flag == flag_id)
        .order_by(flag_steps.c.idx)
    ).all()
    served = [row.respond_by for row in steps if row.step == "notice"]
    if not served:
        raise Refusal(Code.FLAG_NOT_NOTIFIED)
    # A waiver counts only after the last notice: a new accusation opens a new right to answer.
    last = max(position for position, row in enumerate(steps) if row.step == "notice")
    if today.isoformat() <= max(served) and not any(row.step == "waiver" for row in steps[last:]):
        raise Refusal(Code.FLAG_RESPONSE_OPEN, respond_by=max(served))


async def _append(
    region: Region, officer: str, ruling: Ruling, prepared: _Prepared, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    case, seen, effects = prepared.case, prepared.seen, prepared.effects
    upheld = ruling.outcome == "upheld"
    appealable = ruling.appealable_until or add_months(ruling.served_at, APPEAL_MONTHS)
    facts: dict[str, Any] = {
        "officer": officer,
        "outcome": ruling.outcome,
        "articles": list(ruling.articles),
        "document_no": ruling.document_no,
        "decided_at": ruling.decided_at.isoformat(),
        "served_at": ruling.served_at.isoformat(),
        "digest": b64u_encode(seen.digest),
        "size": seen.size,
        "targets": [list(target) for target in case.targets],
        "effects": [each.to_row() for each in effects],
        "spared": [{"licence": each.licence, "reason": each.reason} for each in ruling.spared],
        "relied": prepared.relied,
    }
    steps = [case.thread.step(case.raised_by, "fraud.decided", facts)]
    if upheld:
        facts["appealable_until"] = appealable.isoformat()
        facts["review_by"] = (ruling.served_at + timedelta(days=REVIEW_DAYS)).isoformat()
        ground = Ground(case.raised_by, ruling.document_no, ruling.decided_at, ruling.served_at, case.thread.thing)
        steps += liable_steps(ruling.liable, ground, prepared.named)
    counts: dict[str, int] = {}
    for each in effects:
        counts[each.effect.word] = counts.get(each.effect.word, 0) + 1
    answer = {
        "outcome": ruling.outcome,
        "effects": counts,
        "credit_records": [step.thing for step in steps if step.event == "credit.recorded"],
    }
    return await record(
        region,
        steps,
        answer,
        conditions=(PreviewCurrent(seen.size, seen.reach.things), *prepared.named.conditions) if upheld else (),
        touches={*prepared.named.touches, *(thing.id for thing in seen.reach.things)} if upheld else (),
        idempotency=idempotency,
    )


def project_decided(tx: Writing, e: Event) -> None:
    """Write a decision and everything that follows from it, set by set."""
    facts, flag = e.facts, e.thing
    effects = facts["effects"]
    mark(tx, flag, state=facts["outcome"], decided_idx=e.idx)
    today = day_of(e.at)
    thawed = end_freezes(tx, flag, None, e.idx, today)
    root = f"{facts['origin']}:{e.idx}"
    bulk_insert(tx, decisions, [_decision_row(root, e, settled=not effects)])
    if effects:  # a dismissal has none, and nothing falls by it
        list_effects(tx, flag, effects)
        open_listed(tx, flag, e.idx, root, facts, _shown(e))
        open_listed_reviews(tx, flag, e.idx, facts["review_by"])
    causes.recompute(tx, {*thawed, *(row[0] for row in effects)}, today)
    if effects:
        words = {"document_no": facts["document_no"], "decided_at": facts["decided_at"], "by": e.by}
        said = said_by_kind({(Effect.parse(row[1]), row[2]) for row in effects}, words)
        tell_owners(tx, flag, e.idx, said, facts["review_by"])
        told = {row[0]: said[Effect.parse(row[1]), row[2]] for row in effects} if facts["relied"] else {}
        post(tx, e.idx, notices_of_reliers(facts["relied"], told), first=len(effects))


def _decision_row(root: str, e: Event, *, settled: bool) -> tuple[Any, ...]:
    facts = e.facts
    return (
        e.thing,
        e.idx,
        facts["outcome"],
        e.by,
        facts["officer"],
        facts["document_no"],
        json.dumps(facts["articles"], ensure_ascii=False),
        facts["decided_at"],
        facts["served_at"],
        facts.get("appealable_until"),
        b64u_decode(facts["digest"], 32),
        facts["size"],
        root,
        e.idx if settled else None,
        None,
    )


def _shown(e: Event) -> str:
    """What the causes of a decision say of themselves."""
    facts = e.facts
    return json.dumps(
        {
            "articles": facts["articles"],
            "authority": e.by,
            "decided_at": facts["decided_at"],
            "document_no": facts["document_no"],
            "served_at": facts["served_at"],
        },
        ensure_ascii=False,
        sort_keys=True,
    )
