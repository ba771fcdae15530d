"""Auditing what witnesses cosigned: every stored note, and that no entry claims to be older than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from ledger import witnessed
from ledger.audit_files import Arrivals
from ledger.audit_report import Artefact, Report
from ledger.cosigning import FILE
from ledger.database import Reading
from ledger.public_files import served_size
from ledger.tables.witnessing import witnessed_checkpoints as table
from ledger.witness_policies import every_policy
from ledger.witnessed import Witnessed
from verifiers.audit import Replay
from verifiers.checkpoint import LogPolicy, SignedCheckpoint, open_checkpoint
from verifiers.errors import VerificationError
from verifiers.note import NoteKey


class WitnessedAudit:
    """Checks every witnessed checkpoint as the replay passes its size; memory does not grow with them.

    A note counts under the witnesses of any policy there ever was, because it was stored under the one of its day.
    """

    def __init__(self, tx: Reading, own: LogPolicy, report: Report) -> None:
        policies = [policy for policy in every_policy(tx) if policy.quorum]
        keys: dict[bytes, NoteKey] = {key.public_key.key_id: key for policy in policies for key in policy.keys}
        self._policy = LogPolicy(own.origin, own.keys, 0, tuple(keys.values()))
        self._least = min((policy.quorum for policy in policies), default=1)
        self._report = report
        rows = tx.execute(select(table).order_by(table.c.size).execution_options(yield_per=500))
        self._rows: Iterator[Any] = iter(rows)
        self._next: Any = next(self._rows, None)

    @property
    def next_size(self) -> int | None:
        """The size of the next witnessed checkpoint, so that the caller stops there."""
        return None if self._next is None else self._next.size

    def reached(self, replay: Replay) -> None:
        """Check the witnessed checkpoint of this very size, and let it bound the times of what comes after it."""
        row, self._next = self._next, next(self._rows, None)
        where = f"witnessed checkpoint {row.size}"
        self._report.count("witnessed checkpoints")
        root = replay.frontier.root()
        if bytes(row.root) != root:
            self._report.add(Artefact.CHECKPOINT, where, "its root is not that of the entries")
        opened = self._opened(row.note, where)
        if opened is None:
            return
        if opened.size != row.size or opened.root != root:
            self._report.add(Artefact.CHECKPOINT, where, "the note is of another tree")
        elif len(opened.cosignatures) < self._least:
            self._report.add(Artefact.CHECKPOINT, where, "cosigned by fewer witnesses than any policy asked for")
        else:
            replay.cosigned(opened.cosignatures[0].at)

    def finish(self, size: int) -> None:
        """Name the witnessed checkpoints of trees larger than the log."""
        while self._next is not None:
            where = f"witnessed checkpoint {self._next.size}"
            self._report.add(Artefact.CHECKPOINT, where, f"the log has only {size} entries")
            self._next = next(self._rows, None)

    def _opened(self, note: str, where: str) -> SignedCheckpoint | None:
        try:
            return open_checkpoint(note, self._policy)
        except VerificationError as error:
            self._report.add(Artefact.CHECKPOINT, where, error.detail or str(error.reason))
            return None


def check_witnessed_file(tx: Reading, served: bytes | None, arrivals: Arrivals, report: Report) -> None:
    """Compare the public file with the rows: it is the newest one, or one that was stored before."""
    newest = witnessed.newest(tx)
    if newest is None and served is None:
        return
    if newest is not None and (_is_kept(tx, served) or arrivals.wait(FILE, lambda data: _follows(data, newest))):
        return
    report.add(Artefact.CHECKPOINT, FILE, "it is missing" if served is None else "it is not what was cosigned")


def _is_kept(tx: Reading, served: bytes | None) -> bool:
    try:
        kept = None if served is None else witnessed.at_size(tx, served_size(served.decode("utf-8", "replace")))
    except (ValueError, IndexError):
        return False
    return kept is not None and kept.note.encode() == served


def _follows(data: bytes, newest: Witnessed) -> bool:
    # The file of a running region may be a moment behind the row, or ahead of the snapshot this audit looks at.
    return data == newest.note.encode() or served_size(data.decode("utf-8", "replace")) > newest.size
