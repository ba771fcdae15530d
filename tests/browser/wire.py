"""A proxy before the service that keeps everything a browser sends, so that a test sees what really left the page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response

_HOP_BY_HOP = {"connection", "content-length", "content-encoding", "transfer-encoding", "host", "accept-encoding"}


class Wire:
    """What came over the wire: request line, headers and body of every request, as one text each."""

    def __init__(self, service: str) -> None:
        self.sent: list[str] = []
        self._service = service
        self.app = FastAPI(openapi_url=None, lifespan=self._running)
        self.app.add_api_route("/{path:path}", self._forward, methods=["GET", "POST"])

    @asynccontextmanager
    async def _running(self, _: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=self._service, timeout=30) as self._client:
            yield

    async def _forward(self, request: Request) -> Response:
        body = await request.body()
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        self.sent.append(f"{request.method} {request.url}\n{headers}\n{body!r}")
        answer = await self._client.request(request.method, str(request.url.path), headers=headers, content=body)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return Response(answer.content, answer.status_code, kept)
