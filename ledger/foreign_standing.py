"""How it stands with what rests here on each peer's licences, in numbers for operators."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from ledger.database import Reading
from ledger.foreign_licences import unresolved
from ledger.tables.peers import foreign_falls, held_falls


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one peer's licences that licences here rest on: fallen, held for an operator, place not known yet."""

    fallen: int = 0
    held: int = 0
    unresolved: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as the service answers it."""
        return {"fallen": self.fallen, "held": self.held, "unresolved": self.unresolved}


def standings(tx: Reading) -> dict[str, Standing]:
    """Return the numbers of every peer that has any."""
    down = select(foreign_falls.c.region, func.count(foreign_falls.c.identifier.distinct())).where(
        foreign_falls.c.closed_idx.is_(None)
    )
    fallen = Counter({row[0]: row[1] for row in tx.execute(down.group_by(foreign_falls.c.region))})
    waiting = select(held_falls.c.region, func.count()).where(
        held_falls.c.released_by.is_(None), held_falls.c.dropped_by.is_(None)
    )
    held = Counter({row[0]: row[1] for row in tx.execute(waiting.group_by(held_falls.c.region))})
    unknown = Counter(unresolved(tx))
    return {code: Standing(fallen[code], held[code], unknown[code]) for code in {*fallen, *held, *unknown}}
