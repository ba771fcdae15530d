"""How connections to SQLite and PostgreSQL are set up: what makes a write durable, and who may wait how long."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext

READERS: Final = 4
"""Threads that read at the same time."""

WARNINGS: Final = "warnings"
"""Where a writing connection to PostgreSQL keeps what it was warned of, in its `info`."""

_SQLITE_BUSY_S = 10
# Pages of the write-ahead log before it is folded back, 64 MiB: a page that several commits touch is written back once.
_LOG_PAGES = 16_000
# KiB. A commit of a batch changes thousands of pages all over the indexes; where the writer cannot keep them it writes
# some twice, and reads again what it has just written.
_WRITER_CACHE, _READER_CACHE = 64_000, 16_000
# A process that waits longer than this for the head row says so instead of hanging; a server that vanished is noticed.
# A connection keeps the plans it made while its tables were empty, where reading all of a table is cheapest: as they
# fill, it would still read all, many times a second. So it looks into indexes, which everything asked often has.
_POSTGRES_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c enable_seqscan=off"
_POSTGRES_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "elicence",
    "options": _POSTGRES_OPTIONS,
}


def normal_url(url: str | URL) -> URL:
    """Read a database URL; PostgreSQL without a driver means psycopg 3. Raises `ValueError` for other products."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite")
    raise ValueError("the database is a SQLite file or a PostgreSQL server")


def sqlite_engine(url: URL, *, write: bool) -> Engine:
    """Make an engine for a SQLite file: WAL, every commit synced, readers cannot write, writers lock at once."""
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": _SQLITE_BUSY_S},
        pool_size=READERS + 2,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        if write:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
        else:
            connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=MEMORY")

    @event.listens_for(engine, "handle_error")
    def renew(context: ExceptionContext) -> None:
        # A file that could not be opened for writing, if only once, SQLite opens for reading: this connection will
        # never write, and back in the pool it would keep everybody from it until the process ends.
        if write and "readonly database" in str(context.original_exception):
            context.is_disconnect = True

    begin = "BEGIN IMMEDIATE" if write else "BEGIN"

    @event.listens_for(engine, "begin")
    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def postgres_engine(url: URL, *, write: bool) -> Engine:
    """Make an engine for PostgreSQL: readers see one state and cannot write, writers see all that was committed."""
    engine = create_engine(
        url,
        connect_args=_POSTGRES_CONNECT,
        # Under the head lock every statement must see what was committed before it.
        isolation_level="READ COMMITTED" if write else "REPEATABLE READ",
        pool_size=READERS + 2,
        hide_parameters=True,
        pool_timeout=10,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        if not write:
            connection.read_only = True
            return
        # An acknowledged entry must be on disk, whatever somebody set for the whole server.
        if connection.execute("SHOW synchronous_commit").fetchone()[0] == "off":
            connection.execute("SET synchronous_commit = on")
        connection.commit()
        warnings: list[str] = record.info.setdefault(WARNINGS, [])
        connection.add_notice_handler(lambda said: warnings.append(said.sqlstate or "") if _warns(said) else None)

    return engine


def _warns(said: Any) -> bool:
    return bool(said.severity_nonlocalized == "WARNING")
