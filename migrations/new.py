"""Writes the next revision, `python -m migrations.new "what it does"`, to be read and finished by whoever asked for it.

It compares the newest schema with `ledger.tables`. Revisions are explicit: what they create stays as it was on the day,
whatever the tables in the code become.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy import create_engine

from ledger.schema import FOLDER, migrate, newest_revision
from ledger.tables import metadata
from ledger.tables.base import Instant

TEMPLATE: Final = '''"""{title}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down_revision}
branch_labels = None
depends_on = None


def upgrade() -> None:
{body}
'''


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column types as what they are in the database, so that revisions never change with our code."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


def difference(url: str, tables: frozenset[str] | None = None) -> str:
    """Give the lines that turn the schema at `url` into that of the code, for all `tables` or those named."""

    def included(_item: object, name: str | None, kind: str, reflected: bool, _compared: object) -> bool:
        if kind != "table":
            return True
        if reflected and re.fullmatch(r"alembic_version|(entries|records)_(p\d+|rest)", name or ""):
            return False  # Alembic's own, and partitions
        return tables is None or name in tables

    engine = create_engine(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "target_metadata": metadata, "include_object": included}
        context = MigrationContext.configure(connection, opts=options)
        upgrade = produce_migrations(context, metadata).upgrade_ops or ops.UpgradeOps([])
    engine.dispose()
    rendered = render_python_code(upgrade, render_item=render_item)
    # `info` is for our code, not for the database
    rendered = re.sub(r"info=\{'class': '\w+'\},?\n", "", rendered)
    return "\n".join(line for line in rendered.splitlines() if not line.strip().startswith("#"))


def write(title: str, revision: str, down_revision: str | None, body: str) -> Path:
    """Write a revision's file and give its path."""
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40]
    path = FOLDER / "versions" / f"{revision}_{name}.py"
    indented = "\n".join(f"    {line.strip()}" if line.startswith("op.") else line for line in body.splitlines())
    down = "None" if down_revision is None else f'"{down_revision}"'
    path.write_text(TEMPLATE.format(title=title, revision=revision, down_revision=down, body=indented))
    return path


def main(title: str) -> None:
    """Write the revision that follows the newest one."""
    newest = newest_revision()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/newest.db"
        migrate(url)
        body = difference(url)
    path = write(title, f"{int(newest) + 1:04}", newest, body)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(sys.argv[1])
