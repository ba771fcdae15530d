"""Alembic's way in: runs the revisions on the connection it is given by `ledger.schema.migrate`."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # one transaction for all: an upgrade that fails leaves the schema as it was, on both engines
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
