"""A PostgreSQL database into files and back: every table by binary COPY, all of them in one snapshot.

Needs nothing but the driver, and no more rights than the service's own role has. Binary COPY is the same in every
version of the server, so a backup can be taken to a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, select, text

from ledger.backups import CHUNK, LEFT_OUT, TABLES, Part, Progress, Writer
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.tables import metadata

_BUFFER: Final = 256 * 1024


def exported(tx: Reading, folder: Path, progress: Progress) -> tuple[list[Part], dict[str, list[str]]]:
    """Write every table that `tx` sees below `folder`; returns the files and each table's columns.

    Memory does not grow with the tables: rows pass through as they come.
    """
    parts, columns = [], {}
    tables = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]
    for number, table in enumerate(tables):
        progress("copy", number, len(tables))
        columns[str(table.name)] = [str(column.name) for column in table.columns]
        parts.append(_export(tx, table, folder))
    progress("copy", len(tables), len(tables))
    return parts, columns


def _export(tx: Reading, table: Table, folder: Path) -> Part:
    file = Writer(folder, f"{TABLES}/{table.name}.copy")
    # A query, because COPY of a partitioned table by its name gives no rows.
    source = f"SELECT {_names(tx, table)} FROM {table.name}"  # noqa: S608 - our own tables
    cursor: Any = tx.connection.cursor()
    try:
        with cursor.copy(f"COPY ({source}) TO STDOUT (FORMAT BINARY)") as rows:
            gathered = bytearray()
            for data in rows:
                gathered += data
                if len(gathered) >= _BUFFER:
                    file.write(bytes(gathered))
                    gathered.clear()
            file.write(bytes(gathered))
    except BaseException:
        file.close()
        raise
    finally:
        cursor.close()
    return file.done()


def require_empty(connection: Connection) -> None:
    """Refuse a database in which a log was opened. Raises `Refusal` database.not_empty."""
    head = metadata.tables["head"]
    if connection.execute(select(head.c.size)).one_or_none() is not None:
        raise Refusal(Code.DATABASE_NOT_EMPTY, database=str(connection.engine.url.database))


def imported(tx: Writing, folder: Path, columns: dict[str, list[str]], progress: Progress) -> None:
    """Fill the empty tables that `tx` sees from the files below `folder`, and set what counts upwards by itself."""
    tables = [table for table in metadata.sorted_tables if table.name in columns]
    for number, table in enumerate(tables):
        progress("restore", number, len(tables))
        if columns[table.name] != [column.name for column in table.columns]:
            raise Refusal(Code.BACKUP_OTHER, table=table.name)
        _import(tx, table, folder / TABLES / f"{table.name}.copy")
        _count_on(tx, table)
    progress("restore", len(tables), len(tables))


def _import(tx: Writing, table: Table, file: Path) -> None:
    cursor: Any = tx.connection.cursor()
    try:
        with (
            file.open("rb") as source,
            cursor.copy(f"COPY {table.name} ({_names(tx, table)}) FROM STDIN (FORMAT BINARY)") as rows,
        ):
            while chunk := source.read(CHUNK):
                rows.write(chunk)
    finally:
        cursor.close()


def _count_on(tx: Writing, table: Table) -> None:
    column = table.autoincrement_column
    if column is None or column.autoincrement is not True:
        return
    name = tx.dialect.identifier_preparer.quote_identifier(column.name)
    highest = f"SELECT coalesce(max({name}), 0) + 1 FROM {table.name}"  # noqa: S608 - our own tables
    places = {"table": table.name, "column": column.name}
    tx.execute(text(f"SELECT setval(pg_get_serial_sequence(:table, :column), ({highest}), false)"), places)


def _names(tx: Reading, table: Table | Any) -> str:
    quoted: Sequence[str] = [tx.dialect.identifier_preparer.quote_identifier(column.name) for column in table.columns]
    return ", ".join(quoted)
