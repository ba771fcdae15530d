"""What is known of each witness of our log: how far it is, when it last answered, and why it does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger import witnessed
from ledger.database import Reading, Writing
from ledger.tables.witnessing import cosigners
from ledger.witness_policies import policy_in
from verifiers.legal_dates import format_time
from verifiers.witness_policy import WitnessPolicy

CLOCK_AHEAD_S: Final = 60
"""How far our clock may be ahead of what fresh cosignatures say (protocol 7)."""

_MAX_ERROR: Final = 300
_RESTORED: Final = "(restored)"
"""Stands where a witness's name does, and no name has parentheses: the database came from a backup."""


@dataclass(frozen=True, slots=True)
class WitnessState:
    """One witness: the largest size it is known to have cosigned, its last answer, and `skew_s`, our clock less its own
    in that answer; `failures` rounds in a row without a cosignature, the last one for `error`.
    """

    name: str
    size: int = 0
    answered_at: datetime | None = None
    tried_at: datetime | None = None
    skew_s: int = 0
    failures: int = 0
    error: str = ""


def states(tx: Reading) -> dict[str, WitnessState]:
    """Return what is known of every witness there ever was, by name."""
    found = {}
    for row in tx.execute(select(cosigners).where(cosigners.c.name != _RESTORED)):
        found[row.name] = WitnessState(
            row.name, row.size, row.answered_at, row.tried_at, row.skew_s, row.failures, row.error
        )
    return found


def keep(tx: Writing, state: WitnessState) -> None:
    """Store `state`; the size never goes back, because what a witness cosigned it has cosigned."""
    upsert = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
    row = {
        "name": state.name,
        "size": state.size,
        "answered_at": state.answered_at,
        "tried_at": state.tried_at,
        "skew_s": state.skew_s,
        "failures": state.failures,
        "error": state.error[:_MAX_ERROR],
    }
    larger = func.max if tx.dialect.name == "sqlite" else func.greatest
    change = {name: value for name, value in row.items() if name != "name"}
    change["size"] = larger(cosigners.c.size, state.size)
    tx.execute(upsert(cosigners).values(row).on_conflict_do_update(index_elements=["name"], set_=change))


def forget(tx: Writing) -> None:
    """Forget all witnesses, because the database came from a backup: how far they are has to be heard anew."""
    tx.execute(delete(cosigners))
    tx.execute(insert(cosigners).values(name=_RESTORED, size=0, skew_s=0, failures=0, error=""))


def is_restored(tx: Reading) -> bool:
    """Tell whether the database came from a backup and too few witnesses have been heard since."""
    return tx.execute(select(cosigners.c.name).where(cosigners.c.name == _RESTORED)).first() is not None


def heard(tx: Writing) -> None:
    """Take down that enough witnesses were heard, or that an operator goes on without them."""
    tx.execute(delete(cosigners).where(cosigners.c.name == _RESTORED))


def quorum_met_at(known: dict[str, WitnessState], policy: WitnessPolicy) -> datetime | None:
    """Return since when a quorum has answered: the time of the last answer of the k-th freshest witness."""
    answers = [known[one.name].answered_at for one in policy.counting if one.name in known]
    times = sorted((at for at in answers if at is not None), reverse=True)
    return times[policy.quorum - 1] if 0 < policy.quorum <= len(times) else None


def alive(tx: Reading, policy: WitnessPolicy) -> bool:
    """Whether enough witnesses answered when they were last asked, so that waiting for a quorum makes sense."""
    known = states(tx)
    answering = sum(_answers(known.get(one.name)) for one in policy.counting)
    return 0 < policy.quorum <= answering


def clock_is_ahead(known: dict[str, WitnessState], policy: WitnessPolicy) -> bool | None:
    """Tell whether our clock is ahead of the witnesses' by more than a minute, None while no quorum answers.

    The median over those that answered decides, the lower one of two: a liar alone never stops us, nor does silence.
    """
    skews = sorted(known[one.name].skew_s for one in policy.counting if _answers(known.get(one.name)))
    if not 0 < policy.quorum <= len(skews):
        return None
    return skews[(len(skews) - 1) // 2] > CLOCK_AHEAD_S


def status(tx: Reading, at: datetime) -> dict[str, Any]:
    """Return what operators see: each witness of the policy with size, age and error, and the newest witnessed tree."""
    policy, known = policy_in(tx), states(tx)
    newest = witnessed.newest(tx)
    rows = []
    for one in policy.witnesses:
        state = known.get(one.name, WitnessState(one.name))
        age = None if state.answered_at is None else max(0, int((at - state.answered_at).total_seconds()))
        row = {"name": one.name, "url": one.url, "counts": one.counts, "size": state.size, "age_s": age}
        rows.append(row | {"failures": state.failures, "error": state.error or None})
    reached = None if newest is None else {"size": newest.size, "cosigned_at": format_time(newest.cosigned_at)}
    return {"quorum": policy.quorum, "witnesses": rows, "witnessed": reached}


def _answers(state: WitnessState | None) -> bool:
    return state is not None and state.failures == 0 and state.answered_at is not None
