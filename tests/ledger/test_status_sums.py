"""Large regions do not sum all their bits up at each look: only where something was logged that may have turned one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import acts, status_tokens
from tests.ledger import licensing
from tests.ledger.test_acts import body


async def test_sums_stand_while_nothing_can_turn_a_bit(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new licence has no bit to turn; an act on one may, and so may an entry that says nothing of itself."""
    monkeypatch.setattr(status_tokens, "MANY", 1)
    async with licensing.licensing_region(database_url, tmp_path) as region:
        read = region.database.read
        first = await read(status_tokens.snapshot)
        known = status_tokens.Snapshot(first.size, {}, {0: (1, 0, 0, 0)})  # sums that tell whether they were kept

        idle = await read(lambda tx: status_tokens.snapshot(tx, known))
        licence = await licensing.issued(region, licensing.MARKET, licensing.food(1))
        issued = await read(lambda tx: status_tokens.snapshot(tx, known))
        await acts.act(region, licensing.actor(licensing.MARKET), licence.id, body("annul"))
        acted = await read(lambda tx: status_tokens.snapshot(tx, known))

    assert idle.sums == issued.sums == known.sums
    assert issued.size > first.size
    assert len(issued.uris) == 1
    assert acted.sums != known.sums


async def test_few_bits_are_always_summed_up(database_url: str, tmp_path: Path) -> None:
    """Where it costs nothing every look finds out for itself."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        first = await region.database.read(status_tokens.snapshot)
        known = status_tokens.Snapshot(first.size, {}, {0: (1, 0, 0, 0)})

        assert (await region.database.read(lambda tx: status_tokens.snapshot(tx, known))).sums == first.sums
