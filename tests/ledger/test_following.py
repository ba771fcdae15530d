"""Following peers that keep their word: what is kept of them, and that nothing is lost or waited for."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from ledger import followed, mirroring, peers
from ledger.clock import ManualClock
from ledger.following import Following, pause_after
from ledger.issuing import issue
from ledger.status_tokens import path_of
from tests.ledger import licensing
from tests.ledger.followed_peers import (
    A,
    B,
    C,
    Urls,
    checkpoint_of,
    licence_in,
    list_seen,
    published,
    state_of,
    suspend,
)
from tests.ledger.liars import Hanging, Liar, grow
from tests.region import OPERATOR
from tests.regions import admit, regions_world
from verifiers.peer_view import Watch
from verifiers.tiles import WIDTH


class Crash(Exception):
    """The process ends here."""


async def test_an_honest_peer_is_followed(tmp_path: Path, database_urls: Urls) -> None:
    """Its log is mirrored byte for byte, its trust list proven, and growth is followed by what is new alone."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        assert (state_of(b)["state"], state_of(b)["detail"]) == (Watch.FOLLOWED, "")
        await grow(a.region, 600)
        await b.following.step()
        state = state_of(b)
        assert state["size"] == state["mirrored"] == a.region.publisher.size > 600
        assert state["good_at"] is not None and state["evidence"] == 0
        mirrored = await b.region.database.read(
            lambda tx: followed.read_mirrored(tx, a.region.origin, 0, state["size"])
        )
        bundle = (await a.service.http.get("/log/tile/entries/001")).content
        assert len(mirrored) == state["size"] and mirrored[256] in bundle
        [view] = b.following.views()
        assert (view.trust.region, view.watch) == (A, Watch.FOLLOWED)
        b.road.asked.clear()
        await grow(a.region, 1)
        await b.following.step()
        assert len([url for _, url in b.road.asked if "tile" in url]) == 1


async def test_status_lists_are_followed_and_news_is_told(tmp_path: Path, database_urls: Urls) -> None:
    """A suspension is seen at the next look, in a list opened under the peer's own trust list."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        licence = await licence_in(a)
        news: list[str] = []
        b.following.on_news.append(news.append)
        held = await list_seen(b, suspended=False)
        [view] = b.following.views()
        assert (held.root, held.source) == (view.trust.root_fingerprint, A)
        assert news and set(news) == {A}
        await suspend(a, licence)
        assert (await list_seen(b, suspended=True)).uri == held.uri


async def test_a_list_that_came_before_its_checkpoint_counts_once_that_is_there(
    tmp_path: Path, sqlite_urls: Urls
) -> None:
    """Where every list that is served is ahead of the checkpoints, what it said a look ago counts."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        first, second = await licence_in(a), (await licensing.issued(a.region, licensing.MARKET, licensing.food(2))).id
        held = await list_seen(b, suspended=False)
        road = Liar(b.road)
        following = Following(b.region, road)
        for licence, seen in ((first, False), (second, True)):
            # The checkpoint is held back, as one would be that is signed a little later than the list.
            road.says["/log/checkpoint"] = await checkpoint_of(world, A)
            path = path_of(int(held.uri.rpartition("/")[2]))
            before = a.region.files.read(path)
            await suspend(a, licence)
            while a.region.files.read(path) == before:
                await asyncio.sleep(0.01)
            await following.step()
            [found] = following.status_lists()
            assert (found.uri, any(found.packed)) == (held.uri, seen)


