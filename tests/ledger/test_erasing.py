"""Erasing a person: keys, ciphertexts, the way to find them and stored answers go; the tree and the
audit stay whole.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from ledger import licences, presentations, subjects
from ledger.auditing import Stored, audit_stored
from ledger.backing_up import back_up
from ledger.clock import ManualClock
from ledger.database import Database, Reading
from ledger.erasing import brought_back, erase_subject, parts_about, replay_erasures
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.issuing import issue
from ledger.rebuilding import rebuild
from ledger.receipts import receipt_of
from ledger.region import Region
from ledger.tables.log import erasures, record_keys, records
from tests.ledger import licensing
from tests.region import OPERATOR, memory_store, region_on
from verifiers.checkpoint import LogPolicy
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.note import NoteKey
from verifiers.receipt import check_receipt


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region with departments, types and grants, on each engine."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        yield region


def who(tx: Reading, region: Region) -> str | None:
    """Find the example person by number."""
    return subjects.find(tx, region.vault, "111", licensing.PERSON["id"])


async def erase(region: Region, subject: str) -> int:
    """Erase a subject with two officers and return the number of parts."""
    answer = await erase_subject(
        region, OPERATOR, subject, second="示例复核员", ground="个人信息保护法 47", document_no="示例〔2026〕2号"
    )
    return int(answer["parts"])


async def person(region: Region) -> str:
    """Return the subject of the example person, who must be known."""
    found = await region.database.read(lambda tx: who(tx, region))
    assert found is not None
    return found


async def test_nothing_personal_is_left_and_the_entry_still_opens(region: Region) -> None:
    """After erasure the number leads nowhere, the licence cannot be written again, and its receipt holds."""
    issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    other = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    subject = await person(region)

    assert await erase(region, subject) == 1

    assert await region.database.read(lambda tx: who(tx, region)) is None
    erased_event = await region.database.read(lambda tx: load_event(tx, region.vault, issued.entry))
    assert erased_event.subjects == (None,)
    with pytest.raises(Refusal) as refused:
        await licences.compact(region, issued.id)
    assert refused.value.code is Code.LICENCE_ERASED
    assert await licences.compact(region, other.id) == other.licence
    policy = LogPolicy(region.origin, tuple(NoteKey.from_text(vkey) for vkey in region.vkeys))
    assert check_receipt(await receipt_of(region, issued.entry, wait=True), policy).index == issued.entry
    left = select(func.count()).select_from(record_keys).where(record_keys.c.idx == issued.entry)
    assert await region.database.read(lambda tx: tx.execute(left).scalar_one()) == 0


async def test_a_repeated_request_does_not_bring_the_person_back(region: Region) -> None:
    """The stored answer is erased with the record: the same request again is told so."""
    body = licensing.diploma(1)
    await licensing.issued(region, licensing.EDUCATION, body, "row-1")
    await erase(region, await person(region))

    [again] = await issue(region, licensing.actor(licensing.EDUCATION), [licensing.request(region, body, "row-1")])

    assert isinstance(again, Refusal)
    assert again.code is Code.ANSWER_ERASED


async def test_the_audit_counts_erased_parts_and_finds_nothing_wrong(region: Region) -> None:
    """Missing with its entry is lawful; the projections equal a replay with the person left out."""
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(2))
    await erase(region, await person(region))
    done = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    await region.publisher.published(done.entry)

    report = await asyncio.to_thread(audit_stored, Stored.of(region))

    assert report.passed, [str(each) for each in report.findings]
    assert report.counts["erased parts"] == 2


async def test_two_officers_are_needed_and_there_must_be_something_to_erase(region: Region) -> None:
    """One person alone cannot make records unreadable."""
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    subject = await person(region)
    with pytest.raises(Refusal) as alone:
        await erase_subject(region, OPERATOR, subject, second=str(OPERATOR.operator), ground="x", document_no="1")
    await erase(region, subject)
    with pytest.raises(Refusal) as again:
        await erase(region, subject)

    assert (alone.value.code, again.value.code) == (Code.ERASURE_SAME_OFFICER, Code.SUBJECT_UNKNOWN)
    assert await region.database.read(lambda tx: parts_about(tx, subject)) == []


async def test_somebody_erased_can_become_known_again_as_somebody_new(region: Region) -> None:
    """A later application introduces a new subject; nothing links it to the old one."""
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    before = await person(region)
    await erase(region, before)

    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(2))

    assert await person(region) != before


@pytest.fixture
def careless_sqlite() -> Iterator[None]:
    """Let SQLite leave what is deleted where it was, as some builds of it do and others do not."""

    def connected(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA secure_delete=OFF")

    event.listen(Engine, "connect", connected)
    yield
    event.remove(Engine, "connect", connected)


@pytest.mark.usefixtures("careless_sqlite")
async def test_nothing_of_a_deleted_key_stays_in_the_file(sqlite_url: str, tmp_path: Path) -> None:
    """SQLite leaves deleted rows where they were unless it is told otherwise, and a copy of the file has them too."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
        with region.database.reading() as tx:
            keys = tx.scalars(select(record_keys.c.wrapped).where(record_keys.c.idx == issued.entry)).all()
        done = back_up(region.database, region.vault, tmp_path / "before", now=datetime.now(UTC), days=30)
        assert all(key in (done.folder / "database.sqlite").read_bytes() for key in keys)
        await erase(region, await person(region))
        done = back_up(region.database, region.vault, tmp_path / "after", now=datetime.now(UTC), days=30)
        left = (done.folder / "database.sqlite").read_bytes()
        assert keys and not any(key in left for key in keys)


