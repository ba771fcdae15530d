"""Letting an honest region judge a licence, and writing down what it said and by what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from tests.simulation.world import Given, Told, World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def judge(world: World, code: str, given: Given, rng: Random) -> str:
    """Ask the online verifier of a region about a licence, with one of the receipts that were given out."""
    node = world.node(code)
    receipt = rng.choice(given.receipts) if given.receipts else None
    verdict = await node.verifier.verdict(given.issued.licence, receipt)
    rows = world.looks[code, 0].rows(
        "SELECT iat, fetched_at FROM followed_status WHERE region = ? AND uri = ?", given.code, given.issued.status_uri
    )
    iat, fetched = rows[0] if rows else (None, None)
    told = Told(
        code,
        given,
        node.clock.now(),
        str(verdict.outcome.value),
        tuple(str(reason) for reason in verdict.reasons),
        tuple(str(note) for note in verdict.notes),
        verdict.bound_s,
        iat,
        None if fetched is None else instant(fetched),
        receipt is not None,
    )
    world.told.append(told)
    number = world.given.index(given)
    return f"{code} verifies number {number} of {given.code}: {told.outcome} {','.join(told.reasons)}"


def instant(stored: int) -> datetime:
    """A time as the ledger's tables keep it: seconds since 1970."""
    return _EPOCH + timedelta(seconds=stored)
