"""HEAD for every address that answers GET: the same headers, no body (RFC 9110 §9.3.2)."""

from api.observation import Application, Message, Receive, Scope, Send


class HeadRequests:
    """ASGI middleware: the routes see a GET, the caller sees no body."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, bodiless)
