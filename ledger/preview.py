"""What a decision would do, before it is made: the closure at a stated log size, and its digest (protocol 22, 22b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.lineage import Dependants, dependants, newest_edge
from ledger.tables.log import head
from verifiers.cascade import Consequence, Thing, closure, preview_digest
from verifiers.encoding import b64u_encode


@dataclass(frozen=True, slots=True)
class Preview:
    """The consequences of upholding a case as they stood when the log had `size` entries.

    `digest` covers targets, deciding department and consequences, not the size: growth elsewhere changes nothing.
    """

    size: int
    by: str
    reach: Dependants
    consequences: tuple[Consequence, ...]
    digest: bytes

    def with_spared(self, spared: frozenset[str]) -> tuple[Consequence, ...]:
        """Return what is left of the consequences when `spared` licences keep their state.

        Raises `Refusal` with `spared.unknown` for a licence that would not have fallen.
        """
        if not spared:
            return self.consequences
        unknown = sorted(spared - {consequence.licence for consequence in self.consequences})
        if unknown:
            raise Refusal(Code.SPARED_UNKNOWN, "/spared", licence=unknown[0])
        reach = self.reach
        return closure(reach.targets, reach.edges, reach.holdings, decided_by=self.by, spared=spared)

    def to_json(self) -> dict[str, Any]:
        """Return the preview as the service answers it: `{"digest", "size", "effects": […]}`."""
        return {
            "digest": b64u_encode(self.digest),
            "size": self.size,
            "effects": [effect_json(consequence) for consequence in self.consequences],
        }


def preview(tx: Reading, targets: Sequence[Thing], by: str) -> Preview:
    """Compute what it would do if `by` upheld that `targets` are forged, as things stand in `tx`."""
    size = int(tx.execute(select(head.c.size)).scalar_one())
    reach = dependants(tx, targets)
    consequences = closure(reach.targets, reach.edges, reach.holdings, decided_by=by)
    return Preview(size, by, reach, consequences, preview_digest(reach.targets, by, consequences))


def effect_json(consequence: Consequence) -> dict[str, Any]:
    """Return one consequence in the shape of `cascade.json` (contract)."""
    parent = consequence.parent
    return {
        "licence": consequence.licence,
        "effect": consequence.effect.word,
        "cause": consequence.cause,
        "basis": consequence.basis,
        "parent": None if parent is None else {"kind": parent.kind, "id": parent.id},
        "by": consequence.by,
        "instruction": consequence.instruction,
        "review": consequence.review,
    }


@dataclass(frozen=True, slots=True)
class PreviewCurrent:
    """Condition of a decision: nothing that would change the previewed set was logged since the log had `size` entries.

    Checked by looking only at what is newer: edges on anything in `things`, and any change of the catalogue (an
    owner's instruction, a type's table, a merger of departments). Refused as `stale`, so that the decision is
    prepared again and either finds the same digest or tells its maker that the set has changed.
    """

    size: int
    things: frozenset[Thing]

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[PreviewCurrent]) -> dict[PreviewCurrent, Refusal]:
        """Return a refusal for each preview that is out of date."""
        changed = int(tx.execute(select(head.c.catalogue_idx)).scalar_one())
        return {
            condition: Refusal(Code.STALE)
            for condition in conditions
            if changed >= condition.size or newest_edge(tx, condition.size, condition.things)
        }
