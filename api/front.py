"""The door of the service: what every call passes, in one place, because it is on the path of every call.

A call is let in or sent away (`api.admission`), its body gets a time to come in (`api.patience`), its route is found in
a table, its answer or refusal is written, and what came of it is counted, timed and logged under the route's pattern.
Routes the table does not have go through the framework. HEAD is answered as GET without the body (RFC 9110 §9.3.2).

The web server asks for each call that has come whole whether to let it in (`Front.let_in`), before it does anything
else for it: where many are sent away, that has to cost little, or those who are in wait for it.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from api import refused
from api.admission import Admission, Arriving, Lane
from api.direct_route import DirectRoute, RouteTable
from api.metrics import Metrics
from api.patience import Patience
from ledger.errors import Refusal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Whole = Callable[[int, list[tuple[bytes, bytes]], bytes | memoryview], bool]

SLOW_S: Final = 1
"""Answers that take longer are logged."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HUNG_UP: Final = 499
"""Noted where the caller left before there was an answer; nobody ever sees it."""
_NO_ROUTE: Final = "(none)"
_LET_IN: Final = "elicence.let_in"
"""Member of a scope: route and lane of a call that was let in as it came."""
WHOLE: Final = "elicence.whole"
"""Member of a scope: what writes a whole answer at once, or says that it has to go in parts."""

_Found = tuple[DirectRoute, dict[str, Any]] | None


class Service(FastAPI):
    """The application behind its door."""

    front: "Front | None" = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or run the lifespan."""
        if self.front is not None and scope["type"] == "http":
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def open(self, metrics: Metrics, admission: Admission, patience: Patience, *, verbose: bool) -> None:
        """Put the door in front, once all routes are there; `verbose` logs every call."""
        self.front = Front(self, super().__call__, metrics, admission, patience, verbose=verbose)


class Front:
    """ASGI application around another one."""

    def __init__(
        self,
        app: FastAPI,
        framework: Application,
        metrics: Metrics,
        admission: Admission,
        patience: Patience,
        *,
        verbose: bool,
    ) -> None:
        self._app = app
        self._framework = framework
        self._table = RouteTable(app.routes)
        self._metrics = metrics
        self._admission = admission
        self._patience = patience
        self._verbose = verbose

    def let_in(self, scope: Scope) -> bytes | None:
        """Give a call that has come whole its place; or return what sends it away, status line and all.

        Who is let in has to be called, or given up: its place is given back then.
        """
        began, found = time.perf_counter(), self._find(scope)
        route = "" if found is None else found[0].path
        place = self._admission.place(route)
        if isinstance(place, Lane):
            place.take()
            scope[_LET_IN] = found, place
            return None
        said = refused.sent_away(self._app, scope["headers"], place)
        self._count(route or _NO_ROUTE, scope["method"], 503, time.perf_counter() - began)
        return said

    def give_up(self, scope: Scope) -> None:
        """Give back the place of a call that was let in, and whose caller left before it was begun."""
        found, place = scope.pop(_LET_IN)
        place.leave()
        self._count(_NO_ROUTE if found is None else found[0].path, scope["method"], _HUNG_UP, 0.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call and note what came of it."""
        began, method = time.perf_counter(), scope["method"]
        scope["app"] = self._app
        found, place = scope.pop(_LET_IN, None) or self._arrive(scope)
        if isinstance(place, Arriving):
            receive = self._patience.lent(receive, place.whole)
        if method == "HEAD":
            scope, send = {**scope, "method": "GET"}, _bodiless(send)
        status = 500
        try:
            if found is not None:
                scope["route"], scope["path_params"] = found
            if isinstance(place, Refusal):
                status = await _send(refused.answer_to(Request(scope, receive), place), scope, receive, send)
            elif found is None:
                status = await self._by_framework(scope, receive, send)
            else:
                status = await self._directly(found[0], scope, receive, send)
        finally:
            if not isinstance(place, Refusal):
                place.leave()
            self._note(scope, method, status, time.perf_counter() - began)

    def _find(self, scope: Scope) -> _Found:
        # Mounted below a prefix, paths are not what the table has.
        if scope.get("root_path"):
            return None
        method = scope["method"]
        return self._table.find("GET" if method == "HEAD" else method, scope["path"])

    def _arrive(self, scope: Scope) -> tuple[_Found, Lane | Arriving | Refusal]:
        found = self._find(scope)
        route = "" if found is None else found[0].path
        if scope["method"] in _WITH_BODY:
            return found, self._admission.arriving(route)
        place = self._admission.place(route)
        if isinstance(place, Lane):
            place.take()
        return found, place

    async def _directly(self, route: DirectRoute, scope: Scope, receive: Receive, send: Send) -> int:
        request = route.request_class(scope, receive)
        try:
            response = await route.direct(request)  # type: ignore[misc] # the table holds no others
        except Exception as error:  # noqa: BLE001 - whatever a route ends in is answered, as the framework would
            if refused.hung_up(error):
                return _HUNG_UP
            response = refused.answer_to(request, error)
        return await _send(response, scope, receive, send)

    async def _by_framework(self, scope: Scope, receive: Receive, send: Send) -> int:
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), refused.NO_SNIFFING]
            await send(message)

        await self._framework(scope, receive, noting)
        return status

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        self._count(route, method, status, seconds)
        if status >= 500 or seconds > SLOW_S:
            structlog.get_logger().warning(
                "answer", route=route, method=method, status=status, ms=round(seconds * 1000)
            )
        elif self._verbose:
            structlog.get_logger().debug("answer", route=route, method=method, status=status, ms=round(seconds * 1000))

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        # A method is any word a caller likes; a label for each would fill the memory.
        self._metrics.answers.note(route, method if method in _METHODS else "OTHER", status, seconds)


async def _send(response: Response, scope: Scope, receive: Receive, send: Send) -> int:
    """Send an answer and return its status."""
    response.raw_headers.append(refused.NO_SNIFFING)
    status = response.status_code
    if isinstance(response, StreamingResponse) or response.background is not None:
        await response(scope, receive, send)
        return status
    whole: Whole | None = scope.get(WHOLE)
    if whole is not None and whole(status, response.raw_headers, response.body):
        return status
    await send({"type": "http.response.start", "status": status, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body})
    return status


def _bodiless(send: Send) -> Send:
    async def bodiless(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await send(message)

    return bodiless
