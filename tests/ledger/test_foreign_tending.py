"""What tending other regions' licences costs: nothing for what does not concern them, and no peer waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import flood, foreign_licences, foreign_tending
from tests.ledger.cascade_world import VALID, A, B, C, cascade_world
from tests.ledger.liars import Hanging

Urls = Callable[[str], str]


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[tuple[Any, ...]]:
    """Take down what a function of a module is called with from now on; it still does what it does."""
    real, calls = getattr(module, name), list[tuple[Any, ...]]()

    def calling(*args: Any) -> Any:
        calls.append(args[1:])
        return real(*args)

    monkeypatch.setattr(module, name, calling)
    return calls


async def test_issuing_has_no_peers_licences_gone_through(
    sqlite_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a licence that rests on one of a peer gives reason to look at what the peer's lists say."""
    monkeypatch.setattr(foreign_tending, "LOOK_S", 3600.0)
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        await world.licence(B, (A, root))
        await world.rounds(2)
        tending = world.tending[B]
        await tending._go_on()
        looks = counted(monkeypatch, foreign_licences, "placed")
        await world.licence(B)
        await tending._go_on()
        assert looks == []
        await world.licence(B, (A, root))
        await tending._go_on()
        assert looks == [(A,)]


async def test_what_is_held_is_not_written_again_and_again(
    sqlite_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a flood waits for an operator, looking at it leaves the database alone."""
    async with cascade_world(tmp_path, sqlite_urls, foreign_effects_per_hour=0) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        await world.act(A, root, "suspend")

        async def held() -> bool:
            return bool(await world.region(B).database.read(flood.listed))

        await world.until(held)
        holds = counted(monkeypatch, flood, "hold")
        await world.look(B)
        await world.look(B)
        assert holds == []
        assert await world.states(B, child) == [VALID]


async def test_a_peer_that_hangs_keeps_no_notice_from_another(sqlite_urls: Urls, tmp_path: Path) -> None:
    """B never answers; C has its notice all the same, and stopping does not wait for B."""
    async with cascade_world(tmp_path, sqlite_urls, count=3) as world:
        root = await world.licence(A)
        for code in (B, C):
            await world.licence(code, (A, root))
        await world.rounds(2)
        world[A].road.instead[B] = Hanging()
        await world.act(A, root, "suspend")
        tending = world.tending[A]
        for _ in range(200):
            await tending._call_all()
            if await world.received(C):
                break
            await asyncio.sleep(0.05)
        assert [each.detail for each in await world.received(C)] == ["fell"]
        assert await world.received(B) == []
        await tending.stop()
