"""Statements that read a few rows by key, each alone: one statement sees one state, so it needs no transaction.

Beginning and ending one costs PostgreSQL two more round trips, and finding out again what a statement means costs more
than running it. So these go to the driver as text, on connections of their own that keep them prepared.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ledger.database_errors import is_disconnect

# What is read here is read by key; a table that was not yet counted must not be taken for one that is quicker to scan.
_POSTGRES_SETTINGS: Final = (
    "default_transaction_read_only = on",
    "plan_cache_mode = force_generic_plan",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
)


class SingleStatements:
    """Runs single statements on connections made as those of `engine` are; any thread may call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # What is stored as bytes would come as text, two letters for each, and be read back from that.
        self._form = {"binary": True} if engine.dialect.name == "postgresql" else {}
        self._kept: deque[tuple[Connection, Any]] = deque()

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run `sql` in the driver's own form and return its rows; once more if the connection had gone stale.

        Raises `DBAPIError` like everything that goes through SQLAlchemy.
        """
        try:
            return self._rows(sql, values)
        except DBAPIError as error:
            if not is_disconnect(error):
                raise
        self.close()  # those that waited beside it are as old
        return self._rows(sql, values)

    def close(self) -> None:
        """Close the connections that wait."""
        while self._kept:
            with suppress(IndexError):  # another thread took the last
                self._kept.pop()[0].close()

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            kept = self._kept.pop()
        except IndexError:
            kept = self._opened()
        connection, driver = kept
        errors = self._engine.dialect.loaded_dbapi.Error
        try:
            found: list[tuple[Any, ...]] = driver.execute(sql, values, **self._form).fetchall()
        except errors as error:
            gone = self._engine.dialect.is_disconnect(error, driver, None)
            connection.close()
            raise DBAPIError.instance(
                sql, None, error, errors, hide_parameters=True, connection_invalidated=gone
            ) from error
        self._kept.append(kept)
        return found

    def _opened(self) -> tuple[Connection, Any]:
        """Open a connection that the pool forgets, so that nothing begins or ends transactions on it."""
        connection = self._engine.connect()
        try:
            connection.detach()
            driver: Any = connection.connection.dbapi_connection
            if self._engine.dialect.name == "postgresql":
                for setting in _POSTGRES_SETTINGS:
                    connection.exec_driver_sql(f"SET {setting}")
                connection.commit()
                driver.autocommit = True
                driver.prepare_threshold = 0
        except DBAPIError:
            connection.close()
            raise
        return connection, driver
