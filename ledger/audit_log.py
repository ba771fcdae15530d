"""Reading the entries for an audit, and telling which of two copies was edited where they differ.

Each entry is stored twice: as a row and in its bundle; and its hash is stored a third time, in the entry after it
(for the last one, in the head). Where row and bundle differ, the one whose hash the successor names is what was
signed, and the other one was edited. The replay then goes on with the genuine bytes, so that one edit gives one
finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import select

from ledger.audit_report import Artefact, Report
from ledger.database import Reading
from ledger.public_files import PublicFiles
from ledger.tables.log import entries
from verifiers.entry import parse
from verifiers.errors import Malformed
from verifiers.merkle import leaf_hash
from verifiers.tiles import ENTRIES, WIDTH, Tile, parse_bundle

_ABSENT: Final = b""


class EntryReader:
    """Gives the genuine bytes of the entries of one log, published up to `published`, whose last hash is `chain`."""

    def __init__(self, files: PublicFiles, published: int, size: int, chain: bytes, report: Report) -> None:
        self._files = files
        self._published = published
        self._size = size
        self._chain = chain
        self._report = report
        self._bundle: tuple[int, list[bytes]] = (-1, [])

    def read(self, tx: Reading, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries `start` … `end` - 1 that exist anywhere; adds a finding for each row that
        was edited or is gone.
        """
        # One more than asked for: the successor of the last one says what that one was.
        chosen = select(entries).where(entries.c.idx.between(start, end)).order_by(entries.c.idx)
        rows = {row.idx: bytes(row.bytes) for row in tx.execute(chosen)}
        for idx in range(start, end):
            row, published = rows.get(idx, _ABSENT), self._published_bytes(idx)
            if row == published or published is None:
                if row:
                    yield idx, row
                else:
                    self._report.add(Artefact.ENTRY, f"entry {idx}", "the row is missing")
                continue
            named = self._named_by_successor(idx, rows)
            if named == leaf_hash(published) or (not row and named is None):
                what = "the row was edited" if row else "the row is missing"
                self._report.add(Artefact.ENTRY, f"entry {idx}", f"{what}; its bundle still has what was signed")
                yield idx, published
            elif row:
                yield idx, row  # the replay finds the bundle wanting

    def read_run(self, tx: Reading, start: int, end: int) -> list[bytes] | None:
        """Return the entries `start` … `end` - 1 where row and bundle are the same for all; else None: `read` them."""
        chosen = select(entries.c.bytes).where(entries.c.idx >= start, entries.c.idx < end).order_by(entries.c.idx)
        rows = [bytes(each) for each in tx.execute(chosen).scalars()]
        if len(rows) != end - start:
            return None
        at = start
        while at < min(end, self._published):
            until = min(end, self._published, (at // WIDTH + 1) * WIDTH)
            first = at - at % WIDTH
            if self._bundle_of(at // WIDTH)[at - first : until - first] != rows[at - start : until - start]:
                return None
            at = until
        return rows

    def beyond(self, tx: Reading) -> None:
        """Look for rows that the head does not count."""
        more = tx.execute(select(entries.c.idx).where(entries.c.idx >= self._size).order_by(entries.c.idx).limit(1))
        for idx in more.scalars():
            self._report.add(Artefact.ENTRY, f"entry {idx}", f"a row beyond the head, which counts {self._size}")

    def _named_by_successor(self, idx: int, rows: dict[int, bytes]) -> bytes | None:
        if idx + 1 == self._size:
            return self._chain
        successors = (rows.get(idx + 1, _ABSENT), self._published_bytes(idx + 1) or _ABSENT)
        for successor in successors:
            try:
                return parse(successor).prev
            except Malformed:
                continue
        return None

    def _published_bytes(self, idx: int) -> bytes | None:
        if idx >= self._published:
            return None
        place, at = divmod(idx, WIDTH)
        bundle = self._bundle_of(place)
        return bundle[at] if at < len(bundle) else None

    def _bundle_of(self, place: int) -> list[bytes]:
        if self._bundle[0] != place:
            self._bundle = (place, self._read_bundle(place))
        return self._bundle[1]

    def _read_bundle(self, place: int) -> list[bytes]:
        width = min(WIDTH, self._published - place * WIDTH)
        data = self._files.read(Tile(ENTRIES, place, width).path())
        try:
            return [] if data is None else parse_bundle(data, width)
        except Malformed:
            return []  # the replay names the file
