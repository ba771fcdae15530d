"""A peer that names cause after cause for one licence: it fills neither our log, nor our desks, nor our disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger import peer_inbox
from ledger.foreign_meaning import CAUSES_MAX
from ledger.peer_inbox import receive
from ledger.reviews import open_reviews
from ledger.tables.peers import named_causes
from tests.ledger.cascade_world import SUSPENDED, A, B, cascade_world
from tests.ledger.licensing import MARKET
from tests.ledger.test_peer_notices import signed, true_notice

Urls = Callable[[str], str]


async def test_naming_many_causes_for_one_licence_makes_few_entries_here(sqlite_urls: Urls, tmp_path: Path) -> None:
    """Each would be an entry of our log and a case for a department, so those that change nothing count as well."""
    async with cascade_world(tmp_path, sqlite_urls, foreign_effects_per_hour=5) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        await world.act(A, root, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])
        await world.rounds(2)
        b, peer = world.region(B), world.region(B).catalogue.recognised.peers[A]
        key = world.region(A).signer(None, "peer")

        for n in range(4):
            made_up = [
                await signed(true_notice(world, root, cause=f"made-up:{n}:{each}", entry=root.entry), key)
                for each in range(10)
            ]
            await receive(b, peer, made_up)
            await world.look(B)
            await world.look(B)

        assert await world.states(B, child) == [SUSPENDED]
        assert len(await world.falls(B)) <= 6
        reviews = await b.database.read(lambda tx: open_reviews(tx, MARKET))
        assert len(reviews["items"]) <= 6
        kept = await b.database.read(lambda tx: tx.execute(select(func.count()).select_from(named_causes)).scalar_one())
        assert kept == CAUSES_MAX


async def test_of_a_peers_notices_the_newest_are_kept(
    sqlite_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at a time are one transaction, and however many come, so many stay."""
    monkeypatch.setattr(peer_inbox, "KEPT", 5)
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        await world.rounds(2)
        b, peer = world.region(B), world.region(B).catalogue.recognised.peers[A]
        key = world.region(A).signer(None, "peer")
        texts = [await signed(true_notice(world, root, cause=f"made-up:{each:02}"), key) for each in range(20)]

        states = [*await receive(b, peer, texts[:12]), *await receive(b, peer, texts[12:])]

        assert states == ["ignored"] * 20
        assert [each.cause for each in await world.received(B)] == [f"made-up:{each:02}" for each in range(15, 20)]
