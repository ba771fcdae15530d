"""Comparing two states of the projections row by row: the live one and the one a replay of the log gives.

Both are read in the order of the primary key and merged, so memory does not grow with the tables. A difference is
named by table, key and columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Column, String, Table, Text, collate, select

from ledger.audit_report import Artefact, Report
from ledger.database import Reading

_FETCH: Final = 2000

Key = tuple[Any, ...]


def compare_tables(live: Reading, replayed: Reading, tables: list[Table], report: Report) -> set[str]:
    """Compare every table, add a finding for each row that differs, and return the names of the tables that do."""
    differing = set()
    for table in tables:
        before = report.found
        compare_table(live, replayed, table, report)
        if report.found > before:
            differing.add(table.name)
    report.count("projections", len(tables))
    return differing


def compare_table(live: Reading, replayed: Reading, table: Table, report: Report) -> None:
    """Merge the rows of one table in both states; adds a finding for each row changed, missing or too many."""
    keys = _keys(table)
    names = [column.name for column in table.columns]
    places = [names.index(column.name) for column in keys]
    left, right = _rows(live, table, keys), _rows(replayed, table, keys)
    stored, expected = next(left, None), next(right, None)
    compared = 0
    while stored is not None or expected is not None:
        if stored == expected:  # nearly always; what follows costs four times as much
            compared += 1
            stored, expected = next(left, None), next(right, None)
            continue
        here = None if stored is None else _sortable(stored, places)
        there = None if expected is None else _sortable(expected, places)
        if stored is not None and (there is None or (here is not None and here < there)):
            report.add(Artefact.PROJECTION, _where(table, stored, places), "a row that no entry accounts for")
            stored = next(left, None)
        elif expected is not None and (stored is None or here != there):
            report.add(Artefact.PROJECTION, _where(table, expected, places), "the row is missing")
            expected = next(right, None)
        elif stored is not None and expected is not None:
            changed = [name for name, one, other in zip(names, stored, expected, strict=True) if one != other]
            report.add(Artefact.PROJECTION, _where(table, stored, places), f"changed: {', '.join(changed)}")
            compared += 1
            stored, expected = next(left, None), next(right, None)
    report.count("projection rows", compared)


def _keys(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns) or list(table.columns)


def _rows(tx: Reading, table: Table, keys: list[Column[Any]]) -> Iterator[tuple[Any, ...]]:
    order = [_binary(tx, column) for column in keys]
    result = tx.execute(select(table).order_by(*order).execution_options(yield_per=_FETCH))
    return map(tuple, result)


def _binary(tx: Reading, column: Column[Any]) -> Any:
    # PostgreSQL orders text by the rules of a language; byte by byte is what both engines and Python agree on.
    if tx.dialect.name == "postgresql" and isinstance(column.type, String | Text):
        return collate(column, "C")
    return column


def _sortable(row: tuple[Any, ...], places: list[int]) -> Key:
    return tuple(row[place].encode("utf-8") if isinstance(row[place], str) else row[place] for place in places)


def _where(table: Table, row: tuple[Any, ...], places: list[int]) -> str:
    values = (row[place] for place in places)
    return f"{table.name} {', '.join(value.hex() if isinstance(value, bytes) else str(value) for value in values)}"
