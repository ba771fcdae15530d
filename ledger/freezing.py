"""Freezing the named targets of a case while it is examined, and the lapse of freezes (protocol 22b).

A freeze is a direct `suspended` cause of its own on every licence it names, so it ends without touching any other. It
holds to the end of the day `until`; the verdict forgets it then by the date alone, and a logged lapse follows that
closes the cause and publishes the status list.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, update

from ledger import causes
from ledger.actors import Actor
from ledger.case_steps import Thread, event_counts, officer_of, once
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.fraud import Case, load_case, read_target
from ledger.ids import new_id
from ledger.lineage import chunks
from ledger.notices import Notice, post, relied_on
from ledger.preview import preview
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.tables.fraud import fraud_flags, freeze_targets, freezes
from ledger.tables.licences import causes as cause_rows
from ledger.tables.licences import licences
from verifiers.cascade import Effect, Thing
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

LONGEST: Final = timedelta(days=180)
"""Longest freeze; one that needs more is served again with a ground of its own."""


async def freeze(
    region: Region, actor: Actor, flag_id: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Freeze `{"ground", "document_no", "until", "targets"?}`; `until` is the last day.

    Targets default to those of the case and the licences that are their own direct results.
    Returns `{"id", "until", "licences", "entry"}`. Raises `Refusal` with `freeze.period` unless `until` is from today
    to `LONGEST` ahead, `freeze.target` for a target that the case does not reach, or `flag.decided`.
    """
    members = RequestMembers(body)
    ground, document_no = members.text("ground"), members.text("document_no", 128)
    until = date.fromisoformat(members.day("until"))
    targets = members.objects("targets", read_target)
    members.done()
    today = day_of(region.clock.now())
    if not today <= until <= today + LONGEST:
        raise Refusal(Code.FREEZE_PERIOD, "/until", longest_days=LONGEST.days)
    officer = officer_of(actor)
    freeze_id = new_id()

    def prepare(tx: Reading) -> tuple[Case, list[Thing], list[list[str]], list[list[str]]]:
        case = load_case(tx, flag_id, actor.department)
        case.require("open")
        named = _named(tx, case, targets)
        frozen = [thing.id for thing in named if thing.kind == "licence"]
        return case, named, _owners(tx, frozen), relied_on(tx, frozen)

    async def attempt() -> dict[str, Any]:
        case, named, owners, relied = await region.database.read(prepare)
        facts = {
            "freeze": freeze_id,
            "officer": officer,
            "ground": ground,
            "document_no": document_no,
            "from": today.isoformat(),
            "until": until.isoformat(),
            "targets": [list(thing) for thing in named],
            "owners": owners,
            "relied": relied,
        }
        step = case.thread.step(actor.department, "fraud.frozen", facts)
        answer = {"id": freeze_id, "until": facts["until"], "licences": [each[1] for each in owners]}
        return await record(region, [step], answer, touches=[t.id for t in named], idempotency=idempotency)

    return await once(region, idempotency, attempt)


def _named(tx: Reading, case: Case, targets: Sequence[Thing]) -> list[Thing]:
    seen = preview(tx, case.targets, case.raised_by)
    if not targets:
        direct = {Thing("licence", each.licence) for each in seen.consequences if each.cause == "direct"}
        return sorted(direct | set(case.targets))
    reach = seen.reach.things
    for position, target in enumerate(targets):
        if target not in reach:
            raise Refusal(Code.FREEZE_TARGET, f"/targets/{position}")
    return sorted(set(targets))


def _owners(tx: Reading, ids: Sequence[str]) -> list[list[str]]:
    """Sorted `[department, licence]` pairs."""
    pairs: list[list[str]] = []
    for chunk in chunks(ids):
        rows = tx.execute(select(licences.c.department, licences.c.id).where(licences.c.id.in_(chunk)))
        pairs += [[row[0], row[1]] for row in rows]
    return sorted(pairs)


