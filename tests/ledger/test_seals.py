"""Seals: filed once, suspended and resumed, retired for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger import seals
from ledger.errors import Code, Refusal
from ledger.region import Region
from tests.ledger import licensing


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region with departments, types and grants, on both engines."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        yield region


def seal(**changes: Any) -> dict[str, Any]:
    """Return a licence seal of the market department."""
    return {
        "code": "6100000000001",
        "kind": "licence",
        "name": "示例市场监管局证照专用章",
        "holder": licensing.MARKET,
        "picture": "0" * 64,
        "valid_from": "2026-11-21",
    } | changes


async def test_a_seal_lives_from_filing_to_retirement(region: Region) -> None:
    """It can be suspended and resumed; once retired it stays retired."""
    market = licensing.actor(licensing.MARKET)
    filed = await seals.register(region, market, seal())
    states = []
    for act in ("suspend", "resume", "retire"):
        await seals.act(region, market, filed["id"], {"act": act, "reason": "示例"})
        states.append((await region.database.read(lambda tx: seals.get(tx, filed["id"])))["state"])
    with pytest.raises(Refusal) as caught:
        await seals.act(region, market, filed["id"], {"act": "resume", "reason": "示例"})

    assert states == ["suspended", "active", "retired"]
    assert caught.value.code is Code.SEAL_STATE


async def test_a_seal_is_filed_once_by_whom_may(region: Region) -> None:
    """A code is taken once; holder numbers must hold; departments without the grant cannot file."""
    market = licensing.actor(licensing.MARKET)
    await seals.register(region, market, seal())

    refusals = []
    for who, body in [
        (market, seal()),
        (market, seal(code="6100000000002", holder="1" * 18)),
        (market, seal(code="6100000000003", valid_until="2020-01-01")),
        (licensing.actor("1" * 18), seal(code="6100000000004")),
    ]:
        with pytest.raises(Refusal) as caught:
            await seals.register(region, who, body)
        refusals.append((caught.value.code, caught.value.pointer))

    assert refusals == [
        (Code.SEAL_EXISTS, "/code"),
        (Code.SEAL_INVALID, "/holder"),
        (Code.VALIDITY_REVERSED, "/valid_until"),
        (Code.DEPARTMENT_UNKNOWN, None),
    ]
