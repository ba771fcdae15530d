"""What a served region does a second, over HTTP on loopback, client and server on the same cores."""

from __future__ import annotations

import base64
import statistics
import time
import zlib
from typing import Any

import orjson

from api.cli.demo_service import DemoService
from api.cli.http_client import ServiceClient, good
from benchmarks import requests
from benchmarks.load import Load, repeated, request, run

CONNECTIONS = 64
OPERATOR = "BENCH-1"
ACT_DATES = {"authority": "示例省教育厅", "articles": ["行政许可法第六十九条"], "reason": "基准测试"}


def authorised(client: ServiceClient, number: str = "") -> list[tuple[str, str]]:
    """Return the headers of an authorised call; with a `number`, one that changes something."""
    headers = [("Authorization", f"Bearer {client.token()}"), ("Elicence-Operator", OPERATOR)]
    return [*headers, ("Idempotency-Key", number)] if number else headers


def trivial(service: DemoService, count: int) -> Load:
    """Call the cheapest endpoint of the same server: what HTTP alone costs."""
    return _drive(service, (request("GET", "/healthz") for _ in range(count)))


def single_issue(service: DemoService, count: int, first: int, query: str = "") -> Load:
    """Issue `count` licences one call each, over 64 connections; `query` asks for more than the licence."""
    client = service.client(requests.ISSUER)

    def make(number: int) -> bytes:
        body = orjson.dumps(requests.licence(first + number))
        return request("POST", f"/v1/licences{query}", body, authorised(client, f"bench-{first + number}"))

    return _drive(service, repeated(make, count))


def issue_with_receipt(service: DemoService, count: int, first: int) -> Load:
    """Issue `count` licences, each call waiting for its receipt: what is published is what answers."""
    return single_issue(service, count, first, "?wait=receipt")


def batch_issue(service: DemoService, count: int, first: int, root: str = "") -> float:
    """Issue `count` licences in one NDJSON batch, each resting on licence `root`; return licences a second."""
    client = service.client(requests.ISSUER)
    more = {"rests_on": [requests.resting_on(root)]} if root else {}
    rows = b"".join(
        orjson.dumps({"client_ref": f"b-{first + number}", **requests.licence(first + number), **more}) + b"\n"
        for number in range(count)
    )
    headers = dict(authorised(client, f"batch-{first}")) | {"Content-Type": "application/x-ndjson"}
    began = time.perf_counter()
    answer = good(service.http.post("/v1/licences/batch", content=rows, headers=headers, timeout=600))
    seconds = time.perf_counter() - began
    answers = [orjson.loads(line) for line in answer.content.splitlines()]
    failed = [each for each in answers if "identifier" not in each]
    if len(answers) != count or failed:
        message = f"{len(failed)} of {len(answers)} rows failed: {failed[:1]}"
        raise RuntimeError(message)
    return count / seconds


def issued(service: DemoService, count: int, first: int) -> list[dict[str, Any]]:
    """Issue `count` licences in a batch and return the answers."""
    client = service.client(requests.ISSUER)
    rows = b"".join(
        orjson.dumps({"client_ref": f"i-{first + number}", **requests.licence(first + number)}) + b"\n"
        for number in range(count)
    )
    headers = dict(authorised(client, f"issued-{first}")) | {"Content-Type": "application/x-ndjson"}
    answer = good(service.http.post("/v1/licences/batch", content=rows, headers=headers, timeout=600))
    return [orjson.loads(line) for line in answer.content.splitlines()]


def online_verify(service: DemoService, licences: list[dict[str, Any]], count: int) -> Load:
    """Verify `count` times over 64 connections, going round the given licences."""
    bodies = [request("POST", "/v1/verify", orjson.dumps({"presented": each["licence"]})) for each in licences]
    return _drive(service, (bodies[number % len(bodies)] for number in range(count)))


def _drive(service: DemoService, stream: Any) -> Load:
    load = run(service.settings.port, iter(stream), CONNECTIONS)
    bad = {status: count for status, count in load.statuses.items() if status >= 300}
    if bad:
        message = f"answers were refused: {bad}"
        raise RuntimeError(message)
    return load


def revocation_ms(service: DemoService, licences: list[dict[str, Any]]) -> list[float]:
    """Revoke each licence and wait until its slot of the served, signed status list says so; milliseconds each."""
    client = service.client(requests.ISSUER)
    found = []
    for number, each in enumerate(licences):
        began = time.perf_counter()
        client.post(f"/v1/licences/{each['id']}/acts", act("annul", number), operator=OPERATOR)
        while _slot(service, each["status"]) == 0:
            time.sleep(0.005)
        found.append(1000 * (time.perf_counter() - began))
    return found


def act(kind: str, number: int) -> dict[str, Any]:
    """Return the body of the `number`-th act of this kind, in force today."""
    today = time.strftime("%Y-%m-%d")
    days = {"decided_at": today, "served_at": today, "effective_from": today}
    return {"act": kind, "document_no": f"基准〔2026〕{number}号", **days, **ACT_DATES}


def _slot(service: DemoService, status: dict[str, Any]) -> int:
    token = good(service.http.get(status["uri"])).text
    claims = orjson.loads(_b64u(token.split(".")[1]))
    bits: bytes = zlib.decompress(_b64u(claims["status_list"]["lst"]))
    idx = int(status["idx"])
    return bits[idx // 4] >> (2 * (idx % 4)) & 3


def _b64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def p95(values: list[float]) -> float:
    """The value that 95 % of `values` do not exceed."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
