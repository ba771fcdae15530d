"""Batches: answered row by row in order, safe to send again, resumed by whoever starts next, in constant memory."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.batch_input import lines, row_of
from api.settings import Settings
from ledger.errors import Code
from tests.api.service import Caller, Service, served, service_on
from tests.ledger import licensing
from tests.ledger.licensing import MARKET, food, furnish

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Serve a region with example departments and grants, on both databases."""
    async with service_on(database_url, tmp_path, max_row_bytes=4096, max_batch_rows=1000) as running:
        await furnish(running.region)
        yield running


async def business(service: Service, client: str = "market-business") -> Caller:
    """Return the market department's own system."""
    return await service.caller(client, ["issue"], MARKET)


def ndjson(rows: list[Any]) -> bytes:
    """Return rows as they are sent; bytes stay as they are."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def row(n: int, **changes: Any) -> dict[str, Any]:
    """Return the n-th good row."""
    return food(n) | {"client_ref": f"JY-{n}"} | changes


async def send(caller: Caller, rows: list[Any], path: str = "/v1/licences/batch", **more: Any) -> httpx.Response:
    """Send a batch."""
    return await caller.call("POST", path, content=ndjson(rows), headers=NDJSON, **more)


def answers(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the rows of an NDJSON answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


WRONG_ROWS: list[tuple[Any, str]] = [
    (b"{", "body.not_json"),
    (b'{"client_ref":"a","client_ref":"b"}', "body.duplicate_name"),
    (b'{"client_ref":"a\\u0000"}', "body.nul"),
    (b'{"client_ref":"\\ud800"}', "body.surrogate"),
    (b'{"client_ref":"\xff"}', "body.not_utf8"),
    (b'{"a":' * 20 + b"1" + b"}" * 20, "body.too_deep"),
    (b"[1]", "request.member_invalid"),
    ({"type": licensing.FOOD}, "request.member_missing"),
    ({"client_ref": 7}, "request.member_invalid"),
    (row(90, client_ref="x" * 200), "request.member_invalid"),
    (row(91, fields={"premises": "x" * 5000}), "row.too_long"),
    (row(92, type="11100000MB0341032Y999"), "type.unknown"),
    (row(93, valid_until="2020-01-01"), "validity.reversed"),
]


async def test_a_bad_row_is_an_error_row_and_never_a_lost_batch(service: Service) -> None:
    """Every kind of bad row has its own code; the good ones around it are issued, all in the order sent."""
    caller = await business(service)
    rows = [row(1), *(wrong for wrong, _ in WRONG_ROWS), row(2)]

    found = answers(await send(caller, rows))

    assert [each["row"] for each in found] == list(range(1, len(rows) + 1))
    assert [each["problem"]["code"] for each in found[1:-1]] == [code for _, code in WRONG_ROWS]
    assert found[0]["client_ref"] == "JY-1" and "licence" in found[0]
    assert found[-1]["client_ref"] == "JY-2" and "licence" in found[-1]


async def test_rows_sent_again_get_what_they_got_before(service: Service) -> None:
    """The whole batch again: the same licences; another body under a reference is refused; new rows are issued."""
    caller = await business(service)
    first = answers(await send(caller, [row(1), row(2)]))

    again = answers(await send(caller, [row(2), row(1), row(1, number="JY16101009999999"), row(3)]))

    assert [each.get("id") for each in again[:2]] == [first[1]["id"], first[0]["id"]]
    assert again[0]["licence"] == first[1]["licence"]
    assert again[2]["problem"]["code"] == "idempotency.conflict"
    assert "licence" in again[3]


async def test_a_fault_of_ours_is_said_row_by_row(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks inside, every row of the begun answer is answered, and sent again it gets its licence."""
    caller = await business(service)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("示例故障")

    with monkeypatch.context() as patch:
        patch.setattr(service.region.slots, "take", broken)
        found = answers(await send(caller, [row(1), row(2)]))
    again = answers(await send(caller, [row(1), row(2)]))

    assert [(each["row"], each["problem"]["code"]) for each in found] == [(1, "internal"), (2, "internal")]
    assert all("licence" in each for each in again)


