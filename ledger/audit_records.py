"""Opening the private half of the log: every record against its entry, every part against its key, every statement's
signature.

What cannot be opened is named down to the part: a ciphertext that was edited, a wrapped key that was edited or is
missing, a part that is gone without its `record.erased`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import func, select

from keys.public_key import PublicKey
from ledger.audit_report import Artefact, Report
from ledger.database import Reading
from ledger.errors import Refusal
from ledger.events import Event, SubjectPart
from ledger.tables.catalogue import registered_keys
from ledger.tables.log import erasures, record_keys, records
from ledger.vault import Vault, digest_of, is_erased
from verifiers import audit, canonical, statement
from verifiers.entry import REGION, Leaf
from verifiers.errors import VerificationError

_PART_MAX: Final = 2**24

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """The record rows of a slice of entries: parts in order by entry, wrapped keys by (entry, part)."""

    blobs: Mapping[int, Sequence[bytes]]
    keys: Mapping[Place, bytes]
    gaps: frozenset[int]


@dataclass(frozen=True, slots=True)
class StatementKey:
    """A statement key as the log knows it: whose, and between which entries it signs."""

    key: PublicKey
    by: str
    idx: int
    closed_idx: int | None


def read_stored(tx: Reading, start: int, end: int) -> Stored:
    """Read the records of entries `start` … `end` - 1."""
    here = records.c.idx.between(start, end - 1)
    blobs: dict[int, list[bytes]] = {}
    gaps = set()
    for idx, rows in groupby(
        tx.execute(select(records).where(here).order_by(records.c.idx, records.c.part)), key=lambda row: row.idx
    ):
        parts = list(rows)
        blobs[idx] = [bytes(row.blob) for row in parts]
        if [row.part for row in parts] != list(range(len(parts))):
            gaps.add(idx)
    wrapped = tx.execute(select(record_keys).where(record_keys.c.idx.between(start, end - 1)))
    return Stored(blobs, {(row.idx, row.part): bytes(row.wrapped) for row in wrapped}, frozenset(gaps))


def statement_keys(tx: Reading) -> dict[str, StatementKey]:
    """Return every statement key by id, from a replay's own table rather than the live one, which is itself audited."""
    table = registered_keys.c
    rows = tx.execute(select(registered_keys).where(table.purpose == "statement"))
    return {
        row.kid: StatementKey(PublicKey(row.suite, bytes(row.spki)), row.department or REGION, row.idx, row.closed_idx)
        for row in rows
    }


class RecordAudit:
    """Opens the records of one log; `erased` collects the parts whose content is gone, to be compared
    with `erasures`.
    """

    def __init__(self, origin: str, vault: Vault, report: Report) -> None:
        self._origin = origin
        self._vault = vault
        self._report = report
        self.damaged = 0
        self.erased: set[Place] = set()

    def open(self, idx: int, leaf: Leaf, stored: Stored) -> tuple[Event, statement.Statement] | None:
        """Open the record of entry `idx` and check that it is the one the entry commits to.

        Returns None, and adds findings, where the facts cannot be had; a damaged personal part alone leaves the event
        usable for nothing but its facts, which `damaged` tells.
        """
        blobs = stored.blobs.get(idx, ())
        where = f"record {idx}"
        if not blobs or idx in stored.gaps:
            return self._lost(where, "the record is missing" if not blobs else "a part of the record is missing")
        try:
            facts = self._vault.open_facts(blobs[0])
        except Refusal as refusal:
            return self._lost(f"{where} part 0", str(refusal.facts.get("why", refusal.code)))
        try:
            parts = [audit.Part(digest_of(blobs[0]), None, facts), *(audit.Part(digest_of(each)) for each in blobs[1:])]
            said = audit.open_record(parts, origin=self._origin, leaf=leaf)
        except VerificationError as error:
            return self._lost(where, error.detail or str(error.reason))
        subjects = said.payload.get("subjects", [])
        if len(subjects) != len(blobs) - 1:
            return self._lost(where, "its parts are not those its statement names")
        personal = tuple(
            self._part(idx, number, subject, blob, stored.keys.get((idx, number)))
            for number, (subject, blob) in enumerate(zip(subjects, blobs[1:], strict=True), 1)
        )
        self._report.count("records")
        return Event(idx, leaf.at, leaf.kind, leaf.by, leaf.ref, said.event, said.payload, personal), said

    def check_signature(self, idx: int, said: statement.Statement, keys: Mapping[str, StatementKey]) -> None:
        """Check who signed a statement: a key of the department it speaks for, in its term."""
        known = keys.get(said.kid)
        where = f"record {idx} part 0"
        if known is None or known.by != said.by:
            self._report.add(Artefact.RECORD, where, f"signed by {said.kid}, which is no statement key of {said.by}")
            return
        if known.closed_idx is not None and idx > known.closed_idx:
            self._report.add(Artefact.RECORD, where, f"signed by {said.kid} after entry {known.closed_idx} ended it")
        try:
            statement.check_signature(said, lambda _kid: known.key)
        except VerificationError as error:
            self._report.add(Artefact.RECORD, where, error.detail)

    def finish(self, live: Reading, replayed: Reading, size: int) -> None:
        """Compare what is gone with what was erased, and look for rows that belong to no entry."""
        for idx, part in sorted(self.erased):
            known = (erasures.c.idx == idx) & (erasures.c.part == part)
            if replayed.execute(select(erasures.c.idx).where(known)).first() is None:
                self._report.add(Artefact.RECORD, f"record {idx} part {part}", "gone, and no entry says it was erased")
        for table, artefact in ((records, Artefact.RECORD), (record_keys, Artefact.KEY)):
            beyond = live.execute(select(func.count()).select_from(table).where(table.c.idx >= size)).scalar_one()
            if beyond:
                self._report.add(artefact, f"{table.name} beyond {size}", f"{beyond} rows that belong to no entry")
        self._report.count("erased parts", len(self.erased))

    def _part(self, idx: int, number: int, subject: str, blob: bytes, wrapped: bytes | None) -> SubjectPart | None:
        where = f"record {idx} part {number}"
        if is_erased(blob):
            self.erased.add((idx, number))
            if wrapped is not None:
                self._report.add(Artefact.KEY, where, "the part is erased, but its key is still there")
            return None
        if wrapped is None:
            self.damaged += 1
            self._report.add(Artefact.KEY, where, "the wrapped key is missing")
            return None
        try:
            body = canonical.decode_object(self._vault.open_subject(blob, wrapped), _PART_MAX)
        except (Refusal, VerificationError) as error:
            self.damaged += 1
            self._blame(where, blob, wrapped, str(error))
            return None
        self._report.count("personal parts")
        return SubjectPart(subject, body)

    def _blame(self, where: str, blob: bytes, wrapped: bytes, why: str) -> None:
        try:
            self._vault.check_wrapped(blob, wrapped)
        except Refusal:
            self._report.add(Artefact.KEY, where, "the wrapped key was changed")
        else:
            self._report.add(Artefact.RECORD, where, f"the part cannot be opened ({why})")

    def _lost(self, where: str, detail: str) -> tuple[Event, statement.Statement] | None:
        self.damaged += 1
        self._report.add(Artefact.RECORD, where, detail)
        return None
