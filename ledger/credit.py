"""Credit records and bans on applying again: sealed entries, read under the rule of their day.

A record is written for somebody whom a decision names as liable, or on its own authority; each restriction cites the
entry of the public list that allows it. See docs/credit.md, `ledger.credit_rules` and `ledger.credit_checks`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select, update

from ledger.actors import Actor
from ledger.bans import BAN_YEARS, Ban
from ledger.case_steps import Thread, event_counts, officer_of, once
from ledger.credit_rules import RecordClass, Standing, add_months, rule_named, rule_on
from ledger.database import Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.named_subjects import Named, SubjectName, read_subject, resolve_subjects
from ledger.proposals import IdempotencyKey
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.subjects import introduce
from ledger.tables.credit import bans, credit_records
from ledger.vault import Vault
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class Measure:
    """One restriction and the entry of the public list of measures that allows it."""

    measure: str
    list_entry: str


@dataclass(frozen=True, slots=True)
class Liable:
    """Somebody whom a decision holds liable: `subject`, `role` in the matter, and what is recorded of them."""

    subject: SubjectName
    role: str
    record_class: RecordClass
    list_entry: str
    measures: tuple[Measure, ...] = ()
    bans: tuple[Ban, ...] = ()
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """The decision a record follows from: who made it, its number and dates, and the fraud case behind it if any."""

    by: str
    document_no: str
    decided_at: date
    served_at: date
    flag: str | None = None


def check_liable(tx: Reading, vault: Vault, liable: Sequence[Liable], decided_at: date) -> Named:
    """Return the subjects of `liable`, if all can be recorded.

    Raises `Refusal` with subject.unknown, credit.rule_unknown or credit.list_entry_missing.
    """
    if liable and rule_on(decided_at) is None:
        raise Refusal(Code.CREDIT_RULE_UNKNOWN, "/decided_at")
    for position, each in enumerate(liable):
        if not each.list_entry or not all(measure.list_entry for measure in each.measures):
            raise Refusal(Code.CREDIT_LIST_ENTRY_MISSING, f"/liable/{position}")
    return resolve_subjects(tx, vault, (each.subject for each in liable), "/liable")


def liable_steps(liable: Sequence[Liable], ground: Ground, named: Named) -> list[Unsigned]:
    """Return the entries that record `liable` under `ground`: one per credit record, one per ban."""
    rule = rule_on(ground.decided_at)
    steps: list[Unsigned] = []
    parts = dict(named.parts)
    for each in liable:
        subject = named.ids[each.subject]
        # Who is named by number is introduced once, with the first record about them.
        part = parts.pop(each.subject, None)
        if rule is None:
            raise Refusal(Code.CREDIT_RULE_UNKNOWN, "/decided_at")
        facts: dict[str, Any] = {
            "subject": subject,
            "role": each.role,
            "class": each.record_class.value,
            "list_entry": each.list_entry,
            "measures": [{"measure": m.measure, "list_entry": m.list_entry} for m in each.measures],
            "rule": rule.version,
            "document_no": ground.document_no,
            "decided_at": ground.decided_at.isoformat(),
            "served_at": ground.served_at.isoformat(),
            "domain": each.domain,
            "flag": ground.flag,
        }
        steps.append(Thread.new().step(ground.by, "credit.recorded", facts, (part,) if part else ()))
        for ban in each.bans:
            until = add_months(ground.decided_at, 12 * BAN_YEARS[ban.article]) - timedelta(days=1)
            banned = {
                "subject": subject,
                "type": ban.type,
                "article": ban.article,
                "from": ground.decided_at.isoformat(),
                "until": until.isoformat(),
                "flag": ground.flag,
            }
            steps.append(Thread.new().step(ground.by, "credit.banned", banned))
    return steps


def read_liable(members: RequestMembers) -> Liable:
    """Read `{"subject", "role", "class", "list_entry", "measures"?, "bans"?, "domain"?}` of a decision or record.

    A measure is `{"measure", "list_entry"}`, a ban `{"type", "article": "78"|"79"}`.
    """
    try:
        record_class = RecordClass.parse(members.text("class", 16))
    except ValueError as error:
        raise members.invalid("class", allowed=[each.value for each in RecordClass]) from error
    return Liable(
        subject=read_subject(members),
        role=members.text("role", 64),
        record_class=record_class,
        list_entry=members.maybe("list_entry", members.text) or "",
        measures=tuple(members.objects("measures", _read_measure)),
        bans=tuple(members.objects("bans", lambda b: Ban(b.text("type", 21), b.one_of("article", tuple(BAN_YEARS))))),
        domain=members.maybe("domain", lambda name: members.text(name, 16)),
    )


def _read_measure(members: RequestMembers) -> Measure:
    return Measure(members.text("measure"), members.maybe("list_entry", members.text) or "")


async def write_record(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Write a credit record that does not come from a fraud case.

    `body` is a liable person (`read_liable`) with `document_no`, `decided_at` and `served_at`. Returns
    `{"id", "rule", "entry"}`. Raises `Refusal` as `check_liable` does, or decision.dates where it was decided in the
    future or served before.
    """
    officer_of(actor)
    members = RequestMembers(body)
    document_no = members.text("document_no", 128)
    decided_at, served_at = members.day("decided_at"), members.day("served_at")
    liable = read_liable(members)
    members.done()
    ground = Ground(actor.department, document_no, date.fromisoformat(decided_at), date.fromisoformat(served_at))
    if ground.decided_at > day_of(region.clock.now()) or ground.served_at < ground.decided_at:
        raise Refusal(Code.DECISION_DATES, "/served_at")

    async def attempt() -> dict[str, Any]:
        named = await region.database.read(lambda tx: check_liable(tx, region.vault, [liable], ground.decided_at))
        steps = liable_steps([liable], ground, named)
        answer = {"id": steps[0].thing, "rule": steps[0].facts["rule"]}
        return await record(
            region, steps, answer, conditions=named.conditions, touches=named.touches, idempotency=idempotency
        )

    return await once(region, idempotency, attempt)


