"""What a new licence rests on: does it exist, may it be built on, is the number free; asked a batch at a time.

Before anything is signed these are asked once; what can change is asked again under the head lock, as conditions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, select, tuple_

from ledger.among import rows_among
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.issue_requests import BasisRequest
from ledger.lineage import chunks, dependants
from ledger.tables.credit import credit_checks
from ledger.tables.licences import imported_numbers, licences
from ledger.tables.submissions import materials, submissions
from verifiers.cascade import Thing

_IDS: Final[dict[str, Column[Any]]] = {
    "licence": licences.c.id,
    "submission": submissions.c.id,
    "material": materials.c.id,
    "credit_check": credit_checks.c.id,
}
_SERIALS = "SELECT serial FROM licences WHERE type = ? AND issuer = ? AND serial {among}"


@dataclass(frozen=True, slots=True)
class BasisFacts:
    """What exists among the things a batch rests on; for licences, the last day they are valid (`None`: 长期)."""

    known: dict[str, frozenset[str]]
    valid_until: dict[str, str | None]

    def check(self, bases: Sequence[BasisRequest], submission: str | None, today: str) -> None:
        """Refuse what does not exist or has run out. Raises basis.unknown, basis.state, submission.unknown."""
        if submission is not None and submission not in self.known["submission"]:
            raise Refusal(Code.SUBMISSION_UNKNOWN, "/submission")
        for position, each in enumerate(bases):
            if each.kind == "foreign":
                continue
            where = f"/rests_on/{position}/{each.kind}"
            if each.id not in self.known[each.kind]:
                raise Refusal(Code.BASIS_UNKNOWN, where, kind=each.kind)
            until = self.valid_until.get(each.id) if each.kind == "licence" else None
            if until is not None and until < today:
                raise Refusal(Code.BASIS_STATE, where, state="expired", valid_until=until)


def read_bases(tx: Reading, bases: Iterable[BasisRequest], linked: Iterable[str]) -> BasisFacts:
    """Look up everything a batch rests on: one query per kind and five thousand ids."""
    wanted: dict[str, set[str]] = {kind: set() for kind in _IDS}
    for each in bases:
        if each.kind in wanted:
            wanted[each.kind].add(each.id)
    wanted["submission"].update(linked)
    known = {kind: frozenset(_existing(tx, kind, ids)) for kind, ids in wanted.items()}
    until: dict[str, str | None] = {}
    for chunk in chunks(known["licence"]):
        rows = tx.execute(select(licences.c.id, licences.c.valid_until).where(licences.c.id.in_(chunk)))
        until.update({row.id: row.valid_until for row in rows})
    return BasisFacts(known, until)


def _existing(tx: Reading, kind: str, ids: Collection[str]) -> set[str]:
    column = _IDS[kind]
    found: set[str] = set()
    for chunk in chunks(ids):
        found |= set(tx.execute(select(column).where(column.in_(chunk))).scalars())
    return found


@dataclass(frozen=True, slots=True)
class NumberFree:
    """Condition of a proposal: this department has issued no licence of the type under this serial. number.taken."""

    type: str
    issuer: str
    serial: str

    @property
    def lock(self) -> str:
        """What proposals that want the same number both touch."""
        return f"number:{self.type}:{self.issuer}:{self.serial}"

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NumberFree]) -> dict[NumberFree, Refusal]:
        """Look for all of them in one query a type and issuer."""
        by_scope: dict[tuple[str, str], list[str]] = {}
        for each in conditions:
            by_scope.setdefault((each.type, each.issuer), []).append(each.serial)
        taken: set[tuple[str, str, str]] = set()
        for (type_, issuer), serials in by_scope.items():
            found = rows_among(tx, _SERIALS, serials, type_, issuer)
            taken.update((type_, issuer, row[0]) for row in found)
        return {
            each: Refusal(Code.NUMBER_TAKEN, "/number")
            for each in conditions
            if (each.type, each.issuer, each.serial) in taken
        }


@dataclass(frozen=True, slots=True)
class NotImported:
    """Condition of an import: nobody has imported this number of this issuer before. Refused as import.duplicate."""

    issuer: str
    type: str
    number_mac: bytes
    version: int

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NotImported]) -> dict[NotImported, Refusal]:
        """Look for all of them in a query a thousand."""
        table = imported_numbers
        columns = (table.c.issuer, table.c.type, table.c.number_mac, table.c.version)
        found: dict[tuple[str, str, bytes, int], str] = {}
        keys = [(each.issuer, each.type, each.number_mac, each.version) for each in conditions]
        for start in range(0, len(keys), 1000):
            query = select(*columns, table.c.licence).where(tuple_(*columns).in_(keys[start : start + 1000]))
            found.update({(r[0], r[1], bytes(r[2]), r[3]): r[4] for r in tx.execute(query)})
        return {
            each: Refusal(Code.IMPORT_DUPLICATE, "/number", licence=found[key])
            for each, key in zip(conditions, keys, strict=True)
            if key in found
        }


@dataclass(frozen=True, slots=True)
class NoCycle:
    """Condition of a new version: none of `parents` rests on the licence itself. Refused as basis.cycle."""

    licence: str
    parents: tuple[str, ...]

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NoCycle]) -> dict[NoCycle, Refusal]:
        """Walk what rests on each licence; new versions that add a basis are rare."""
        refused: dict[NoCycle, Refusal] = {}
        for each in conditions:
            below = {thing.id for thing in dependants(tx, [Thing("licence", each.licence)]).things}
            if not below.isdisjoint(each.parents):
                refused[each] = Refusal(Code.BASIS_CYCLE, "/rests_on")
        return refused
