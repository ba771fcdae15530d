"""A peer whose server misbehaves, met over real connections: it is called unreachable, and licences are issued on."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from api.outside_http import HttpOutside
from ledger.following import Following
from ledger.issuing import issue
from ledger.outside import NO_HEADERS, Answer, Outside
from tests.api.test_outside_http import Behaviour, Seen, answers, answers_and_hangs_up, drips, serving
from tests.ledger import licensing
from tests.ledger.followed_peers import A, B, state_of
from tests.regions import base_url_of, regions_world
from verifiers.peer_view import Watch


class Elsewhere(Outside):
    """The real way out, with one region's address standing for another."""

    def __init__(self, http: HttpOutside, base: str) -> None:
        self._http = http
        self._base = base

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Ask the server that stands in."""
        return await self._http.get(url.replace(base_url_of(A), self._base), limit=limit, etag=etag)

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Ask the server that stands in."""
        there = url.replace(base_url_of(A), self._base)
        return await self._http.post(there, body, media_type=media_type, limit=limit, headers=headers)

    async def close(self) -> None:
        """The way out is closed by whoever opened it."""


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Send a body without end."""
    await seen.send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await seen.send(writer, b"x" * 65_536)


@pytest.mark.parametrize(
    ("behave", "detail"),
    [
        pytest.param(endless, "an answer longer than", id="endless"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "no whole answer within", id="drip"),
        pytest.param(
            answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            "the answer is a redirect",
            id="redirect",
        ),
        pytest.param(answers_and_hangs_up(b"SSH-2.0-OpenSSH\r\n\r\n"), "the exchange failed", id="garbage"),
    ],
)
async def test_issuing_goes_on_beside_a_hostile_server(
    tmp_path: Path, sqlite_urls: Callable[[str], str], behave: Behaviour, detail: str
) -> None:
    """What was verified stays, the state says what is wrong, and a licence is issued meanwhile."""
    async with regions_world(tmp_path, sqlite_urls) as world, serving(behave) as (base, seen):
        b = world[B]
        await licensing.furnish(b.region)
        size = state_of(b)["size"]
        http = HttpOutside(timeout_s=0.5)
        following = Following(b.region, Elsewhere(http, base))
        try:
            looking = asyncio.create_task(following.step())
            request = licensing.request(b.region, licensing.food())
            assert await issue(b.region, licensing.actor(licensing.MARKET), [request])
            await looking
        finally:
            await http.close()
        [state] = following.states()
        assert (state["state"], state["size"]) == (Watch.UNREACHABLE, size)
        assert state["detail"].startswith(detail)
        assert seen.sent < 16 * 1024 * 1024
        assert [view.watch for view in following.views()] == [Watch.UNREACHABLE]
