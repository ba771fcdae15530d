"""Looking many keys up at once, in the writer's hot path: SQL text that never changes, so nothing compiles it again.

An `IN` over hundreds of values costs SQLAlchemy and psycopg more than the look-up costs the database, because every
value is a parameter of its own. PostgreSQL gets the values as one array; SQLite gets one of a few list lengths, filled
up with the last value, so that its own cache of statements finds them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

from ledger.database import Reading

_LENGTHS: Final = (1, 8, 64, 256, 512, 2048)
"""Values in one SQLite statement; it may have 32,766."""


def rows_among(tx: Reading, sql: str, values: Collection[Any], *fixed: Any) -> list[tuple[Any, ...]]:
    """Return the rows of `sql`, whose last condition ends in `{among}`, for those of `values` that there are.

    `fixed` are the values of the `?` before it. Values are all text or all bytes; each occurs once. A value that has
    several rows gives all of them.
    """
    wanted = list(values)
    if not wanted:
        return []
    if tx.dialect.name == "postgresql":
        result = tx.exec_driver_sql(_for_postgresql(sql), (*fixed, wanted))
        return [tuple(row) for row in result]
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(wanted), _LENGTHS[-1]):
        chunk = wanted[start : start + _LENGTHS[-1]]
        length = next(each for each in _LENGTHS if each >= len(chunk))
        chunk += [chunk[-1]] * (length - len(chunk))
        found += [tuple(row) for row in tx.exec_driver_sql(_for_sqlite(sql, length), (*fixed, *chunk))]
    return found


@lru_cache(maxsize=256)
def _for_postgresql(sql: str) -> str:
    return sql.replace("?", "%s").replace("{among}", "= ANY(%s)")


@lru_cache(maxsize=256)
def _for_sqlite(sql: str, length: int) -> str:
    return sql.replace("{among}", f"IN ({', '.join('?' * length)})")
