"""The door: the table finds what the framework would, who is let in is served in time, a trickle keeps no place."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from api import admission, patience
from api.admission import BURST, FREE, Admission, Arriving, Lane
from api.app import create_app
from api.direct_route import DirectRoute, RouteTable
from api.patience import Patience
from api.settings import Settings
from ledger.errors import Code, Refusal
from tests.api.service import service_on

APP = create_app(Settings.model_construct())
ROUTES = [route for route in APP.routes if isinstance(route, APIRoute)]
SAMPLES = {"licence": "A" * 22, "number": "7", "seq": "7", "major": "1", "path": "0/000", "type": "9" * 21}


def sample(route: APIRoute) -> str:
    """Return a path of `route`."""
    return route.path_format.format_map({name: SAMPLES.get(name, "x") for name in route.param_convertors})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods or ())} {route.path}")
def test_the_table_finds_the_route_that_the_framework_would(route: APIRoute) -> None:
    """Whichever route is the first to match in the framework's list is the one in the table, with the same values."""
    method, path = min(route.methods or ()), sample(route)
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": []}
    first, child = next(
        (each, child) for each in ROUTES for match, child in [each.matches(scope)] if match is Match.FULL
    )

    found = RouteTable(APP.routes).find(method, path)

    if isinstance(first, DirectRoute) and first.direct is not None:
        assert found is not None and found[0] is first
        assert found[1] == child["path_params"]
    else:
        assert found is None and path == "/oauth/token"


def test_only_forms_are_left_to_the_framework() -> None:
    """A signature that cannot be read once would make its route several times as dear without anybody's noticing."""
    assert [route.path for route in ROUTES if getattr(route, "direct", None) is None] == ["/oauth/token"]


@pytest.mark.parametrize("path", ["/healthz", "/status-lists", "/openapi.json"])
async def test_head_gives_the_headers_and_no_body(path: str, service_http: httpx.AsyncClient) -> None:
    """HEAD is GET without its body, through the table and through the framework."""
    got, asked = await service_http.get(path), await service_http.head(path)

    assert got.status_code == asked.status_code == 200
    assert asked.content == b"" and got.content
    assert asked.headers == got.headers
    assert got.headers["x-content-type-options"] == "nosniff"


async def test_what_the_table_does_not_have_is_refused_as_ever(service_http: httpx.AsyncClient) -> None:
    """An unknown path, a method a path does not take, and a parameter that is none keep their codes."""
    wrong = [("GET", "/nowhere"), ("PUT", "/v1/licences"), ("GET", "/status-lists/x"), ("GET", "/v1/licences/x")]

    codes = [(await service_http.request(*each)).json()["code"] for each in wrong]

    assert codes == ["path.unknown", "method.not_allowed", "parameter.invalid", "token.missing"]


