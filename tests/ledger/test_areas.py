"""A client that is limited to some areas acts nowhere else, whatever its department was granted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import acts, fraud, licences, versions
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.issuing import issue
from ledger.region import Region
from tests.ledger import cases, licensing
from tests.ledger.licensing import FOOD, MARKET, food, issued
from tests.ledger.test_acts import body as act_body

Work = Callable[[Region, Actor, str], Awaitable[Any]]


def elsewhere(*scopes: str) -> Actor:
    """Return a caller of the market department who may act in one city only."""
    return replace(licensing.actor(MARKET, *scopes), areas=frozenset({"610300"}))


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region whose market department holds its grants in the whole province."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


async def _issue(region: Region, actor: Actor, _: str) -> None:
    [outcome] = await issue(region, actor, [licensing.request(region, food(2))])
    if isinstance(outcome, Refusal):
        raise outcome


async def _act(region: Region, actor: Actor, licence: str) -> None:
    day = cases.today(region).isoformat()
    await acts.act(region, actor, licence, act_body("suspend", decided_at=day, served_at=day))


async def _change(region: Region, actor: Actor, licence: str) -> None:
    await versions.new_version(region, actor, licence, {"change": "reissue", "reason": "遗失(示例)"})


async def _read(region: Region, actor: Actor, licence: str) -> None:
    await licences.get(region, actor, licence)


async def _flag(region: Region, actor: Actor, licence: str) -> None:
    await fraud.flag(region, actor, {"targets": [{"licence": licence}], "reason": "示例"})


@pytest.mark.parametrize("work", [_issue, _act, _change, _read, _flag])
async def test_a_client_of_one_city_does_nothing_in_the_province(region: Region, work: Work) -> None:
    """Issuing, acting, changing, reading and accusing all ask."""
    licence = await issued(region, MARKET, food(1))

    with pytest.raises(Refusal) as caught:
        await work(region, elsewhere(), licence.id)
    assert caught.value.code is Code.AREA_INVALID
    await work(region, licensing.actor(MARKET), licence.id)


async def test_a_client_of_one_city_finds_its_own_licences_only(region: Region) -> None:
    """A page may come back empty, and the search goes on behind it."""
    here = await issued(region, MARKET, food(1) | {"area": "610300"})
    for n in (2, 3, 4):
        await issued(region, MARKET, food(n))
    found: list[str] = []
    body = {"purpose": "示例", "type": FOOD, "limit": 2}

    page = await licences.search(region, elsewhere(), body)
    pages = 1
    while "cursor" in page:
        found += [item["id"] for item in page["items"]]
        page = await licences.search(region, elsewhere(), body | {"cursor": page["cursor"]})
        pages += 1
    found += [item["id"] for item in page["items"]]

    assert (found, pages) == ([here.id], 2)
