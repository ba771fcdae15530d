"""Finding subjects under a newer key, and by a further number (protocol 34).

The blind index holds keyed hashes only, so a new key means hashing every number again. The numbers stand in the
personal parts of records; each hash made anew is logged in a personal part of its own, so that a rebuild finds it and
an erasure takes it away. A number that joins a subject (`subject.linked`: a new passport, an old identity number) is
logged the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from ledger.actors import Actor
from ledger.case_steps import Thread, officer_of
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart, projector
from ledger.history import load_event
from ledger.proposals import IdempotencyKey, retrying
from ledger.recording import record
from ledger.request_members import RequestMembers
from ledger.subjects import Number, StillNew, find
from ledger.tables.subjects import record_subjects, subject_index, subjects
from ledger.vault import Vault
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION

if TYPE_CHECKING:
    from ledger.region import Region

INDEXED: Final = "subject.indexed"
LINKED: Final = "subject.linked"
BATCH: Final = 200
"""Subjects in one entry."""


async def index_again(region: Region, actor: Actor) -> int:
    """Hash the numbers of all subjects under the newest key, and return how many subjects were done.

    May be stopped at any time and run again. A subject whose number stands in no part that is left stays findable under
    its old key. Raises `Refusal` operator.missing, record.damaged.
    """
    officer, done, last = officer_of(actor), 0, ""
    while True:
        chunk = await region.database.read(lambda tx, last=last: _behind(tx, region.vault, last))  # type: ignore[misc]
        if not chunk:
            return done
        last = chunk[-1]
        found = await region.database.read(lambda tx, chunk=chunk: _numbers(tx, region.vault, chunk))  # type: ignore[misc]
        parts = tuple(
            SubjectPart(subject, {"indexed": [_hashed(region.vault, number) for number in numbers]})
            for subject, numbers in found.items()
        )
        if parts:
            step = Thread.new().step(REGION, INDEXED, {"officer": officer, "client": actor.client}, parts)
            touches = [f"subject:{subject}" for subject in found]
            await record(region, [step], {"subjects": len(parts)}, touches=touches)
        done += len(parts)


async def link(
    region: Region, actor: Actor, subject: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Join a number nobody has to a subject: `{"id_type", "id", "document_no"}`.

    Raises `Refusal` subject.unknown, operator.missing, conflict where the number leads to somebody already.
    """
    members = RequestMembers(body)
    number = members.text("id_type", 3), members.text("id", 64)
    facts = {"officer": officer_of(actor), "client": actor.client, "document_no": members.text("document_no", 128)}
    members.done()

    async def attempt() -> dict[str, Any]:
        await region.database.read(lambda tx: _linkable(tx, region.vault, subject, number))
        named = {"id_type": number[0], "id": number[1]}
        part = SubjectPart(subject, {"named": named, "indexed": [_hashed(region.vault, number)]})
        step = Thread.new().step(actor.department or REGION, LINKED, facts, (part,))
        key, hmac = region.vault.blind(*number)
        return await record(
            region,
            [step],
            {"subject": subject},
            idempotency=idempotency,
            conditions=[StillNew(key, hmac)],
            touches=[f"subject:{subject}", f"subject:{key}:{hmac.hex()}"],
        )

    return await retrying(attempt)


def _linkable(tx: Reading, vault: Vault, subject: str, number: Number) -> None:
    if tx.execute(select(subjects.c.id).where(subjects.c.id == subject)).first() is None:
        raise Refusal(Code.SUBJECT_UNKNOWN, None, subject=subject)
    if find(tx, vault, *number) is not None:
        raise Refusal(Code.CONFLICT, "/id")


def _hashed(vault: Vault, number: Number) -> dict[str, Any]:
    key, hmac = vault.blind(*number)
    return {"key": key, "hmac": b64u_encode(hmac)}


def _behind(tx: Reading, vault: Vault, last: str) -> list[str]:
    """Subjects after `last` that have fewer hashes under the newest key than under an older one."""
    newest, _ = vault.blind("", "")
    table = subject_index.c
    counted = select(table.subject, table.key_id, func.count().label("n")).group_by(table.subject, table.key_id)
    counts = counted.subquery()
    here = counts.alias()
    query = (
        select(counts.c.subject)
        .outerjoin(here, (here.c.subject == counts.c.subject) & (here.c.key_id == newest))
        .where(counts.c.key_id < newest, counts.c.subject > last, counts.c.n > func.coalesce(here.c.n, 0))
        .distinct()
        .order_by(counts.c.subject)
    )
    return list(tx.execute(query.limit(BATCH)).scalars())


def _numbers(tx: Reading, vault: Vault, chunk: Sequence[str]) -> dict[str, list[Number]]:
    """The numbers by which each subject is known, that the newest key has not seen; from the records about it."""
    found: dict[str, list[Number]] = {}
    for subject in chunk:
        mine = select(subject_index.c.key_id, subject_index.c.hmac).where(subject_index.c.subject == subject)
        known = {(row.key_id, bytes(row.hmac)) for row in tx.execute(mine)}
        places = select(record_subjects.c.idx, record_subjects.c.part).where(record_subjects.c.subject == subject)
        for place in tx.execute(places.order_by(record_subjects.c.idx)):
            part = load_event(tx, vault, place.idx).subjects[place.part - 1]
            for number in [] if part is None else _numbers_in(part.body):
                hashes = vault.blinds(*number)
                # Only a number that is known to be the subject's own, not any that a record about it mentions.
                if not known.isdisjoint(hashes) and hashes[0] not in known:
                    found.setdefault(subject, []).append(number)
                    known.add(hashes[0])
            if len(found.get(subject, ())) >= len({hmac for key, hmac in known if key < vault.blind("", "")[0]}):
                break
    return found


def _numbers_in(body: Mapping[str, Any]) -> Iterator[Number]:
    """Identity numbers in a personal part: of a licence's holder, an applicant or a named person."""
    for name in ("holder", "applicant", "named"):
        person = body.get(name)
        if isinstance(person, dict) and "id_type" in person:
            yield person["id_type"], person["id"]


@projector(INDEXED, LINKED)
def _project_indexed(tx: Writing, events: Sequence[Event]) -> None:
    """Write the hashes; an erased part has none."""
    rows = [
        (each["key"], b64u_decode(each["hmac"], 32), part.subject)
        for event in events
        for part in event.subjects
        if part is not None
        for each in part.body["indexed"]
    ]
    bulk_insert(tx, subject_index, rows)
