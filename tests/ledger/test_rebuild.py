"""Rebuilding: the log alone gives every projection back, whatever was done to them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from ledger import acts
from ledger.audit_projections import compare_tables
from ledger.audit_report import Report
from ledger.auditing import Stored, audit_stored
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.rebuilding import rebuild
from ledger.region import Region
from ledger.replaying import Scratch, projections
from ledger.tables import metadata
from ledger.tables.catalogue import grants
from ledger.tables.licences import licence_holders, licences, slot_status
from ledger.tables.log import record_keys, thing_events
from ledger.tables.subjects import subjects
from tests.ledger import licensing
from tests.ledger.test_acts import body as act_body


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region with two licences, one of them suspended, on each engine."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        issued = await licensing.issued(region, licensing.MARKET, licensing.food(1))
        await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
        answer = await acts.act(region, licensing.actor(licensing.MARKET), issued.id, act_body("suspend"))
        await region.publisher.published(answer["entry"])
        yield region


async def test_ruined_projections_come_back_from_the_log(region: Region) -> None:
    """Rows edited, deleted and invented: after a rebuild the audit passes, and only what was wrong was replaced."""
    with region.database.writing() as tx:
        tx.execute(update(licences).values(state="valid"))
        tx.execute(delete(slot_status))
        tx.execute(delete(licence_holders))
        tx.execute(update(grants).values(area="000000"))
        tx.execute(insert(subjects).values(id="A" * 22, kind="person", created_idx=1))
        tx.execute(delete(thing_events).where(thing_events.c.idx == 3))
    seen: list[tuple[int, int]] = []

    done = rebuild(region.database, region.vault, region.clock, lambda *progress: seen.append(progress))

    assert done.replaced == ("grants", "licence_holders", "licences", "slot_status", "subjects", "thing_events")
    assert seen[-1] == (done.size, done.size)
    assert rebuild(region.database, region.vault, region.clock).replaced == ()
    report = await asyncio.to_thread(audit_stored, Stored.of(region))
    assert report.passed, [str(each) for each in report.findings]


async def test_a_damaged_record_stops_the_rebuild_and_nothing_is_changed(region: Region) -> None:
    """Where the log cannot be read there is nothing to rebuild from."""
    with region.database.writing() as tx:
        tx.execute(delete(licence_holders))
        tx.execute(delete(record_keys))

    with pytest.raises(Refusal) as refused:
        rebuild(region.database, region.vault, region.clock)

    assert refused.value.code is Code.RECORD_DAMAGED
    with region.database.reading() as looking:
        assert looking.execute(select(licence_holders)).first() is None


async def test_the_audit_finds_the_same_on_both_engines(region: Region) -> None:
    """A row edited on a running region is named by table, key and column."""
    with region.database.writing() as tx:
        tx.execute(update(licences).where(licences.c.state == "suspended").values(state="valid", area="110000"))

    report = await asyncio.to_thread(audit_stored, Stored.of(region))

    [finding] = report.findings
    assert finding.where.startswith("licences ")
    assert finding.detail == "changed: area, state"


def test_where_slices_end_makes_no_difference_to_an_empty_replay() -> None:
    """Two scratch databases that saw nothing are equal, and every projection is compared."""
    report = Report("origin")
    with Scratch() as one, Scratch() as other:
        assert compare_tables(one.tx, other.tx, projections(), report) == set()

    assert report.counts["projections"] == len(projections())
    classed = {table.name for table in metadata.sorted_tables if table.info.get("class") == "projection"}
    assert {table.name for table in projections()} == classed - {"head"}
    assert all(table.info.get("class") in {"log", "projection", "operational"} for table in metadata.sorted_tables)
