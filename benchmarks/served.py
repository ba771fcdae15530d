"""A region served for a benchmark: its own process, example data, on either database."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cli.demo_service import DemoService, running
from tests.postgres_server import cluster

ENGINES = ("sqlite", "postgresql")


@contextmanager
def served(engine: str) -> Iterator[DemoService]:
    """Serve a fresh region on `engine`; PostgreSQL writes through to the disk as in production."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
        if engine == "sqlite":
            with running(Path(folder)) as service:
                yield service
            return
        server = cluster({})
        try:
            name = server.create_database()
            os.environ["ELICENCE_DATABASE_URL"] = str(server.url(name))
            with running(Path(folder)) as service:
                yield service
        finally:
            os.environ.pop("ELICENCE_DATABASE_URL", None)
            server.close()
