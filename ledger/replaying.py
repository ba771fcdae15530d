"""A scratch database in which the whole log is projected again, by the very projectors the writer uses."""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event

import ledger
from ledger.causes import turn
from ledger.database import Reading, Writing
from ledger.events import Event, replay
from ledger.history import index_events
from ledger.tables import metadata

BEGINNING: Final = date(2000, 1, 1)


class Scratch:
    """Projections of a prefix of the log, in a temporary SQLite file that goes with the object; use it as a context.

    Nothing in it must survive anything, so it is written without waiting for the disk. Memory stays flat.
    """

    def __init__(self) -> None:
        load_projectors()
        self._folder = tempfile.TemporaryDirectory(prefix="elicence-replay-")
        self._engine = _engine(Path(self._folder.name) / "scratch.sqlite")
        self._connection: Connection = self._engine.connect()
        metadata.create_all(self._connection)
        self._connection.commit()
        self.size = 0
        self.day = BEGINNING

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()
        self._folder.cleanup()

    @property
    def tx(self) -> Reading:
        """The database as it stands, for reading."""
        return Reading(self._connection)

    def project(self, events: Sequence[Event]) -> None:
        """Project the next events; their indexes need not be without gaps."""
        if events:
            tx = Writing(Reading(self._connection))
            index_events(tx, events)
            replay(tx, events)
            self._connection.commit()
            self.size = events[-1].idx + 1

    def turn(self, today: date) -> bool:
        """Let days pass until `today`; tell whether any did."""
        if today <= self.day:
            return False
        turn(Writing(Reading(self._connection)), self.day, today)
        self._connection.commit()
        self.day = today
        return True


def load_projectors() -> None:
    """Import every module of this package, so that every projector is registered; raises what an import raises."""
    for module in pkgutil.iter_modules(ledger.__path__):
        importlib.import_module(f"ledger.{module.name}")


def projections() -> list[Table]:
    """Return the tables a replay makes again, in the order of their names.

    `head` is not among them: no projector writes it, and the audit compares it by itself.
    """
    tables = [table for table in metadata.sorted_tables if table.info.get("class") == "projection"]
    return sorted((table for table in tables if table.name != "head"), key=lambda table: table.name)


def _engine(file: Path) -> Engine:
    engine = create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-64000")

    return engine
