"""Events read back from the log: what rebuild, audit and exports replay, and the index of events by thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from sqlalchemy import bindparam, select

from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart
from ledger.tables.log import entries, record_keys, records, thing_events
from ledger.tables.subjects import record_subjects
from ledger.vault import Vault, digest_of, is_erased
from verifiers import audit, canonical, entry, statement
from verifiers.errors import VerificationError

_SLICE = 512

# Built once: making a statement costs more than running it.
_KEYS: Final = select(record_keys).where(record_keys.c.idx.between(bindparam("low"), bindparam("high")))
_PARTS: Final = (
    select(records)
    .where(records.c.idx.between(bindparam("low"), bindparam("high")))
    .order_by(records.c.idx, records.c.part)
)
_LEAVES: Final = (
    select(entries).where(entries.c.idx.between(bindparam("low"), bindparam("high"))).order_by(entries.c.idx)
)


def load_events(tx: Reading, vault: Vault, start: int, stop: int) -> Iterator[Event]:
    """Yield the events of entries `start` to `stop` (not included) in order, a slice at a time in memory.

    Raises `Refusal` with `record.damaged` for an entry whose record is missing or not what was sealed.
    """
    for low in range(start, stop, _SLICE):
        yield from _load(tx, vault, low, min(low + _SLICE, stop))


def load_event(tx: Reading, vault: Vault, idx: int) -> Event:
    """Read one event. Raises `Refusal` with `record.unknown` or `record.damaged`."""
    found = _load(tx, vault, idx, idx + 1)
    if not found:
        raise Refusal(Code.RECORD_UNKNOWN, idx=idx)
    return found[0]


def events_of(tx: Reading, vault: Vault, thing: str) -> list[Event]:
    """Read every event of `thing`, oldest first; empty for a thing nobody recorded."""
    numbers = tx.scalars(select(thing_events.c.idx).where(thing_events.c.thing == thing).order_by(thing_events.c.n))
    return [load_event(tx, vault, idx) for idx in numbers]


def index_events(tx: Writing, events: Sequence[Event]) -> None:
    """Note whose events these are, and whom their record parts are about: the projections of the log itself."""
    things, about = [], []
    for event in events:
        idx, facts = event.idx, event.facts
        things.append((str(facts["thing"]), int(facts["n"]), idx))
        for part, subject in enumerate(facts.get("subjects", ()), 1):
            about.append((idx, part, subject))
    bulk_insert(tx, thing_events, things)
    bulk_insert(tx, record_subjects, about)


def _load(tx: Reading, vault: Vault, start: int, stop: int) -> list[Event]:
    asked = {"low": start, "high": stop - 1}
    wrapped = {(idx, part): key for idx, part, key in tx.execute(_KEYS, asked)}
    blobs = {
        idx: [blob for _, _, blob in rows] for idx, rows in groupby(tx.execute(_PARTS, asked), key=lambda row: row[0])
    }
    leaves = tx.execute(_LEAVES, asked)
    return [open_event(vault, idx, leaf, blobs.get(idx, []), wrapped) for idx, leaf in leaves]


def open_event(
    vault: Vault, idx: int, data: bytes, blobs: Sequence[bytes], wrapped: Mapping[tuple[int, int], bytes]
) -> Event:
    """Open the event of the entry `data`: `blobs` are its record's parts in order, `wrapped` keys by idx and part.

    Raises `Refusal` with `record.damaged`, also for the record of another entry.
    """
    try:
        leaf = entry.parse(data)
        if not blobs:
            raise Refusal(Code.RECORD_DAMAGED, why="no record")
        said = statement.parse(vault.open_facts(blobs[0]))
        # A record of another entry opens as well: it was sealed by us. The entry says which is its own.
        audit.check_committed(said, [digest_of(blob) for blob in blobs], leaf)
    except Refusal as refusal:
        raise Refusal(refusal.code, idx=idx, part=0, **refusal.facts) from refusal
    except VerificationError as error:
        raise Refusal(Code.RECORD_DAMAGED, idx=idx, part=0, why=error.detail) from error
    subjects = said.payload.get("subjects", [])
    if len(subjects) != len(blobs) - 1:
        raise Refusal(Code.RECORD_DAMAGED, idx=idx, why="its parts are not those the statement names")
    parts = tuple(
        _part(vault, idx, number, subject, blob, wrapped.get((idx, number)))
        for number, (subject, blob) in enumerate(zip(subjects, blobs[1:], strict=True), 1)
    )
    return Event(idx, leaf.at, leaf.kind, leaf.by, leaf.ref, said.event, said.payload, parts)


def _part(vault: Vault, idx: int, number: int, subject: str, blob: bytes, wrapped: bytes | None) -> SubjectPart | None:
    if is_erased(blob):
        return None
    try:
        return SubjectPart(subject, canonical.decode_object(vault.open_subject(blob, wrapped), 2**24))
    except Refusal as refusal:
        raise Refusal(refusal.code, idx=idx, part=number, **refusal.facts) from refusal
    except VerificationError as error:
        raise Refusal(Code.RECORD_DAMAGED, idx=idx, part=number, why=error.detail) from error
