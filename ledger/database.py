"""The database: one engine to read with, one to write with, and the few things the two products do differently.

SQLite (WAL, synchronous=FULL) is the embedded default, PostgreSQL through psycopg 3 the production engine. Transactions
for reading and for writing have different types, so a query that writes cannot be handed a reader. Core only, no ORM.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, NewType, TypeVar

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator, TypeEngine

from ledger.copying import copy_rows
from ledger.database_errors import RETRY_AFTER_S, is_disconnect, refusal_of
from ledger.engines import READERS, WARNINGS, normal_url, postgres_engine, sqlite_engine
from ledger.errors import Code, Refusal
from ledger.schema import migrate as migrate
from ledger.single_statements import SingleStatements

Reading = NewType("Reading", Connection)
"""A transaction that sees one state of the database and cannot change it."""

Writing = NewType("Writing", Reading)
"""A transaction that may write; whoever opened it commits it."""

_T = TypeVar("_T")


class Database:
    """A database that is open. Make one with `Database.open`; close it when done."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._reader = sqlite_engine(url, write=False) if self.is_sqlite else postgres_engine(url, write=False)
        self._writer = sqlite_engine(url, write=True) if self.is_sqlite else postgres_engine(url, write=True)
        # SQLite has one writer at a time and waits by polling; inside one process a lock is fair and quick.
        self._turn: threading.Lock | None = threading.Lock() if self.is_sqlite else None
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="elicence-read")
        self._single = SingleStatements(self._reader)

    @classmethod
    def open(cls, url: str | URL) -> Database:
        """Open the database at `url`, a SQLAlchemy URL; `postgresql://` means psycopg 3. No connection is made yet."""
        return cls(normal_url(url))

    def close(self) -> None:
        """Give back every connection; threads that still read are waited for."""
        self._threads.shutdown(wait=True)
        self._single.close()
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read from one state of the database. Raises `Refusal` if the database cannot be reached."""
        with _translated(), self._reader.connect() as connection, connection.begin():
            yield Reading(connection)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Write, and commit at the end of the block. Raises `Refusal` for constraints, lack of space or of database,
        and commit.unknown where no synchronous standby has confirmed.
        """
        with _translated(), self.turn(), self._writer.connect() as connection:
            warnings: list[str] = connection.info.get(WARNINGS, [])
            warnings.clear()
            with connection.begin():
                yield Writing(Reading(connection))
            if warnings:
                # PostgreSQL commits here but cannot say whether its synchronous standby has it.
                raise Refusal(Code.COMMIT_UNKNOWN, retry_after=RETRY_AFTER_S)

    async def read(self, query: Callable[[Reading], _T], *, cheap: bool = False) -> _T:
        """Run `query` in a reading transaction on another thread; once more if the connection had gone stale.

        `cheap` says that it looks up a few rows by key: on SQLite that is done sooner than a thread is woken.
        """
        if cheap and self.is_sqlite:
            return self._read(query)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)

    async def write(self, change: Callable[[Writing], _T]) -> _T:
        """Run `change` in a writing transaction on another thread and commit it. Entries go through the writer."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._write, change)

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run one reading statement, in the form of the database's own driver. Raises `Refusal` as `reading` does."""
        with _translated():
            return self._single.rows(sql, values)

    async def rows_elsewhere(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Do the same on another thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.rows, sql, values)

    def writer_connection(self) -> Connection:
        """Open a connection for the writer to keep. Raises what SQLAlchemy raises: the writer must know more."""
        return self._writer.connect()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this process's turn to write; on PostgreSQL there is nothing to wait for."""
        if self._turn is None:
            yield
            return
        with self._turn:
            yield

    def _read(self, query: Callable[[Reading], _T]) -> _T:
        with _translated():
            try:
                with self._reader.connect() as connection, connection.begin():
                    return query(Reading(connection))
            except DBAPIError as error:
                if not is_disconnect(error):
                    raise
            with self._reader.connect() as connection, connection.begin():
                return query(Reading(connection))

    def _write(self, change: Callable[[Writing], _T]) -> _T:
        with self.writing() as tx:
            return change(tx)


