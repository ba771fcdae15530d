"""What a scan of a dynamic code reads: the presentation by its handle, then all there is of each licence it shows.

A statement each, so each sees one state, and those of many windows are asked together. That the two may see different
states takes nothing away: what a holder chose never changes, and a withdrawal is looked for again where the use of the
code is written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orjson import loads

from ledger.database import Database
from ledger.document_records import Opened
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart
from ledger.gathered_reads import GatheredReads
from ledger.held_documents import Held, held_of
from ledger.history import open_event
from ledger.vault import Vault, is_erased

_PRESENTATION: Final = """
SELECT {place} p.subject, p.sealed, p.ends_at, p.withdrawn_at
FROM {asked} JOIN presentations p ON p.handle = asked.handle
"""

# A row for each part of the record.
_LICENCE: Final = """
SELECT {place} l.type, l.major, l.area, (SELECT max(seq) FROM trust_lists), v.jws_digest,
l.id, v.version, v.idx, v.kid_licence, v.superseded_idx, l.state, s.value, e.bytes, r.part, r.blob, k.wrapped
FROM {asked} JOIN licences l ON l.id = asked.licence
JOIN licence_versions v ON v.licence = l.id AND v.version = l.current_version
LEFT JOIN slot_status s ON s.list_num = v.list_num AND s.slot = v.slot
JOIN entries e ON e.idx = v.idx
LEFT JOIN records r ON r.idx = v.idx
LEFT JOIN record_keys k ON k.idx = r.idx AND k.part = r.part
"""


_USUAL_PARTS: Final = 2
"""The statement, and what is about the one holder."""


@dataclass(slots=True)  # not frozen: made for every scan
class Prepared:
    """A presentation as it is kept: `sealed` holds key and choices; both times are Unix seconds."""

    subject: str
    sealed: bytes = field(repr=False)
    ends_at: int
    withdrawn_at: int | None


@dataclass(slots=True)  # not frozen: made for every scan
class Current:
    """The current version of a licence: its type and area, how it stands, and its entry and record, still sealed.

    `digest` is by what the ledger knows its signed bytes, `seq` the number of the newest trust list, if there is one.
    """

    type: str
    major: int
    area: str
    seq: int | None
    digest: bytes
    held: Held
    _entry: bytes = field(repr=False)
    parts: tuple[tuple[int, bytes, bytes | None], ...] = field(repr=False)

    def opened(self, vault: Vault) -> Opened | None:
        """Open its record, if it is as those of nearly all licences: of one holder, not erased.

        What decrypts was sealed here as it is, so it is not taken apart again as a stranger's would be: for whoever
        compares the licence that is built of it with `digest`. Raises `Refusal` with `record.damaged`.
        """
        if len(self.parts) != _USUAL_PARTS:
            return None
        (_, facts, _), (_, part, wrapped) = self.parts
        payload = None if is_erased(part) else vault.open_payload(facts)
        said = {} if payload is None else loads(payload)
        subjects = said.get("subjects", [])
        if len(subjects) != 1:
            return None
        return Opened(said, (SubjectPart(subjects[0], loads(vault.open_subject(part, wrapped))),))

    def event(self, vault: Vault) -> Event:
        """Open the event that made it. Raises `Refusal` with `record.damaged`."""
        idx = self.held.idx
        wrapped = {(idx, part): key for part, _, key in self.parts if key is not None}
        return open_event(vault, idx, self._entry, [blob for _, blob, _ in self.parts], wrapped)


class ScanReads:
    """Reads for the scans of one region; one a process, used from its event loop."""

    def __init__(self, database: Database) -> None:
        self._presentations = _reads(database, _PRESENTATION, "handle", "bytea", "")
        self._licences = _reads(database, _LICENCE, "licence", "text", "r.part")

    async def presentation(self, handle: bytes) -> Prepared | None:
        """Return the presentation with this handle, if there is one."""
        rows = await self._presentations.find(handle)
        return Prepared(*rows[0]) if rows else None

    async def current(self, licence: str) -> Current:
        """Return the current version of a licence that was presented. Raises `Refusal` with `record.damaged`."""
        rows = await self._licences.find(licence)
        if not rows:
            raise Refusal(Code.RECORD_DAMAGED, why="a licence that was presented is gone")
        return _current(rows)


def _reads(database: Database, sql: str, name: str, kind: str, order: str) -> GatheredReads:
    one = {"place": "", "asked": f"(SELECT ? AS {name}) AS asked"}
    sent = "%b" if kind == "bytea" else "%s"
    many = {"place": "asked.place,", "asked": f"unnest({sent}::{kind}[]) WITH ORDINALITY AS asked({name}, place)"}
    places = ", ".join(filter(None, ("asked.place", order)))
    ending = f"ORDER BY {order}" if order else ""
    return GatheredReads(database, sql.format(**one) + ending, sql.format(**many) + f"ORDER BY {places}")


def _current(rows: Sequence[tuple[Any, ...]]) -> Current:
    type_, major, area, seq, digest, *standing, entry, _, _, _ = rows[0]
    parts = tuple((part, blob, key) for *_, part, blob, key in rows if part is not None)
    return Current(type_, major, area, seq, digest, held_of(standing), entry, parts)
