"""Connections to SQLite and PostgreSQL that are real but for one step: what SQLAlchemy is given instead of a driver's.

A statement belongs to a step by its text and by the thread that runs it: the writer's thread commits entries, the
others publish. Dropping a connection is real: its socket is shut down, and the driver finds out by itself.
"""

from __future__ import annotations

import errno
import re
import socket
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from ledger import database
from tests.faults.faults import WRITER, Fault, Saboteur, Step, die

_WRITER = [
    (Step.LOCK, re.compile(r"BEGIN IMMEDIATE|.*\bFROM head\b.*FOR UPDATE", re.DOTALL)),
    (Step.CONDITIONS, re.compile(r"SELECT.*FROM idempotency", re.DOTALL)),
    (Step.ENTRIES, re.compile(r"(INSERT INTO|COPY) entries\b")),
    (Step.RECORDS, re.compile(r"(INSERT INTO|COPY) records\b")),
    (Step.ANSWERS, re.compile(r"(INSERT INTO|COPY) idempotency\b")),
    (Step.PROJECT, re.compile(r"(INSERT INTO|COPY) licences\b")),
    (Step.HEAD, re.compile(r"UPDATE head\b")),
]
_PUBLISHING = [
    (Step.SWAP, re.compile(r"UPDATE publication SET size\b")),
    (Step.STATUS_STORE, re.compile(r"(INSERT INTO|COPY) status_tokens\b")),
    (Step.COSIGNED, re.compile(r"INSERT INTO witnessed_checkpoints\b")),
]
_AT_COMMIT = {Fault.HALF, Fault.KILLED}
"""What is published in a transaction of its own is done when that is committed."""


def step_of(statement: object) -> Step | None:
    """Say which step a statement of this thread is."""
    known = _WRITER if _is_writer() else _PUBLISHING
    text = str(statement)
    return next((step for step, pattern in known if pattern.match(text)), None)


def _is_writer() -> bool:
    return threading.current_thread().name == WRITER


def sabotage(saboteur: Saboteur) -> None:
    """Have every engine of this process connect through connections that `saboteur` has a hand in."""

    def connect(_dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        if "factory" not in named and "check_same_thread" in named:
            named["factory"] = _sqlite(saboteur)
            return None
        connection = _postgres(saboteur).connect(*arguments, **named)
        connection.cursor_factory = _postgres_cursor(saboteur)
        return connection

    event.listen(Engine, "do_connect", connect)
    # COPY goes past cursors, straight to libpq.
    inner: Any = database
    copy_rows = inner.copy_rows

    def copying(driver: Any, sql: str, types: Any, rows: Any) -> None:
        _run(saboteur, driver, sql, lambda: copy_rows(driver, sql, types, rows), _postgres_failing, _cut(driver))

    inner.copy_rows = copying


def _run(saboteur: Saboteur, holder: Any, statement: object, do: Callable[[], Any], failing: Any, drop: Any) -> Any:
    step = step_of(statement)
    if step is not None and not _is_writer() and saboteur.fault in _AT_COMMIT:
        holder.pending = step
        return do()
    return saboteur.around(step, do, failing, drop)


def _commit(saboteur: Saboteur, holder: Any, do: Callable[[], None], failing: Any, drop: Any, send: Any) -> None:
    pending, holder.pending = holder.pending, None
    if not _is_writer():
        saboteur.around(pending, do, failing, drop)
        return
    if saboteur.step is Step.COMMIT:
        if saboteur.fault is Fault.KILLED and saboteur.takes(Step.COMMIT):
            send()  # and nobody hears what came of it
            die()
        saboteur.around(Step.COMMIT, do, failing, drop)
        return
    do()
    fault = saboteur.takes(Step.ACKNOWLEDGED)
    if fault is Fault.KILLED:
        die()
    if fault is Fault.LOST:
        drop()
        raise failing(errno.EIO)
    if fault is Fault.DROPPED:
        drop()
    if fault is Fault.BACK:
        saboteur.clock.put_back()


# --- SQLite ---


def _sqlite_failing(number: int) -> Exception:
    return sqlite3.OperationalError("database or disk is full" if number == errno.ENOSPC else "disk I/O error")


def _sqlite(saboteur: Saboteur) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *parameters: Any) -> Any:
            do = super().execute
            return _run(saboteur, self.connection, sql, lambda: do(sql, *parameters), _sqlite_failing, _no_socket)

        def executemany(self, sql: str, parameters: Any) -> Any:
            do = super().executemany
            return _run(saboteur, self.connection, sql, lambda: do(sql, parameters), _sqlite_failing, _no_socket)

    class Connection(sqlite3.Connection):
        pending: Step | None = None

        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            _commit(saboteur, self, super().commit, _sqlite_failing, _no_socket, lambda: None)

    return Connection


def _no_socket() -> None:
    raise AssertionError("a file has no connection that could be dropped")


# --- PostgreSQL ---


def _postgres_failing(number: int) -> Exception:
    if number == errno.ENOSPC:
        return psycopg.errors.DiskFull("could not extend file: No space left on device")
    return psycopg.errors.IoError("could not read block: Input/output error")


def _cut(connection: Any) -> Callable[[], None]:
    def cut() -> None:
        with socket.socket(fileno=connection.fileno()) as held:
            held.shutdown(socket.SHUT_RDWR)
            held.detach()

    return cut


def _postgres(saboteur: Saboteur) -> type[psycopg.Connection[Any]]:
    class Connection(psycopg.Connection[Any]):
        pending: Step | None = None

        def commit(self) -> None:
            def send() -> None:
                self.pgconn.send_query(b"COMMIT")
                self.pgconn.flush()

            _commit(saboteur, self, super().commit, _postgres_failing, _cut(self), send)

    return Connection


def _postgres_cursor(saboteur: Saboteur) -> type[psycopg.Cursor[Any]]:
    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *parameters: Any, **options: Any) -> Any:
            do, connection = super().execute, self.connection
            return _run(
                saboteur,
                connection,
                query,
                lambda: do(query, *parameters, **options),
                _postgres_failing,
                _cut(connection),
            )

        def executemany(self, query: Any, *parameters: Any, **options: Any) -> Any:
            do, connection = super().executemany, self.connection
            return _run(
                saboteur,
                connection,
                query,
                lambda: do(query, *parameters, **options),
                _postgres_failing,
                _cut(connection),
            )

    return Cursor
