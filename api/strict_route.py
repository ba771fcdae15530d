"""How a request body comes in: counted while it arrives, read strictly, and told apart by cause when refused."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api import strict_json
from ledger.errors import Code, Refusal


class StrictRequest(Request):
    """A request whose body has a bound and whose JSON has one meaning."""

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

    async def json(self) -> Any:
        """Return the value of the JSON body.

        Raises `Refusal` with a `body.*` code.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = strict_json.parse(body, limit=self.app.state.settings.max_body_bytes)
        return self._json


class StrictRoute(APIRoute):
    """A route whose handler sees a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, wrapped."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
