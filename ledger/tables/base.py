"""The one `MetaData`, the column types that mean the same on both engines, and the three classes of tables.

Every table says its class: `Table(..., info=LOG | PROJECTION | OPERATIONAL)` (docs/storage.md).
A constraint that refuses something a caller can mean names its refusal: `UniqueConstraint(..., info=refuses(Code.X))`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, MetaData
from sqlalchemy.types import TypeDecorator

from ledger.errors import Code

LOG: Final[dict[str, Any]] = {"class": "log"}
"""Tables whose shape never changes and whose rows are never edited: entries and records."""

PROJECTION: Final[dict[str, Any]] = {"class": "projection"}
"""Tables that `rebuild` recomputes from the log and compares."""

OPERATIONAL: Final[dict[str, Any]] = {"class": "operational"}
"""Tables that cannot be recomputed: idempotency, leases, wrapped keys, access records. Backed up."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def refuses(code: Code) -> dict[str, Any]:
    """Mark a unique constraint or index: whoever runs into it is refused with `code`."""
    return {"refusal": code}


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, whole seconds, stored as Unix seconds so that both engines compare and keep it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Store an aware datetime; fractions of a second are cut."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs an aware datetime")
        return int(value.timestamp())

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read back an aware datetime in UTC."""
        return None if value is None else datetime.fromtimestamp(value, UTC)
