"""The first schema: the log with its guards, projections, operational tables.

Revision: 0001, after None
"""

from __future__ import annotations

from alembic import op

from ledger.tables import metadata
from migrations import log_guards

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    for statement in log_guards.statements(op.get_context().dialect.name):
        op.execute(statement)
