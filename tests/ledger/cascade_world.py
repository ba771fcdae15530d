"""Two or three regions whose licences rest on one another's: issuing across the border, acting, and looking in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ledger import acts
from ledger.foreign_tending import ForeignTending
from ledger.issued import Issued
from ledger.region import Region
from ledger.status_tokens import snapshot
from ledger.tables.peers import foreign_falls, peer_notices_in, peer_notices_out
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food
from tests.regions import Place, RegionsWorld, regions_world
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.jws import read_object

A, B, C = "610000", "620000", "630000"
VALID, SUSPENDED, ANNULLED = ("valid", 0), ("suspended", 2), ("annulled", 2)


class CascadeWorld:
    """The regions with what tends to each; nothing happens by itself."""

    def __init__(self, world: RegionsWorld) -> None:
        self.world = world
        self.tending = {place.code: ForeignTending(place.region) for place in world}
        self._n = 0

    def __getitem__(self, code: str) -> Place:
        return self.world[code]

    def region(self, code: str) -> Region:
        """Return one region."""
        return self.world[code].region

    async def licence(self, code: str, *abroad: tuple[str, Issued], basis: str = "identity", **changes: Any) -> Issued:
        """Issue a licence in a region that rests on licences of others."""
        self._n += 1
        rests = [
            {"foreign": {"region": other, "identifier": each.identifier}, "basis": basis} for other, each in abroad
        ]
        body = food(self._n, rests_on=[*rests, *changes.pop("rests_on", [])], **changes)
        return await licensing.issued(self.region(code), MARKET, body)

    async def act(self, code: str, licence: Issued, act: str, department: str = MARKET) -> dict[str, Any]:
        """Do an act on a licence."""
        region = self.region(code)
        day = cases.today(region).isoformat()
        body = {
            "act": act,
            "authority": "示例机关",
            "articles": ["行政许可法 69"],
            "document_no": "示例〔2026〕1号",
            "decided_at": day,
            "served_at": day,
        }
        return await acts.act(region, licensing.actor(department), licence.id, body)

    async def states(self, code: str, *licences: Issued) -> list[tuple[str, int]]:
        """Return the state and slot value of licences of one region."""
        found = await cases.states(self.region(code), [each.id for each in licences])
        return [found[each.id] for each in licences]

    async def tell(self, *codes: str) -> None:
        """Let regions ask about the licences they rely on and deliver their notices."""
        for code in codes or tuple(self.tending):
            await self.tending[code].call_step()

    async def published(self) -> None:
        """Wait until every region's status lists say what its tables say."""
        for place in self.world:
            assert await current(place.region), place.code

    async def look(self, *codes: str) -> None:
        """Let regions look at each other once, and act on what they see."""
        await self.published()
        for code in codes or tuple(self.tending):
            await self.world[code].following.step()
            await self.tending[code].step()

    async def rounds(self, count: int = 4) -> None:
        """Let everybody look, ask and tell, a few times over."""
        for _ in range(count):
            await self.look()
            await self.tell()

    async def until(self, wanted: Callable[[], Any], *, telling: bool = True, tries: int = 40) -> None:
        """Go on looking (and telling) until `wanted` (a coroutine function) is true."""
        for _ in range(tries):
            if await wanted():
                return
            if telling:
                await self.tell()
            await self.look()
            await asyncio.sleep(0.02)
        raise AssertionError("it did not come about")

    async def until_states(self, code: str, expected: Iterable[tuple[Issued, tuple[str, int]]], **how: Any) -> None:
        """Go on until licences of a region are what they are expected to be."""
        pairs = list(expected)

        async def reached() -> bool:
            return await self.states(code, *(each for each, _ in pairs)) == [state for _, state in pairs]

        await self.until(reached, **how)

    async def falls(self, code: str) -> list[Any]:
        """Return the falls of foreign licences in a region, oldest first."""
        query = select(foreign_falls).order_by(foreign_falls.c.opened_idx)
        return await self.region(code).database.read(lambda tx: list(tx.execute(query).all()))

    async def sent(self, code: str) -> list[dict[str, Any]]:
        """Return the payloads of a region's notices, oldest entry first."""
        query = select(peer_notices_out.c.notice).order_by(peer_notices_out.c.entry, peer_notices_out.c.cause)
        texts = await self.region(code).database.read(lambda tx: list(tx.execute(query).scalars()))
        return [read_object(b64u_decode(text.split(".")[1]), Reason.NOTICE) for text in texts]

    async def received(self, code: str) -> list[Any]:
        """Return the notices a region has taken in."""
        query = select(peer_notices_in).order_by(peer_notices_in.c.entry, peer_notices_in.c.cause)
        return await self.region(code).database.read(lambda tx: list(tx.execute(query).all()))


async def current(region: Region) -> bool:
    """Wait until what is published of a region's status says what its causes say."""
    for _ in range(400):
        found = await region.database.read(snapshot)
        last = region.status._last
        if all(last.get(number, ((0,),))[0] == found.sums.get(number, ()) for number in found.uris):
            return True
        region.status.pulse.wake()
        await asyncio.sleep(0.01)
    return False


@asynccontextmanager
async def cascade_world(
    folder: Path, database_urls: Callable[[str], str], *, count: int = 2, **changes: Any
) -> AsyncIterator[CascadeWorld]:
    """Run regions with the example departments that have admitted each other and follow each other when told to."""
    async with regions_world(folder, database_urls, count=count, **changes) as world:
        for place in world:
            await licensing.furnish(place.region)
        await world.settle()
        yield CascadeWorld(world)
