"""Many keys looked up at once give the rows that single look-ups give, on both engines and for any number of keys."""

from __future__ import annotations

import os

import pytest

from ledger.among import rows_among
from ledger.database import Database, bulk_insert
from ledger.tables.subjects import subject_index

HERE = [(1, os.urandom(32), f"s{number}") for number in range(3000)]


@pytest.mark.parametrize("count", [0, 1, 2, 8, 9, 65, 600, 3000])
def test_what_is_there_is_found(database_url: str, count: int) -> None:
    """Keys that are not there, and rows of another scope, change nothing."""
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, subject_index, [*HERE, (2, HERE[0][1], "other")])
    asked = [row[1] for row in HERE[:count]] + ([bytes(32)] if count else [])
    with database.reading() as tx:
        sql = "SELECT hmac, subject FROM subject_index WHERE key_id = ? AND hmac {among}"
        found = rows_among(tx, sql, asked, 1)

    assert {(bytes(hmac), subject) for hmac, subject in found} == {(row[1], row[2]) for row in HERE[:count]}
    assert len(found) == count
    database.close()


def test_text_is_no_pattern(database_url: str) -> None:
    """Quotes, braces, commas and backslashes are letters like others."""
    names = ["a", "{b,c}", '"', "\\", "'; --", "%s", "示例"]
    database = Database.open(database_url)
    with database.writing() as tx:
        bulk_insert(tx, subject_index, [(1, name.encode(), name) for name in names])
    with database.reading() as tx:
        found = rows_among(tx, "SELECT subject FROM subject_index WHERE subject {among}", [*names, "b"])

    assert {row[0] for row in found} == set(names)
    database.close()
