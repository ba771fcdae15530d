"""Roads between regions: answers come from the other region's published files and its witness, if they come at all.

A link is one region's way to another. It may be cut, lose requests or answers, deliver a request late or twice, give
an answer of an earlier moment, or lead to somebody else. Everything that travels takes a little virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Protocol

from ledger import cosigning, status_tokens, trust_publishing
from ledger.errors import Refusal
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.receipts import receipt_of
from ledger.witnessing import Outcome
from verifiers.add_checkpoint import MAX_BYTES

if TYPE_CHECKING:
    from tests.simulation.node import Node

TIMEOUT_S = 10.0
"""How long a region waits for an answer, as `api.outside_http` does by default."""

STATUS = {
    Outcome.COSIGNED: 200,
    Outcome.MALFORMED: 400,
    Outcome.UNTRUSTED: 403,
    Outcome.UNKNOWN_LOG: 404,
    Outcome.CONFLICT: 409,
    Outcome.INCONSISTENT: 422,
}
"""What `api.witness` answers."""

KEPT = 6


@dataclass(frozen=True, slots=True)
class Request:
    """What reaches a region: who asks for which path, with a body where something is sent."""

    caller: str
    path: str
    body: bytes | None = None


class Server(Protocol):
    """Whoever answers for a region."""

    async def answer(self, request: Request) -> Answer:
        """Give a whole answer; its length is judged on the road."""
        ...


@dataclass
class Link:
    """How one region reaches another; the counts say how many of the next messages meet that fate."""

    cut: bool = False
    lost_requests: int = 0
    lost_answers: int = 0
    late_requests: int = 0
    twice: int = 0
    stale_answers: int = 0
    instead: str | None = None
    earlier: dict[str, list[Answer]] = field(default_factory=dict)
    held: list[Request] = field(default_factory=list)

    @property
    def healed(self) -> bool:
        """Whether everything passes as it should."""
        fates = (self.lost_requests, self.lost_answers, self.late_requests, self.twice, self.stale_answers)
        return not self.cut and not any(fates) and self.instead is None and not self.held

    def heal(self) -> None:
        """Let everything pass from now on."""
        self.cut, self.instead = False, None
        self.lost_requests = self.lost_answers = self.late_requests = self.twice = self.stale_answers = 0
        self.held.clear()


class Network:
    """All regions that answer, by code, and the links between them."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.nodes: dict[str, Node] = {}
        self.liars: dict[str, Server] = {}
        self._links: dict[tuple[str, str], Link] = {}

    def link(self, caller: str, code: str) -> Link:
        """The way of one region to another."""
        return self._links.setdefault((caller, code), Link())

    def links(self) -> dict[tuple[str, str], Link]:
        """All links that were ever used or changed."""
        return self._links

    def road(self, caller: str) -> Road:
        """The way of one region to all others."""
        return Road(self, caller)

    def server(self, code: str) -> Server:
        """Whoever answers for a region."""
        return self.liars.get(code) or Honest(self.nodes[code])

    async def deliver(self, caller: str, code: str) -> None:
        """Bring late requests to where they were sent; nobody waits for the answers any more."""
        link = self.link(caller, code)
        held, link.held = link.held, []
        for request in held:
            await self.server(code).answer(request)


class Road(Outside):
    """How one region reaches the others."""

    def __init__(self, network: Network, caller: str) -> None:
        self._network = network
        self._caller = caller

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch `url`."""
        answer = await self._send(url, None, limit)
        if etag is not None and answer.etag == etag:
            return Answer(304, b"", etag)
        return answer

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send `body` to `url`."""
        return await self._send(url, body, limit)

    async def close(self) -> None:
        """Nothing is open."""

    async def _send(self, url: str, body: bytes | None, limit: int) -> Answer:
        host, _, path = url.partition("://")[2].partition("/")
        code = host.removeprefix("r").removesuffix(".example")
        network = self._network
        if code not in network.nodes and code not in network.liars:
            raise Unreachable("nobody answers there")
        link = network.link(self._caller, code)
        await asyncio.sleep(network.rng.uniform(0.001, 0.02))
        request = Request(self._caller, f"/{path}", body)
        answer = await self._carried(link, code, request)
        if answer.status in (301, 302, 307, 308):
            raise Unreachable("a redirect")
        if len(answer.body) > limit:
            raise Unreachable(f"an answer longer than {limit} bytes")
        return answer

    async def _carried(self, link: Link, code: str, request: Request) -> Answer:
        if link.cut:
            raise Unreachable("nobody answers there")
        if link.lost_requests:
            link.lost_requests -= 1
            raise Unreachable("no answer in time")
        if link.late_requests and request.body is not None:
            link.late_requests -= 1
            link.held.append(request)
            raise Unreachable("no answer in time")
        earlier = link.earlier.setdefault(request.path, [])
        if link.stale_answers and earlier:
            link.stale_answers -= 1
            return self._network.rng.choice(earlier)
        server = self._network.server(link.instead or code)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await server.answer(request)
                if link.twice:
                    link.twice -= 1
                    answer = await server.answer(request)
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        if request.body is None and answer.status == 200:
            earlier.append(answer)
            del earlier[:-KEPT]
        if link.lost_answers:
            link.lost_answers -= 1
            raise Unreachable("no answer in time")
        return answer


class Honest:
    """Answers from what a region has published, and with its witness."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def answer(self, request: Request) -> Answer:
        """Answer as `api.published` and `api.witness` do."""
        try:
            if request.body is not None:
                return await self._cosigned(request)
            data = await self._found(request.path)
        except Refusal as refusal:
            return Answer(503 if refusal.code.name.startswith("DATABASE") else 404, b"")
        if data is None:
            return Answer(404, b"")
        return Answer(200, data, f'"{sha256(data).hexdigest()[:32]}"')

    async def _cosigned(self, request: Request) -> Answer:
        if request.path != "/witness/add-checkpoint" or len(request.body or b"") > MAX_BYTES:
            return Answer(404, b"")
        result = await self._node.witness.add_checkpoint(request.body or b"")
        return Answer(STATUS[result.outcome], result.body.encode())

    async def _found(self, path: str) -> bytes | None:
        region = self._node.region
        if path == "/trust-list":
            return region.files.read(trust_publishing.LATEST)
        if path == "/status-lists":
            return region.files.read(status_tokens.AGGREGATION) or b'{"status_lists":[]}'
        if path == "/log/checkpoint.witnessed":
            return region.files.read(cosigning.FILE)
        if path.startswith("/log/"):
            return region.files.read(path.removeprefix("/log/"))
        if path.startswith("/witness/"):
            note = await self._node.witness.latest(path.split("/")[2])
            return None if note is None else note.encode()
        if path.startswith("/trust-list/") and path.endswith("/receipt"):
            seq = int(path.split("/")[2])
            row = await region.database.read(lambda tx: trust_publishing.trust_list_at(tx, seq))
            return None if row is None else (await receipt_of(region, row.idx)).encode()
        if path.startswith(("/trust-list/", "/status-lists/")):
            return region.files.read(path.removeprefix("/"))
        return None
