"""A served region for journeys: departments with officers, a holder's phone, a stranger with files; then an audit."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from ledger.auditing import Stored, audit_stored
from tests.api.service import Caller, Holder, Service, service_on
from tests.ledger import licensing
from tests.region import BASE_URL
from verifiers.__main__ import main as elicence_verify
from verifiers.status_list import inflate

SLUGS = {licensing.MARKET: "market", licensing.HOUSING: "housing", licensing.EDUCATION: "education"}
TURNED_S = 60
"""Longest wait for something that is published on a pulse; real waits are well under a second."""


@dataclass(frozen=True, slots=True)
class Department:
    """One department's clients: a desk that issues, a window, and two officers who supervise."""

    id: str
    desk: Caller
    window: Caller
    first: Caller
    second: Caller


class World:
    """A running service, its departments, and what strangers can do with what it publishes."""

    def __init__(
        self, service: Service, folder: Path, departments: dict[str, Department], operator: Caller, app: Caller
    ) -> None:
        self.service = service
        self.folder = folder
        self.operator = operator
        self._departments = departments
        self._app = app

    def of(self, department: str) -> Department:
        """Return the clients of one department."""
        return self._departments[department]

    async def public(self, path: str) -> httpx.Response:
        """Fetch something that anybody may have."""
        answer = await self.service.http.get(path.removeprefix(BASE_URL))
        assert answer.status_code == 200, answer.text
        return answer

    async def verdict(self, presented: str) -> dict[str, Any]:
        """Ask the service for a verdict, without an account."""
        await asyncio.sleep(0)  # a socket would let the event loop turn between two calls; in one process nothing does
        answer = await self.service.http.post(
            "/v1/verify", json={"presented": presented}, headers={"Accept-Language": "en"}
        )
        assert answer.status_code == 200, answer.text
        verdict: dict[str, Any] = answer.json()
        return verdict

    async def codes(self, presented: str) -> tuple[str, list[str]]:
        """Return outcome and reasons of the online verdict."""
        return outcome_of(await self.verdict(presented))

    async def download(self, *, status: str | None = None) -> list[str]:
        """Fetch trust list, root and status list as a stranger does; return the options that name them."""
        about = (await self.public("/.well-known/elicence-region")).json()
        (self.folder / "root.txt").write_text(about["root"])
        (self.folder / "trust.jwt").write_text((await self.public("/trust-list")).text)
        options = ["--trust", str(self.folder / "trust.jwt"), "--root", str(self.folder / "root.txt")]
        if status is not None:
            await self._served(status)
            (self.folder / "status.jwt").write_text((await self.public(status)).text)
            options += ["--status", str(self.folder / "status.jwt")]
        return options

    async def _served(self, path: str) -> None:
        """Wait until something is published for the first time: a list's first licence is answered before its list."""

        async def there() -> bool:
            return (await self.service.http.get(path.removeprefix(BASE_URL))).status_code == 200

        await until(there)

    def offline(self, presented: str, *options: str, receipt: str | None = None) -> tuple[int, list[str]]:
        """Run `elicence-verify` on what is presented; return its exit status and the reasons it prints."""
        (self.folder / "presented").write_text(presented)
        more = list(options)
        if receipt is not None:
            (self.folder / "receipt").write_text(receipt)
            more += ["--receipt", str(self.folder / "receipt")]
        with redirect_stdout(io.StringIO()) as printed:
            status = elicence_verify([str(self.folder / "presented"), *more, "--json"])
        return status, [reason["code"] for reason in json.loads(printed.getvalue())["reasons"]]

    async def trusted(self) -> None:
        """Wait until the served trust list names every grant."""

        async def named() -> bool:
            answer = await self.service.http.get("/trust-list")
            if answer.status_code != 200:
                return False
            listed = jwt.decode(answer.text, options={"verify_signature": False})
            return len(listed["grants"]) == len(self.service.region.catalogue.grants)

        await until(named)

    async def slots(self, uri: str) -> Callable[[int], int]:
        """Fetch a status list as it is served now; the function returned tells what a slot of it says."""
        await self._served(uri)
        claims = jwt.decode((await self.public(uri)).text, options={"verify_signature": False})
        packed = inflate(claims["status_list"]["lst"])
        return lambda index: packed[index // 4] >> (2 * (index % 4)) & 3

    async def status_value(self, status: dict[str, Any]) -> int:
        """Return what the served status list says of a licence's slot."""
        return (await self.slots(status["uri"]))(status["idx"])

    async def holder(self, id_type: str, number: str) -> Holder:
        """Return a holder who has signed in at the identity platform, behind the region's app."""
        return await self.service.holder(self._app, id_type, number)


def outcome_of(verdict: dict[str, Any]) -> tuple[str, list[str]]:
    """Return outcome and reasons of a verdict."""
    return verdict["outcome"], [reason["code"] for reason in verdict["reasons"]]


async def until(done: Callable[[], Awaitable[bool]], seconds: float = TURNED_S) -> float:
    """Ask again and again, as a reader that polls does, until `done`; return how many seconds it took."""
    begun = time.monotonic()
    while not await done():
        assert time.monotonic() - begun < seconds, "it never came"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


def problem(answer: httpx.Response) -> str:
    """Return the code of a refusal that is a documented problem and no failure of the service."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert answer.status_code == document["status"] != 500, answer.text
    return str(document["code"])


async def _department(service: Service, id_: str) -> Department:
    slug = SLUGS[id_]
    supervisor = await service.caller(f"{slug}-supervisor", ["supervise", "audit"], id_, operator=f"{slug}-S1")
    other = Caller(service.http, supervisor.client, supervisor.key, f"{slug}-S2")
    return Department(
        id_,
        await service.caller(f"{slug}-desk", ["issue", "audit"], id_, operator=f"{slug}-D1"),
        await service.caller(f"{slug}-window", ["window", "verify"], id_, operator=f"{slug}-W1"),
        supervisor,
        other,
    )


@asynccontextmanager
async def world_on(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[World]:
    """Serve a furnished region for the block; afterwards everything stored is audited, whatever the block did to it."""
    async with service_on(database_url, folder, **settings) as service:
        region = service.region
        await licensing.furnish(region)
        departments = {id_: await _department(service, id_) for id_ in SLUGS}
        operator = await service.caller("operator", ["operate", "audit"], operator="operator-1")
        app = await service.caller("holder-app", ["holder"])
        world = World(service, folder, departments, operator, app)
        await world.trusted()
        yield world
    audited(region.config, region.store)


def audited(config: Any, store: Any) -> dict[str, int]:
    """Audit a stopped region and return what was counted; a finding fails the test."""
    stored = Stored.open(config, store)
    try:
        report = audit_stored(stored)
    finally:
        stored.database.close()
    assert report.passed, [str(each) for each in report.findings[:10]]
    assert report.unchecked == []
    return report.counts