@pytest.mark.parametrize("crash_at", range(1, 7))
async def test_a_crash_after_any_step_costs_nothing_that_was_stored(
    tmp_path: Path, sqlite_urls: Urls, crash_at: int
) -> None:
    """Whoever starts anew goes on where the last stored step left off, and fetches no bundle again that was stored."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        await grow(a.region, 3 * WIDTH)
        left = crash_at

        def crash(_step: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        b.road.asked.clear()
        first = Following(b.region, b.road, step_done=crash)
        with contextlib.suppress(Crash):
            await first.step()
        second = Following(b.region, b.road)
        await second.step()
        [state] = second.states()
        assert (state["state"], state["size"]) == (Watch.FOLLOWED, a.region.publisher.size)
        bundles = [url for _, url in b.road.asked if "/entries/" in url]
        assert len(bundles) == len(set(bundles))


async def test_another_process_reads_what_the_leader_stored(tmp_path: Path, database_urls: Urls) -> None:
    """A process that does not lead asks nobody and knows the same."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B]
        b.road.asked.clear()
        other = Following(b.region, b.road)
        await other.refresh()
        assert b.road.asked == []
        [mine], [theirs] = b.following.views(), other.views()
        assert (mine.trust.digest, mine.watch) == (theirs.trust.digest, theirs.watch)
        assert other.verified(A) == b.following.verified(A)


async def test_missed_versions_are_fetched_and_chained(tmp_path: Path, sqlite_urls: Urls) -> None:
    """A gap is closed version by version, each proven to be logged."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        seq = state_of(b)["trust_list"]["seq"]
        await licensing.furnish(a.region)
        await published(a.region)
        for department in (licensing.AGRICULTURE, licensing.HOUSING):
            await licensing.give(a.region, department, licensing.DRUG)
            await published(a.region)
        b.road.asked.clear()
        await b.following.step()
        now = state_of(b)["trust_list"]["seq"]
        assert now >= seq + 2
        for missed in range(seq + 1, now + 1):
            assert any(url.endswith(f"/trust-list/{missed}/receipt") for _, url in b.road.asked)


async def test_a_silent_log_is_frozen_after_what_it_promised(tmp_path: Path, sqlite_urls: Urls) -> None:
    """A checkpoint that is repeated for longer than the peer promised is a freeze; a new one ends it."""
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    async with regions_world(tmp_path, sqlite_urls, clock=clock) as world:
        a, b = world[A], world[B]
        old = await checkpoint_of(world, A)
        b.road.instead[A] = Liar(b.road.honest(), {"/log/checkpoint": old})
        clock.advance(a.region.config.republish_interval_s + 31)
        await b.following.step()
        assert state_of(b)["state"] == Watch.FROZEN
        del b.road.instead[A]
        await grow(a.region, 1)
        await b.following.step()
        assert state_of(b)["state"] == Watch.FOLLOWED


async def test_a_peer_that_is_cut_off_is_unreachable_and_what_it_said_stays(
    tmp_path: Path, database_urls: Urls
) -> None:
    """Silence changes nothing that was verified; the state says since when."""
    async with regions_world(tmp_path, database_urls) as world:
        b = world[B]
        before = state_of(b)
        b.road.cut.add(A)
        await b.following.step()
        after = state_of(b)
        assert (after["state"], after["size"], after["good_at"]) == (
            Watch.UNREACHABLE,
            before["size"],
            before["good_at"],
        )
        assert b.following.views()[0].watch is Watch.UNREACHABLE
        b.road.cut.clear()
        await b.following.step()
        assert state_of(b)["state"] == Watch.FOLLOWED


async def test_a_peer_that_hangs_delays_nobody(tmp_path: Path, sqlite_urls: Urls) -> None:
    """While one peer holds every call open, the others are followed and licences are issued."""
    async with regions_world(tmp_path, sqlite_urls, count=3) as world:
        b, c = world[B], world[C]
        await licensing.furnish(b.region)
        hanging = b.road.instead[A] = Hanging()
        following = Following(b.region, b.road)
        following.start()
        try:
            await grow(c.region, 3)
            for _ in range(200):
                if following.verified(C)[1] == c.region.publisher.size and hanging.asked:
                    break
                await asyncio.sleep(0.05)
            assert following.verified(C)[1] == c.region.publisher.size
            assert hanging.asked <= 2  # one look, and one question about what its witness was shown
            request = licensing.request(b.region, licensing.food())
            assert await issue(b.region, licensing.actor(licensing.MARKET), [request])
            assert all(check["ready"] for check in (await b.region.readiness()).values() if "optional" not in check)
        finally:
            await following.stop()


async def test_our_own_rule_decides_whose_cosignatures_count(tmp_path: Path, sqlite_urls: Urls) -> None:
    """Where we demand witnesses, the cosigned checkpoint is asked for, and one without enough still shows growth."""
    async with regions_world(tmp_path, sqlite_urls, count=3) as world:
        a, b, c = world[A], world[B], world[C]
        witness = c.region.witness_identity.current
        assert witness is not None
        url = f"{c.region.base_url}/witness"
        keys = [{"name": witness.name, "url": url, "vkey": vkey} for vkey in witness.vkeys[:1]]
        await admit(b.region, a.region, witnesses={"k": 1, "keys": keys})
        b.road.asked.clear()
        await grow(a.region, 2)
        await b.following.step()
        assert (state_of(b)["state"], state_of(b)["size"]) == (Watch.FOLLOWED, a.region.publisher.size)
        assert any(url.endswith("/log/checkpoint.witnessed") for _, url in b.road.asked)


async def test_a_peer_that_was_withdrawn_is_followed_no_more(tmp_path: Path, sqlite_urls: Urls) -> None:
    """Nobody is asked, and nothing is given to verifiers; a suspended one is followed on."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        b = world[B]
        await peers.suspend(b.region, OPERATOR, A, "示例")
        await b.following.step()
        assert (state_of(b)["status"], state_of(b)["state"]) == ("suspended", Watch.FOLLOWED)
        await peers.withdraw(b.region, OPERATOR, A, "示例")
        b.road.asked.clear()
        await b.following.step()
        assert (b.road.asked, b.following.states(), b.following.views()) == ([], [], ())
        assert b.following.trust_list(A) is None


