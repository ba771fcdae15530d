"""Committing a batch and knowing what came of it, also when the database does not say.

Three kinds of trouble are told apart. The database is gone or full: everybody in the batch is told so, nothing was
written. One proposal breaks a rule of the database: the batch is halved until that one stands alone, the others go in.
The connection is lost while committing: the outcome is read back, never guessed (protocol rule 11).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from ledger.database import Database, Reading, Writing
from ledger.database_errors import RETRY_AFTER_S, refusal_of
from ledger.errors import Code, Refusal
from ledger.proposals import Committed
from ledger.sealing import SealedProposal
from ledger.sequencing import Outcome, Rules, Sequenced, lock_head, sequence, writable_head
from ledger.tables.log import entries, head
from ledger.vault import Vault

_RESOLVE_S = 30.0
_RESOLVE_PAUSE_S = 0.25

# What says something about the service and not about a proposal.
_TROUBLES = frozenset(
    {
        Code.DATABASE_UNAVAILABLE,
        Code.STORAGE_FULL,
        Code.COMMIT_UNKNOWN,
        Code.CLOCK_BEHIND,
        Code.CLOCK_AHEAD,
        Code.LOG_MISSING,
        Code.LOG_OTHER,
        Code.LOG_ROLLED_BACK,
        Code.LOG_UNCONFIRMED,
    }
)

_touch_head = update(head).values(size=head.c.size)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Result:
    """What came of a batch: outcomes in its order; if anything was written, the new size and the entries' kinds."""

    outcomes: list[Outcome] = field(default_factory=list)
    size: int = -1
    kinds: frozenset[str] = frozenset()
    trouble: Refusal | None = None

    def add(self, other: Result) -> Result:
        """Put the result of the next part of the same batch behind this one."""
        return Result(
            self.outcomes + other.outcomes,
            max(self.size, other.size),
            self.kinds | other.kinds,
            other.trouble or self.trouble,
        )


class _CommitUnknown(Exception):
    """The commit was sent and its outcome is not known."""

    def __init__(self, sequenced: Sequenced) -> None:
        super().__init__()
        self.sequenced = sequenced


