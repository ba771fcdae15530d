"""Where a service under load lives: its database, and itself as a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select

from api.cli.demo_service import ServiceProcess
from api.settings import Settings
from ledger.database import Database, Reading
from ledger.tables.licences import licences
from tests.postgres_server import PostgresServer

T = TypeVar("T")


class Store:
    """The database of a service: a file, or a PostgreSQL server of our own that can be killed."""

    def __init__(self, server: PostgresServer | None) -> None:
        self.server = server
        self._name = None if server is None else server.create_database()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that make a service use it; none for SQLite, which is the default."""
        if self.server is None or self._name is None:
            return {}
        return {"database_url": str(self.server.url(self._name))}


@contextmanager
def store(engine: str) -> Iterator[Store]:
    """Give an empty database; PostgreSQL writes through to the disk as in production."""
    if engine == "sqlite":
        yield Store(None)
        return
    server = PostgresServer({})
    server.start()
    try:
        yield Store(server)
    finally:
        server.close()


def looked_up(settings: Settings, read: Callable[[Reading], T]) -> T:
    """Read in the database of a service, past the service."""
    database = Database.open(settings.database_url)
    try:
        with database.reading() as tx:
            return read(tx)
    finally:
        database.close()


def licences_in(settings: Settings) -> int:
    """Count the licences in the log."""
    return looked_up(settings, lambda tx: int(tx.execute(select(func.count()).select_from(licences)).scalar_one()))


def pid_of(process: ServiceProcess) -> int:
    """Return the process id of a running service."""
    pid = process.pid
    assert pid is not None, "the service does not run"
    return pid


def new_folder(folder: Path, name: str) -> Path:
    """Make a folder below another one."""
    made = folder / name
    made.mkdir(parents=True)
    return made
