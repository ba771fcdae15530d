"""Backups on both engines: one state while others write, refused when anything is amiss, put back so that it fits."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from ledger import backups, erased_before, subjects
from ledger.auditing import Stored, audit_stored
from ledger.backing_up import Backup, back_up
from ledger.database import Database
from ledger.erasing import erase_subject
from ledger.errors import Code, Refusal
from ledger.public_files import served_size
from ledger.region import Region
from ledger.restoring import restore
from ledger.sequencing import read_head
from ledger.tables.log import head, record_keys
from ledger.tables.witnessing import witness_identity
from tests.ledger import licensing
from tests.region import BASE_URL, OPERATOR, region_config, region_on

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region with departments, types and grants, on each engine."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        yield region


@pytest.fixture
async def bare(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region in which nothing has happened yet."""
    async with region_on(database_url, tmp_path) as region:
        await region.trust.settled(10)
        yield region


@pytest.fixture
def other_url(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database of the same kind with nothing in it."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other' / 'log.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def backed_up(region: Region, place: Path, **changes: Any) -> Backup:
    """Back the running region up."""
    return back_up(region.database, region.vault, place, **{"now": NOW, "days": 30, **changes})


async def writing(region: Region, stop: asyncio.Event) -> int:
    """Issue licences until told to stop; returns how many were acknowledged."""
    n = 0
    while not stop.is_set():
        n += 1
        await licensing.issued(region, licensing.EDUCATION, licensing.diploma(n))
    return n


async def test_a_backup_under_load_is_one_state(region: Region, tmp_path: Path, other_url: str) -> None:
    """What was acknowledged before it began is in it, nothing later than its end is; the copy passes the audit."""
    stop = asyncio.Event()
    load = asyncio.create_task(writing(region, stop))
    await asyncio.sleep(0.3)
    before = (await region.database.read(read_head)).size
    done = await asyncio.to_thread(backed_up, region, tmp_path / "kept")
    after = (await region.database.read(read_head)).size
    stop.set()
    assert await load > 3

    assert before <= done.manifest.size <= after
    restore(done.folder, other_url, region.store, base_url=BASE_URL)
    again = await Region.open(region_config(other_url, tmp_path / "other"), region.store)
    try:
        end = await again.database.read(read_head)
        assert (end.size, end.frontier.root().hex()) == (done.manifest.size, done.manifest.root)
        await licensing.issued(again, licensing.EDUCATION, licensing.diploma(10**6))
        size = (await again.database.read(read_head)).size
        await again.publisher.published(size - 1)
        assert await again.trust.settled(20)
        report = audit_stored(Stored.of(again))
        assert report.passed, report.findings[:5]
    finally:
        await again.close()


async def test_a_backup_is_private_and_says_what_is_in_it(bare: Region, tmp_path: Path) -> None:
    """Only its owner reads it; what the witness cosigned is left out."""
    old = os.umask(0)
    try:
        done = backed_up(bare, tmp_path / "kept")
    finally:
        os.umask(old)
    for each in [tmp_path / "kept", *(tmp_path / "kept").rglob("*")]:
        if each.name != "lock":
            assert each.stat().st_mode & 0o777 == (0o700 if each.is_dir() else 0o600), each
    told = orjson.loads((done.folder / "manifest.json").read_bytes())
    assert (told["region"], told["origin"], told["format"]) == ("610000", bare.origin, "elicence-backup/1")
    assert set(told["left_out"]) == {"witness_identity", "witnessed_logs"}
    assert told["rows"]["entries"] == told["size"] and "witnessed_logs" not in told["rows"]


CHANGES = ("flipped", "cut", "missing", "no manifest", "no json", "another size")


async def test_a_backup_that_was_changed_is_refused(bare: Region, tmp_path: Path, other_url: str) -> None:
    """Before the database is touched, and naming the file."""
    done = backed_up(bare, tmp_path / "kept")
    largest = max(done.manifest.parts, key=lambda part: part.size)
    for what in CHANGES:
        folder = shutil.copytree(done.folder, tmp_path / what)
        change(folder, largest.path, what)
        with pytest.raises(Refusal) as refused:
            restore(folder, other_url, bare.store, base_url=BASE_URL)
        expected = Code.BACKUP_INCOMPLETE if what == "no manifest" else Code.BACKUP_DAMAGED
        assert refused.value.code is expected, what
        if what in ("flipped", "cut", "missing"):
            assert refused.value.facts == {"file": largest.path}
        assert size_of(other_url) is None, what
    assert restore(done.folder, other_url, bare.store, base_url=BASE_URL).manifest == done.manifest


def change(folder: Path, largest: str, what: str) -> None:
    """Do to a backup what the name says."""
    manifest, victim = folder / "manifest.json", folder / largest
    if what == "flipped":
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(bytes(data))
    elif what == "cut":
        os.truncate(victim, victim.stat().st_size - 1)
    elif what == "missing":
        victim.unlink()
    elif what == "no manifest":
        manifest.unlink()
    elif what == "no json":
        manifest.write_bytes(b"[1,2]")
    else:
        members = orjson.loads(manifest.read_bytes())
        manifest.write_bytes(orjson.dumps(members | {"size": members["size"] - 1}))


def size_of(url: str) -> int | None:
    """How many entries the database holds; None where no log was opened in it."""
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    database = Database.open(url)
    try:
        with database.reading() as tx:
            found = tx.execute(select(head.c.size)).scalar_one_or_none() if tx.dialect.has_table(tx, "head") else None
            return None if found is None else int(found)
    finally:
        database.close()


async def test_only_an_empty_database_is_restored_into(bare: Region, tmp_path: Path, database_url: str) -> None:
    """The very one that is served, above all, is refused, and stays as it is."""
    done = backed_up(bare, tmp_path / "kept")
    before = (await bare.database.read(read_head)).size
    with pytest.raises(Refusal) as refused:
        restore(done.folder, database_url, bare.store, base_url=BASE_URL)
    assert refused.value.code is Code.DATABASE_NOT_EMPTY
    assert (await bare.database.read(read_head)).size >= before


async def test_a_full_disk_leaves_no_backup(bare: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, nothing half is kept, earlier backups stay, and with room again the next one is made."""
    first = backed_up(bare, tmp_path / "kept")
    synced = os.fsync

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refusal) as refused:
        backed_up(bare, tmp_path / "kept")
    monkeypatch.setattr(os, "fsync", synced)
    assert refused.value.code is Code.STORAGE_FULL
    assert [folder for folder, _ in backups.kept(tmp_path / "kept")] == [first.folder]
    assert not [*(tmp_path / "kept").glob(".new-*")]
    assert backed_up(bare, tmp_path / "kept").folder.exists()


async def test_old_backups_are_removed(bare: Region, tmp_path: Path) -> None:
    """The key tables in them could bring back what was erased (protocol 5); another log's are left alone."""
    place = tmp_path / "kept"
    old = backed_up(bare, place, now=NOW - timedelta(days=31))
    young = backed_up(bare, place, now=NOW - timedelta(days=29))
    foreign = place / "another"
    shutil.copytree(old.folder, foreign)
    members = orjson.loads((foreign / "manifest.json").read_bytes())
    (foreign / "manifest.json").write_bytes(orjson.dumps(members | {"origin": "other.example/610000/1"}))

    done = backed_up(bare, place)
    assert done.pruned == (old.folder.name,)
    assert [folder for folder, _ in backups.kept(place)] == [foreign, young.folder, done.folder]


async def test_nothing_is_put_where_everybody_reads(bare: Region) -> None:
    """A backup below the published files would be served by the web server."""
    public = bare.config.tiles
    for place in (public, public / "backups"):
        with pytest.raises(Refusal) as refused:
            backed_up(bare, place, published=public)
        assert refused.value.code is Code.BACKUP_UNSAFE


async def test_another_kind_of_database_or_release_is_refused(bare: Region, tmp_path: Path, other_url: str) -> None:
    """The manifest says what it was made with."""
    done = backed_up(bare, tmp_path / "kept")
    manifest = done.folder / "manifest.json"
    members = orjson.loads(manifest.read_bytes())
    for change in ({"revision": "9999"}, {"product": "other"}, {"format": "elicence-backup/2"}):
        manifest.write_bytes(orjson.dumps(members | change))
        with pytest.raises(Refusal) as refused:
            restore(done.folder, other_url, bare.store, base_url=BASE_URL)
        assert refused.value.code is Code.BACKUP_OTHER, change


async def test_what_was_erased_after_the_backup_is_erased_again(region: Region, tmp_path: Path, other_url: str) -> None:
    """From the list beside the backups, by an entry of its own that names the same two officers."""
    place = tmp_path / "kept"
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    done = backed_up(region, place)
    subject = await region.database.read(lambda tx: subjects.find(tx, region.vault, "111", licensing.PERSON["id"]))
    assert subject is not None
    await erase_subject(
        region, OPERATOR, subject, second="示例复核员", ground="个人信息保护法 47", document_no="示例〔2026〕2号"
    )
    assert erased_before.note_erasures(region.database, region.vault, place, region.origin) == 1

    restore(done.folder, other_url, region.store, base_url=BASE_URL)
    # Its own folder: nobody outside knows that the first log has gone on.
    again = await Region.open(region_config(other_url, tmp_path / "other"), region.store)
    try:
        with again.database.reading() as tx:
            assert subjects.find(tx, again.vault, "111", licensing.PERSON["id"]) == subject
            keys = len(tx.execute(select(record_keys)).all())
        named = erased_before.read_list(place / "erased.json", again.origin)
        parts = await erased_before.erase_again(again, named)
        assert parts > 0
        assert await erased_before.erase_again(again, named) == 0
        with again.database.reading() as tx:
            assert subjects.find(tx, again.vault, "111", licensing.PERSON["id"]) is None
            assert len(tx.execute(select(record_keys)).all()) == keys - parts
            assert not tx.execute(select(witness_identity)).all(), "its old keys were given a new memory"
    finally:
        await again.close()


async def test_an_older_backup_is_found_out_and_writes_nothing(region: Region, tmp_path: Path, other_url: str) -> None:
    """The published files are ahead of it: nothing is written, signed or published, and both sizes are told."""
    done = backed_up(region, tmp_path / "kept")
    await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    size = (await region.database.read(read_head)).size
    await region.publisher.published(size - 1)
    restore(done.folder, other_url, region.store, base_url=BASE_URL)

    again = await Region.open(region_config(other_url, tmp_path), region.store)
    try:
        with pytest.raises(Refusal) as refused:
            await licensing.issued(again, licensing.EDUCATION, licensing.diploma(2))
        assert refused.value.code is Code.LOG_ROLLED_BACK
        assert refused.value.facts["size"] == done.manifest.size < size <= refused.value.facts["seen"]
        with pytest.raises(Refusal):
            again.seen.require_whole()
        ready = await again.readiness()
        assert ready["log"]["detail"] == "log.rolled_back" and not ready["log"]["ready"]
        assert (await again.database.read(read_head)).size == done.manifest.size
        served = again.files.checkpoint()
        assert served is not None and served_size(served) >= size
    finally:
        await again.close()
