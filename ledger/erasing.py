"""Erasing what is known about a person (个人信息保护法 47) without touching the log: crypto-shredding (protocol 5).

The wrapped key of every part about the subject is deleted, what is stored of the part shrinks to its digest, the
blind index forgets the subject's numbers, and stored answers that carry the parts go too. The tree does not change,
because it holds salted digests only. All of it happens in the transaction of a `record.erased` entry that names two
officers, so a part that is missing without such an entry is tampering, and the audit says so. Backups of
`record_keys` must not outlive the period in docs/operating/publication.md; every start runs
`replay_erasures` before anything is served.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, exists, func, or_, select, tuple_, update

from ledger.actors import Actor
from ledger.database import Database, Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.idempotency import erase_answers
from ledger.ids import new_id
from ledger.proposals import IdempotencyKey, retrying
from ledger.recording import acted, record
from ledger.tables.licences import imported_numbers, licence_versions
from ledger.tables.log import erasures, record_keys, records
from ledger.tables.scans import presentations
from ledger.tables.subjects import record_subjects, subject_index, subjects
from ledger.vault import erased, is_erased
from verifiers.entry import REGION

if TYPE_CHECKING:
    from ledger.region import Region

EVENT: Final = "record.erased"
_CHUNK: Final = 500
_SHRUNK: Final = 33  # suite byte and digest: all that is left of an erased part (docs/formats/record.md)

Place = tuple[int, int]
"""A record part: entry index and part number from 1."""


@dataclass(frozen=True, slots=True)
class StillAllParts:
    """Condition of an erasure: since the parts about the subject were listed none was written, and nobody else erased
    them. Refused as `stale`.
    """

    subject: str
    places: tuple[Place, ...]

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[StillAllParts]) -> dict[StillAllParts, Refusal]:
        """List the parts again, a subject at a time: erasures are rare."""
        return {each: Refusal(Code.STALE) for each in conditions if tuple(parts_about(tx, each.subject)) != each.places}


async def erase_subject(
    region: Region,
    actor: Actor,
    subject: str,
    *,
    second: str,
    ground: str,
    document_no: str,
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Erase everything personal the records hold about `subject`, and return how many parts that were.

    `actor.operator` and `second` are the two officers, `ground` the article it rests on. Raises `Refusal`
    subject.unknown where nothing is left to erase, operator.missing, erasure.same_officer.
    """
    if actor.operator is None:
        raise Refusal(Code.OPERATOR_MISSING)
    if actor.operator == second:
        raise Refusal(Code.ERASURE_SAME_OFFICER, "/second")

    async def attempt() -> dict[str, Any]:
        places = await region.database.read(lambda tx: parts_about(tx, subject))
        if not places:
            raise Refusal(Code.SUBJECT_UNKNOWN, "/subject", subject=subject)
        facts = {
            **acted(actor),
            "subject": subject,
            "parts": [list(place) for place in places],
            "officers": [actor.operator, second],
            "ground": ground,
            "document_no": document_no,
        }
        event = Unsigned(EVENT, actor.department or REGION, EVENT, new_id(), 0, secrets.token_bytes(32), facts)
        condition = StillAllParts(subject, tuple(places))
        answer = {"subject": subject, "parts": len(places)}
        return await record(
            region, [event], answer, idempotency=idempotency, conditions=[condition], touches=[f"subject:{subject}"]
        )

    return await retrying(attempt)


def parts_about(tx: Reading, subject: str) -> list[Place]:
    """Return the record parts about `subject` that are not erased yet, oldest first."""
    gone = and_(erasures.c.idx == record_subjects.c.idx, erasures.c.part == record_subjects.c.part)
    rows = tx.execute(
        select(record_subjects.c.idx, record_subjects.c.part)
        .outerjoin(erasures, gone)
        .where(record_subjects.c.subject == subject, erasures.c.idx.is_(None))
        .order_by(record_subjects.c.idx, record_subjects.c.part)
    )
    return [(row.idx, row.part) for row in rows]


