"""Two processes of one region that follow the same peer for a moment, because the lease moved: neither undoes what the
other has stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger import followed, followed_status, mirroring
from ledger.database import Reading
from ledger.followed import Followed, Overtaken, StoredList
from ledger.following import Following
from ledger.outside import Answer
from ledger.region import Region
from tests.ledger.followed_peers import A, B, Urls, checkpoint_of, licence_in, list_seen, published, state_of
from tests.ledger.liars import Liar, grow
from tests.regions import Place, regions_world
from verifiers.checkpoint import open_checkpoint
from verifiers.merkle import Frontier
from verifiers.peer_view import Watch
from verifiers.tiles import ENTRIES, Tile


async def row_of(region: Region) -> Followed:
    """What is stored of A's log."""
    row = await region.database.read(lambda tx: followed.read_one(tx, A))
    assert row is not None
    return row


async def test_who_begins_too_late_is_overtaken(tmp_path: Path, database_urls: Urls) -> None:
    """The log is not taken back to its first entry by a process that had seen nothing of it when it asked."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B].region
        row = await row_of(b)
        for stale in (None, replace(row, origin="elsewhere.example/610000/0")):
            with pytest.raises(Overtaken):
                await b.database.write(lambda tx: followed.begin(tx, A, row.origin, stale))  # noqa: B023
        assert await row_of(b) == row
        entries = await b.database.read(lambda tx: followed.read_mirrored(tx, row.origin, 0, row.size))
        assert len(entries) == row.size > 0


async def test_a_fork_that_one_saw_is_not_called_good_by_the_other(tmp_path: Path, database_urls: Urls) -> None:
    """Who looked before the fork was found stores its own judgement no more."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B].region
        row = await row_of(b)
        forked = replace(row, state=Watch.FORKED, detail="example")
        assert await b.database.write(lambda tx: followed.judge(tx, forked, row.state))
        assert not await b.database.write(lambda tx: followed.judge(tx, row, row.state))
        assert (await row_of(b)).state is Watch.FORKED


async def test_a_mirror_of_the_same_length_along_another_fork_is_not_continued(
    tmp_path: Path, database_urls: Urls
) -> None:
    """What a mirror is continued from is its compact range, not how long it is."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B].region
        row = await row_of(b)
        other = Frontier()
        for n in range(row.mirrored):
            other.append(bytes([n % 256]) * 32)
        stale = replace(row, frontier=other.to_bytes())
        with pytest.raises(Overtaken):
            await b.database.write(lambda tx: followed.extend_mirror(tx, stale, [b"x"], other, row.chain))
        with pytest.raises(Overtaken):
            await b.database.write(lambda tx: followed.cut_mirror(tx, stale, Frontier(), row.chain))
        assert await row_of(b) == row


async def test_a_second_list_under_one_number_takes_no_place(tmp_path: Path, database_urls: Urls) -> None:
    """The one that was stored first stays, and is what the other process compares its own with."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B].region
        root = b.catalogue.recognised.peers[A].root
        stored = (await b.database.read(lambda tx: followed.read_lists(tx, A, root)))[0]
        second = StoredList(stored.seq, bytes(32), "another", stored.logged_idx)
        with pytest.raises(Overtaken):
            await b.database.write(lambda tx: followed.keep_list(tx, A, root, second, b.clock.now()))
        assert (await b.database.read(lambda tx: followed.read_lists(tx, A, root)))[0] == stored


async def test_a_status_list_stored_meanwhile_is_not_replaced_by_an_older_one(
    tmp_path: Path, database_urls: Urls
) -> None:
    """A process that fetched a list and was slow to store it is overtaken; one that holds none takes what it gets."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        await licence_in(a)
        uri = (await list_seen(b, suspended=False)).uri
        newest = b.following._follower(b.region.catalogue.recognised.peers[A]).status._held[uri]
        slow, now = replace(newest, iat=newest.iat - 1), b.region.clock.now()
        with pytest.raises(Overtaken):
            await b.region.database.write(lambda tx: followed_status._keep(tx, A, slow, slow, now))
        await b.region.database.write(lambda tx: followed_status._keep(tx, A, newest, slow, now))
        await b.region.database.write(lambda tx: followed_status._keep(tx, A, slow, None, now))


async def test_what_was_heard_of_another_log_is_not_compared(tmp_path: Path, sqlite_urls: Urls) -> None:
    """A checkpoint of an earlier log of the peer that comes in late convicts nobody."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        log = b.following._follower(b.region.catalogue.recognised.peers[A]).log
        heard = open_checkpoint(await checkpoint_of(world, A), a.region.log_policy)
        log.heard(replace(heard, checkpoint=replace(heard.checkpoint, origin="r.example/610000/0", size=1)))
        await b.following.step()
        assert not await log.compare_heard(a.region.base_url)
        assert state_of(b)["state"] == Watch.FOLLOWED


async def test_more_may_be_heard_while_what_was_heard_is_compared(tmp_path: Path, sqlite_urls: Urls) -> None:
    """Only the newest are kept, and what is given up for them meanwhile is in nobody's way."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        log = b.following._follower(b.region.catalogue.recognised.peers[A]).log
        older = open_checkpoint(await checkpoint_of(world, A), a.region.log_policy)
        await grow(a.region, 1)
        await b.following.step()
        await b.following.step()
        newer = open_checkpoint(await checkpoint_of(world, A), a.region.log_policy)
        later = [replace(newer, checkpoint=replace(newer.checkpoint, size=10**6), text=str(n)) for n in range(20)]

        def hear_more() -> Answer:
            for each in later:
                log.heard(each)
            return Answer(404, b"")

        log._compared.clear()
        log.heard(older)
        says = {f"/log/{Tile(0, 0, a.region.publisher.size).path()}": hear_more}
        truth = b.road.honest()
        log._outside = Liar(truth, {**says, f"/log/{Tile(0, 0).path()}": await _answer(a, truth)})
        assert await log.compare_heard(a.region.base_url)
        assert len(log._heard) == mirroring.HEARD


async def _answer(a: Place, truth: object) -> bytes:
    """The hash tile of A as if it were full, as far as anybody asks for it."""
    tile = Tile(0, 0, a.region.publisher.size).path()
    hashes = (await a.service.http.get(f"/log/{tile}")).content
    return hashes.ljust(256 * 32, b"\0")


async def test_lies_about_entries_do_not_have_the_mirror_read_again_and_again(
    tmp_path: Path, sqlite_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a peer serves wrong entries, the way back to the last good place is computed once."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        again = Following(b.region, b.road)
        read = followed.read_mirrored
        reads: list[int] = []

        def counting(tx: Reading, origin: str, start: int, end: int) -> list[bytes]:
            reads.append(end - start)
            return read(tx, origin, start, end)

        monkeypatch.setattr(followed, "read_mirrored", counting)
        before = state_of(b)["size"]
        await grow(a.region, 1)
        path = "/log/" + Tile(ENTRIES, 0, a.region.publisher.size).path()
        bundle = (await a.service.http.get(path)).content
        for lie in (bundle[:-1], b"", bundle[:-2]):
            b.road.instead[A] = Liar(b.road.honest(), {path: lie})
            await again.step()
            assert again.states()[0]["state"] == Watch.INCONSISTENT
        assert sum(reads) == before
        del b.road.instead[A]
        await published(a.region)
        await again.step()
        assert again.states()[0]["state"] == Watch.FOLLOWED
