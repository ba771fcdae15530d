"""Licences over HTTP: who may read, what repeats, how documents are served."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger import grants
from tests.api.service import Service
from tests.api.story import World, business_licence, served, world_on
from tests.ledger import licensing
from tests.ledger.licensing import HOUSING, MARKET, food
from tests.region import OPERATOR
from verifiers.receipt import parse_receipt


@pytest.fixture
async def world(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Serve a region with departments, types, grants and callers."""
    async with world_on(sqlite_url, tmp_path) as running:
        yield running


async def end_grants(service: Service, department: str) -> None:
    """Take every grant from a department."""
    for grant in service.region.catalogue.grants.values():
        if grant.department == department and grant.closed_idx is None:
            await grants.end(service.region, OPERATOR, grant.id)


async def test_a_repeated_request_gets_its_licence_even_when_it_would_be_refused_now(world: World) -> None:
    """The grant has ended meanwhile; who repeats the request gets the very licence it got then."""
    first = await world.business.post("/v1/licences", food(1), key="k1")
    await end_grants(world.service, MARKET)

    again = await world.business.post("/v1/licences", food(1), key="k1")
    other = await world.business.call("POST", "/v1/licences", food(2), key="k1")
    fresh = await world.business.call("POST", "/v1/licences", food(2), key="k2")

    assert again == first
    assert other.json()["code"] in ("idempotency.conflict", "grant.exceeded")
    assert fresh.json()["code"] == "grant.exceeded"


async def test_another_department_reads_only_what_it_was_granted(world: World) -> None:
    """Without a grant to read, state, history, receipt, bundle, code and face are all refused."""
    licence = await world.business.post("/v1/licences", business_licence())
    stranger = await world.service.caller("housing", ["issue"], HOUSING)
    path = f"/v1/licences/{licence['id']}"
    parts = ["", "/history", "/receipt", "/bundle", "/code.png", "/code.svg", "/face.svg", "/face.pdf"]

    refused = {part: (await stranger.call("GET", f"{path}{part}")).status_code for part in parts}
    await licensing.give(world.service.region, HOUSING, licensing.BUSINESS, acts=["read"])
    allowed = await stranger.call("GET", path)

    assert set(refused.values()) == {403}
    assert allowed.json()["licence"] == licence["licence"]


async def test_an_answer_can_wait_for_its_receipt(world: World) -> None:
    """`?wait=receipt` puts the proof into the answer; it is about this entry."""
    licence = await world.business.post("/v1/licences?wait=receipt", food(1))

    assert parse_receipt(licence["receipt"]).index == licence["entry"]


async def test_many_requests_at_once_are_each_answered_for_themselves(world: World) -> None:
    """Requests that are prepared together share nothing but the work: a wrong one among them is refused alone."""
    import asyncio

    bodies = [food(n) for n in range(1, 40)] + [food(99, valid_until="2020-01-01"), food(7)]
    found = await asyncio.gather(*(world.business.call("POST", "/v1/licences", body) for body in bodies))

    assert {answer.status_code for answer in found[:39] if answer is not found[6]} == {201}
    assert found[39].json()["code"] == "validity.reversed"
    twice = [found[6].status_code, found[40].status_code]
    assert sorted(twice) == [201, 409]


async def test_published_documents_are_served_to_caches(world: World) -> None:
    """ETag and 304, HEAD, gzip where it helps, every origin welcome, an age that follows from the kind."""
    http = world.service.http
    licence = await world.business.post("/v1/licences?wait=receipt", food(1))
    await served(world, licence["status"]["uri"].removeprefix(str(http.base_url)))

    whole = await http.get("/trust-list", headers={"Accept-Encoding": "identity"})
    same = await http.get("/trust-list", headers={"If-None-Match": whole.headers["etag"]})
    head = await http.head("/trust-list", headers={"Accept-Encoding": "identity"})
    size = parse_receipt(licence["receipt"]).index
    entries = await http.get(f"/log/tile/entries/000.p/{size + 1}", headers={"Accept-Encoding": "gzip"})
    old = await http.get("/trust-list/1")
    status = await http.get(licence["status"]["uri"])

    assert whole.headers["access-control-allow-origin"] == "*"
    assert (same.status_code, same.content) == (304, b"")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", whole.headers["etag"])
    assert entries.status_code == 404 or entries.headers["content-encoding"] == "gzip"
    assert "immutable" in old.headers["cache-control"]
    assert 0 <= int(status.headers["cache-control"].removeprefix("public, max-age=")) <= 30
    assert gzip.decompress(gzip.compress(whole.content)) == whole.content


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/../../etc/passwd",
        "/log/tile/0/000/../../checkpoint",
        "/trust-list/0",
        "/status-lists/99999",
        "/types/x/1",
    ],
)
async def test_addresses_of_nothing_are_refused(world: World, path: str) -> None:
    """Nothing outside the published paths is ever looked up."""
    answer = await world.service.http.get(path)

    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_picture_is_read_or_refused_for_what_it_is(world: World) -> None:
    """Too large, of another kind, or no picture at all: each says so; nothing crashes the reader."""
    jpeg = {"Content-Type": "image/jpeg"}
    path = "/pages/read-frame"

    large = await world.window.call("POST", path, content=b"\xff\xd8" + b"x" * 1_000_001, headers=jpeg)
    broken = await world.window.call("POST", path, content=b"\xff\xd8\xff\xe0 no picture", headers=jpeg)
    other = await world.window.call("POST", path, content=b"GIF89a", headers={"Content-Type": "image/gif"})
    nobody = await world.business.call("POST", path, content=b"", headers=jpeg)

    found = [answer.json()["code"] for answer in (large, broken, other, nobody)]
    assert found == ["body.too_large", "picture.unreadable", "body.media_type", "scope.exceeded"]
