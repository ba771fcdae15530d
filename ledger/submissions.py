"""Submissions (办件): what was handed in, by whom, through which window, and what came of it.

All of it is sealed: from outside nobody sees that there was a submission. Materials are known by the digest of the
file, who took them in and what kind they are; results are the licences granted on them, which is what a fraud case
follows.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import bindparam, select, update

from ledger import subjects
from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.composing import holder_values, subject_conditions
from ledger.database import Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart, projector
from ledger.ids import new_id
from ledger.issue_requests import parse_holders
from ledger.lineage import BasisSound
from ledger.proposals import IdempotencyKey, retrying
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.licences import licences
from ledger.tables.submissions import materials, submission_results, submissions
from verifiers.encoding import b64u_decode

if TYPE_CHECKING:
    from ledger.region import Region

CHANNELS: Final = ("window", "online", "cross_region", "agent", "post")
"""How a submission came in: 窗口, 全程网办, 异地代收代办, 多地联办 by agent, 邮寄."""

OUTCOMES: Final = ("granted", "refused", "withdrawn")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"\S(?:.{0,30}\S)?")


async def open_submission(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Take in a submission `{"received_by", "decided_by", "destination", "channel", "matter", "applicant",
    "materials": [{"digest", "kind", "taken_by", "licence"}], "missing": []}` and return its ids.

    `received_by` defaults to the actor's department, `decided_by` to the matter's. Raises `Refusal` submission.invalid,
    matter.unknown, licence.unknown, request.member_….
    """
    return await retrying(lambda: _open(region, actor, body, idempotency))


async def _open(region: Region, actor: Actor, body: Any, idempotency: IdempotencyKey | None) -> dict[str, Any]:
    given = _parse(region.catalogue, actor, body)
    facts, applicant = given
    numbers = [(holder.id_type, holder.id) for holder in applicant]
    known = await region.database.read(lambda tx: subjects.resolve(tx, region.vault, numbers))
    await region.database.read(lambda tx: _check_licences(tx, facts["materials"]))
    holders = holder_values(applicant, known, set())
    conditions, touches = subject_conditions(holders, known)
    parts: tuple[SubjectPart, ...] = ()
    for each in holders:
        named = {"name": each.name, "id_type": each.id_type, "id": each.id}
        parts = (SubjectPart(each.subject, {"applicant": named, **each.introduction}),)
        facts["applicant"] = {"subject": each.subject, "kind": each.kind}
    id_ = new_id()
    event = Unsigned(
        "sealed",
        actor.department,
        "submission.opened",
        id_,
        0,
        secrets.token_bytes(32),
        {**acted(actor), **facts},
        parts,
    )
    answer = {
        "id": id_,
        "state": "open",
        "materials": [{"id": each["id"], "digest": each["digest"]} for each in facts["materials"]],
    }

    def authorise(catalogue: Catalogue) -> None:
        catalogue.active_department(actor.department)

    return await record(
        region,
        [event],
        answer,
        idempotency=idempotency,
        authorise=authorise,
        conditions=conditions,
        touches=touches,
    )


def _parse(catalogue: Catalogue, actor: Actor, body: Any) -> tuple[dict[str, Any], tuple[Any, ...]]:
    members = RequestMembers(body)
    matter = catalogue.matter(members.text("matter", 64)) if members.has("matter") else None
    received = members.text("received_by", 18) if members.has("received_by") else actor.department
    default = matter.department if matter is not None else actor.department
    decided = members.text("decided_by", 18) if members.has("decided_by") else default
    applicant = RequestMembers({"holder": members.take("applicant")}) if members.has("applicant") else None
    facts: dict[str, Any] = {
        "received_by": catalogue.department(received, "/received_by").id,
        "decided_by": catalogue.department(decided, "/decided_by").id,
        "destination": members.text("destination", 200) if members.has("destination") else decided,
        "channel": members.one_of("channel", CHANNELS) if members.has("channel") else "window",
        "matter": matter.code if matter is not None else None,
        "matter_version": matter.version if matter is not None else None,
        "materials": members.objects("materials", _material, 200),
        "missing": members.objects("missing", _missing, 64),
    }
    members.done()
    if actor.department not in (received, decided):
        raise Refusal(Code.SUBMISSION_INVALID, "/received_by", why="neither receives nor decides it")
    if matter is not None:
        _check_missing(dict(matter.definition), facts["missing"])
    return facts, parse_holders(applicant) if applicant is not None else ()


def _material(members: RequestMembers) -> dict[str, Any]:
    material: dict[str, Any] = {
        "id": new_id(),
        "digest": members.matching("digest", _DIGEST),
        "kind": members.matching("kind", _KIND),
        "taken_by": members.text("taken_by", 64) if members.has("taken_by") else "",
    }
    return material | ({"licence": members.id("licence")} if members.has("licence") else {})


def _missing(members: RequestMembers) -> dict[str, Any]:
    return {"material": members.text("material", 200), "until": members.day("until")}


def _check_missing(matter: dict[str, Any], missing: Sequence[dict[str, Any]]) -> None:
    """容缺: only what the matter lists may be handed in later."""
    deferrable = {each["material"] for each in matter["deferrable"]}
    for position, each in enumerate(missing):
        if each["material"] not in deferrable:
            raise Refusal(Code.SUBMISSION_INVALID, f"/missing/{position}/material", allowed=sorted(deferrable))


def _check_licences(tx: Reading, handed_in: Sequence[dict[str, Any]]) -> None:
    wanted = {each["licence"] for each in handed_in if "licence" in each}
    known = set(tx.execute(select(licences.c.id).where(licences.c.id.in_(wanted))).scalars())
    for position, each in enumerate(handed_in):
        if "licence" in each and each["licence"] not in known:
            raise Refusal(Code.LICENCE_UNKNOWN, f"/materials/{position}/licence")


