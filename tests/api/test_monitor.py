"""A department watches what is logged in its name, and sees an entry that it never made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.monitor import Compared, compare, own_entries, watch
from keys.certificates import fingerprint
from ledger.region import Region
from tests.api.service import Caller, Service, service_on
from tests.ledger import licensing
from tests.ledger.licensing import HOUSING, MARKET, food, furnish, issued
from verifiers.errors import VerificationError
from verifiers.legal_dates import day_of


@pytest.fixture
async def service(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Serve a region with departments and types."""
    async with service_on(sqlite_url, tmp_path) as service:
        await furnish(service.region)
        yield service


class _Reached:
    """Calls an ASGI application from a thread, as the command's own client calls a server."""

    def __init__(self, http: httpx.AsyncClient, loop: asyncio.AbstractEventLoop, caller: Caller) -> None:
        self._http, self._loop, self._caller = http, loop, caller

    def _wait(self, work: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Call with the account where one is needed."""
        if path.startswith("/v1/"):
            return self._wait(self._caller.call("GET", path, **more))
        return self._wait(self._http.get(path, **more))


async def watched(service: Service, own: set[int], ignored: frozenset[str] = frozenset()) -> Compared:
    """Run the comparison for today."""
    region = service.region
    caller = await service.caller(f"monitor-{len(own)}-{len(ignored)}", ["issue"], MARKET, "")
    reached: Any = _Reached(service.http, asyncio.get_running_loop(), caller)
    now = region.clock.now()
    root = fingerprint(region.root_certificate)
    return await asyncio.to_thread(watch, reached, reached, MARKET, day_of(now), own, root, now, ignored)


async def _published(region: Region, entry: int) -> None:
    await region.publisher.published(entry)
    while region.files.read("trust-list/latest") is None:
        await asyncio.sleep(0.02)


async def test_a_day_that_agrees_and_one_entry_nobody_made(service: Service) -> None:
    """What the department's own system knows is quiet; what it does not know stands out."""
    first = await issued(service.region, MARKET, food(1))
    second = await issued(service.region, MARKET, food(2))
    await issued(service.region, HOUSING, licensing.officer(1))
    await _published(service.region, second.entry)

    quiet = await watched(service, {first.entry, second.entry})
    assert quiet.agrees and quiet.listed == 2, quiet
    stolen = await watched(service, {first.entry})
    assert [(row["idx"], row["thing"]) for row in stolen.unknown] == [(second.entry, second.id)]
    assert not stolen.agrees and (await watched(service, {first.entry}, frozenset({"licence.issued"}))).agrees


async def test_a_list_that_leaves_something_out_is_found(service: Service) -> None:
    """The public log is read too, so the region's word alone is not enough; nor are changed rows."""
    first = await issued(service.region, MARKET, food(1))
    second = await issued(service.region, MARKET, food(2))
    await _published(service.region, second.entry)
    day = day_of(service.region.clock.now())
    row = {"idx": first.entry, "hash": "A" * 43, "event": "licence.issued"}
    log = {first.entry: "B" * 43, second.entry: "C" * 43}

    found = compare({"entries": [row]}, log, 100, {first.entry, second.entry}, frozenset(), day)

    assert (found.withheld, found.altered, found.unknown) == ((second.entry,), (first.entry,), ())


async def test_a_department_asks_for_its_own_list_only(service: Service) -> None:
    """Who did what for whom is no business of other departments; a day that is none is refused."""
    own = await service.caller("market", ["issue"], MARKET, "")
    auditor = await service.caller("auditor", ["audit"])
    path = "/v1/departments/{}/entries?day=2026-11-21"

    assert (await own.call("GET", path.format(MARKET))).status_code == 200
    assert (await own.call("GET", path.format(HOUSING))).json()["code"] == "scope.exceeded"
    assert (await auditor.call("GET", path.format(HOUSING))).status_code == 200
    assert (await auditor.call("GET", path.format(MARKET).replace("11-21", "13-41"))).status_code == 422


async def test_the_log_counts_only_under_the_pinned_root(service: Service) -> None:
    """Another root's trust list does not open."""
    caller = await service.caller("market-monitor", ["issue"], MARKET, "")
    entry = (await issued(service.region, MARKET, food(1))).entry
    await _published(service.region, entry)
    reached: Any = _Reached(service.http, asyncio.get_running_loop(), caller)
    now = service.region.clock.now()

    with pytest.raises(VerificationError):
        await asyncio.to_thread(watch, reached, reached, MARKET, day_of(now), set(), "0" * 64, now)


def test_own_records_are_numbers_or_answers(tmp_path: Path) -> None:
    """A line is an entry number or the answer the service gave."""
    file = tmp_path / "own.ndjson"
    file.write_text(f"17\n\n{json.dumps({'id': 'x', 'entry': 18})}\n{json.dumps({'id': 'y'})}\n", "utf-8")

    assert own_entries(file) == {17, 18}
