"""Our witness and our follower see the same history of a peer, also where its log asks no witness."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import witness_feeding
from ledger.witnessing import Outcome, Witness
from tests.ledger.followed_peers import A, B, Urls, state_of
from tests.ledger.liars import grow, twin_of
from tests.region import memory_store
from tests.regions import Place, regions_world
from verifiers.add_checkpoint import format_request, origin_hash
from verifiers.checkpoint import parse_checkpoint
from verifiers.note import parse_note
from verifiers.peer_view import Watch


async def cosigned(place: Place, origin: str) -> int:
    """The size of the log `origin` that a region's witness cosigned last, 0 for never."""
    note = await Witness(place.region).latest(origin_hash(origin))
    return 0 if note is None else parse_checkpoint(parse_note(note).text).size


async def test_a_log_that_asks_no_witness_is_shown_to_ours(
    tmp_path: Path, database_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, so that other followers can compare it; and again whenever it has grown."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        await b.following.step()
        patiently = await cosigned(b, a.region.origin)
        monkeypatch.setattr(witness_feeding, "FEED_AFTER_S", 0.0)
        await b.following.step()
        first = await cosigned(b, a.region.origin)
        await grow(a.region, 3)
        await b.following.step()
        second = await cosigned(b, a.region.origin)

        assert patiently == 0
        assert 0 < first < second == a.region.publisher.size


async def test_a_log_that_shows_our_witness_another_history_than_us_is_found_out(
    tmp_path: Path, sqlite_urls: Urls
) -> None:
    """What our witness cosigned is compared with what we follow, as soon as that has grown as far."""
    store = memory_store()
    async with (
        regions_world(tmp_path, sqlite_urls, stores={A: store}) as world,
        twin_of(A, store, tmp_path, sqlite_urls) as (twin, _),
    ):
        a, b = world[A], world[B]
        await grow(a.region, twin.publisher.size)
        await b.following.step()
        note = twin.publisher.note
        assert note is not None

        shown = await Witness(b.region).add_checkpoint(format_request(0, [], note))
        for _ in range(2):
            await b.following.step()

        assert shown.outcome is Outcome.COSIGNED
        assert state_of(b)["state"] == Watch.FORKED
