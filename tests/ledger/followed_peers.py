"""What tests of following ask and wait for, in a world of regions that follow each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ledger import acts
from ledger.region import Region
from tests.ledger import licensing
from tests.ledger.test_acts import body
from tests.regions import Place, RegionsWorld
from verifiers.status_list import StatusList

A, B, C = "610000", "620000", "630000"
Urls = Callable[[str], str]


def state_of(place: Place, code: str = A) -> dict[str, Any]:
    """What one region says of its following of another."""
    return next(each for each in place.following.states() if each["region"] == code)


async def published(region: Region) -> None:
    """Wait until what was committed is published and the trust list says it."""
    assert await region.trust.settled(20)
    await region.publisher.published((await region.figures())["size"] - 1)


async def checkpoint_of(world: RegionsWorld, code: str) -> bytes:
    """The newest checkpoint as it is served."""
    return (await world[code].service.http.get("/log/checkpoint")).content


async def licence_in(a: Place) -> str:
    """Issue a licence in a region that had no department yet."""
    await licensing.furnish(a.region)
    licence = await licensing.issued(a.region, licensing.MARKET, licensing.food())
    await published(a.region)
    return licence.id


async def suspend(a: Place, licence: str) -> None:
    """Suspend a licence, and wait until that is published."""
    await acts.act(a.region, licensing.actor(licensing.MARKET), licence, body("suspend"))
    await published(a.region)


async def list_seen(b: Place, *, suspended: bool) -> StatusList:
    """Look until the one status list of A shows a suspended licence, or none; give it."""
    for _ in range(100):
        await b.following.step()
        held = b.following.status_lists()
        if held and any(held[0].packed) is suspended:
            break
        await asyncio.sleep(0.05)
    [found] = b.following.status_lists()
    assert any(found.packed) is suspended
    return found
