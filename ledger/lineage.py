"""What rests on what: the edges that `verifiers.cascade` walks, read in a handful of statements however large the case.

An edge comes from `lineage` (what a licence was issued on), from `submission_results` (a result rests on its submission
by identity) or from a submission and the materials it contains. `BasisSound` is how issuing refuses, under the head
lock, to build on something that has fallen or is frozen (docs/lineage.md).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import CTE, and_, func, literal, select, union, union_all

from ledger.among import rows_among
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.ids import BETWEEN
from ledger.tables.catalogue import licence_types, standing_instructions
from ledger.tables.licences import lineage
from ledger.tables.peers import foreign_falls, foreign_licences
from ledger.tables.submissions import materials, submission_results
from verifiers.cascade import Edge, Effect, Holding, Instruction, Thing

MAX_TARGETS: Final = 50
"""Targets of one case; each is a term of the query, and more of them are more cases."""

_CHUNK: Final = 5_000
"""Identifiers in one `IN`: SQLite takes 32,766 variables a statement."""

_FALLEN: Final = "SELECT licence FROM causes WHERE closed_idx IS NULL AND effect <> 'notice' AND licence {among}"
_OWNERS: Final = {
    gather: f"SELECT department, type, major, {gather}(id, '{BETWEEN}') FROM licences"  # noqa: S608 (words of our own)
    " WHERE id {among} GROUP BY department, type, major"
    for gather in ("string_agg", "group_concat")
}
_MATERIALS_OF: Final = "SELECT id, submission FROM materials WHERE submission {among}"
_UPHELD: Final = (
    "SELECT t.id FROM flag_targets t JOIN fraud_flags f ON f.id = t.flag"
    " WHERE f.state = 'upheld' AND t.kind = ? AND t.id {among}"
)
_FROZEN: Final = (
    'SELECT t.id FROM freeze_targets t JOIN freezes f ON f.id = t."freeze"'
    " WHERE f.ended_idx IS NULL AND t.kind = ? AND t.id {among}"
)


@dataclass(frozen=True, slots=True)
class Dependants:
    """Everything that rests on the targets of a case: `edges` among them, and the `holdings` of each licence.

    `things` are the targets and everything reached from them.
    """

    targets: tuple[Thing, ...]
    edges: tuple[Edge, ...]
    holdings: dict[str, Holding]
    things: frozenset[Thing]


def dependants(tx: Reading, targets: Iterable[Thing]) -> Dependants:
    """Read all that rests on `targets` as it stands in `tx`.

    Raises `Refusal` with `flag.too_many_targets` for more than `MAX_TARGETS`.
    """
    roots = tuple(sorted(set(targets)))
    if len(roots) > MAX_TARGETS:
        raise Refusal(Code.FLAG_TOO_MANY_TARGETS, limit=MAX_TARGETS)
    contained = _contained(tx, roots)
    starts = sorted({*roots, *(edge.child for edge in contained)})
    walk = _walk(starts)
    columns = (lineage.c.parent_kind, lineage.c.parent_id, lineage.c.basis)
    # By what it rests on, so that ten thousand that rest on one licence are one row: each row is asked for apart, and
    # SQLite gives the interpreter lock away for it.
    rows = tx.execute(
        select(*columns, func.aggregate_strings(lineage.c.child_licence, BETWEEN))
        .join(walk, and_(lineage.c.parent_kind == walk.c.kind, lineage.c.parent_id == walk.c.id))
        .group_by(*columns)
    )
    children: dict[str, Thing] = {}
    edges = {*_results(tx, starts), *contained}
    for kind, id_, basis, below in rows:
        parent = Thing(kind, id_)
        for child in below.split(BETWEEN):
            thing = children.get(child)
            if thing is None:  # one object for each, however many edges name it
                thing = children[child] = Thing("licence", child)
            edges.add(Edge(thing, parent, basis))
    things = frozenset(roots).union(edge.child for edge in edges).union(edge.parent for edge in edges)
    reached = {thing.id for thing in things if thing.kind == "licence"}
    return Dependants(roots, tuple(edges), holdings(tx, reached), things)


def _walk(starts: Sequence[Thing]) -> CTE:
    """The things reached from `starts`; evidence ends a path, because what it hands on (notice) does not travel."""
    terms = [select(literal(thing.kind).label("kind"), literal(thing.id).label("id")) for thing in starts]
    given = union_all(*terms).cte("given")
    results = select(literal("licence").label("kind"), submission_results.c.licence.label("id")).join(
        given, and_(given.c.kind == "submission", given.c.id == submission_results.c.submission)
    )
    first = union(select(given.c.kind, given.c.id), results).cte("first")
    walk = select(first.c.kind, first.c.id).cte("walk", recursive=True)
    step = select(literal("licence"), lineage.c.child_licence).join(
        walk, and_(lineage.c.parent_kind == walk.c.kind, lineage.c.parent_id == walk.c.id)
    )
    return walk.union(step.where(lineage.c.basis != "evidence"))


def _contained(tx: Reading, roots: Sequence[Thing]) -> list[Edge]:
    """The submissions that contain a target material: each falls with it."""
    wanted = [root.id for root in roots if root.kind == "material"]
    rows = tx.execute(select(materials.c.submission, materials.c.id).where(materials.c.id.in_(wanted)))
    return [Edge(Thing("submission", row[0]), Thing("material", row[1]), "contains") for row in rows]


def _results(tx: Reading, starts: Sequence[Thing]) -> list[Edge]:
    """A licence granted on a submission rests on it even where its issuer did not say so."""
    wanted = [start.id for start in starts if start.kind == "submission"]
    rows = tx.execute(
        select(submission_results.c.licence, submission_results.c.submission).where(
            submission_results.c.submission.in_(wanted)
        )
    )
    return [Edge(Thing("licence", row[0]), Thing("submission", row[1]), "identity") for row in rows]


def holdings(tx: Reading, ids: Iterable[str]) -> dict[str, Holding]:
    """Return owner, standing instruction and type table (newest versions) of each licence that exists among `ids`."""
    gather = "string_agg" if tx.dialect.name == "postgresql" else "group_concat"
    owners = rows_among(tx, _OWNERS[gather], sorted(set(ids)))
    instructions = _instructions(tx, {row[0] for row in owners})
    tables = _tightenings(tx, {row[1] for row in owners})
    found: dict[str, Holding] = {}
    for department, code, major, theirs in owners:
        instruction = instructions.get((department, code, major))
        holding = Holding(department, instruction, tables.get((code, major), {}))
        found.update(dict.fromkeys(theirs.split(BETWEEN), holding))
    return found


def _tightenings(tx: Reading, codes: Iterable[str]) -> dict[tuple[str, int], dict[str, Effect]]:
    """The effect-of-fraud table of each licence type, from the newest minor of each major."""
    newest: dict[tuple[str, int], dict[str, Effect]] = {}
    for chunk in chunks(codes):
        rows = tx.execute(
            select(licence_types.c.code, licence_types.c.major, licence_types.c.definition)
            .where(licence_types.c.code.in_(chunk))
            .order_by(licence_types.c.minor)
        )
        for code, major, definition in rows:
            newest[code, major] = _effects(json.loads(definition)["effect_of_fraud"])
    return newest


def _instructions(tx: Reading, departments: Iterable[str]) -> dict[tuple[str, str, int], Instruction]:
    table = standing_instructions
    newest: dict[tuple[str, str, int], Instruction] = {}
    for chunk in chunks(departments):
        rows = tx.execute(
            select(table.c.department, table.c.type, table.c.major, table.c.version, table.c.effects)
            .where(table.c.department.in_(chunk))
            .order_by(table.c.version)
        )
        for department, code, major, version, effects in rows:
            newest[department, code, major] = Instruction(str(version), _effects(json.loads(effects)))
    return newest


def _effects(table: dict[str, str]) -> dict[str, Effect]:
    return {basis: Effect.parse(word) for basis, word in table.items()}


def newest_edge(tx: Reading, size: int, things: frozenset[Thing]) -> bool:
    """Whether an entry at or after `size` put something new on one of `things`.

    Reads only what is newer than `size`, so it is cheap under the head lock however large `things` is.
    """
    newer = tx.execute(select(lineage.c.parent_kind, lineage.c.parent_id).where(lineage.c.idx >= size))
    if any(Thing(*row) in things for row in newer):
        return True
    results = tx.execute(select(submission_results.c.submission).where(submission_results.c.idx >= size))
    return any(Thing("submission", row[0]) in things for row in results)


@dataclass(frozen=True, slots=True)
class BasisSound:
    """Condition of a proposal: nothing suspends, revokes or freezes the thing that the new licence rests on.

    `kind` and `id` as in `lineage`. Refused with `basis.cause_open`. A credit check cannot fall, so it always passes,
    as does a licence of a region whose log nobody here follows.
    """

    kind: str
    id: str

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[BasisSound]) -> dict[BasisSound, Refusal]:
        """Return a refusal for each unsound basis, in a few statements for the whole batch."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for condition in conditions:
            wanted[condition.kind].add(condition.id)
        unsound = {Thing("licence", each) for each in _fallen_licences(tx, wanted["licence"])}
        unsound |= _fallen_targets(tx, wanted["submission"], wanted["material"])
        unsound |= {Thing("foreign", each) for each in _fallen_abroad(tx, wanted["foreign"])}
        return {
            condition: Refusal(Code.BASIS_CAUSE_OPEN, kind=condition.kind, id=condition.id)
            for condition in conditions
            if Thing(condition.kind, condition.id) in unsound
        }