async def decide(
    region: Region, actor: Actor, id_: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Close a submission `{"outcome", "results": ["<licence>"], "document_no"}` and link what was granted on it.

    Raises `Refusal` submission.unknown, submission.decided, submission.other_department, submission.result.
    """
    members = RequestMembers(body)
    outcome = members.one_of("outcome", OUTCOMES)
    results = sorted(set(members.texts("results", 1000)))
    document_no = members.text("document_no", 100) if members.has("document_no") else None
    members.done()
    if results and outcome != "granted":
        raise Refusal(Code.SUBMISSION_RESULT, "/results", outcome=outcome)
    return await retrying(lambda: _decide(region, actor, id_, outcome, results, document_no, idempotency))


async def _decide(
    region: Region,
    actor: Actor,
    id_: str,
    outcome: str,
    results: Sequence[str],
    document_no: str | None,
    idempotency: IdempotencyKey | None,
) -> dict[str, Any]:
    row, n = await region.database.read(lambda tx: (load(tx, id_), count_of(tx, id_)))
    if actor.department != row["decided_by"]:
        raise Refusal(Code.SUBMISSION_OTHER_DEPARTMENT, None, department=row["decided_by"])
    if row["state"] != "open" and idempotency is None:
        raise Refusal(Code.SUBMISSION_DECIDED, None, state=row["state"])
    await region.database.read(lambda tx: _check_results(tx, actor.department, results))
    facts: dict[str, Any] = {**acted(actor), "outcome": outcome, "results": list(results)}
    if document_no is not None:
        facts["document_no"] = document_no
    event = Unsigned("sealed", actor.department, "submission.decided", id_, n, row["secret"], facts)
    answer = {"id": id_, "state": outcome, "results": list(results)}
    # A licence linked to what has been found forged would stand on it without having fallen with it.
    sound = [BasisSound("submission", id_)] if results else []
    return await record(
        region, [event], answer, idempotency=idempotency, conditions=sound, reads=results, touches=[id_]
    )


def load(tx: Reading, id_: str) -> dict[str, Any]:
    """Return the row of a submission. Raises `Refusal` submission.unknown."""
    row = tx.execute(select(submissions).where(submissions.c.id == id_)).one_or_none()
    if row is None:
        raise Refusal(Code.SUBMISSION_UNKNOWN, None, submission=id_)
    return {**row._mapping, "secret": bytes(row.secret)}


def get(tx: Reading, actor: Actor, id_: str) -> dict[str, Any]:
    """Return a submission with materials and results, for a department that took part in it.

    Raises `Refusal` submission.unknown, also where it is other departments' business.
    """
    row = load(tx, id_)
    if actor.department not in (row["received_by"], row["decided_by"]):
        raise Refusal(Code.SUBMISSION_UNKNOWN, None, submission=id_)
    handed_in = tx.execute(select(materials).where(materials.c.submission == id_).order_by(materials.c.ord))
    granted = tx.execute(select(submission_results.c.licence).where(submission_results.c.submission == id_)).scalars()
    shown = ("id", "received_by", "decided_by", "destination", "channel", "matter", "state")
    return {
        **{name: row[name] for name in shown},
        "missing": orjson.loads(row["missing"]),
        "materials": [
            {"id": m.id, "digest": m.digest, "kind": m.kind, "taken_by": m.taken_by}
            | ({"licence": m.licence} if m.licence else {})
            for m in handed_in
        ],
        "results": sorted(granted),
    }


def _check_results(tx: Reading, department: str, results: Sequence[str]) -> None:
    """What a submission results in is a licence of the deciding department."""
    query = select(licences.c.id).where(licences.c.id.in_(results), licences.c.department == department)
    known = set(tx.execute(query).scalars())
    for position, each in enumerate(results):
        if each not in known:
            raise Refusal(Code.SUBMISSION_RESULT, f"/results/{position}", licence=each)


@projector("submission.opened")
def _project_opened(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(tx, submissions, [_row(event) for event in events])
    bulk_insert(tx, materials, [row for event in events for row in _material_rows(event)])
    subjects.introduce(tx, events)


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    return (
        event.thing,
        facts["received_by"],
        facts["decided_by"],
        facts["destination"],
        facts["channel"],
        facts["matter"],
        facts.get("applicant", {}).get("subject"),
        orjson.dumps(facts["missing"], option=orjson.OPT_SORT_KEYS).decode(),
        "open",
        b64u_decode(facts["secret"]),
        event.idx,
        None,
    )


def _material_rows(event: Event) -> Iterator[tuple[Any, ...]]:
    for position, each in enumerate(event.facts["materials"]):
        yield (
            each["id"],
            event.thing,
            position,
            each["digest"],
            each["kind"],
            each["taken_by"],
            each.get("licence"),
            event.idx,
        )


@projector("submission.decided")
def _project_decided(tx: Writing, events: Sequence[Event]) -> None:
    tx.execute(
        update(submissions)
        .where(submissions.c.id == bindparam("_id"))
        .values(state=bindparam("_state"), decided_idx=bindparam("_idx")),
        [{"_id": e.thing, "_state": e.facts["outcome"], "_idx": e.idx} for e in events],
    )
    # A licence that named its submission when it was issued is linked already.
    linked = set()
    for event in events:
        known = select(submission_results.c.licence).where(submission_results.c.submission == event.thing)
        linked |= {(event.thing, licence) for licence in tx.execute(known).scalars()}
    rows = [(e.thing, licence, e.idx) for e in events for licence in e.facts["results"]]
    bulk_insert(tx, submission_results, [row for row in rows if row[:2] not in linked])