@projector(EVENT)
def project_erasures(tx: Writing, events: Sequence[Event]) -> None:
    """Note the erased parts and shred them; in a replay there is nothing left to shred."""
    if events:
        _overwrite_what_is_deleted(tx)
    for event in events:
        places: list[Place] = [(idx, part) for idx, part in event.facts["parts"]]
        bulk_insert(tx, erasures, [(idx, part, event.idx) for idx, part in places])
        subject = event.facts["subject"]
        tx.execute(delete(subject_index).where(subject_index.c.subject == subject))
        tx.execute(delete(subjects).where(subjects.c.id == subject))
        # What the person prepared to show goes too, with the purpose written beside it.
        tx.execute(delete(presentations).where(presentations.c.subject == subject))
        _forget_imports(tx, places)
        shred(tx, places)


def _forget_imports(tx: Writing, places: Sequence[Place]) -> None:
    """Drop the keyed hashes of imported numbers: the number stands in part 1, and goes with it."""
    first = [idx for idx, part in places if part == 1]
    for start in range(0, len(first), _CHUNK):
        theirs = licence_versions.c.idx.in_(first[start : start + _CHUNK])
        found = select(licence_versions.c.licence).where(theirs)
        tx.execute(delete(imported_numbers).where(imported_numbers.c.licence.in_(found)))


def _overwrite_what_is_deleted(tx: Writing) -> None:
    """Let SQLite write zeros over deleted rows: else keys stay readable in what the file holds free, and every backup
    takes them along. PostgreSQL's vacuum frees the place some time later.
    """
    if tx.dialect.name == "sqlite":
        tx.exec_driver_sql("PRAGMA secure_delete=ON")


def shred(tx: Writing, places: Sequence[Place]) -> int:
    """Delete keys, ciphertexts and stored answers of these parts, and return how many ciphertexts were still there.

    The database lets a part be replaced by its erased form only while `erasures` names it.
    """
    if places:
        _overwrite_what_is_deleted(tx)
    shredded = 0
    for chunk in _chunks(places):
        there = tuple_(records.c.idx, records.c.part).in_(chunk)
        for row in tx.execute(select(records).where(there)).all():
            if not is_erased(row.blob):
                one = (records.c.idx == row.idx) & (records.c.part == row.part)
                tx.execute(update(records).where(one).values(blob=erased(row.blob)))
                shredded += 1
        tx.execute(delete(record_keys).where(tuple_(record_keys.c.idx, record_keys.c.part).in_(chunk)))
    erase_answers(tx, {idx for idx, _ in places})
    return shredded


def brought_back(tx: Reading) -> list[Place]:
    """Return the erased parts whose key or ciphertext is there again, which only a restored backup can bring about."""
    # From the few erasures outwards: joined, SQLite may walk over every record of the log at each start.
    key = exists().where(record_keys.c.idx == erasures.c.idx, record_keys.c.part == erasures.c.part)
    part = exists().where(records.c.idx == erasures.c.idx, records.c.part == erasures.c.part)
    whole = part.where(func.length(records.c.blob) > _SHRUNK)
    query = select(erasures.c.idx, erasures.c.part).where(or_(key, whole))
    return sorted((row.idx, row.part) for row in tx.execute(query))


async def replay_erasures(database: Database) -> int:
    """Shred again whatever a restored backup brought back, and return how many parts that were.

    Every start runs it before anything is served; without a restore it is one look that finds nothing. A database that
    is older than an erasure is older than what was published too, and the publisher does not go on with it (protocol
    11): it has to be brought forward first, and the erasure comes with the entries.
    """
    found = await database.read(brought_back)
    if found:
        await database.write(lambda tx: shred(tx, found))
    return len(found)


def _chunks(places: Sequence[Place]) -> Iterable[Sequence[Place]]:
    for start in range(0, len(places), _CHUNK):
        yield places[start : start + _CHUNK]
