"""What a failing database means for the caller: gone, full, taken by somebody, or a mistake of ours."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledger.errors import Code, Refusal
from ledger.tables.base import metadata

RETRY_AFTER_S: Final = 2

_POSTGRES_FULL = "53100"
_POSTGRES_UNIQUE = "23505"
# connection exceptions, shutdown, too many connections, lock timeout, read-only server (a standby after a fail-over);
# transactions that others stopped: a deadlock, a failure to serialize, a statement cancelled by an operator
_POSTGRES_AWAY = re.compile(r"08...|57P0[1-5]|53[023]00|55P03|25006|58030|40001|40P01|57014")
_SQLITE_AWAY = (
    "unable to open",
    "disk i/o error",
    "database is locked",
    "readonly database",
    "malformed",
    "not a database",
)
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (.+)")


def is_disconnect(error: DBAPIError) -> bool:
    """Tell whether the connection is of no more use."""
    return bool(error.connection_invalidated)


def refusal_of(error: DBAPIError | PoolTimeout) -> Refusal | None:
    """Give the refusal that tells a caller what `error` means for him, or `None` when it is a mistake of ours."""
    if isinstance(error, PoolTimeout):
        return Refusal(Code.DATABASE_UNAVAILABLE, retry_after=RETRY_AFTER_S)
    state = getattr(error.orig, "sqlstate", None)
    message = str(error.orig).lower()
    if state == _POSTGRES_FULL or "database or disk is full" in message:
        return Refusal(Code.STORAGE_FULL, retry_after=60)
    if isinstance(error, IntegrityError):
        code = _taken(error)
        return None if code is None else Refusal(code)
    away = error.connection_invalidated or (state is not None and _POSTGRES_AWAY.fullmatch(state) is not None)
    if not away and isinstance(error, OperationalError):
        # psycopg gives no state when it never reached the server; SQLite never gives one
        ours = "sqlite" in type(error.orig).__module__
        away = any(words in message for words in _SQLITE_AWAY) if ours else state is None
    return Refusal(Code.DATABASE_UNAVAILABLE, retry_after=RETRY_AFTER_S) if away else None


def _taken(error: IntegrityError) -> Code | None:
    """Find the refusal declared by the unique rule that was run into; `conflict` where none was declared.

    `None` for every other kind of constraint: those hold for what our own code writes.
    """
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        if diagnosis.sqlstate != _POSTGRES_UNIQUE:
            return None
        return _declared_by_name().get(diagnosis.constraint_name or "", Code.CONFLICT)
    match = _SQLITE_UNIQUE.search(str(error.orig))
    if match is None:
        return None
    return _declared_by_columns().get(", ".join(sorted(match[1].split(", "))), Code.CONFLICT)


def _declared() -> list[tuple[str, list[str], Code]]:
    """List the rules that name a refusal: their name, their columns as SQLite prints them, the refusal."""
    found = []
    for table in metadata.tables.values():
        unique = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
        rules: list[PrimaryKeyConstraint | UniqueConstraint | Index] = [table.primary_key, *unique, *table.indexes]
        for rule in rules:
            code = rule.info.get("refusal")
            if code is not None:
                found.append((str(rule.name), sorted(f"{table.name}.{column.name}" for column in rule.columns), code))
    return found


def _declared_by_name() -> dict[str, Code]:
    return {name: code for name, _, code in _declared()}


def _declared_by_columns() -> dict[str, Code]:
    return {", ".join(columns): code for _, columns, code in _declared()}