async def test_a_restore_shreds_again_what_a_backup_brought_back(region: Region) -> None:
    """Keys that come back with an old backup of the key table are deleted before anything is served."""
    issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    key = await region.database.read(
        lambda tx: tx.execute(select(record_keys).where(record_keys.c.idx == issued.entry)).one()
    )
    await erase(region, await person(region))
    with region.database.writing() as tx:
        tx.execute(record_keys.insert().values(key._mapping))

    assert await replay_erasures(region.database) == 1
    assert await replay_erasures(region.database) == 0

    with region.database.reading() as looking:
        assert looking.execute(select(func.count()).select_from(erasures)).scalar_one() == 1
        kept = select(records.c.blob).where(records.c.idx == issued.entry, records.c.part == 1)
        assert len(looking.execute(kept).scalar_one()) == 33
        gone = select(record_keys).where(record_keys.c.idx == issued.entry)
        assert looking.execute(gone).first() is None


async def test_a_start_shreds_what_a_restore_brought_back(sqlite_url: str, tmp_path: Path) -> None:
    """Nobody has to remember it: the region does not run before it is done."""
    store = memory_store()
    async with region_on(sqlite_url, tmp_path, store=store) as first:
        await licensing.furnish(first)
        issued = await licensing.issued(first, licensing.EDUCATION, licensing.diploma(1))
        mine = select(record_keys).where(record_keys.c.idx == issued.entry)
        key = await first.database.read(lambda tx: tx.execute(mine).one())
        await erase(first, await person(first))
        await first.database.write(lambda tx: tx.execute(record_keys.insert().values(key._mapping)))

    second = await Region.open(first.config, store)
    try:
        assert await second.database.read(lambda tx: tx.execute(mine).first()) is None
    finally:
        await second.close()


async def test_an_erased_holder_shows_nothing_any_more(region: Region) -> None:
    """What was prepared for the phone goes with the person, and the licence left behind says that it is erased."""
    issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    subject = await person(region)
    body = {"licences": [{"licence": issued.id}], "purpose": "示例用途"}
    prepared = await presentations.prepare(region, subject, body)
    text = mint(prepared["base"], b64u_decode(prepared["handle"]), b64u_decode(prepared["key"]), region.clock.now())

    await erase(region, subject)

    with pytest.raises(Refusal) as caught:
        await presentations.find(region, text)
    assert caught.value.code is Code.CODE_UNKNOWN
    with pytest.raises(Refusal) as told:
        await licences.compact(region, issued.id)
    assert told.value.code is Code.LICENCE_ERASED


async def test_rebuild_equals_the_live_state_after_an_erasure(region: Region) -> None:
    """With the personal fields gone there is nothing to replace."""
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    await erase(region, await person(region))

    done = rebuild(region.database, region.vault, region.clock)

    assert done.replaced == ()


def test_a_start_does_not_walk_over_the_records(sqlite_template: Path) -> None:
    """What a restored backup brought back is looked for from the erasures outwards, whatever the log's size."""
    database = Database.open(f"sqlite:///{sqlite_template}")
    statements: list[str] = []
    with database.reading() as tx:
        event.listen(tx, "before_cursor_execute", lambda *told: statements.append(told[2]))
        assert brought_back(tx) == []
        plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[0]}", (33,))]
    database.close()

    scanned = [step for step in plan if step.startswith("SCAN") and "erasures" not in step]
    assert scanned == []
