"""What falls when something falls: the one closure that service, preview and auditor share.

Two pure rules live here. `closure` says what a decision about forged material does to everything that rests on it
(protocol rules 22, 22a; docs/formats/cascade.md), and `state_of` says what a licence is, given its open causes
(protocol rule 20). Neither reads a clock: days are calendar dates in +08:00 and are passed in.

    >>> submission, first, second = Thing("submission", "s"), Thing("licence", "a"), Thing("licence", "b")
    >>> edges = [Edge(first, submission, "identity"), Edge(second, first, "qualification")]
    >>> holdings = {"a": Holding("dept", None), "b": Holding("dept", None)}
    >>> [(c.licence, c.effect.word, c.cause) for c in closure([submission], edges, holdings, decided_by="dept")]
    [('a', 'revoked', 'direct'), ('b', 'suspended', 'inherited')]
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, NamedTuple

from verifiers.canonical import encode


class Effect(IntEnum):
    """How hard a consequence is; the order is the order of the law: none < notice < suspended < revoked."""

    NONE = 0
    NOTICE = 1
    SUSPENDED = 2
    REVOKED = 3

    @property
    def word(self) -> str:
        """The lower-case word that records, tables and answers use."""
        return _WORDS[self]

    @classmethod
    def parse(cls, word: str) -> Effect:
        """Return the effect that `word` names. Raises `ValueError` for any other word."""
        effect = _EFFECTS.get(word)
        if effect is None:
            raise ValueError(f"no such effect: {word!r}")
        return effect


# A decision over thousands of licences asks for thousands of words, and names of members are slow to come by.
_WORDS: Final = tuple(effect.name.lower() for effect in Effect)
_EFFECTS: Final = dict(zip(_WORDS, Effect, strict=True))


class Thing(NamedTuple):
    """A node of the lineage: `kind` is licence, submission, material, credit_check or foreign."""

    kind: str
    id: str


class Edge(NamedTuple):
    """`child` rests on `parent` by `basis`, a key of `BASIS_ALLOWS`."""

    child: Thing
    parent: Thing
    basis: str


# What each basis lets through. `version` joins the documents of a licence that moved (correction, renewal, transfer)
# and `contains` joins a submission to its materials: both hand on everything, because they are the same thing again.
BASIS_ALLOWS: Final[Mapping[str, Effect]] = {
    "version": Effect.REVOKED,
    "contains": Effect.REVOKED,
    "identity": Effect.REVOKED,
    "qualification": Effect.SUSPENDED,
    "evidence": Effect.NOTICE,
}
_BASIS_ORDER: Final = {basis: position for position, basis in enumerate(BASIS_ALLOWS)}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A department's signed standing instruction for one licence type: `effects` per basis, and its `version`.

    It can only narrow what a basis allows, never widen it. The key `direct` speaks of a licence that is itself the
    target of another department's decision (without it, the word on `identity` counts); a basis that is not named
    keeps its default.
    """

    version: str
    effects: Mapping[str, Effect]


@dataclass(frozen=True, slots=True)
class Holding:
    """Whose licence it is (`department`, a USCC) and the standing instruction that covers it, if there is one.

    `tightening` is the licence type's own effect-of-fraud table: like an instruction it can only narrow.
    """

    department: str
    instruction: Instruction | None
    tightening: Mapping[str, Effect] = field(default_factory=dict)


class Consequence(NamedTuple):
    """What happens to one licence: `effect`, why (`cause`, `basis`, `parent`) and in whose name (`by`).

    `cause` is direct for a target of the decision and for a result that rests on a target submission or material by
    itself; inherited for what rests on another licence. `review` asks the owner to re-examine by a deadline.
    """

    # A tuple, because a frozen dataclass takes four times as long to make, and one decision makes thousands.
    licence: str
    effect: Effect
    cause: str
    basis: str | None
    parent: Thing | None
    by: str
    instruction: str | None

    @property
    def review(self) -> bool:
        """Whether the owning department must re-examine: every suspension is a question put to it (rule 22a)."""
        return self.effect is Effect.SUSPENDED

    def to_row(self) -> list[Any]:
        """Return the seven-member array that decisions and preview digests hold."""
        parent = list(self.parent) if self.parent else None
        return [self.licence, self.effect.word, self.cause, self.basis, parent, self.by, self.instruction]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Consequence:
        """Read `to_row` back. Raises `ValueError` for another shape."""
        if not _is_row(row, 7) or not (row[4] is None or _is_row(row[4], 2)):
            raise ValueError("not a row of seven, or a parent that is not kind and id")
        licence, effect, cause, basis, parent, by, instruction = row
        thing = None if parent is None else Thing(*parent)
        return cls(licence, Effect.parse(effect), cause, basis, thing, by, instruction)


