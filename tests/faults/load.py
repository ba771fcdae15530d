"""Clients that issue without pause while the database fails under them, and remember every answer they were given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ledger.errors import Refusal
from ledger.issuing import issue
from ledger.region import Region
from tests.faults.faults import Saboteur
from tests.faults.subject import EARLY, Life, Place, Subject, opened, unready, until
from tests.ledger import licensing
from tests.ledger.licensing import MARKET

CLIENTS = 8
_TOGETHER = 200


class Load:
    """Requests to a region, each under a key of its own; `answers` are those that were acknowledged."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._number = 1000
        self._going = True
        self.answers: dict[int, tuple[str, int, str]] = {}
        self.refusals: set[str] = set()

    async def ask(self, numbers: Sequence[int]) -> bool:
        """Ask for licences in one batch; tells whether every one was acknowledged."""
        region = self._region
        requests = [licensing.request(region, licensing.food(number), f"load-{number}") for number in numbers]
        try:
            outcomes = await issue(region, licensing.actor(MARKET), requests)
        except Refusal as refusal:
            outcomes = [refusal] * len(numbers)
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                self.refusals.add(str(outcome.code))
                continue
            answer = (outcome.id, outcome.entry, outcome.licence)
            assert self.answers.setdefault(number, answer) == answer, "two answers to one request"
        return not any(isinstance(outcome, Refusal) for outcome in outcomes)

    async def _client(self) -> None:
        while self._going:
            self._number += 1
            if not await self.ask([self._number]):
                await asyncio.sleep(0.05)

    async def during(self, harm: Any, before_s: float, after_s: float) -> None:
        """Run all clients, do `harm` in another thread in the middle of it, and let them go on for a while."""
        self._going = True
        clients = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]
        await asyncio.sleep(before_s)
        await asyncio.to_thread(harm)
        await asyncio.sleep(after_s)
        self._going = False
        await asyncio.gather(*clients)

    async def settle(self) -> int:
        """Wait until the region is ready by itself, and ask for everything again; gives how many there were."""

        async def ready() -> bool:
            return not await unready(self._region)

        assert await until(ready), await self._region.readiness()
        for start in range(1001, self._number + 1, _TOGETHER):
            assert await self.ask(range(start, min(start + _TOGETHER, self._number + 1))), self.refusals
        entries = [entry for _, entry, _ in self.answers.values()]
        assert len(set(entries)) == len(entries) == self._number - 1000, "one index for two requests"
        return len(entries)


@asynccontextmanager
async def running(place: Place) -> AsyncIterator[Subject]:
    """Run the region of a place, warm: it has written before."""
    saboteur = Saboteur(None, None)
    region = await opened(place, saboteur)
    region.writer._committer._resolve_s = 2.0  # half a minute in real life
    subject = Subject(place, region, saboteur, Life(), place.folder / "life.json")
    try:
        await subject.ask((EARLY,), {})
        assert await subject.quiet(), await region.readiness()
        yield subject
        assert await subject.quiet(), await region.readiness()
    finally:
        await region.close()