@pytest.fixture(name="service_http")
async def _service_http(sqlite_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with service_on(sqlite_url, tmp_path) as service:
        yield service.http


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until it is set."""
    now = [100.0]
    monkeypatch.setattr(admission, "perf_counter", lambda: now[0])
    return now


def test_a_lane_is_full_when_the_next_would_wait_too_long(clock: list[float]) -> None:
    """Calls under way times the time between two answers is what counts; a few are always let in."""
    lane = Lane(most=10_000, wait_s=1.0)
    for _ in range(200):
        lane.take()
    for _ in range(100):  # one answer every 10 ms
        clock[0] += 0.01
        lane.leave()
        lane.take()
    assert lane.expected_s(clock[0]) == pytest.approx(2.0, rel=0.05)

    for _ in range(200 - FREE + 1):
        lane.leave()

    assert lane.expected_s(clock[0]) == 0.0


def test_a_lane_takes_in_a_burst_as_fast_as_it_answers(clock: list[float]) -> None:
    """How long one takes is not known yet: who is let in before it is may not be more than a burst."""
    lane = Lane(most=10_000, wait_s=1.0)
    for _ in range(FREE + BURST):
        assert lane.expected_s(clock[0]) == 0.0
        lane.take()
    assert lane.expected_s(clock[0]) >= 1.0

    for _ in range(FREE + BURST):
        clock[0] += 0.002
        lane.leave()
        lane.take()

    assert lane.expected_s(clock[0]) == 0.0  # it answers 500 a second: there is room for half a second more


def test_a_lane_in_which_nothing_is_answered_is_full(clock: list[float]) -> None:
    """Where the database hangs there are no answers to count, and nobody is let in beyond the first few."""
    lane = Lane(most=10_000, wait_s=1.0)
    for _ in range(FREE):
        lane.take()
    assert lane.expected_s(clock[0]) == 0.0

    clock[0] += 1.5

    assert lane.expected_s(clock[0]) >= 1.0


async def test_calls_are_bounded_by_number_and_probes_are_not() -> None:
    """The last place taken, the next call is told to come back; whether the process lives is still answered."""
    door = Admission(most=100, wait_s=60, most_long=1)
    for _ in range(100):
        place = door.place("/v1/verify")
        assert isinstance(place, Lane)
        place.take()
    batch = door.place("/v1/licences/batch")
    assert isinstance(batch, Lane)

    batch.take()
    refused = [door.place("/v1/verify"), door.place("/v1/licences/batch")]
    batch.leave()

    assert [each.code for each in refused if isinstance(each, Refusal)] == [Code.SERVICE_BUSY] * 2
    assert all(each.facts["retry_after"] >= 1 for each in refused if isinstance(each, Refusal))
    assert isinstance(door.place("/healthz"), Lane) and isinstance(door.place("/v1/licences/batch"), Lane)


def test_bodies_that_are_still_coming_keep_nobody_out_whose_call_is_whole() -> None:
    """They have a lane of their own, bounded by number, and go into that of their call once they are whole."""
    door = Admission(most=2, wait_s=60, most_long=1)
    coming = [door.arriving("/v1/verify") for _ in range(2)]
    assert isinstance(door.arriving("/v1/verify"), Refusal)
    lane = door.place("/v1/verify")
    assert isinstance(lane, Lane)
    lane.take()
    lane.take()

    for each in coming:
        assert isinstance(each, Arriving)
        with pytest.raises(Refusal) as refused:
            each.whole()
        each.leave()
        assert refused.value.code == Code.SERVICE_BUSY

    lane.leave()
    lane.leave()
    last = door.arriving("/v1/verify")
    assert isinstance(last, Arriving)
    last.whole()
    assert (door.bodies.under_way, lane.under_way) == (0, 1)
    last.leave()
    assert (door.bodies.under_way, lane.under_way) == (0, 0)


def test_a_batch_has_its_lane_before_its_rows_come() -> None:
    """Its body is read while it is worked on, and may take as long as the rows do."""
    door = Admission(most=2, wait_s=60, most_long=1)

    first = door.arriving("/v1/licences/batch")

    assert isinstance(first, Lane) and (first.under_way, door.bodies.under_way) == (1, 0)
    assert isinstance(door.arriving("/v1/licences/batch"), Refusal)


@pytest.mark.parametrize(("asked", "language"), [([], "zh-CN"), ([(b"accept-language", b"en")], "en")])
async def test_who_is_sent_away_as_he_comes_is_told_what_all_are(
    asked: list[tuple[bytes, bytes]], language: str, sqlite_url: str, tmp_path: Path
) -> None:
    """The short way and the long one give the same answer, and both are counted."""
    async with service_on(sqlite_url, tmp_path, max_calls=32) as service:
        front = service.http._transport.app.front  # type: ignore[attr-defined] # the transport of the tests
        for _ in range(32):
            front._admission.place("/v1/verify").take()
        long = await service.http.post("/v1/verify", content=b"{}", headers={"accept-language": language})

        said = front.let_in({"type": "http", "method": "POST", "path": "/v1/verify", "headers": asked})
        counted = (await service.http.get("/metrics")).text

    head, _, body = said.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert (line, body) == (b"HTTP/1.1 503 Service Unavailable", long.content)
    short = httpx.Headers([tuple(each.split(b": ", 1)) for each in headers])
    assert short == long.headers
    assert 'elicence_refusals_total{code="service.busy"} 2.0' in counted
    assert 'route="/v1/verify",status="503"} 2.0' in counted


async def test_a_call_that_is_let_in_and_given_up_leaves_its_place(sqlite_url: str, tmp_path: Path) -> None:
    """Its caller left before it was begun."""
    async with service_on(sqlite_url, tmp_path) as service:
        front = service.http._transport.app.front  # type: ignore[attr-defined] # the transport of the tests
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/verify", "headers": []}

        lane = front._admission.place("/v1/verify")

        assert front.let_in(scope) is None
        assert lane.under_way == 1
        front.give_up(scope)

        assert lane.under_way == 0


async def test_a_full_service_answers_503_before_it_reads_the_body(sqlite_url: str, tmp_path: Path) -> None:
    """Retry-After in seconds, the problem in the caller's language, and the body is not asked for."""
    async with service_on(sqlite_url, tmp_path, max_calls=32) as service:
        front = service.http._transport.app.front  # type: ignore[attr-defined] # the transport of the tests
        lane = front._admission.place("/v1/verify")
        for _ in range(32):
            lane.take()

        answer = await service.http.post("/v1/verify", content=b"{never read")
        alive = await service.http.get("/healthz")

    assert (answer.status_code, answer.json()["code"]) == (503, "service.busy")
    assert int(answer.headers["retry-after"]) >= 1
    assert alive.status_code == 200


async def test_a_body_that_trickles_is_refused(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body has its first seconds, and then has to come at a pace; the call ends as body.too_slow."""
    monkeypatch.setattr(patience, "LOOK_S", 0.01)

    async def trickle() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    async with service_on(sqlite_url, tmp_path, body_timeout_s=0.1) as service:
        [answer, batch] = await asyncio.gather(
            service.http.post("/v1/verify", content=trickle()), service.http.post("/v1/verify", content=b"{}")
        )

    assert (answer.status_code, answer.json()["code"]) == (408, "body.too_slow")
    assert batch.json()["code"] == "request.member_missing"


async def test_a_call_that_is_cancelled_by_others_stays_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own impatience becomes a refusal."""
    monkeypatch.setattr(patience, "LOOK_S", 0.01)

    async def call() -> Any:
        return await Patience(60).lent(asyncio.Event().wait, lambda: None)()  # type: ignore[arg-type] # never returns

    task = asyncio.create_task(call())
    await asyncio.sleep(0.03)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
