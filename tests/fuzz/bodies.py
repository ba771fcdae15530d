"""Targets for request bodies: the readers by themselves, and every operation that takes a body on a served region.

A served target sends the bytes as they are, as a caller who may do everything, to where the walk through all
operations (`tests.api.story`) sent a good one. No answer may be a failure of the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import warnings
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute

from api import interface, problems, strict_json
from api.batch_input import row_of
from api.http_signatures import sign_request
from api.operations import OPERATIONS, Description
from ledger.database import migrate
from ledger.errors import Refusal
from ledger.issue_requests import parse_issue
from tests.api import story
from tests.api.service import Service
from tests.fuzz.target import Escape, Target, json_bytes, json_of
from tests.verifiers.issuer import Issuer

EXAMPLES: dict[str, Any] = json.loads((Path(interface.__file__).parent / "examples.json").read_text("utf-8"))
FAILURES = {"internal", "record.damaged"}
LIMIT = 4096
SIGNED = ("signature", "content-digest")


def _strict(data: bytes) -> None:
    """What is accepted means the same to a plain reader, and is plain text, integers, truth values and null."""
    with suppress(Refusal):
        value = strict_json.parse(data, limit=LIMIT)
        again = strict_json.parse(json_bytes(value), limit=8 * LIMIT)
        if again != value or json.loads(data) != value or "\\u0000" in json.dumps(value):
            raise Escape(f"{data!r:.200} was read as {value!r:.200}")


def _issue(data: bytes) -> None:
    with suppress(Refusal):
        parse_issue(json_of(data))


def _row(data: bytes) -> None:
    row = row_of(1, data, LIMIT)
    if (row.refusal is None) is not (row.ref is not None):
        raise Escape("a row is read or refused")


def _example(operation: str) -> bytes:
    request = EXAMPLES.get(operation, {}).get("request", "")
    return request.encode() if isinstance(request, str) else json_bytes(request)


@dataclass
class Sent:
    """One good request of the walk, of which everything but the body is used again."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A region that has lived through the walk; `sent` has the last good request of each operation."""

    loop: asyncio.AbstractEventLoop
    rooms: AsyncExitStack
    service: Service
    sent: dict[str, Sent] = field(default_factory=dict)
    there: Issuer | None = None
    number: int = 0

    def call(self, operation: str, body: bytes) -> httpx.Response:
        """Send `body` where the good one went, with an idempotency key of its own and, from a region, its signature."""
        return self.loop.run_until_complete(self._call(self.sent[operation], body))

    async def _call(self, good: Sent, body: bytes) -> httpx.Response:
        self.number += 1
        headers = {name: value for name, value in good.headers.items() if name not in ("content-length", "host")}
        if "idempotency-key" in headers:
            headers["idempotency-key"] = f"fuzz-{self.number}"
        if "signature" in headers and self.there is not None:
            headers = {name: value for name, value in headers.items() if not name.startswith(SIGNED)}
            signer, at = self.there.store.signer("peer"), self.service.region.clock.now()
            headers |= await sign_request(
                signer, region=self.there.region, method=good.method, url=good.url, body=body, at=at
            )
        return await self.service.http.request(good.method, good.url, content=body, headers=headers)

    def close(self) -> None:
        """Stop the region."""
        self.loop.run_until_complete(self.rooms.aclose())
        self.loop.close()


@cache
def served() -> Served:
    """Start a region and walk through every operation, once in a process; `stop` ends it."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_start(loop))
    except BaseException:
        loop.close()
        raise


def stop() -> None:
    """End the region, if one was started."""
    if served.cache_info().currsize:
        served().close()
        served.cache_clear()


async def _start(loop: asyncio.AbstractEventLoop) -> Served:
    rooms = AsyncExitStack()
    folder = Path(rooms.enter_context(tempfile.TemporaryDirectory(prefix="elicence-fuzz-")))
    rooms.enter_context(warnings.catch_warnings())
    url = f"sqlite:///{folder / 'fuzzed.db'}"
    migrate(url)
    try:
        world = await rooms.enter_async_context(story.world_on(url, folder, token_ttl_s=3_600))
        running = Served(loop, rooms, world.service)
        transport: Any = world.service.http._transport
        routes = [route for route in transport.app.routes if isinstance(route, APIRoute)]
        world.service.http.event_hooks["response"].append(partial(_keep, running, routes))
        await story.tell(world)
    except BaseException:
        await rooms.aclose()
        raise
    world.service.http.event_hooks["response"].clear()
    running.there = world.there
    return running


async def _keep(running: Served, routes: list[APIRoute], answer: httpx.Response) -> None:
    request = answer.request
    scope = {"type": "http", "path": request.url.path, "method": request.method, "headers": []}
    found = next((route.operation_id for route in routes if route.matches(scope)[0].value == 2), None)
    if found is not None and answer.is_success and request.content:
        running.sent[found] = Sent(request.method, str(request.url), dict(request.headers), request.content)


def _operation(name: str, data: bytes) -> None:
    answer = served().call(name, data)
    if answer.status_code < 400:
        return
    kind = answer.headers.get("content-type", "")
    code = answer.json()["code"] if "problem+json" in kind else None
    told = code in problems.table() or (code is None and kind.startswith("text/") and answer.status_code < 500)
    # Nobody is at home at addresses that are made up, and that is said with a status of 503.
    if not told or code in FAILURES or (answer.status_code >= 500 and code not in OPERATIONS[name].refuses):
        raise Escape(f"{name} answered {answer.status_code}: {answer.text:.300}")


def _seeds(operation: str) -> Iterable[bytes]:
    yield _example(operation)
    with contextlib.suppress(KeyError):
        yield served().sent[operation].body


def _takes_a_body(said: Description) -> bool:
    return said.takes is not None or said.media != "application/json"


ISSUE = _example("issueLicence")
ROW = json_bytes({"client_ref": "row-1", **EXAMPLES["issueLicence"]["request"]})

TARGETS = (
    Target(
        "body",
        ("api.strict_json.parse",),
        _strict,
        lambda: (ISSUE, b'{"a":[1,-0,"\\u00e9"],"b":null}', b'"\\ud83d\\ude00"', b"[1.5]"),
    ),
    Target("body.licence", ("ledger.issue_requests.parse_issue",), _issue, lambda: (ISSUE, _example("issueBatch"))),
    Target("body.row", ("api.batch_input.row_of",), _row, lambda: (ROW,)),
    *(
        Target(f"body.{name}", (f"operation {name}",), partial(_operation, name), partial(_seeds, name), served=True)
        for name, said in sorted(OPERATIONS.items())
        if _takes_a_body(said)
    ),
)
