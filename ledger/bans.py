"""Bans on applying again (行政许可法 78, 79): who may not be granted which type of licence until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import and_, or_, select, update

from ledger.among import rows_among
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.tables.credit import bans

BAN_YEARS: Final = {"78": 1, "79": 3}
"""Articles of the 行政许可法 that close a matter of public safety, health, life or property to a new application."""


@dataclass(frozen=True, slots=True)
class Ban:
    """No new application for licence type `type` under `article`, a key of `BAN_YEARS`."""

    type: str
    article: str


def banned_pairs(tx: Reading, pairs: Sequence[tuple[str, str]], today: date) -> set[tuple[str, str]]:
    """Return those of `(subject, type)` that a ban bars on `today`."""
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
        known = {row[0] for row in rows_among(tx, "SELECT subject FROM bans WHERE subject {among}", subjects_asked)}
        refused: dict[NotBanned, Refusal] = {}
        for condition in conditions:
            if condition.subject in known and banned_pairs(tx, [(condition.subject, condition.type)], condition.today):
                refused[condition] = Refusal(Code.SUBJECT_BANNED, "/holders", type=condition.type)
        return refused


def lift_bans(tx: Writing, flag_id: str, idx: int) -> None:
    """End the bans of a case whose decision was reversed; called by the projector of the reversal."""
    tx.execute(update(bans).where(bans.c.flag == flag_id, bans.c.lifted_idx.is_(None)).values(lifted_idx=idx))


def project_banned(tx: Writing, e: Event) -> None:
    """Write the row of a ban."""
    f = e.facts
    row = (e.thing, f["subject"], f["type"], f["article"], f["from"], f["until"], f["flag"], e.idx, None)
    bulk_insert(tx, bans, [row])
