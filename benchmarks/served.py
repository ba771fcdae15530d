"""A region served for a benchmark: its own process, example data, on either database."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from api.cli.demo_service import DemoService, ServiceProcess, prepared
from tests.postgres_server import cluster

ENGINES = ("sqlite", "postgresql")


@contextmanager
def served(engine: str) -> Iterator[DemoService]:
    """Serve a fresh region on `engine`; PostgreSQL writes through to the disk as in production."""
    with stoppable(engine) as (service, _):
        yield service


@contextmanager
def stoppable(engine: str) -> Iterator[tuple[DemoService, ServiceProcess]]:
    """Serve a fresh region on `engine`, and give the process as well, to be stopped and started again."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as name, _database(engine) as url:
        folder = Path(name)
        settings = prepared(folder) if url is None else prepared(folder, database_url=url)
        process = ServiceProcess(settings, folder)
        process.start()
        try:
            with httpx.Client(base_url=settings.base_url, timeout=60) as http:
                yield DemoService(settings, folder, http), process
        finally:
            process.stop()


@contextmanager
def _database(engine: str) -> Iterator[str | None]:
    """Give the address of an empty database on a PostgreSQL of its own; None for SQLite, the default."""
    if engine == "sqlite":
        yield None
        return
    server = cluster({})
    try:
        yield str(server.url(server.create_database()))
    finally:
        server.close()


class ServerClock:
    """CPU seconds and memory of a served region: they say the same on a machine that others use. Linux only.

    `pid` is its process where this one has started several.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid or next((pid for pid in _children(os.getpid()) if _is_service(pid)), None)
        self._ended: dict[int, float] = {}

    def seconds(self) -> float:
        """Return the CPU seconds that the service and its processes have used so far; 0 where unknown."""
        for pid in self._pids():
            with suppress(OSError):  # it has just ended: what was seen of it last counts
                self._ended[pid] = time.clock_gettime(cpu_clock(pid))
        return sum(self._ended.values())

    def memory(self) -> int:
        """Return the bytes of memory that the service and its processes hold for themselves; 0 where unknown."""
        held = 0
        for pid in self._pids():
            with suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                held += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
        return held * 1024

    def micros_each(self, run: Callable[[], object], count: int) -> float:
        """Return the CPU microseconds the server spent on each of the `count` things `run` does; 0 where unknown."""
        before = self.seconds()
        run()
        return 1e6 * (self.seconds() - before) / count

    def _pids(self) -> list[int]:
        return [] if self._pid is None else [self._pid, *_descendants(self._pid)]


def _descendants(pid: int) -> list[int]:
    return [each for child in _children(pid) for each in (child, *_descendants(child))]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _is_service(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"api.cli\0serve\0")


def cpu_clock(pid: int) -> int:
    """Return the CPU clock of another process, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2
