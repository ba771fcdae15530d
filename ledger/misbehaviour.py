"""Evidence against logs: two heads that one log signed and that do not fit together, kept for whoever has to judge.

Bounded for each log and kind, and each pair of heads once: whoever repeats what a log once signed fills nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Reading, Writing
from ledger.tables.witnessing import misbehaviour

KEPT: Final = 16
"""Pieces of evidence kept for a log and kind. One is enough to convict; more may show since when."""

UNPROVEN: Final = "inconsistent"
"""The kind that convicts nobody."""


def keep(
    tx: Writing, origin: str, kind: str, detail: str, evidence: Mapping[str, Any], about: tuple[str, ...], at: datetime
) -> bool:
    """Keep `evidence` (JSON, verbatim) that the log `origin` did what `kind` names, and tell whether it is new.

    `about` are the texts that make it this piece: what is equal in them is kept once. Signatures do not belong there,
    because some can be made anew for the same text.
    """
    if known(tx, origin, kind, about):
        return False
    digest = sha256(orjson.dumps([origin, kind, *about])).digest()
    row = {"origin": origin, "kind": kind, "detail": detail, "evidence": orjson.dumps(evidence).decode()}
    inserting = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    adding = inserting(misbehaviour).values(**row, digest=digest, seen_at=at).on_conflict_do_nothing()
    return tx.execute(adding.returning(misbehaviour.c.seq)).first() is not None


def known(tx: Reading, origin: str, kind: str, about: tuple[str, ...]) -> bool:
    """Whether `keep` would write nothing: this piece is kept, or enough of its kind."""
    digest = sha256(orjson.dumps([origin, kind, *about])).digest()
    if tx.execute(select(misbehaviour.c.seq).where(misbehaviour.c.digest == digest)).first() is not None:
        return True
    of_kind = (misbehaviour.c.origin == origin) & (misbehaviour.c.kind == kind)
    return int(tx.execute(select(func.count()).where(of_kind)).scalar_one()) >= KEPT


def convicting(tx: Reading, origin: str) -> int:
    """Count the pieces against a log that its own signatures prove.

    What our witness keeps of proofs that lead nowhere is not among them: anybody can send an honest log's checkpoint
    with a proof that he broke.
    """
    table = misbehaviour.c
    proven = select(func.count()).where(table.origin == origin, table.kind != UNPROVEN)
    return int(tx.execute(proven).scalar_one())


def listed(tx: Reading, origin: str | None = None) -> list[dict[str, Any]]:
    """Return what is kept against one log, or against all, newest first, as JSON values."""
    query = select(misbehaviour).order_by(misbehaviour.c.seq.desc())
    if origin is not None:
        query = query.where(misbehaviour.c.origin == origin)
    return [
        {
            "origin": row.origin,
            "kind": row.kind,
            "detail": row.detail,
            "evidence": orjson.loads(row.evidence),
            "seen_at": row.seen_at.isoformat(),
        }
        for row in tx.execute(query)
    ]


def against(tx: Reading, region_code: str) -> list[dict[str, Any]]:
    """Return what is kept against the logs of one region, newest first: a log is called `…/<region>/<epoch>`."""
    return [each for each in listed(tx) if each["origin"].split("/")[-2:-1] == [region_code]]
