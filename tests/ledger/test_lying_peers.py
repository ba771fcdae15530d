"""Peers that lie to whoever follows them: each lie is found, kept as evidence where it convicts, and gains nothing."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ledger import misbehaviour
from ledger.following import Following
from ledger.outside import Answer
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
from tests.ledger.liars import Liar, grow, twin_of
from tests.region import memory_store
from tests.regions import Place, regions_world
from verifiers.note import NoteKey
from verifiers.peer_view import Watch
from verifiers.tiles import ENTRIES, Tile
from verifiers.trust_document import TrustedLog


async def evidence_of(place: Place) -> list[str]:
    """The kinds of evidence a region has kept, oldest first."""
    kept = await place.region.database.read(misbehaviour.listed)
    return [each["kind"] for each in reversed(kept)]


def impatient(place: Place) -> Following:
    """A follower that calls everything a rollback at once."""
    return Following(place.region, place.road, lag_s=0)


async def test_a_fork_is_proven_and_stays_one(tmp_path: Path, database_urls: Urls) -> None:
    """A second history under the same keys is found however it is shown, and going back to the first does not help."""
    store = memory_store()
    async with (
        regions_world(tmp_path, database_urls, stores={A: store}) as world,
        twin_of(A, store, tmp_path, database_urls) as (twin, road),
    ):
        b = world[B]
        verified = state_of(b)["size"]
        await grow(twin, 20)
        b.road.instead[A] = road
        await b.following.step()
        assert (state_of(b)["state"], state_of(b)["size"]) == (Watch.FORKED, verified)
        assert "does not extend" in state_of(b)["detail"]
        assert await evidence_of(b) == ["fork"]
        [kept] = await b.region.database.read(lambda tx: misbehaviour.against(tx, A))
        assert kept["kind"] == "fork" and len(kept["evidence"]) >= 2
        assert await b.region.database.read(lambda tx: misbehaviour.against(tx, B)) == []
        del b.road.instead[A]
        await b.following.step()
        assert state_of(b)["state"] == Watch.FORKED
        [view] = b.following.views()
        assert view.watch is Watch.FORKED


async def test_two_roots_for_one_size_are_a_fork(tmp_path: Path, sqlite_urls: Urls) -> None:
    """No proof is needed where one size has two signed roots."""
    store = memory_store()
    async with (
        regions_world(tmp_path, sqlite_urls, stores={A: store}) as world,
        twin_of(A, store, tmp_path, sqlite_urls) as (twin, road),
    ):
        a, b = world[A], world[B]
        ours, theirs = a.region.publisher.size, twin.publisher.size
        await grow(*((a.region, theirs - ours) if theirs > ours else (twin, ours - theirs + 3)))
        await grow(a.region, max(1, twin.publisher.size - a.region.publisher.size))
        while a.region.publisher.size != twin.publisher.size:
            await grow(twin if twin.publisher.size < a.region.publisher.size else a.region, 1)
        await b.following.step()
        assert state_of(b)["state"] == Watch.FOLLOWED
        b.road.instead[A] = road
        await b.following.step()
        assert "two roots were signed" in state_of(b)["detail"]
        assert state_of(b)["state"] == Watch.FORKED


async def test_without_a_mirror_growth_is_proven_and_a_fork_found(tmp_path: Path, sqlite_urls: Urls) -> None:
    """Hash tiles alone prove that a log only grew."""
    store = memory_store()
    async with (
        regions_world(tmp_path, sqlite_urls, stores={A: store}, mirror_entries=False) as world,
        twin_of(A, store, tmp_path, sqlite_urls) as (twin, road),
    ):
        a, b = world[A], world[B]
        await grow(a.region, 300)
        await b.following.step()
        state = state_of(b)
        assert (state["state"], state["size"], state["mirrored"]) == (Watch.FOLLOWED, a.region.publisher.size, 0)
        assert not [url for _, url in b.road.asked if "/entries/" in url]
        await grow(twin, 400)
        b.road.instead[A] = road
        await b.following.step()
        assert state_of(b)["state"] == Watch.FORKED


async def test_a_log_that_goes_back_is_noticed_and_nothing_is_lost(tmp_path: Path, database_urls: Urls) -> None:
    """An older checkpoint is patience's matter first and a rollback then; what was verified stays, growth heals."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        old = await checkpoint_of(world, A)
        await grow(a.region, 5)
        await b.following.step()
        size = state_of(b)["size"]
        b.road.instead[A] = Liar(b.road.honest(), {"/log/checkpoint": old})
        await b.following.step()
        assert state_of(b)["state"] == Watch.FOLLOWED
        hasty = impatient(b)
        await hasty.step()
        [state] = hasty.states()
        assert (state["state"], state["size"]) == (Watch.ROLLED_BACK, size)
        assert await evidence_of(b) == ["rollback"]
        del b.road.instead[A]
        await hasty.step()
        [state] = hasty.states()
        assert state["state"] == Watch.FOLLOWED


