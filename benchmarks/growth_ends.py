"""What is measured once a region has grown: bytes by table, a start until ready, and a whole audit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import orjson
from sqlalchemy import make_url, text

from api.cli.demo_service import DemoService, ServiceProcess
from api.settings import environment
from ledger.database import Database, Reading

AUDIT_S: Final = 6 * 3600
"""An audit of ten million entries with their records takes hours; longer than this is a fault."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Start and audit of a region of `entries` entries; `tables` are bytes on disk by table, indexes included."""

    entries: int
    start_s: float
    audit_s: float
    audit_memory: int
    sound: bool
    tables: dict[str, int] = field(default_factory=dict)

    def told(self, engine: str) -> str:
        """Return what an operator wants to know, a few lines."""
        rate = self.entries / self.audit_s
        lines = [
            f"{engine}: {self.entries:,} entries; start to ready {self.start_s:.2f} s; audit {self.audit_s:.0f} s, "
            f"{rate:,.0f} entries/s, {self.audit_memory / 2**20:.0f} MiB, {'sound' if self.sound else 'NOT SOUND'}"
        ]
        for name, size in sorted(self.tables.items(), key=lambda each: -each[1])[:12]:
            lines.append(f"  {name:<28}{size / 2**20:>10.1f} MiB {size / self.entries:>8.0f} B an entry")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Grown:
    """All that was measured on one engine; `turns` beside a small region, where it was grown by copies."""

    engine: str
    marks: list[dict[str, Any]]
    ends: Ends
    turns: list[dict[str, float]]


def measure(service: DemoService, process: ServiceProcess, *, log_only: bool = False) -> Ends:
    """Stop the service, look at what it left, start it anew, stop it and audit it, or its log alone."""
    process.stop()
    url = service.settings.database_url
    tables, entries = _tables(url)
    began = time.perf_counter()
    process.start()
    start_s = time.perf_counter() - began
    process.stop()
    audit_s, memory, sound = _audit(service, *(["--log-only"] if log_only else []))
    return Ends(entries, start_s, audit_s, memory, sound, tables)


def _audit(service: DemoService, *options: str) -> tuple[float, int, bool]:
    """Run `elicence audit`; return seconds, the most memory it held (0 where unknown), and whether it found nothing."""
    with TemporaryFile() as said:
        began, peak = time.perf_counter(), 0
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "audit", "--json", *options],
            env=os.environ | environment(service.settings),
            stdout=said,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(0.05)
        took = time.perf_counter() - began
        said.seek(0)
        orjson.loads(said.read())
    return took, peak, process.returncode == 0


def _peak(pid: int) -> int:
    # Not `ru_maxrss` of the ended process: that begins with the memory of whoever started it.
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return 0


def database_bytes(url: str) -> int:
    """Return how much the database takes on disk, write-ahead log of SQLite included."""
    name = make_url(url).database or ""
    if make_url(url).get_backend_name() == "sqlite":
        return sum(file.stat().st_size for file in Path(name).parent.glob(f"{Path(name).name}*"))
    with _opened(url) as tx:
        return int(tx.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def _tables(url: str) -> tuple[dict[str, int], int]:
    with _opened(url) as tx:
        entries = int(tx.scalar(text("SELECT size FROM head")) or 0)
        if tx.dialect.name == "sqlite":
            # Every index counts for its table. By pages, because sizes are given in 32 bits: 10 GB came out as 2.
            query = (
                "SELECT m.tbl_name, sum(s.pageno) * (SELECT page_size FROM pragma_page_size) FROM dbstat s"
                " JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
            )
        else:
            query = (
                "SELECT coalesce(p.relname, c.relname), sum(pg_total_relation_size(c.oid)) FROM pg_class c"
                " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent"
                " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1"
            )
        return {str(name): int(size) for name, size in tx.execute(text(query))}, entries


@contextmanager
def _opened(url: str) -> Iterator[Reading]:
    database = Database.open(url)
    try:
        with database.reading() as tx:
            yield tx
    finally:
        database.close()