async def test_the_same_row_twice_in_a_batch_is_one_licence(service: Service) -> None:
    """Two equal rows get one answer, whichever chunk they are in."""
    caller = await business(service)

    found = answers(await send(caller, [row(1), *(row(n) for n in range(2, 300)), row(1)]))

    assert found[0]["id"] == found[-1]["id"]
    assert len({each["entry"] for each in found}) == len(found) - 1


async def test_another_clients_reference_is_another_row(service: Service) -> None:
    """References are unique for their client, not for everybody."""
    first, second = await business(service), await business(service, "market-second")

    one = answers(await send(first, [row(1, client_ref="same")]))
    other = answers(await send(second, [row(2, client_ref="same")]))

    assert one[0]["id"] != other[0]["id"]


async def test_history_is_imported_with_the_same_call(service: Service) -> None:
    """`kind=import` takes over old licences; the strict rule refuses a number that the lenient one notes."""
    caller = await business(service)
    wrong = licensing.COMPANY | {"id": "91610100MA0000015R"}
    old = row(1, issuer="示例市食品药品监督管理局", issued_on="2015-03-01", valid_from="2015-03-01", holder=wrong)
    path = "/v1/licences/batch?kind=import"

    strict = answers(await send(caller, [old], path))
    lenient = answers(await send(caller, [old | {"client_ref": "again"}], f"{path}&rule=lenient"))

    assert strict[0]["problem"]["code"] == "import.number"
    assert "licence" in lenient[0], lenient


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"", "application/x-ndjson", "batch.empty"),
        (b"\n\n", "application/x-ndjson", "batch.empty"),
        (b"{}", "application/json", "body.media_type"),
        (b"{}\n" * 1001, "application/x-ndjson", "batch.too_long"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/licences/batch", "/v1/batches"])
async def test_what_is_no_batch_is_refused_whole(
    service: Service, path: str, content: bytes, kind: str, code: str
) -> None:
    """Nothing in it, too much in it, or something else."""
    caller = await business(service)

    answer = await caller.call("POST", path, content=content, headers={"Content-Type": kind})

    assert answer.json()["code"] == code


async def test_a_batch_in_the_background_is_worked_off(service: Service) -> None:
    """202 with where to ask, counts on the way, results page by page in the order sent."""
    caller = await business(service)
    rows = [row(n) for n in range(1, 301)] + [{"client_ref": "bad"}]

    accepted = await send(caller, rows, "/v1/batches")
    status = await done(caller, accepted.headers["location"])

    assert accepted.status_code == 202
    assert (status["rows"], status["done"], status["accepted"], status["refused"]) == (301, 301, 300, 1)
    found = await all_results(caller, status["results"])
    assert [each["row"] for each in found] == list(range(1, 302))
    assert found[-1]["problem"]["code"] == "request.member_missing"
    stranger = await service.caller("housing", ["issue"], licensing.HOUSING)
    assert (await stranger.call("GET", accepted.headers["location"])).json()["code"] == "batch.unknown"


async def test_the_same_batch_under_its_key_is_one_batch(service: Service) -> None:
    """A repeated call finds the batch that is there; another batch under the key is refused."""
    caller = await business(service)

    first = await send(caller, [row(1)], "/v1/batches", key="b1")
    again = await send(caller, [row(1)], "/v1/batches", key="b1")
    other = await send(caller, [row(2)], "/v1/batches", key="b1")

    assert again.json()["id"] == first.json()["id"]
    assert other.json()["code"] == "idempotency.conflict"


async def test_a_batch_goes_on_after_a_restart(database_url: str, tmp_path: Path) -> None:
    """The service ends with rows waiting; the next one works them off, no row twice."""
    async with service_on(database_url, tmp_path) as first:
        await furnish(first.region)
        caller = await business(first)
        accepted = await send(caller, [row(n) for n in range(1, 1025)], "/v1/batches")
        location = accepted.headers["location"]
        region, key = first.region, first.identity_key
        transport: Any = first.http._transport
        await transport.app.state.batches.stop()
        before = await caller.get(location)

        async with served(region, key, tmp_path) as second:
            resumed = Caller(second.http, caller.client, caller.key, caller.operator)
            status = await done(resumed, location)
            found = await all_results(resumed, status["results"])

    assert before["state"] in ("waiting", "running")
    assert status["refused"] == 0 and status["done"] == 1024
    assert len({each["entry"] for each in found}) == 1024


async def done(caller: Caller, location: str) -> dict[str, Any]:
    """Wait until a batch is done and return its status."""
    async with asyncio.timeout(60):
        while (status := await caller.get(location))["state"] != "done":
            await asyncio.sleep(0.05)
    assert isinstance(status, dict)
    return status


async def all_results(caller: Caller, address: str) -> list[dict[str, Any]]:
    """Fetch results to the end."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await caller.get(address, params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page.get("cursor")
    return found


async def test_input_takes_no_more_memory_than_a_row() -> None:
    """A hundred thousand rows, some far too long, pass through a few chunks of memory."""
    settings = Settings(max_row_bytes=2048)
    line = json.dumps({"client_ref": "x" * 100, "pad": "y" * 1000}).encode() + b"\n"

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(99_000):
            yield line
        for _ in range(1000):
            yield b"z" * 65_536
        yield b"\n"

    tracemalloc.start()
    count = long = 0
    async for number, each in lines(stream(), settings):
        count += 1
        long += row_of(number, each, settings.max_row_bytes).refusal is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (count, long) == (99_001, 1)
    assert peak < 1_000_000


async def test_a_batch_of_a_hundred_thousand_takes_no_more_memory_than_one_of_ten_thousand(
    sqlite_url: str, tmp_path: Path
) -> None:
    """The whole way over HTTP, answered while it is worked off: neither input nor answer is ever held whole."""
    async with service_on(sqlite_url, tmp_path) as service:
        await furnish(service.region)
        caller = await business(service)
        await peak_while_answered(service, caller, 10_000)

        few = await peak_while_answered(service, caller, 10_000)
        many = await peak_while_answered(service, caller, 100_000)

    assert many - few < 16 * 2**20


async def peak_while_answered(service: Service, caller: Caller, count: int) -> int:
    """Send `count` rows of a KiB that are all refused, and return the most memory (bytes) held meanwhile."""
    transport: Any = service.http._transport
    token = (await caller.ask_token()).json()["access_token"]
    line = json.dumps({"client_ref": "x", "pad": "y" * 1000}).encode() + b"\n"
    left, answered, peak = count, 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal left
        if left == 0:
            await asyncio.Event().wait()
        part = min(left, 50)
        left -= part
        return {"type": "http.request", "body": line * part, "more_body": left > 0}

    async def take(message: dict[str, Any]) -> None:
        nonlocal answered, peak
        answered += message.get("body", b"").count(b"\n")
        peak = max(peak, int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

    headers = {"authorization": f"Bearer {token}", "elicence-operator": "E-001", "content-type": "application/x-ndjson"}
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "path": "/v1/licences/batch",
        "raw_path": b"/v1/licences/batch", "query_string": b"", "root_path": "", "server": ("region.example", 443),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await transport.app(scope, receive, take)
    assert answered == count
    return peak


async def test_lines_are_found_wherever_the_network_cuts() -> None:
    """The same lines come out for every cut of the same bytes; a last line needs no line feed."""
    sent = b'{"a":1}\r\n\n{"b":2}\n  \n{"c":3}'
    settings = Settings()
    for size in range(1, len(sent) + 1):

        async def stream(size: int = size) -> AsyncIterator[bytes]:
            for start in range(0, len(sent), size):
                yield sent[start : start + size]

        found = [(number, (each or b"").strip()) async for number, each in lines(stream(), settings)]

        assert found == [(1, b'{"a":1}'), (3, b'{"b":2}'), (5, b'{"c":3}')]


def test_every_code_of_a_row_is_a_code() -> None:
    """The table above names refusals that exist."""
    assert {code for _, code in WRONG_ROWS} <= {str(code) for code in Code}