def withdrawal_steps(tx: Reading, flag_id: str, by: str, document_no: str) -> list[Unsigned]:
    """Return the entries that withdraw every record of a case whose decision was reversed."""
    table = credit_records
    rows = tx.execute(
        select(table.c.id, table.c.secret)
        .where(table.c.flag == flag_id, table.c.withdrawn_idx.is_(None))
        .order_by(table.c.id)
    ).all()
    counts = event_counts(tx, [row.id for row in rows])
    return [
        Thread(row.id, counts[row.id], bytes(row.secret)).step(by, "credit.withdrawn", {"document_no": document_no})
        for row in rows
    ]


def credit_file(tx: Reading, subject: str, today: date) -> dict[str, Any]:
    """Return the subject's own credit file: every record with the facts the law needs and what it counts for today."""
    rows = tx.execute(select(credit_records).where(credit_records.c.subject == subject).order_by(credit_records.c.idx))
    barred = tx.execute(select(bans).where(bans.c.subject == subject).order_by(bans.c.idx))
    return {
        "records": [_record_json(row, today) for row in rows],
        "bans": [
            {
                "type": row.type,
                "article": row.article,
                "from": row.from_on,
                "until": row.until_on,
                "holds": row.lifted_idx is None and row.from_on <= today.isoformat() <= row.until_on,
            }
            for row in barred
        ],
    }


def records_in_use(tx: Reading, subject: str, today: date, *, public: bool) -> list[dict[str, Any]]:
    """Return the records that departments may act on today, or with `public` those that everybody may see."""
    rows = tx.execute(select(credit_records).where(credit_records.c.subject == subject).order_by(credit_records.c.idx))
    shown = [_record_json(row, today) for row in rows]
    return [each for each in shown if each["published" if public else "in_use"]]


def _record_json(row: Row[Any], today: date) -> dict[str, Any]:
    counted = standing(row)
    return {
        "id": row.id,
        "class": counted.record_class.value,
        "class_zh": counted.record_class.zh,
        "role": row.role,
        "document_no": row.document_no,
        "list_entry": row.list_entry,
        "measures": json.loads(row.measures),
        "by": row.by,
        "decided_at": row.decided_on,
        "served_at": row.served_on,
        "rule": row.rule,
        "rule_cited_as": rule_named(row.rule).cited_as,
        "starts_on": counted.starts_on.isoformat(),
        "repairable_on": counted.repairable_on.isoformat(),
        "ends_on": counted.ends_on.isoformat(),
        "withdrawn": counted.withdrawn,
        "in_use": counted.in_use(today),
        "published": counted.published(today),
    }


def standing(row: Row[Any]) -> Standing:
    """Return the dated facts of a row of `credit_records`."""
    record_class: str = row._mapping["class"]
    return Standing(
        RecordClass(record_class),
        row.rule,
        date.fromisoformat(row.decided_on),
        date.fromisoformat(row.served_on),
        row.domain,
        None if row.repaired_on is None else date.fromisoformat(row.repaired_on),
        row.withdrawn_idx is not None,
    )


def project_recorded(tx: Writing, e: Event) -> None:
    """Write the row of a credit record, and its subject where nobody knew it."""
    introduce(tx, [e])
    bulk_insert(tx, credit_records, [_record_row(e)])


def project_withdrawn(tx: Writing, e: Event) -> None:
    """Note that a record counts no more."""
    tx.execute(update(credit_records).where(credit_records.c.id == e.thing).values(withdrawn_idx=e.idx))


def _record_row(e: Event) -> tuple[Any, ...]:
    facts = e.facts
    return (
        e.thing,
        facts["subject"],
        facts["role"],
        facts["class"],
        facts["document_no"],
        facts["list_entry"],
        json.dumps(facts["measures"], ensure_ascii=False, sort_keys=True),
        e.by,
        facts["rule"],
        facts["decided_at"],
        facts["served_at"],
        facts["domain"],
        facts["flag"],
        b64u_decode(facts["secret"], 32),
        e.idx,
        None,
        None,
    )
