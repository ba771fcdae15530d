"""Services that lie to whoever follows a region; where they have nothing to say, they say the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from keys.memory_store import MemoryKeyStore
from ledger.drafting import Unsigned
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.peers import ADMITTED, CHANGED, KIND, thing_of
from ledger.recording import acted, count_of, record
from ledger.region import Region
from tests.api.service import jwks_of, served
from tests.region import OPERATOR, region_on
from tests.regions import REGIONS, Road, base_url_of
from verifiers.entry import REGION

Said = bytes | Answer | Callable[[], Answer]


class Liar(Outside):
    """Says what `says` holds for a path (with what comes before any `?`), else what `truth` says."""

    def __init__(self, truth: Outside, says: Mapping[str, Said] | None = None) -> None:
        self.truth = truth
        self.says = dict(says or {})
        self.asked: list[str] = []

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Answer with a lie or the truth."""
        path = "/" + url.partition("://")[2].partition("/")[2]
        self.asked.append(path)
        said = self.says.get(path)
        if said is None:
            return await self.truth.get(url, limit=limit, etag=etag)
        if isinstance(said, bytes):
            return Answer(200, said)
        return said() if callable(said) else said

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Pass it on."""
        return await self.truth.post(url, body, media_type=media_type, limit=limit, headers=headers)

    async def close(self) -> None:
        """Nothing is open."""


class Hanging(Outside):
    """Never answers, and never hangs up."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Wait for ever."""
        self.asked += 1
        await asyncio.Event().wait()
        raise Unreachable("never")

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        media_type: str,
        limit: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """Wait for ever."""
        return await self.get(url, limit=limit)

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def twin_of(
    code: str, store: MemoryKeyStore, folder: Path, database_urls: Callable[[str], str]
) -> AsyncIterator[tuple[Region, Road]]:
    """Run a second history of a region, signed with the same keys; gives it and the road on which only it is met."""
    _, zh, en = next(each for each in REGIONS if each[0] == code)
    below = folder / f"twin-{code}"
    below.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    (below / "identity.jwks.json").write_bytes(orjson.dumps(jwks_of(key)))
    async with (
        region_on(
            database_urls(f"twin-{code}"),
            below,
            store=store,
            region=code,
            names={"zh": zh, "en": en},
            base_url=base_url_of(code),
        ) as region,
        served(region, key, below) as service,
    ):
        assert await region.trust.settled(20)
        yield region, Road({code: service.http})


async def grow(region: Region, count: int) -> None:
    """Append `count` entries or one more, and wait until they are published and nothing else is on its way."""
    thing, code = thing_of("999999"), "999999"
    proposal = {
        "base": "https://nobody.example",
        "names": {"zh": "示例", "en": "Example"},
        "region": code,
        "root": "0" * 64,
        "witnesses": None,
    }
    facts = {**acted(OPERATOR), "proposal": proposal, "approvals": [], "approvers": [], "reason": "example"}
    known = region.catalogue.recognised.peers.get(code)
    secret = bytes(32) if known is None else known.secret
    n = await region.database.read(lambda tx: count_of(tx, thing))
    kinds = [ADMITTED if n == 0 else CHANGED, *([CHANGED] * (count - 1))]
    events = [Unsigned(KIND, REGION, kind, thing, n + at, secret, facts) for at, kind in enumerate(kinds)]
    await record(region, events[:1], {})
    if events[1:]:
        await record(region, events[1:], {})
    # The first of them is news for the trust list, which is an entry of its own.
    assert await region.trust.settled(20)
    size = (await region.figures())["size"]
    await region.publisher.published(size - 1)
