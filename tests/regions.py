"""Several whole regions in one process that reach each other by address, and can be cut off or lied to.

::

    async with regions_world(tmp_path, database_urls, count=3) as world:
        a, b = world["610000"], world["620000"]
        await a.service.caller(...)             # the served application of A (tests/api/service.py)
        await b.following.step()                # B looks at all its peers once
        b.road.cut.add("610000")                # B cannot reach A any more; A still reaches B
        b.road.instead["610000"] = Liar(...)    # somebody else answers B in A's place
        b.road.asked                            # every call B made: (method, url)

Every region is admitted by every other. With `pulses=False` nobody follows by itself: tests call `step`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from keys.certificates import fingerprint
from keys.memory_store import MemoryKeyStore
from ledger.clock import Clock
from ledger.drafting import Unsigned
from ledger.following import Following
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.peers import ADMITTED, KIND, thing_of
from ledger.recording import acted, count_of, record
from ledger.region import Region
from tests.api.service import Service, jwks_of, served
from tests.region import OPERATOR, memory_store, region_on
from verifiers.entry import REGION

REGIONS = (
    ("610000", "示例甲省", "Example Province A"),
    ("620000", "示例乙省", "Example Province B"),
    ("630000", "示例丙省", "Example Province C"),
    ("640000", "示例丁省", "Example Province D"),
    ("650000", "示例戊省", "Example Province E"),
)
"""Codes and names of the example regions, in the order in which a world takes them."""


def base_url_of(code: str) -> str:
    """The public address of an example region."""
    return f"https://r{code}.example"


class Road(Outside):
    """How one region reaches the others: straight into their applications, unless cut or somebody answers instead."""

    def __init__(self, services: Mapping[str, httpx.AsyncClient]) -> None:
        self._services = services
        self.cut: set[str] = set()
        self.instead: dict[str, Outside] = {}
        self.asked: list[tuple[str, str]] = []

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch `url` from the region it belongs to."""
        self.asked.append(("GET", url))
        code = self._region(url)
        if code in self.instead:
            return await self.instead[code].get(url, limit=limit, etag=etag)
        return await self._send(code, "GET", url, limit, {} if etag is None else {"If-None-Match": etag}, None)

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send `body` to the region that `url` belongs to."""
        self.asked.append(("POST", url))
        code = self._region(url)
        if code in self.instead:
            return await self.instead[code].post(url, body, media_type=media_type, limit=limit, headers=headers)
        return await self._send(code, "POST", url, limit, {"Content-Type": media_type, **headers}, body)

    async def close(self) -> None:
        """Nothing is open."""

    def honest(self) -> Road:
        """The same road without cuts and without anybody in between, for liars that start from the truth."""
        return Road(self._services)

    def _region(self, url: str) -> str:
        host = url.partition("://")[2].partition("/")[0]
        code = host.removeprefix("r").removesuffix(".example")
        if code in self.cut or (code not in self._services and code not in self.instead):
            raise Unreachable("nobody answers there")
        return code

    async def _send(
        self, code: str, method: str, url: str, limit: int, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        sent = {"Accept-Encoding": "identity", **headers}
        answer = await self._services[code].request(method, url, headers=sent, content=body)
        if 300 <= answer.status_code < 400 and answer.status_code != 304:
            raise Unreachable("a redirect")
        if len(answer.content) > limit:
            raise Unreachable(f"an answer longer than {limit} bytes")
        kind = answer.headers.get("content-type", "").partition(";")[0]
        return Answer(answer.status_code, answer.content, answer.headers.get("etag"), kind)


@dataclass
class Place:
    """One region of the world: its application, its ledger, its follower, and its road to the others."""

    code: str
    service: Service
    region: Region
    following: Following
    road: Road


@dataclass
class RegionsWorld:
    """All regions by code, in the order of `REGIONS`."""

    places: dict[str, Place] = field(default_factory=dict)

    def __getitem__(self, code: str) -> Place:
        return self.places[code]

    def __iter__(self) -> Iterator[Place]:
        return iter(self.places.values())

    async def admit_all(self) -> None:
        """Let every region admit every other."""
        for place in self:
            for other in self:
                if other is not place:
                    await admit(place.region, other.region)

    async def settle(self) -> None:
        """Wait until every region's trust list says what its catalogue says, and let each look at the others."""
        for place in self:
            assert await place.region.trust.settled(20)
        for place in self:
            await place.following.step()


async def admit(region: Region, peer: Region, *, witnesses: Any = None) -> None:
    """Make `peer` a peer of `region` by the entry that two operators' approval would leave."""
    proposal = {
        "base": peer.base_url,
        "names": dict(peer.config.names),
        "region": peer.config.region,
        "root": fingerprint(peer.root_certificate),
        "witnesses": witnesses,
    }
    thing = thing_of(peer.config.region)
    facts = {**acted(OPERATOR), "proposal": proposal, "approvals": [], "approvers": []}
    n = await region.database.read(lambda tx: count_of(tx, thing))
    known = region.catalogue.recognised.peers.get(peer.config.region)
    secret = os.urandom(32) if known is None else known.secret
    await record(region, [Unsigned(KIND, REGION, ADMITTED, thing, n, secret, facts)], {})


@asynccontextmanager
async def regions_world(
    folder: Path,
    database_urls: Callable[[str], str],
    *,
    count: int = 2,
    pulses: bool = False,
    clock: Clock | None = None,
    stores: Mapping[str, MemoryKeyStore] | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[RegionsWorld]:
    """Run `count` regions that have admitted each other, for the block.

    `changes` replace members of every region's configuration, `settings` those of every application.
    """
    services: dict[str, httpx.AsyncClient] = {}
    world = RegionsWorld()
    async with AsyncExitStack() as stack:
        for code, zh, en in REGIONS[:count]:
            below = folder / code
            below.mkdir(exist_ok=True)
            key = ec.generate_private_key(ec.SECP256R1())
            (below / "identity.jwks.json").write_bytes(orjson.dumps(jwks_of(key)))
            region = await stack.enter_async_context(
                region_on(
                    database_urls(f"region-{code}"),
                    below,
                    clock=clock,
                    store=(stores or {}).get(code) or memory_store(),
                    **{
                        "region": code,
                        "names": {"zh": zh, "en": en},
                        "base_url": base_url_of(code),
                        "follow_interval_ms": 50,
                        **changes,
                    },
                )
            )
            road = Road(services)
            region.reach(road)
            if not pulses:
                region.following = Following(region, road)
            service = await stack.enter_async_context(served(region, key, below, **(settings or {})))
            services[code] = service.http
            assert region.following is not None
            world.places[code] = Place(code, service, region, region.following, road)
        await world.admit_all()
        if not pulses:
            await world.settle()
        yield world