class Committer:
    """Owns the connection that writes the log. All methods but `vault` belong to one thread."""

    def __init__(self, database: Database, rules: Rules, *, resolve_s: float = _RESOLVE_S) -> None:
        self._database = database
        self._rules = rules
        self._resolve_s = resolve_s
        self._connection: Connection | None = None
        self._warnings: list[str] = []

    @property
    def vault(self) -> Vault:
        """What proposals are sealed with."""
        return self._rules.vault

    def commit(self, batch: Sequence[SealedProposal]) -> Result:
        """Append `batch` in one transaction, or in several where one of its members will not go in. Never raises."""
        had_connection = self._connection is not None
        try:
            return self._attempt(batch)
        except _CommitUnknown as unknown:
            return self._resolve(unknown)
        except SQLAlchemyError as error:
            if not isinstance(error, IntegrityError):
                self._drop()
                if had_connection and isinstance(error, DBAPIError) and error.connection_invalidated:
                    # The server was restarted behind our back. COMMIT had not been sent, so nothing is written.
                    return self.commit(batch)
            return self._halved(batch, error)
        except Exception as error:  # noqa: BLE001 (a projector may raise anything; one caller must not stop the writer)
            return self._halved(batch, error)

    def probe(self) -> Refusal | None:
        """Lock the head and let it go again; return what still keeps batches from being written. Never raises."""
        try:
            connection = self._connected()
            with self._database.turn():
                transaction = connection.begin()
                try:
                    writable_head(Writing(Reading(connection)), self._rules)
                finally:
                    self._roll_back(transaction)
        except Refusal as still:
            return still
        except SQLAlchemyError as error:
            self._drop()
            found = refusal_of(error) if isinstance(error, DBAPIError) else None
            return found or Refusal(Code.DATABASE_UNAVAILABLE, retry_after=RETRY_AFTER_S)
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._drop()

    def _attempt(self, batch: Sequence[SealedProposal]) -> Result:
        connection = self._connected()
        with self._database.turn():
            transaction = connection.begin()
            try:
                sequenced = sequence(Writing(Reading(connection)), batch, self._rules)
            except BaseException:
                # A crash before here, or this rollback, leaves nothing: indexes were given out in memory only.
                self._roll_back(transaction)
                raise
            if sequenced.last is None:
                self._roll_back(transaction)
                return _result(sequenced)
            self._warnings.clear()
            try:
                # A crash while this runs leaves the whole batch or nothing. Nobody was answered, so a caller who asks
                # again with its idempotency key learns which.
                transaction.commit()
            except SQLAlchemyError as error:
                _log.warning("the commit of size %d was not confirmed: %s", sequenced.size, type(error).__name__)
                raise _CommitUnknown(sequenced) from error
        if self._warnings:
            # PostgreSQL commits here but cannot say whether its synchronous standby has it.
            return _unknown(sequenced)
        # A crash from here on loses answers, not entries.
        return _result(sequenced)

    def _halved(self, batch: Sequence[SealedProposal], error: Exception) -> Result:
        refusal: Exception = error
        if isinstance(error, SQLAlchemyError):
            refusal = (refusal_of(error) if isinstance(error, DBAPIError) else None) or error
        if isinstance(refusal, Refusal) and refusal.code in _TROUBLES:
            return Result([refusal] * len(batch), trouble=refusal)
        if len(batch) == 1:
            if not isinstance(refusal, Refusal):
                _log.error("a proposal could not be appended", exc_info=error)
            return Result([refusal])
        half = len(batch) // 2
        return self.commit(batch[:half]).add(self.commit(batch[half:]))

    def _resolve(self, unknown: _CommitUnknown) -> Result:
        """Find out whether a commit happened: by the head's lock, which a lost transaction holds until it has ended."""
        sequenced = unknown.sequenced
        give_up = time.monotonic() + self._resolve_s
        while True:
            self._drop()
            try:
                happened = self._is_stored(sequenced, sure=not _is_full(unknown.__cause__))
            except (SQLAlchemyError, Refusal):
                if time.monotonic() > give_up:
                    return _unknown(sequenced)
                time.sleep(_RESOLVE_PAUSE_S)
                continue
            if happened is None:
                return _unknown(sequenced)
            if happened:
                return _result(sequenced)
            cause = unknown.__cause__
            refusal = refusal_of(cause) if isinstance(cause, DBAPIError) else None
            if refusal is None or refusal.code not in _TROUBLES:
                refusal = Refusal(Code.DATABASE_UNAVAILABLE, retry_after=RETRY_AFTER_S)
            return _instead(sequenced, refusal)

    def _is_stored(self, sequenced: Sequenced, *, sure: bool) -> bool | None:
        """Compare the batch's last entry; its bytes contain, through `prev`, all the others.

        `None` where it is there and the standby may lack it. A disk that is full needs no more to be `sure`: the end
        of the commit was never written.
        """
        if sequenced.last is None:
            return False
        idx, data = sequenced.last
        connection = self._connected()
        self._warnings.clear()
        with self._database.turn(), connection.begin():
            lock_head(Writing(Reading(connection)), self._rules.clock)
            stored: bytes | None = connection.scalar(select(entries.c.bytes).where(entries.c.idx == idx))
            if sure:
                # What is read here need not last. A PostgreSQL that was started again shows commits that its standby
                # lacks; SQLite, whose sync failed, would bring the refused batch back after a crash. A commit of our
                # own, waited for like any other, settles both.
                self._write_nothing(connection)
        return None if stored == data and self._warnings else stored == data

    def _write_nothing(self, connection: Connection) -> None:
        """Write what changes nothing in the log, so that the commit is a real one."""
        if not self._database.is_sqlite:
            connection.execute(_touch_head)
            return
        # SQLite writes no page that stays as it was. This number is nobody's: it stands beside the schema.
        number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {(number + 1) % 2**31}")

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.writer_connection()
            if not self._database.is_sqlite:
                driver: Any = self._connection.connection.driver_connection
                driver.add_notice_handler(self._notice)
        return self._connection

    def _notice(self, diagnosis: Any) -> None:
        if diagnosis.severity_nonlocalized == "WARNING":
            _log.warning("PostgreSQL: %s", diagnosis.message_primary)
            self._warnings.append(diagnosis.sqlstate or "")

    def _roll_back(self, transaction: Any) -> None:
        try:
            transaction.rollback()
        except SQLAlchemyError:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()
            connection.close()
        except SQLAlchemyError as error:
            _log.debug("closing a lost connection: %s", error)


def _is_full(cause: BaseException | None) -> bool:
    refusal = refusal_of(cause) if isinstance(cause, DBAPIError) else None
    return refusal is not None and refusal.code is Code.STORAGE_FULL


def _result(sequenced: Sequenced) -> Result:
    trouble = next((each for each in sequenced.outcomes if isinstance(each, Refusal) and each.code in _TROUBLES), None)
    return Result(sequenced.outcomes, sequenced.size, sequenced.kinds, trouble)


def _instead(sequenced: Sequenced, refusal: Refusal) -> Result:
    """Tell those who would have been told of their commit something else; refusals and replays stand."""
    outcomes: list[Outcome] = [refusal if isinstance(each, Committed) else each for each in sequenced.outcomes]
    return Result(outcomes, trouble=refusal)


def _unknown(sequenced: Sequenced) -> Result:
    return _instead(sequenced, Refusal(Code.COMMIT_UNKNOWN, retry_after=RETRY_AFTER_S))