async def test_entries_that_do_not_lead_to_the_root_are_not_kept(tmp_path: Path, database_urls: Urls) -> None:
    """Wrong entries under an honest checkpoint are inconsistent, and the mirror is as it was before."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        before = state_of(b)["size"]
        await grow(a.region, 1)
        size = a.region.publisher.size
        path = "/log/" + Tile(ENTRIES, 0, size).path()
        bundle = (await a.service.http.get(path)).content
        spoilt = bytes([*bundle[:-60], *bundle[-60:-50], bundle[-50] ^ 3, *bundle[-49:]])
        for lie in (spoilt, bundle[:-1], b""):
            b.road.instead[A] = Liar(b.road.honest(), {path: lie})
            await b.following.step()
            assert (state_of(b)["state"], state_of(b)["mirrored"]) == (Watch.INCONSISTENT, before)
        del b.road.instead[A]
        await b.following.step()
        assert (state_of(b)["state"], state_of(b)["mirrored"]) == (Watch.FOLLOWED, size)


async def test_a_replayed_trust_list_is_not_taken(tmp_path: Path, sqlite_urls: Urls) -> None:
    """An older list never takes the place of a newer one; who keeps showing it has rolled back."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        old = (await a.service.http.get("/trust-list")).content
        await licensing.furnish(a.region)
        await published(a.region)
        await b.following.step()
        seq = state_of(b)["trust_list"]["seq"]
        assert seq > 1
        b.road.instead[A] = Liar(b.road.honest(), {"/trust-list": old})
        hasty = impatient(b)
        await hasty.step()
        [state] = hasty.states()
        assert (state["state"], state["trust_list"]["seq"]) == (Watch.ROLLED_BACK, seq)
        assert await evidence_of(b) == ["list_rollback"]


@pytest.mark.parametrize("lie", ["unlogged", "log_keys", "equivocation"])
async def test_a_list_that_was_signed_but_may_not_be_is_refused(tmp_path: Path, sqlite_urls: Urls, lie: str) -> None:
    """A stolen list key gains nothing: not without the log, not by naming another log key, not by a second version."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        [view] = b.following.views()
        held = view.trust.document
        forged = replace(held, seq=held.seq + 1, prev=view.trust.digest)
        if lie == "log_keys":
            keys = rekeyed(a.region.origin, b.region.vkeys)
            forged = replace(forged, logs=(TrustedLog(a.region.origin, keys),))
        if lie == "equivocation":
            forged = replace(held, names=replace(held.names, en="Another"))
        text = await a.region.trust._sign(forged)
        receipt = (await a.service.http.get(f"/trust-list/{held.seq}/receipt")).content
        says = {"/trust-list": text.encode(), f"/trust-list/{forged.seq}/receipt": receipt}
        b.road.instead[A] = Liar(b.road.honest(), says)
        await b.following.step()
        wanted = Watch.FORKED if lie == "equivocation" else Watch.INCONSISTENT
        assert (state_of(b)["state"], state_of(b)["trust_list"]["seq"]) == (wanted, held.seq)
        assert await evidence_of(b) == [lie]
        assert b.following.trust_list(A) is not None and b.following.views()[0].trust.digest == view.trust.digest


def rekeyed(origin: str, vkeys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of another log as if they were those of the log `origin`, as verifier key texts."""
    keys = [NoteKey.from_text(vkey) for vkey in vkeys]
    return tuple(NoteKey(origin, key.type, key.public_key).to_text() for key in keys)


async def test_an_older_status_list_never_replaces_a_newer_one(tmp_path: Path, database_urls: Urls) -> None:
    """Whoever repeats the list from before a suspension shows us nothing new, also after a new start."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        licence = await licence_in(a)
        number = (await list_seen(b, suspended=False)).uri.rpartition("/")[2]
        old = (await a.service.http.get(f"/status-lists/{number}")).content
        await suspend(a, licence)
        await list_seen(b, suspended=True)
        b.road.instead[A] = Liar(b.road.honest(), {f"/status-lists/{number}": old})
        await grow(a.region, 1)
        await b.following.step()
        assert any(b.following.status_lists()[0].packed)
        again = Following(b.region, b.road)
        await again.step()
        assert any(again.status_lists()[0].packed)


@pytest.mark.parametrize("body_", [b"", b"<html>", b"\xff" * 99, b"x" * 9999], ids=["empty", "page", "bytes", "long"])
async def test_what_nobody_signed_says_nothing_of_the_peer(tmp_path: Path, sqlite_urls: Urls, body_: bytes) -> None:
    """A page of a proxy in the place of checkpoint, list or tile is as good as no answer."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        b = world[B]
        for path in ("/log/checkpoint", "/trust-list", "/status-lists"):
            b.road.instead[A] = Liar(b.road.honest(), {path: Answer(200, body_)})
            await b.following.step()
            assert state_of(b)["state"] == Watch.UNREACHABLE, path
        assert await evidence_of(b) == []


async def test_two_histories_shown_to_two_peers_are_found_by_asking_each_other(
    tmp_path: Path, sqlite_urls: Urls
) -> None:
    """What another peer's witness was shown is compared: who sees the honest side learns of the other."""
    store = memory_store()
    async with (
        regions_world(tmp_path, sqlite_urls, count=3, stores={A: store}) as world,
        twin_of(A, store, tmp_path, sqlite_urls) as (twin, road),
    ):
        a, b = world[A], world[B]
        name = sha256(a.region.origin.encode()).hexdigest()
        shown = (await road.get(f"{a.region.base_url}/log/checkpoint", limit=99_999)).body
        b.road.instead[C] = Liar(b.road.honest(), {f"/witness/{name}/checkpoint": shown})
        await grow(a.region, twin.publisher.size)
        await b.following.step()
        assert state_of(b)["state"] == Watch.FORKED
        assert await evidence_of(b) == ["fork"]
        assert state_of(b, C)["state"] == Watch.FOLLOWED