async def test_a_log_too_long_for_one_look_is_followed_in_several(
    tmp_path: Path, sqlite_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status lists and trust list have their turn in between, and nothing counts as verified before the root is met."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        verified = state_of(b)["size"]
        await grow(a.region, 3 * WIDTH)
        monkeypatch.setattr(mirroring, "BUNDLES_A_ROUND", 1)  # one for the checkpoint, one for the new list
        await b.following.step()
        state = state_of(b)
        assert (state["state"], state["size"], state["mirrored"]) == (Watch.FOLLOWED, verified, 2 * WIDTH)
        assert state["detail"] == f"mirrored {2 * WIDTH} entries so far"
        await b.following.step()
        await b.following.step()
        assert (state_of(b)["size"], state_of(b)["detail"]) == (a.region.publisher.size, "")


async def test_a_fork_is_forgiven_only_by_operators(tmp_path: Path, sqlite_urls: Urls) -> None:
    """A forked peer stays one while it is active; suspended, it is judged by what it shows now."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        b = world[B]
        row = await b.region.database.read(lambda tx: followed.read_one(tx, A))
        assert row is not None
        bad = replace(row, state=Watch.FORKED, detail="example")
        await b.region.database.write(lambda tx: followed.judge(tx, bad, row.state))
        await b.following.step()
        assert state_of(b)["state"] == Watch.FORKED
        await peers.suspend(b.region, OPERATOR, A, "示例")
        await b.following.step()
        assert state_of(b)["state"] == Watch.FOLLOWED


def test_a_peer_that_fails_is_asked_less_and_less_often() -> None:
    """The pause doubles up to half a minute, never quite the same for two peers."""
    pauses = [pause_after(n, 1.0, Random(7)) for n in (0, 1, 2, 3, 60)]
    longest = [1, 2, 4, 8, 30]
    assert all(0.8 * most <= pause <= most for pause, most in zip(pauses, longest, strict=True))