def now(tx: Reading) -> datetime:
    """Ask the database server what time it is (SQLite: this machine), so that all processes agree."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    return datetime.fromtimestamp(float(tx.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0), UTC)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the database cannot help (gone, full, taken) into refusals; mistakes of ours stay as they are."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error


_GROUPS = (256, 64, 16)
"""Rows that one SQLite statement inserts; 256 of our widest table are a fifth of the variables it may have."""


@dataclass(frozen=True, slots=True)
class _Insertion:
    """How rows get into a table: the statement, the PostgreSQL types for binary COPY, what converts which column."""

    sql: str
    types: list[str]
    converted: tuple[tuple[int, Callable[[Any], Any]], ...]


# most specific first: a SmallInteger is an Integer too
_POSTGRES_TYPES = (
    (SmallInteger, "int2"),
    (BigInteger, "int8"),
    (Integer, "int4"),
    (LargeBinary, "bytea"),
    (Boolean, "bool"),
    (String, "text"),
)


@lru_cache(maxsize=256)
def _insertion(table: Table, product: str, dialect: Dialect) -> _Insertion:
    # Quoted one and all: `freeze`, a column of ours, is a word of PostgreSQL's own.
    quoted = dialect.identifier_preparer.quote_identifier
    names = ", ".join(quoted(column.name) for column in table.columns)
    # both drivers take bytes as they are; SQLAlchemy would wrap each
    converters = [
        (at, column.type.bind_processor(dialect))
        for at, column in enumerate(table.columns)
        if not isinstance(column.type, LargeBinary)
    ]
    converted = tuple((at, convert) for at, convert in converters if convert is not None)
    if product == "sqlite":
        places = ", ".join("?" * len(table.columns))
        return _Insertion(f"INSERT INTO {table.name} ({names}) VALUES ({places})", [], converted)  # noqa: S608 (names of our own tables)
    types = [_postgres_type(column.type) for column in table.columns]
    return _Insertion(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)", types, converted)


def _postgres_type(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    for known, name in _POSTGRES_TYPES:
        if isinstance(kind, known):
            return name
    raise ValueError(f"bulk_insert does not know the column type {kind!r}")


def bulk_insert(tx: Writing, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, tuples in the order of the table's columns: `COPY` or, on SQLite, one prepared statement."""
    if not rows:
        return
    plan = _insertion(table, tx.dialect.name, tx.dialect)
    if plan.converted:
        rows = [_convert(row, plan.converted) for row in rows]
    if not plan.types:
        _insert_grouped(tx, plan.sql, rows)
        return
    try:
        copy_rows(tx.connection.driver_connection, plan.sql, plan.types, rows)
    except tx.dialect.loaded_dbapi.Error as error:
        # COPY goes past SQLAlchemy, so its errors are given the form all others have
        gone = tx.dialect.is_disconnect(error, tx.connection, None)
        if gone:
            tx.invalidate(error)
        raise DBAPIError.instance(
            plan.sql, None, error, tx.dialect.loaded_dbapi.Error, hide_parameters=True, connection_invalidated=gone
        ) from error


def _insert_grouped(tx: Writing, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows a statement: between two rows of `executemany` the interpreter lock changes hands."""
    done = 0
    for size in _GROUPS:
        if len(rows) - done >= size:
            grouped = _grouped(sql, size)
            while len(rows) - done >= size:
                tx.exec_driver_sql(grouped, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
    if done < len(rows):
        tx.exec_driver_sql(sql, rows[done:])


@lru_cache(maxsize=256)
def _grouped(sql: str, size: int) -> str:
    """Repeat the places of a statement for one row, which stand at its end."""
    return sql + f",{sql[sql.rindex('(') :]}" * (size - 1)


def _convert(row: tuple[Any, ...], converted: tuple[tuple[int, Callable[[Any], Any]], ...]) -> tuple[Any, ...]:
    values = list(row)
    for at, convert in converted:
        values[at] = convert(values[at])
    return tuple(values)
