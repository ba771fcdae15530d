"""The audit of everything stored: is it what was signed, and if not, what exactly was changed (promise 2)?

One pass over the log, in slices: entries against chain, tree, bundles, tiles and checkpoints; records against
entries, keys and signatures; and every event projected again into a scratch database, in which the bits of each
status token are computed at the size the token names. At the end the projections are compared with the live ones, row
by row, in one snapshot of the database, so the region may keep running. Memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from keys.signer import KeyStore
from ledger.audit_checkpoints import CheckpointAudit, check_head, check_leftovers, check_published
from ledger.audit_documents import DocumentAudit
from ledger.audit_files import Arrivals, served_files
from ledger.audit_log import EntryReader
from ledger.audit_projections import compare_tables
from ledger.audit_records import RecordAudit, StatementKey, read_stored, statement_keys
from ledger.audit_report import Artefact, Report
from ledger.audit_tokens import StatusAudit, check_status_files, check_trust_lists
from ledger.audit_witnessed import WitnessedAudit, check_witnessed_file
from ledger.config import RegionConfig
from ledger.cosigning import FILE
from ledger.database import Database, Reading
from ledger.events import Event
from ledger.history import load_event
from ledger.public_files import CHECKPOINT, PublicFiles, served_size
from ledger.replaying import Scratch, projections
from ledger.sealing import CATALOGUE_KINDS
from ledger.sequencing import Head, read_head
from ledger.tables.publishing import status_tokens
from ledger.vault import Vault
from verifiers import statement
from verifiers.audit import Finding, Replay
from verifiers.checkpoint import LogPolicy
from verifiers.encoding import b64u_decode
from verifiers.entry import parse
from verifiers.errors import Malformed
from verifiers.legal_dates import day_of
from verifiers.note import NoteKey
from verifiers.tiles import Tile

if TYPE_CHECKING:
    from ledger.region import Region

SLICE: Final = 1024
LOG_SLICE: Final = 8192
"""Entries read at once where their records are left out."""

Progress = Callable[[int, int], None]
"""Is told how many entries of how many have been audited."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an audit reads: the database, the published files, the secrets that open records, and who must have signed.

    A `closed` region shows nothing that was not witnessed.
    """

    database: Database
    files: PublicFiles
    vault: Vault
    policy: LogPolicy
    root: bytes
    closed: bool = False

    @classmethod
    def of(cls, region: Region) -> Stored:
        """Return what a running region has stored."""
        keys = tuple(NoteKey.from_text(vkey) for vkey in region.vkeys)
        policy = LogPolicy(region.origin, keys)
        return cls(region.database, region.files, region.vault, policy, region.root_certificate, region.withholds)

    @classmethod
    def open(cls, config: RegionConfig, store: KeyStore) -> Stored:
        """Open what a region that is not running has stored; the caller closes `database`. Raises
        `Refusal` log.missing.
        """
        database, vault = Database.open(config.database_url), Vault.open(store)
        with database.reading() as tx:
            read_head(tx)
            opened = load_event(tx, vault, 0).facts
        keys = tuple(NoteKey.from_text(vkey) for vkey in opened["vkeys"])
        policy = LogPolicy(opened["origin"], keys)
        closed = config.witness_mode == "closed"
        return cls(database, PublicFiles(config.tiles), vault, policy, b64u_decode(opened["root"]), closed)


def audit_stored(stored: Stored, progress: Progress = lambda _done, _all: None, *, log_only: bool = False) -> Report:
    """Audit everything `stored`, and return the report; changes nothing.

    With `log_only` that is the public log: entries, their chain and times, tree, checkpoints and the files of all
    that; fast, and without the secrets that open records. Raises `Refusal` where the database is gone.
    """
    served = served_files(stored.files)
    with Scratch() as scratch, stored.database.reading() as tx:
        return _Audit(stored, served, tx, scratch, progress, log_only=log_only).run()


class _Audit:
    """One audit under way, in one snapshot of the database."""

    def __init__(
        self,
        stored: Stored,
        served: dict[str, bytes],
        tx: Reading,
        scratch: Scratch,
        progress: Progress,
        *,
        log_only: bool,
    ) -> None:
        self._log_only = log_only
        self._stored = stored
        self._served = served
        self._tx = tx
        self._scratch = scratch
        self._progress = progress
        self._head: Head = read_head(tx)
        origin = stored.policy.origin
        self._report = Report(origin, self._head.size)
        self._records = RecordAudit(origin, stored.vault, self._report)
        self._documents = DocumentAudit(scratch.tx, self._report)
        self._published = self._files_up_to()
        self._replay = Replay(origin, read_tile=self._read_tile, tiles_up_to=self._published)
        self._entries = EntryReader(stored.files, self._published, self._head.size, self._head.chain, self._report)
        self._checkpoints = CheckpointAudit(tx, stored.policy, self._report)
        self._witnessed = WitnessedAudit(tx, stored.policy, self._report)
        self._status = StatusAudit(tx, origin, self._report)
        self._keys: dict[str, StatementKey] = {}
        self._catalogue_idx = -1

    def run(self) -> Report:
        size, start = self._head.size, 0
        for finding in self._replay.begin():
            self._report.add_replayed(finding)
        self._checkpoints.reached(self._replay.frontier)
        if self._log_only:
            for start in range(0, size, LOG_SLICE):
                self._entries_of(start, min(start + LOG_SLICE, size))
                self._progress(min(start + LOG_SLICE, size), size)
            self._finish_log(size, None)
            self._report.unchecked.append("records, projections and lists, because only the log was asked for")
            return self._report
        self._status.reached(self._scratch, 0)
        while start < size:
            # Slices end where a status token wants to see the state.
            wanted = self._status.next_size
            end = min(start + SLICE, size, size if wanted is None or wanted <= start else wanted)
            self._slice(start, end)
            self._status.reached(self._scratch, end)
            start = end
            self._progress(start, size)
        self._finish(size)
        return self._report

    def _entries_of(self, start: int, end: int) -> list[tuple[int, bytes]]:
        """Replay the entries `start` … `end` - 1, and return those that exist anywhere."""
        run = self._entries.read_run(self._tx, start, end)
        given = self._entries.read(self._tx, start, end) if run is None else enumerate(run, start)
        if run is None:
            return [(idx, data) for idx, data in given if self._one(idx, data)]
        at = start
        while at < end:
            # Runs end where a checkpoint wants to see the tree.
            stops = (self._checkpoints.next_size, self._witnessed.next_size)
            until = min([end, *(stop for stop in stops if stop is not None and stop > at)])
            findings = self._replay.feed_run(at, run[at - start : until - start])
            if findings is None:
                for idx in range(at, until):
                    self._one(idx, run[idx - start])
            else:
                self._report.count("entries", until - at)
                self._take(findings)
            at = until
        return list(given)

    def _one(self, idx: int, data: bytes) -> bool:
        self._report.count("entries")
        self._take(self._replay.feed(idx, data))
        return True

    def _take(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._report.add_replayed(finding)
        if self._checkpoints.next_size == self._replay.size:
            self._checkpoints.reached(self._replay.frontier)
        if self._witnessed.next_size == self._replay.size:
            self._witnessed.reached(self._replay)

    def _slice(self, start: int, end: int) -> None:
        kept = read_stored(self._tx, start, end)
        events: list[Event] = []
        said: list[tuple[int, statement.Statement]] = []
        for idx, data in self._entries_of(start, end):
            try:
                leaf = parse(data)
            except Malformed:
                continue  # the replay has named it
            opened = self._records.open(idx, leaf, kept)
            if opened is not None:
                events.append(opened[0])
                said.append((idx, opened[1]))
        self._scratch.project(events)
        changes = [event.idx for event in events if event.kind in CATALOGUE_KINDS]
        if changes:
            # Keys of the same slice are known to its statements: entry 0 is signed by the key that entry 1 registers.
            self._catalogue_idx = changes[-1]
            self._keys = statement_keys(self._scratch.tx)
            self._documents.moved_on()
        for idx, each in said:
            self._records.check_signature(idx, each, self._keys)
        for event in events:
            self._documents.check(event)

    def _finish(self, size: int) -> None:
        arrivals = self._finish_log(size, self._catalogue_idx)
        self._status.finish(size)
        self._records.finish(self._tx, self._scratch.tx, size)
        check_status_files(self._tx, self._served, arrivals, self._report)
        check_trust_lists(self._tx, self._stored.files, self._served, arrivals, self._stored.root, self._report)
        if self._records.damaged:
            # Without all records the replay cannot give the whole state; differences would be consequences, not
            # findings.
            self._report.unchecked.append(f"projections, because {self._records.damaged} records cannot be opened")
            return
        self._scratch.turn(newest_day(self._tx, self._head.at))
        compare_tables(self._tx, self._scratch.tx, projections(), self._report)

    def _finish_log(self, size: int, catalogue_idx: int | None) -> Arrivals:
        for finding in self._replay.finish():
            self._report.add_replayed(finding)
        frontier, arrivals = self._replay.frontier, Arrivals(self._stored.files)
        self._checkpoints.finish(size)
        self._witnessed.finish(size)
        check_head(self._tx, frontier, self._replay.chain, self._replay.last_at, catalogue_idx, self._report)
        stored = self._stored
        check_published(
            self._tx, self._checkpoint(), arrivals, stored.policy, frontier, self._report, closed=stored.closed
        )
        check_witnessed_file(self._tx, self._served.get(FILE), arrivals, self._report)
        check_leftovers(self._stored.files, self._published, self._report)
        self._entries.beyond(self._tx)
        return arrivals

    def _files_up_to(self) -> int:
        """Return up to where files must be there: the served checkpoint, as far as it is one of this log."""
        served = self._checkpoint()
        try:
            return 0 if served is None else min(served_size(served), self._head.size)
        except (ValueError, IndexError):
            self._report.add(Artefact.CHECKPOINT, "checkpoint file", "it is no checkpoint")
            return 0

    def _checkpoint(self) -> str | None:
        data = self._served.get(CHECKPOINT)
        return None if data is None else data.decode("utf-8", "replace")

    def _read_tile(self, tile: Tile) -> bytes | None:
        self._report.count("tiles and bundles")
        return self._stored.files.read(tile.path())


def newest_day(tx: Reading, head_at: datetime) -> date:
    """Return the calendar day up to which the live state has taken the passing of time in: newest token or entry."""
    newest = tx.execute(select(func.max(status_tokens.c.iat))).scalar_one()
    days = [day_of(head_at)] + ([] if newest is None else [day_of(datetime.fromtimestamp(newest, UTC))])
    return max(days)