def _fallen_licences(tx: Reading, ids: Collection[str]) -> set[str]:
    return {row[0] for row in rows_among(tx, _FALLEN, ids)}


def _fallen_abroad(tx: Reading, ids: Iterable[str]) -> set[str]:
    """Licences of peers (`<region>:<identifier>`) on which a cause stands here, or whose status bit was seen set."""
    found: set[str] = set()
    for chunk in chunks(ids):
        regions = {each.partition(":")[0] for each in chunk}
        identifiers = {each.partition(":")[2] for each in chunk}
        for table, stands in (
            (foreign_falls, foreign_falls.c.closed_idx.is_(None)),
            (foreign_licences, foreign_licences.c.value > 0),
        ):
            # By region as well, which is what both tables are indexed by: this runs under the lock of the head.
            named = table.c.region.in_(regions) & table.c.identifier.in_(identifiers)
            query = select(table.c.region, table.c.identifier).where(named, stands)
            found |= {f"{row[0]}:{row[1]}" for row in tx.execute(query)}
    return found


def _fallen_targets(tx: Reading, submissions: set[str], lone: set[str]) -> set[Thing]:
    """Submissions and materials under an upheld decision or a freeze; a submission falls with any of its materials."""
    inside: dict[str, str] = {row[0]: row[1] for row in rows_among(tx, _MATERIALS_OF, submissions)}
    marked: set[Thing] = set()
    for kind, ids in (("submission", submissions), ("material", lone | set(inside))):
        for sql in (_UPHELD, _FROZEN):
            marked |= {Thing(kind, row[0]) for row in rows_among(tx, sql, ids, kind)}
    return marked | {Thing("submission", inside[t.id]) for t in marked if t.kind == "material" and t.id in inside}


def chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    """Cut `ids` into sorted lists that fit one statement."""
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
