"""Alembic's way in: runs the revisions on the connection it is given by `ledger.schema.migrate`."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from ledger.tables import metadata
from ledger.tables.base import Instant


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column types as what they are in the database, so that revisions never change with our code."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=render_item,
    # one transaction for all: an upgrade that fails leaves the schema as it was, on both engines
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