async def lapse_freezes(region: Region) -> int:
    """Log the lapse of every freeze whose last day is over and return how many ended; several processes may run it."""
    today = day_of(region.clock.now())
    over = await region.database.read(lambda tx: _over(tx, today))
    for flag_id, ids in sorted(over.items()):
        thread, by = await region.database.read(lambda tx, flag_id=flag_id: _thread(tx, flag_id))  # type: ignore[misc]
        step = thread.step(by, "fraud.lapsed", {"freezes": sorted(ids)})
        try:
            await record(region, [step], {})
        except Refusal as refusal:
            if refusal.code is not Code.STALE:  # another process logged it, or the case moved: the next round sees
                raise
    return sum(map(len, over.values()))


def _over(tx: Reading, today: date) -> dict[str, list[str]]:
    over: dict[str, list[str]] = defaultdict(list)
    query = select(freezes.c.flag, freezes.c.id).where(
        freezes.c.ended_idx.is_(None), freezes.c.until < today.isoformat()
    )
    for row in tx.execute(query):
        over[row[0]].append(row[1])
    return over


def _thread(tx: Reading, flag_id: str) -> tuple[Thread, str]:
    row = tx.execute(select(fraud_flags).where(fraud_flags.c.id == flag_id)).one()
    return Thread(flag_id, event_counts(tx, [flag_id])[flag_id], bytes(row.secret)), row.raised_by


def end_freezes(tx: Writing, flag_id: str, ids: Sequence[str] | None, idx: int, today: date) -> list[str]:
    """Close the causes of freezes (`None`: all of the case that still hold) and return the licences they were on.

    Called by projectors, which recompute the state of those licences afterwards.
    """
    holding = select(freezes.c.id, freezes.c.idx).where(freezes.c.flag == flag_id, freezes.c.ended_idx.is_(None))
    rows = tx.execute(holding if ids is None else holding.where(freezes.c.id.in_(ids))).all()
    if not rows:
        return []
    tx.execute(update(freezes).where(freezes.c.id.in_([row.id for row in rows])).values(ended_idx=idx))
    theirs = and_(cause_rows.c.opened_idx.in_([row.idx for row in rows]), cause_rows.c.act == "freeze")
    return causes.close_causes(tx, theirs, idx, today)


def project_frozen(tx: Writing, e: Event) -> None:
    """Write a freeze, its causes and its notices, and suspend what it names."""
    facts = e.facts
    row = (facts["freeze"], e.thing, facts["ground"], facts["document_no"], facts["until"], e.idx, None)
    bulk_insert(tx, freezes, [row])
    bulk_insert(tx, freeze_targets, [(facts["freeze"], kind, id_) for kind, id_ in facts["targets"]])
    causes.open_causes(tx, _cause_rows(e))
    causes.recompute(tx, [licence for _, licence in facts["owners"]], day_of(e.at))
    told = {"effect": "suspended", "document_no": facts["document_no"], "until": facts["until"], "by": e.by}
    owners = [Notice(department, "licence.frozen", licence, told) for department, licence in facts["owners"]]
    relied = [Notice(department, "licence.frozen", licence, told, True) for department, licence in facts["relied"]]
    post(tx, e.idx, owners + relied)


def _cause_rows(e: Event) -> list[causes.CauseRow]:
    facts, root = e.facts, f"{e.facts['origin']}:{e.idx}"
    shown = json.dumps({"authority": e.by, "document_no": facts["document_no"]}, ensure_ascii=False)
    return [
        causes.CauseRow(
            id=f"{root}:{n}",
            licence=licence,
            root=root,
            kind="direct",
            effect=Effect.SUSPENDED.word,
            act="freeze",
            by=e.by,
            basis=None,
            appealable_until=None,
            effective_from=facts["from"],
            until=facts["until"],
            opened_idx=e.idx,
            closed_idx=None,
            facts=shown,
        )
        for n, (_, licence) in enumerate(facts["owners"])
    ]


def project_lapsed(tx: Writing, e: Event) -> None:
    """End freezes whose last day is over."""
    today = day_of(e.at)
    causes.recompute(tx, end_freezes(tx, e.thing, e.facts["freezes"], e.idx, today), today)