_LICENCE: Final = attrgetter("licence")


def _is_row(value: Any, length: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == length


def closure(
    targets: Iterable[Thing],
    edges: Iterable[Edge],
    holdings: Mapping[str, Holding],
    *,
    decided_by: str,
    spared: Collection[str] = (),
) -> tuple[Consequence, ...]:
    """Return every consequence of upholding that `targets` are forged, sorted by licence id (protocol rule 22).

    effect(n) is the greatest, over the edges into n, of the lesser of effect(parent) and what the edge allows; the
    least fixpoint of that. Notice does not travel. A `spared` licence keeps its state and hands nothing on.
    `holdings` must name every licence reached. Raises `ValueError` for an unknown basis or a licence without holding.
    """
    children: dict[Thing, list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.basis not in BASIS_ALLOWS:
            raise ValueError(f"no such basis: {edge.basis!r}")
        children[edge.parent].append(edge)
    limits = _Limits(holdings, decided_by, spared)

    # Widest path first: a thing taken from the strongest non-empty layer can never become stronger later, so each is
    # expanded once. Within a strength the walk goes level by level and keeps the least (basis, parent) of a level, so
    # the parent that is cited depends on the graph alone, not on the order in which edges were read.
    reached: dict[Thing, Effect] = {}
    explained: dict[Thing, Edge | None] = {}
    waiting: dict[Effect, dict[Thing, Edge | None]] = {Effect.REVOKED: {}, Effect.SUSPENDED: {}, Effect.NOTICE: {}}
    for target in targets:
        effect = limits.of(target, "direct")
        if effect:
            waiting[effect][target] = None
    for strength in (Effect.REVOKED, Effect.SUSPENDED, Effect.NOTICE):
        level = {thing: edge for thing, edge in waiting[strength].items() if thing not in reached}
        while level:
            reached.update(dict.fromkeys(level, strength))
            explained.update(level)
            following: dict[Thing, Edge | None] = {}
            for thing in level if strength > Effect.NOTICE else ():
                for edge in children.get(thing, ()):
                    effect = min(strength, limits.of(edge.child, edge.basis))
                    if effect and edge.child not in reached:
                        _keep_least(following if effect is strength else waiting[effect], edge)
            level = following
    fallen = [
        _consequence(thing.id, effect, explained[thing], holdings[thing.id])
        for thing, effect in reached.items()
        if thing.kind == "licence"
    ]
    return tuple(sorted(fallen, key=_LICENCE))


def foreign_closure(
    targets: Iterable[Thing], edges: Iterable[Edge], holdings: Mapping[str, Holding]
) -> tuple[Consequence, ...]:
    """Return every consequence here of the fall of licences of another region (protocol rule 23).

    Nobody here has decided anything: no licence gets more than suspended, whatever its basis and its owner's standing
    instruction say, and each is for its owner to look at again. All are inherited. Raises `ValueError` as `closure`.
    """
    fallen = closure(targets, edges, holdings, decided_by="")
    return tuple(each._replace(effect=min(each.effect, Effect.SUSPENDED), cause="inherited") for each in fallen)


class _Limits:
    """What may reach a thing by an edge, in one decision.

    Thousands of licences fall under one holding; what it lets through by a basis is worked out once.
    """

    def __init__(self, holdings: Mapping[str, Holding], decided_by: str, spared: Collection[str]) -> None:
        self._holdings, self._decided_by, self._spared = holdings, decided_by, spared
        self._known: dict[tuple[int, str], Effect] = {}

    def of(self, child: Thing, basis: str) -> Effect:
        """Return what `basis` lets through to `child`; the basis `direct` is that of a target itself."""
        if child.kind != "licence":
            return BASIS_ALLOWS.get(basis, Effect.REVOKED)
        if child.id in self._spared:
            return Effect.NONE
        holding = self._holdings.get(child.id)
        if holding is None:
            raise ValueError(f"no holding for licence {child.id!r}")
        key = id(holding), basis
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _allowed(holding, basis, self._decided_by)
        return known


def _allowed(holding: Holding, basis: str, decided_by: str) -> Effect:
    """What may reach a licence by an edge: what its basis allows, narrowed by the owner's instruction or its lack."""
    by_basis = BASIS_ALLOWS.get(basis, Effect.REVOKED)
    if holding.department == decided_by and basis == "direct":
        return by_basis
    by_basis = min(by_basis, _named(holding.tightening, basis, by_basis))
    if holding.instruction is not None:
        return min(by_basis, _named(holding.instruction.effects, basis, by_basis))
    return by_basis if holding.department == decided_by else min(by_basis, Effect.SUSPENDED)


def _named(table: Mapping[str, Effect], basis: str, default: Effect) -> Effect:
    if basis == "direct" and basis not in table:
        return table.get("identity", default)
    return table.get(basis, default)


def _keep_least(layer: dict[Thing, Edge | None], edge: Edge) -> None:
    """Let `edge` explain its child unless the child is a target (`None`) or has a lesser explanation already."""
    known = layer.setdefault(edge.child, edge)
    if known is not edge and known is not None and _citation(edge) < _citation(known):
        layer[edge.child] = edge


def _citation(edge: Edge) -> tuple[int, Thing]:
    return _BASIS_ORDER[edge.basis], edge.parent


def _consequence(licence: str, effect: Effect, edge: Edge | None, holding: Holding) -> Consequence:
    version = holding.instruction.version if holding.instruction else None
    if edge is None:
        return Consequence(licence, effect, "direct", None, None, holding.department, version)
    cause = "inherited" if edge.parent.kind == "licence" else "direct"
    return Consequence(licence, effect, cause, edge.basis, edge.parent, holding.department, version)


def preview_digest(targets: Iterable[Thing], decided_by: str, consequences: Iterable[Consequence]) -> bytes:
    """Return the 32-byte digest a decision must carry to show which set its maker saw (docs/formats/cascade.md).

    H("elicence/preview/v1\\0" ‖ canonical JSON of targets, deciding department and consequences, all sorted). The log
    size at which the preview was computed stands beside it, so growth that does not touch the set changes nothing.
    """
    body = {
        "by": decided_by,
        "consequences": [c.to_row() for c in sorted(consequences, key=_LICENCE)],
        "targets": sorted(list(target) for target in targets),
    }
    return hashlib.sha256(b"elicence/preview/v1\0" + encode(body)).digest()


@dataclass(frozen=True, slots=True)
class OpenCause:
    """A cause that nobody has closed, as far as state depends on it; dates are inclusive calendar dates in +08:00.

    `act` is a legal name (annul, penalty_revoke, withdraw, cancel, expire, transfer_out, suspend, freeze, notice).
    It counts from `effective_from` to `until`; a revocation is final after `appealable_until`, at once without one.
    """

    effect: Effect
    act: str
    effective_from: date | None = None
    until: date | None = None
    appealable_until: date | None = None

    def counts(self, today: date) -> bool:
        """Whether the cause is in force on `today`."""
        begun = self.effective_from is None or self.effective_from <= today
        return begun and (self.until is None or today <= self.until)

    def final(self, today: date) -> bool:
        """Whether no appeal is open any more on `today`."""
        return self.appealable_until is None or self.appealable_until < today


class LicenceState(NamedTuple):
    """A state word and the two-bit value of the status slot: 0 not withdrawn, 1 invalid for good, 2 for now."""

    state: str
    slot: int


VALID: Final = LicenceState("valid", 0)

# Where several revocations are open, the licence is called by the gravest; every one of them stays on file.
STATE_OF_ACT: Final[Mapping[str, str]] = {
    "annul": "annulled",
    "penalty_revoke": "penalty_revoked",
    "withdraw": "withdrawn",
    "cancel": "cancelled",
    "transfer_out": "transferred_out",
    "expire": "expired",
}
_GRAVITY: Final = {act: position for position, act in enumerate(STATE_OF_ACT)}


def state_of(causes: Iterable[OpenCause], today: date) -> LicenceState:
    """Return what a licence is on `today`, from its open causes alone (protocol rule 20).

    The slot says 2 while every revocation can still be appealed and 1 once any is final. Whoever stores slots keeps
    a 1 for ever: relief after that is a new version with a slot of its own.
    """
    counting = [cause for cause in causes if cause.counts(today)]
    revocations = [cause for cause in counting if cause.effect is Effect.REVOKED]
    if revocations:
        gravest = min(revocations, key=lambda cause: _GRAVITY[cause.act])
        return LicenceState(STATE_OF_ACT[gravest.act], 1 if any(cause.final(today) for cause in revocations) else 2)
    if any(cause.effect is Effect.SUSPENDED for cause in counting):
        return LicenceState("suspended", 2)
    return VALID


def next_turn(causes: Iterable[OpenCause], today: date) -> date | None:
    """Return the first day after `today` on which `state_of` might differ by the mere passing of time, if any."""
    days: list[date] = []
    for cause in causes:
        days += [cause.effective_from] if cause.effective_from else []
        days += [date.fromordinal(last.toordinal() + 1) for last in (cause.until, cause.appealable_until) if last]
    return min((day for day in days if day > today), default=None)
