"""Whatever fits the interface description, or nearly does, is answered as it says: no failure, no undescribed refusal.

Schemathesis makes the calls from docs/openapi.json, on a real server with a real region behind it.
"""

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import problems
from ledger.database import migrate
from tests.api.service import service_on
from tests.ledger.licensing import COMPANY, MARKET, food, furnish

SCHEMA = schemathesis.openapi.from_path(Path(__file__).parent.parent.parent / "docs" / "openapi.json")
OPERATIONS: dict[str, Any] = {
    each.label: each for each in (found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok))
}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
FAILURES = {"internal", "record.damaged"}
EXAMPLES = 8


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: Any, value: Any) -> bytes:
    """Write a row that Schemathesis made as the one line of a batch."""
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Target:
    """A served region and the tokens of a caller that may do everything and of a holder."""

    address: str
    caller: str
    holder: str

    def headers(self, label: str) -> dict[str, str]:
        """Return what an authorised call to an operation carries."""
        holder = "/v1/holder" in label or label.endswith(("/v1/codes", "/v1/codes/{code}"))
        token = self.holder if holder else self.caller
        return {"Authorization": f"Bearer {token}", "Elicence-Operator": "E-001"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Serve a region on a port of its own, in a thread, until the last test of this file."""
    folder = tmp_path_factory.mktemp("fuzzed")
    found: queue.SimpleQueue[Target | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def serve() -> None:
        try:
            asyncio.run(_serve(folder, found, stop))
        except BaseException as error:  # noqa: BLE001 - the test that waits has to hear of it
            found.put(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        served = found.get(timeout=60)
        if isinstance(served, BaseException):
            raise served
        yield served
    finally:
        stop.set()
        thread.join(60)


async def _serve(folder: Path, found: "queue.SimpleQueue[Target | BaseException]", stop: threading.Event) -> None:
    url = f"sqlite:///{folder / 'fuzzed.db'}"
    migrate(url)
    async with service_on(url, folder, token_ttl_s=3600) as service:
        await furnish(service.region)
        scopes = ["issue", "window", "supervise", "verify", "audit", "operate"]
        caller = await service.caller("everything", scopes, MARKET)
        await caller.post("/v1/licences", food(1))
        app = await service.caller("app", ["holder"])
        holder = await service.holder(app, str(COMPANY["id_type"]), str(COMPANY["id"]))
        transport: Any = service.http._transport
        server = uvicorn.Server(uvicorn.Config(transport.app, port=0, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        token = (await caller.ask_token()).json()["access_token"]
        found.put(Target(f"http://127.0.0.1:{port}", token, holder.token))
        while not stop.is_set():
            await asyncio.sleep(0.05)
        server.should_exit = True
        await serving


def _calls(label: str, mode: GenerationMode) -> Any:
    return OPERATIONS[label].as_strategy(generation_mode=mode)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "not fitting"])
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_every_call_is_answered_as_described(target: Target, label: str, mode: GenerationMode) -> None:
    """A described status, the described media type, a body that fits; never a failure of the service."""

    @seed(20261121)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_calls(label, mode))
    def calls(case: Any) -> None:
        answer = case.call(base_url=target.address, headers=target.headers(label), timeout=30)
        plain = any(kind.startswith("text/") for kind in answer.headers.get("content-type") or ())
        if answer.status_code >= 400 and not plain:  # a witness answers in plain text
            problem = json.loads(answer.content)
            assert problem["code"] not in FAILURES, problem
            assert problem["code"] in problems.table()
        case.validate_response(answer, checks=CHECKS)

    with suppress(Unsatisfiable):  # nothing about a call without parameters can be wrong
        calls()
