"""How the rows of licences follow from their events: issued, imported, new version, act.

One projector for all four, because a slice of the log may hold the issue of a licence and what happened to it later:
documents are written first, then what happened, in log order and as many licences at a time as differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, select, tuple_, update

from ledger import causes, subjects
from ledger.causes import CauseRow
from ledger.database import Writing, bulk_insert
from ledger.events import Event, projector
from ledger.identifiers import key_of, tail_of
from ledger.tables.catalogue import departments
from ledger.tables.licences import causes as cause_rows
from ledger.tables.licences import (
    imported_numbers,
    licence_holders,
    licence_versions,
    licences,
    lineage,
)
from ledger.tables.submissions import submission_results
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

ISSUED = "licence.issued"
IMPORTED = "licence.imported"
VERSIONED = "licence.versioned"
ACTED = "licence.acted"

REVOKING = frozenset({"annul", "penalty_revoke", "withdraw", "cancel", "expire", "transfer_out"})
"""Acts after which a licence is not valid any more; `suspend` is invalid for now, `reinstate` ends that."""


@projector(ISSUED, IMPORTED, VERSIONED, ACTED)
def project_licences(tx: Writing, events: Sequence[Event]) -> None:
    """Write what happened to licences."""
    first = [event for event in events if event.event in (ISSUED, IMPORTED)]
    if first:
        _write_first(tx, first)
    for run in _runs(event for event in events if event.event in (VERSIONED, ACTED)):
        _write_later(tx, run)
    subjects.introduce(tx, events)


def _write_first(tx: Writing, events: Sequence[Event]) -> None:
    custody = _custody(tx)
    bulk_insert(tx, licences, [_licence_row(event, custody) for event in events])
    _write_documents(tx, events, {event.thing: _issuer(event) for event in events})
    opened = [_cause_row(event, event.facts["act"]) for event in events if event.facts.get("act") is not None]
    numbers = [row for event in events if event.event == IMPORTED for row in _number_rows(event)]
    bulk_insert(tx, imported_numbers, numbers)
    last = day_of(max(event.at for event in events))
    causes.open_causes(tx, opened)
    causes.recompute(tx, [row.licence for row in opened], last)
    causes.recompute_new(tx, min(event.idx for event in events), [event.thing for event in events], last)


def _write_later(tx: Writing, run: Sequence[Event]) -> None:
    """Write one run: events of different licences, all of one day."""
    today = day_of(run[0].at)
    versioned = [event for event in run if event.event == VERSIONED]
    if versioned:
        _supersede(tx, versioned)
        theirs = licences.c.id.in_([event.thing for event in versioned])
        issuers = {row.id: row.issuer for row in tx.execute(select(licences.c.id, licences.c.issuer).where(theirs))}
        _write_documents(tx, versioned, issuers)
    opened = [_cause_row(event, event.facts["act"]) for event in run if event.event == ACTED and _opens(event)]
    causes.open_causes(tx, opened)
    for event in run:
        if event.event == ACTED and not _opens(event):
            wanted = cause_rows.c.id.in_(event.facts["act"]["closes"])
            causes.close_causes(tx, wanted, event.idx, today)
    causes.recompute(tx, [event.thing for event in run], today)


def _supersede(tx: Writing, events: Sequence[Event]) -> None:
    """Let a new version take the place of the one before, whose slot says 1 from now on (protocol 21b)."""
    slots: list[tuple[int, int]] = []
    before = [(event.thing, event.facts["supersedes"]) for event in events]
    table = licence_versions
    query = select(table.c.list_num, table.c.slot).where(tuple_(table.c.licence, table.c.version).in_(before))
    slots += [(row.list_num, row.slot) for row in tx.execute(query)]
    tx.execute(
        update(table)
        .where(table.c.licence == bindparam("_licence"), table.c.version == bindparam("_version"))
        .values(superseded_idx=bindparam("_idx")),
        [{"_licence": e.thing, "_version": e.facts["supersedes"], "_idx": e.idx} for e in events],
    )
    causes.supersede_slots(tx, slots)
    tx.execute(
        update(licences)
        .where(licences.c.id == bindparam("_licence"))
        .values(
            major=bindparam("_major"),
            current_version=bindparam("_version"),
            valid_from=bindparam("_from"),
            valid_until=bindparam("_until"),
        ),
        [
            {
                "_licence": e.thing,
                "_major": e.facts["major"],
                "_version": e.facts["version"],
                "_from": e.facts["valid_from"],
                "_until": e.facts["valid_until"],
            }
            for e in events
        ],
    )
    # Holders may have changed with the document; the current ones are what search and presentations go by.
    tx.execute(licence_holders.delete().where(licence_holders.c.licence.in_([e.thing for e in events])))


def _write_documents(tx: Writing, events: Sequence[Event], issuers: Mapping[str, str]) -> None:
    bulk_insert(tx, licence_versions, [_version_row(event, issuers[event.thing]) for event in events])
    bulk_insert(tx, licence_holders, [row for event in events for row in _holder_rows(event)])
    bulk_insert(tx, lineage, [row for event in events for row in _edge_rows(event)])
    results = [
        (event.facts["submission"], event.thing, event.idx)
        for event in events
        if event.facts.get("submission") is not None and event.event == ISSUED
    ]
    bulk_insert(tx, submission_results, results)


def _licence_row(event: Event, custody: dict[str, str]) -> tuple[Any, ...]:
    facts = event.facts
    department = facts["department"]
    return (
        event.thing,
        facts["type"],
        facts["major"],
        custody.get(department, department),
        _issuer(event),
        facts["area"],
        facts["serial"],
        "imported" if event.event == IMPORTED else "issued",
        facts["version"],
        facts["valid_from"],
        facts["valid_until"],
        "valid",
        b64u_decode(facts["secret"]),
        event.idx,
    )


def _issuer(event: Event) -> str:
    """The department whose serial a licence bears, by its first event."""
    found: str = event.facts.get("issuer", event.facts["department"])
    return found


def _version_row(event: Event, issuer: str) -> tuple[Any, ...]:
    facts = event.facts
    identifier = facts["identifier"]
    return (
        event.thing,
        facts["version"],
        event.idx,
        facts["change"],
        facts["minor"],
        key_of(identifier),
        tail_of(identifier, facts["type"], issuer, facts["serial"], facts["version"]),
        facts["slot"]["list"],
        facts["slot"]["idx"],
        b64u_decode(facts["jws"]),
        b64u_decode(facts["code"]),
        facts["kids"]["licence"],
        facts["kids"]["code"],
        facts["valid_from"],
        facts["valid_until"],
        None,
    )


def _holder_rows(event: Event) -> Iterator[tuple[Any, ...]]:
    for position, holder in enumerate(event.facts["holders"]):
        yield event.thing, position, holder["subject"], holder["kind"], holder.get("role", "")


def _edge_rows(event: Event) -> Iterator[tuple[Any, ...]]:
    for edge in event.facts["rests_on"]:
        yield event.thing, edge["kind"], edge["id"], edge["basis"], event.idx


def _number_rows(event: Event) -> Iterator[tuple[Any, ...]]:
    part = event.subjects[0]
    if part is not None and "number_mac" in part.body:
        facts = event.facts
        issuer, mac = facts["imported"]["issuer"], b64u_decode(part.body["number_mac"])
        yield issuer[:64], facts["type"], mac, facts["version"], event.thing


def _opens(event: Event) -> bool:
    return "closes" not in event.facts["act"]


def _cause_row(event: Event, act: dict[str, Any]) -> CauseRow:
    id_ = f"{event.facts['origin']}:{event.idx}"
    named = ("authority", "articles", "document_no", "decided_at", "served_at", "reason_code")
    facts = {name: act[name] for name in named if name in act}
    return CauseRow(
        id=id_,
        licence=event.thing,
        root=id_,
        kind="direct",
        effect="revoked" if act["act"] in REVOKING else "suspended",
        act=act["act"],
        by=event.by,
        basis=None,
        appealable_until=act.get("appealable_until"),
        effective_from=act["effective_from"],
        until=act.get("until"),
        opened_idx=event.idx,
        closed_idx=None,
        facts=orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode(),
    )


def _runs(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Cut events into the longest runs in which no licence occurs twice and the day does not change."""
    run: list[Event] = []
    seen: set[str] = set()
    for event in events:
        if run and (event.thing in seen or day_of(event.at) != day_of(run[0].at)):
            yield run
            run, seen = [], set()
        run.append(event)
        seen.add(event.thing)
    if run:
        yield run


def _custody(tx: Writing) -> dict[str, str]:
    """Where licences of merged departments belong: a replay may have merged them already in this slice."""
    merged = select(departments.c.id, departments.c.successor).where(departments.c.status == "merged")
    successors = {row.id: row.successor for row in tx.execute(merged)}

    def last(department: str) -> str:
        while department in successors:
            department = successors[department]
        return department

    return {department: last(department) for department in successors}
