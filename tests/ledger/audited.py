"""A region with a bit of everything in it, stopped, so that an audit can look at what is stored and
tests can edit it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine

from keys.memory_store import MemoryKeyStore
from ledger import acts
from ledger.audit_report import Report
from ledger.auditing import Stored, audit_stored
from ledger.clock import ManualClock
from ledger.config import RegionConfig
from ledger.erasing import erase_subject
from ledger.issuing import issue
from ledger.region import Region
from ledger.tables.subjects import record_subjects
from tests.ledger import licensing
from tests.ledger.test_acts import body as act_body
from tests.region import memory_store, region_config

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Audited:
    """A stopped region: how to open what it stored, and the subject that was erased."""

    config: RegionConfig
    store: MemoryKeyStore
    erased: str

    def audit(self, *, log_only: bool = False) -> Report:
        """Audit what is stored."""
        stored = Stored.open(self.config, self.store)
        try:
            return audit_stored(stored, log_only=log_only)
        finally:
            stored.database.close()

    def copy(self, folder: Path) -> Audited:
        """Copy database (SQLite) and published files, so that a test may ruin them."""
        file = Path(self.config.database_url.removeprefix("sqlite:///"))
        folder.mkdir()
        for part in file.parent.glob(file.name + "*"):
            shutil.copyfile(part, folder / part.name)
        shutil.copytree(self.config.tiles, folder / "public")
        config = replace(self.config, database_url=f"sqlite:///{folder / file.name}", tiles=folder / "public")
        return replace(self, config=config)

    def edit(self, statement: str, *values: object) -> None:
        """Run SQL as somebody who owns the database file and has switched its guards off."""
        engine = create_engine(self.config.database_url)
        with engine.begin() as tx:
            for name in tx.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
                tx.exec_driver_sql(f"DROP TRIGGER {name}")
            assert tx.exec_driver_sql(statement, tuple(values)).rowcount > 0
        engine.dispose()

    def flip(self, path: str, at: int = 100) -> None:
        """Change one byte of a published file."""
        file = self.config.tiles / path
        data = bytearray(file.read_bytes())
        data[at % len(data)] ^= 1
        file.write_bytes(bytes(data))


async def audited_region(database_url: str, folder: Path, *, licences: int = 300) -> Audited:
    """Run a region for a while: licences, an act, an erased holder, several trust lists; then stop it.

    There are enough entries for a full tile and bundle.
    """
    store, clock = memory_store(), ManualClock(NOON)
    config = region_config(database_url, folder, publish_interval_ms=20)
    region = await Region.create(config, store, clock=clock)
    try:
        await licensing.furnish(region)
        first = await licensing.issued(region, licensing.MARKET, licensing.food(1), "first")
        await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1), "diploma")
        for start in range(2, licences, 50):
            numbers = range(start, min(start + 50, licences))
            requests = [licensing.request(region, licensing.food(number)) for number in numbers]
            await issue(region, licensing.actor(licensing.MARKET), requests)
        await region.publisher.published(first.entry)
        await acts.act(region, licensing.actor(licensing.MARKET), first.id, act_body("suspend"))
        subjects = await region.database.read(
            lambda tx: tx.execute(record_subjects.select().order_by(record_subjects.c.idx)).all()
        )
        counts = {row.subject: sum(other.subject == row.subject for other in subjects) for row in subjects}
        subject = min(counts, key=lambda each: counts[each])
        operator = licensing.actor("", "operate", operator="示例操作员一")
        answer = await erase_subject(
            region, operator, subject, second="示例操作员二", ground="个人信息保护法 47", document_no="示例〔2026〕2号"
        )
        clock.advance(2000)  # the trust list is renewed by time
        region.trust.pulse.wake()
        await region.publisher.published(answer["entry"])
        clock.advance(5)
        for _ in range(3):
            await region.trust.pulse.stop()
            await region.status.pulse.stop()
            await region.trust.step()
            await region.publisher.step()
            await region.status.step()
    finally:
        await region.close()
    return Audited(config, store, subject)
