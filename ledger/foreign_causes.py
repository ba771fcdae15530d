"""What happens here when a licence of another region falls or comes back: the logged events and the rows they make.

A fall is one `sealed` entry by this region: it names the peer's licence, the status list that said so, the cause, and
every consequence here, none more than suspended (protocol 23). The owners of what is suspended get a review case each;
they act on their own grounds or lift the suspension. A restoration closes exactly what its fall opened.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, update

from ledger import causes
from ledger.case_steps import Thread, event_counts
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.foreign_judging import entry_of, root_of
from ledger.foreign_licences import ForeignLicence
from ledger.lineage import chunks, dependants
from ledger.notices import Notice, notices_of, post, relied_on
from ledger.preview import PreviewCurrent
from ledger.reviews import review_rows
from ledger.tables.fraud import review_cases
from ledger.tables.licences import causes as cause_rows
from ledger.tables.log import head
from ledger.tables.peers import foreign_effects, foreign_falls
from verifiers.cascade import Consequence, Effect, Thing, foreign_closure
from verifiers.encoding import b64u_decode
from verifiers.entry import REGION
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.drafting import Unsigned
    from ledger.region import Region

FELL: Final = "foreign.fell"
RESTORED: Final = "foreign.restored"

REVIEW_DAYS: Final = 30
"""Calendar days an owner has to look again at a licence that was suspended because of another region."""


@dataclass(frozen=True, slots=True)
class Fall:
    """What a cause on a foreign licence does here, as things stood when the log had `size` entries.

    `kept` are licences whose owner has looked already and keeps the suspension; `affected` counts those that this
    suspends and no other cause on the same foreign licence does.
    """

    licence: ForeignLicence
    cause: str
    effects: tuple[Consequence, ...]
    affected: int
    relied: list[list[str]]
    kept: list[str]
    replaces: tuple[str, ...]
    size: int
    things: frozenset[Thing]

    @property
    def conditions(self) -> tuple[PreviewCurrent, NotFallen]:
        """What must still hold when the fall is logged: nothing new rests on the licence, and nobody was faster."""
        licence = self.licence
        return PreviewCurrent(self.size, self.things), NotFallen(licence.region, licence.identifier, self.cause)


def weigh(tx: Reading, licence: ForeignLicence, cause: str, origin: str, replaced: Sequence[str]) -> Fall:
    """Work out what `cause` on `licence` does here; `replaced` are the falls whose place it takes.

    A licence that our own decision has reached by itself (`cause` is an entry of the log `origin`) is left out: there
    the decision's cause stands already. So is one whose owner has lifted what is replaced, because it has judged.
    """
    size = int(tx.execute(select(head.c.size)).scalar_one())
    reach = dependants(tx, [Thing("foreign", licence.id)])
    effects = foreign_closure(reach.targets, reach.edges, reach.holdings)
    own = entry_of(cause, origin)
    out = set() if own is None else _under(tx, cause, own)
    before = _reviewed(tx, replaced)
    out |= {each for each, outcome in before.items() if outcome == "restored"}
    effects = tuple(each for each in effects if each.licence not in out)
    already = _suspended_by(tx, licence)
    return Fall(
        licence=licence,
        cause=cause,
        effects=effects,
        affected=sum(each.effect is Effect.SUSPENDED and each.licence not in already for each in effects),
        relied=relied_on(tx, (each.licence for each in effects)),
        kept=sorted(each for each, outcome in before.items() if outcome == "kept"),
        replaces=tuple(sorted(replaced)),
        size=size,
        things=reach.things,
    )


def _under(tx: Reading, cause: str, entry: int) -> set[str]:
    """The licences on which our own decision or act at `entry` stands by itself."""
    c = cause_rows.c
    query = select(c.licence).where(c.root == root_of(cause), c.opened_idx == entry, c.closed_idx.is_(None))
    return set(tx.execute(query).scalars())


def _reviewed(tx: Reading, falls: Sequence[str]) -> dict[str, str]:
    query = select(review_cases.c.licence, review_cases.c.outcome).where(
        review_cases.c.flag.in_(falls), review_cases.c.closed_idx.is_not(None)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def _suspended_by(tx: Reading, licence: ForeignLicence) -> set[str]:
    table = foreign_effects
    query = (
        select(table.c.licence)
        .join(foreign_falls, foreign_falls.c.id == table.c.fall)
        .where(
            foreign_falls.c.region == licence.region,
            foreign_falls.c.identifier == licence.identifier,
            foreign_falls.c.closed_idx.is_(None),
            table.c.effect == Effect.SUSPENDED.word,
        )
    )
    return set(tx.execute(query).scalars())


def fell(region: Region, fall: Fall, released_by: str | None) -> Unsigned:
    """Return the event of a fall, not yet signed; `released_by` is the operator who let a held one go on."""
    licence = fall.licence
    facts: dict[str, Any] = {
        "peer": licence.region,
        "identifier": licence.identifier,
        "uri": licence.uri,
        "slot": licence.slot,
        "value": licence.value,
        "as_of": licence.as_of,
        "cause": fall.cause,
        "effects": [each.to_row() for each in fall.effects],
        "affected": fall.affected,
        "review_by": (day_of(region.clock.now()) + timedelta(days=REVIEW_DAYS)).isoformat(),
        "relied": fall.relied,
        "kept": fall.kept,
        "replaces": list(fall.replaces),
    }
    if released_by is not None:
        facts["released_by"] = released_by
    return Thread.new().step(REGION, FELL, facts)


def restored(tx: Reading, falls: Sequence[str], *, replaced: bool) -> list[Unsigned]:
    """Return the event that ends each of `falls`, not yet signed; `replaced`: another cause takes their place."""
    if not falls:
        return []
    rows = tx.execute(select(foreign_falls).where(foreign_falls.c.id.in_(falls)).order_by(foreign_falls.c.id)).all()
    counts = event_counts(tx, [row.id for row in rows])
    steps = []
    for row in rows:
        touched = select(foreign_effects.c.licence).where(foreign_effects.c.fall == row.id)
        facts = {
            "peer": row.region,
            "identifier": row.identifier,
            "cause": row.cause,
            "replaced": replaced,
            "relied": [] if replaced else relied_on(tx, tx.execute(touched).scalars()),
        }
        steps.append(Thread(row.id, counts[row.id], bytes(row.secret)).step(REGION, RESTORED, facts))
    return steps


@dataclass(frozen=True, slots=True)
class NotFallen:
    """Condition of a fall: this cause does not stand on the foreign licence yet. Refused as `stale`."""

    region: str
    identifier: str
    cause: str

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[NotFallen]) -> dict[NotFallen, Refusal]:
        """Read the open falls of all licences concerned in one query."""
        table = foreign_falls
        wanted = {each.identifier for each in conditions}
        query = select(table.c.region, table.c.identifier, table.c.cause).where(
            table.c.identifier.in_(wanted), table.c.closed_idx.is_(None)
        )
        standing = {NotFallen(*row) for row in tx.execute(query)}
        return {each: Refusal(Code.STALE) for each in conditions if each in standing}


def open_falls(tx: Reading, region_code: str) -> dict[str, dict[str, str]]:
    """Return the falls that stand because of one peer: by identifier, the id of the fall by its cause."""
    table, found = foreign_falls, dict[str, dict[str, str]]()
    query = select(table.c.identifier, table.c.cause, table.c.id).where(
        table.c.region == region_code, table.c.closed_idx.is_(None)
    )
    for identifier, cause, id_ in tx.execute(query):
        found.setdefault(identifier, {})[cause] = id_
    return found


def project_fell_abroad(tx: Writing, e: Event) -> None:
    """Write a fall and everything that follows from it, set by set."""
    facts = e.facts
    effects = [Consequence.from_row(row) for row in facts["effects"]]
    bulk_insert(tx, foreign_falls, [_fall_row(e, settled=not effects)])
    bulk_insert(tx, foreign_effects, [_effect_row(e.thing, n, each) for n, each in enumerate(effects)])
    causes.open_causes(tx, _cause_rows(e, effects))
    kept = set(facts["kept"])
    bulk_insert(tx, review_cases, review_rows(e, [each for each in effects if each.licence not in kept]))
    causes.recompute(tx, [each.licence for each in effects], day_of(e.at))
    if not facts["replaces"]:
        abroad = {"region": facts["peer"], "identifier": facts["identifier"]}
        post(tx, e.idx, notices_of(effects, facts, {"foreign": abroad, "by": e.by}))


def _fall_row(e: Event, *, settled: bool) -> tuple[Any, ...]:
    facts = e.facts
    return (
        e.thing, facts["peer"], facts["identifier"], facts["cause"], facts["uri"], facts["slot"], e.at,
        facts["affected"], e.idx, None, e.idx if settled else None, None,
        b64u_decode(e.facts["secret"], 32),
    )  # fmt: skip


def _effect_row(fall: str, n: int, each: Consequence) -> tuple[Any, ...]:
    kind, id_ = each.parent or (None, None)
    return (fall, n, each.licence, each.effect.word, each.basis, kind, id_, each.by, each.instruction, None, None)


def _cause_rows(e: Event, effects: Sequence[Consequence]) -> list[causes.CauseRow]:
    """One cause per consequence, under the root that the other region names."""
    facts, today = e.facts, day_of(e.at).isoformat()
    shown = json.dumps({"foreign": {"region": facts["peer"], "identifier": facts["identifier"]}}, sort_keys=True)
    acts = {Effect.SUSPENDED: "suspend", Effect.NOTICE: "notice"}
    return [
        causes.CauseRow(
            id=f"{facts['origin']}:{e.idx}:{n}",
            licence=each.licence,
            root=root_of(facts["cause"]),
            kind=each.cause,
            effect=each.effect.word,
            act=acts[each.effect],
            by=each.by,
            basis=each.basis,
            appealable_until=None,
            effective_from=today,
            until=None,
            opened_idx=e.idx,
            closed_idx=None,
            facts=shown,
        )
        for n, each in enumerate(effects)
    ]


def project_restored_abroad(tx: Writing, e: Event) -> None:
    """Close exactly what a fall opened, recompute what is left, and tell those concerned."""
    row = tx.execute(select(foreign_falls).where(foreign_falls.c.id == e.thing)).one()
    today = day_of(e.at)
    own = and_(cause_rows.c.opened_idx == row.opened_idx, cause_rows.c.root == root_of(row.cause))
    back = causes.close_causes(tx, own, e.idx, today)
    causes.recompute(tx, back, today)
    reviews = update(review_cases).where(review_cases.c.flag == e.thing, review_cases.c.closed_idx.is_(None))
    tx.execute(reviews.values(closed_idx=e.idx, outcome="reversed"))
    empty = tx.execute(select(foreign_effects.c.ord).where(foreign_effects.c.fall == e.thing).limit(1)).first() is None
    closed = {"closed_idx": e.idx} | ({"restored_idx": e.idx} if empty else {})
    tx.execute(update(foreign_falls).where(foreign_falls.c.id == e.thing).values(closed))
    if not e.facts["replaced"]:
        post(tx, e.idx, _notices_of_restoration(tx, e, back))


def _notices_of_restoration(tx: Reading, e: Event, back: Collection[str]) -> list[Notice]:
    facts, table = e.facts, foreign_effects
    told = {"foreign": {"region": facts["peer"], "identifier": facts["identifier"]}, "by": e.by}
    came_back = set(back)
    owners = tx.execute(select(table.c.by, table.c.licence).where(table.c.fall == e.thing).order_by(table.c.ord))
    return [
        *(Notice(row[0], "licence.restored", row[1], told) for row in owners if row[1] in came_back),
        *(Notice(department, "licence.restored", licence, told, True) for department, licence in facts["relied"]),
    ]


def effects_of(tx: Reading, falls: Sequence[str]) -> set[str]:
    """Return the licences that any of `falls` touched."""
    found: set[str] = set()
    for chunk in chunks(falls):
        found |= set(tx.execute(select(foreign_effects.c.licence).where(foreign_effects.c.fall.in_(chunk))).scalars())
    return found
