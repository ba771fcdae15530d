"""A region served for a benchmark: its own process, example data, on either database."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
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


class ServerClock:
    """CPU seconds of the served process: they say the same on a machine that others use. Linux only."""

    def __init__(self) -> None:
        self._clock = next((cpu_clock(pid) for pid in _children() if _is_service(pid)), None)

    def seconds(self) -> float:
        """Return the CPU seconds the server has used so far; 0 where unknown."""
        return 0.0 if self._clock is None else time.clock_gettime(self._clock)

    def micros_each(self, run: Callable[[], object], count: int) -> float:
        """Return the CPU microseconds the server spent on each of the `count` things `run` does; 0 where unknown."""
        before = self.seconds()
        run()
        return 1e6 * (self.seconds() - before) / count


def _children() -> list[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def _is_service(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"api.cli\0serve\0")


def cpu_clock(pid: int) -> int:
    """Return the CPU clock of another process, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2
