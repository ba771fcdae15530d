"""How a request body comes in: counted while it arrives, read strictly, and told apart by cause when refused."""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from api import strict_json
from api.direct_route import DirectRoute
from ledger.errors import Code, Refusal


class StrictRequest(Request):
    """A request whose body has a bound and whose JSON has one meaning."""

    _body: bytes
    _json: Any

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, forms included.

        Raises `Refusal` `body.too_large` as soon as the bound is passed, whatever `Content-Length` promised.
        """
        limit = self.app.state.settings.max_body_bytes
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > limit:
                raise Refusal(Code.BODY_TOO_LARGE, limit=limit)
            yield chunk

    async def body(self) -> bytes:
        """Return the whole body: nearly always it has come with the head, in one piece.

        Raises `Refusal` `body.too_large` as `stream` does.
        """
        if not hasattr(self, "_body"):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_disconnected = True
                raise ClientDisconnect
            body: bytes = message.get("body", b"")
            if message.get("more_body", False):
                body = await self._rest(bytearray(body))
            elif len(body) > (limit := self.app.state.settings.max_body_bytes):
                raise Refusal(Code.BODY_TOO_LARGE, limit=limit)
            self._stream_consumed = True
            self._body = body
        return self._body

    async def _rest(self, body: bytearray) -> bytes:
        limit = self.app.state.settings.max_body_bytes
        async for chunk in super().stream():
            body += chunk
            if len(body) > limit:
                raise Refusal(Code.BODY_TOO_LARGE, limit=limit)
        return bytes(body)

    async def json(self) -> Any:
        """Return the value of the JSON body.

        Raises `Refusal` with a `body.*` code.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = strict_json.parse(body, limit=self.app.state.settings.max_body_bytes)
        return self._json


class StrictRoute(DirectRoute):
    """A route whose handler sees a `StrictRequest`."""

    request_class = StrictRequest
