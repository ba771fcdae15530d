"""The audit of a large log: how fast it reads, how little it keeps in memory, and that it names what was edited."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import acts
from ledger.audit_report import Artefact
from ledger.erasing import erase_subject
from ledger.errors import Refusal
from ledger.issuing import issue
from ledger.region import Region
from tests.ledger import cases, licensing
from tests.ledger.audited import Audited
from tests.ledger.test_acts import body as act_body
from tests.ledger.test_audit import EDITS
from tests.region import memory_store, region_config

CHUNK = 512
MEMORY_MB = 400
"""Far more than the slices an audit holds, far less than the log."""

APART = [
    "projection row", "head", "hash tile", "bundle", "checkpoint file", "checkpoint row", "status list file",
    "status token", "trust list file", "trust list row",
]  # fmt: skip
"""Edits that leave every record readable, so that everything else can be judged at once."""

TOGETHER = ["entry row", "facts ciphertext", "personal ciphertext", "wrapped key", "record deleted"]


async def large_region(database_url: str, folder: Path, entries: int) -> Audited:
    """Run a region until its log has more than `entries` entries, with an act and an erased holder; then stop it."""
    store = memory_store()
    config = region_config(database_url, folder, publish_interval_ms=200)
    region = await Region.create(config, store)
    try:
        await licensing.furnish(region)
        first = await licensing.issued(region, licensing.MARKET, licensing.food(1))
        diploma = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
        for start in range(2, entries, CHUNK):
            numbers = range(start, min(start + CHUNK, entries))
            requests = [licensing.request(region, licensing.food(number)) for number in numbers]
            outcomes = await issue(region, licensing.actor(licensing.MARKET), requests)
            assert not [each for each in outcomes if isinstance(each, Refusal)]
        await acts.act(region, licensing.actor(licensing.MARKET), first.id, act_body("suspend"))
        subject = await cases.holder_of(region, diploma.id)
        operator = licensing.actor("", "operate", operator="示例操作员一")
        erased = await erase_subject(
            region, operator, subject, second="示例操作员二", ground="个人信息保护法 47", document_no="示例〔2026〕2号"
        )
        await region.publisher.published(erased["entry"])
        await region.status.pulse.stop()
        await region.status.step()
    finally:
        await region.close()
    return Audited(replace(config, republish_interval_s=600), store, subject)


def resident(peak: bool) -> int:
    """Return the memory of this process in MB: now, or the most since `forget_peak` (Linux; elsewhere 0)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    wanted = "VmHWM:" if peak else "VmRSS:"
    line = next(line for line in status.read_text().splitlines() if line.startswith(wanted))
    return int(line.split()[1]) // 1024


def forget_peak() -> None:
    """Let the count of peak memory begin anew (proc(5), clear_refs)."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def judged(stored: Audited, edits: list[str], folder: Path) -> None:
    """Edit a copy in many places at once; every class of artefact that was touched is named, with its place."""
    copy = stored.copy(folder)
    for edit in edits:
        EDITS[edit][2](copy)
    report = copy.audit()
    named = {(finding.artefact, finding.where) for finding in report.findings}
    for edit in edits:
        artefact, where, _ = EDITS[edit]
        assert any(kind is artefact and place.startswith(where) for kind, place in named), (edit, sorted(named)[:20])
    shutil.rmtree(folder)


def audited_at_scale(database_url: str, folder: Path, entries: int, *, edit: bool) -> None:
    """Build, audit, and ruin copies."""
    begun = time.perf_counter()
    stored = asyncio.run(large_region(database_url, folder, entries))
    built_s = time.perf_counter() - begun
    forget_peak()
    before, begun = resident(peak=False), time.perf_counter()
    report = stored.audit()
    took = time.perf_counter() - begun
    grown = resident(peak=True) - before
    print(
        f"\n{report.size} entries, built at {report.size / built_s:.0f}/s, audited at {report.size / took:.0f}/s"
        f" in {took:.1f} s with {grown} MB more than before: {report.counts}"
    )
    assert report.passed, [str(each) for each in report.findings]
    assert report.size > entries and report.counts["entries"] == report.counts["records"] == report.size
    assert grown < MEMORY_MB
    if edit:
        judged(stored, APART, folder / "apart")
        judged(stored, TOGETHER, folder / "together")


def test_five_thousand_entries(sqlite_url: str, tmp_path: Path) -> None:
    """The short form."""
    audited_at_scale(sqlite_url, tmp_path, 5_000, edit=True)


def test_every_class_of_artefact_is_edited() -> None:
    """Nothing that an audit can name is left out of the two long drills."""
    assert {EDITS[edit][0] for edit in [*APART, *TOGETHER]} == set(Artefact)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_entries(database_url: str, tmp_path: Path) -> None:
    """The long form; copies are edited on SQLite, whose file anybody with the disk can open."""
    audited_at_scale(database_url, tmp_path, 100_000, edit=database_url.startswith("sqlite"))
