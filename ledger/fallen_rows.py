"""What a decision does to each licence, in four tables: the list is sent to the database, the rest is written there.

A decision may reach ten thousand licences, and each gets a line of the list, a cause, a notice for its owner and maybe
a review. Causes, notices and reviews say of a licence only what its line says, so the database makes them from it:
nothing is made here and sent across for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Table, Text, and_, case, cast, false, insert, literal, null, select

from ledger.database import Writing, bulk_insert
from ledger.notices import owed_by_kind
from ledger.tables.fraud import decision_effects, notices, review_cases
from ledger.tables.licences import causes
from verifiers.cascade import Effect

_ACTS: Final = {Effect.REVOKED.word: "annul", Effect.SUSPENDED.word: "suspend", Effect.NOTICE.word: "notice"}

_LISTED: Final = decision_effects.c


def list_effects(tx: Writing, flag: str, effects: Sequence[Sequence[Any]]) -> None:
    """Write the list of a decision; `effects` are rows of consequences. Everything below is made from it."""
    bulk_insert(
        tx,
        decision_effects,
        [
            (flag, n, licence, effect, cause, basis, *(parent or (None, None)), by, instruction, None, None)
            for n, (licence, effect, cause, basis, parent, by, instruction) in enumerate(effects)
        ],
    )


def open_listed(tx: Writing, flag: str, idx: int, root: str, facts: Mapping[str, Any], shown: str) -> None:
    """Open one cause per line, by the owning department; a mere notice is one too, so that history shows it.

    `shown` is what the causes say of themselves, as JSON. `ledger.causes.recompute` must follow for the licences.
    """
    revoked = _LISTED.effect == Effect.REVOKED.word
    _write(
        tx,
        causes,
        _LISTED.flag == flag,
        {
            "id": literal(f"{root}:") + cast(_LISTED.ord, Text),
            "licence": _LISTED.licence,
            "root": literal(root),
            "kind": _LISTED.cause,
            "effect": _LISTED.effect,
            "act": case(_ACTS, value=_LISTED.effect),
            "by": _LISTED.by,
            "basis": _LISTED.basis,
            "appealable_until": case((revoked, literal(facts["appealable_until"]))),
            "effective_from": literal(facts["decided_at"]),
            "until": null(),
            "opened_idx": literal(idx),
            "closed_idx": null(),
            "facts": literal(shown),
        },
    )


def open_listed_reviews(tx: Writing, flag: str, idx: int, due: str) -> None:
    """Open a review case for each licence that the list suspends."""
    _write(
        tx,
        review_cases,
        and_(_LISTED.flag == flag, _LISTED.effect == Effect.SUSPENDED.word),
        {
            "id": literal(f"{flag}:") + _LISTED.licence,
            "flag": _LISTED.flag,
            "licence": _LISTED.licence,
            "department": _LISTED.by,
            "due": literal(due),
            "opened_idx": literal(idx),
            "closed_idx": null(),
            "outcome": null(),
        },
    )


def tell_owners(
    tx: Writing, flag: str, idx: int, said: Mapping[tuple[Effect, str], Mapping[str, Any]], review_by: str
) -> None:
    """Tell the owner of each listed licence, under the number of its line, what was `said` of its effect and cause."""
    owed = owed_by_kind(said, review_by)
    texts = [
        (and_(_LISTED.effect == effect.word, _LISTED.cause == cause), literal(json.dumps(words, ensure_ascii=False)))
        for (effect, cause), words in sorted(owed.items())
    ]
    _write(
        tx,
        notices,
        _LISTED.flag == flag,
        {
            "idx": literal(idx),
            "ord": _LISTED.ord,
            "department": _LISTED.by,
            "kind": literal("licence.") + _LISTED.effect,
            "thing": _LISTED.licence,
            "facts": case(*texts),
            "relied": false(),
        },
    )


def _write(tx: Writing, table: Table, lines: ColumnElement[bool], values: Mapping[str, ColumnElement[Any]]) -> None:
    """Write a row of `table` for each of the `lines`, in their order; `values` by column."""
    source: Select[Any] = select(*values.values()).where(lines).order_by(_LISTED.ord)
    tx.execute(insert(table).from_select(list(values), source))
