"""Routes that are called without the framework's machinery, and a table that finds them without trying each in turn.

FastAPI describes a route from its signature; solving that signature anew for every call costs more than most calls do.
A `DirectRoute` is read once, when it is made: nearly all of ours need the request, what a few `async` functions make of
it, and parameters of path and query. What a signature asks for beyond that is left to the framework.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, get_type_hints

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Provider = Callable[[Request], Awaitable[Any]]

_KEY_SEGMENTS: Final = 2
"""Literal segments of a path under which routes with parameters are looked up; a handful share each key."""


class DirectRoute(APIRoute):
    """A route that is read once; `request_class` is what its handler sees."""

    request_class: type[Request] = Request
    direct: Handler | None

    def get_route_handler(self) -> Handler:
        """Return the handler, called by `Front` or, where that finds no way, by the framework."""
        self.direct = _handler(self)
        handler, made = self.direct or super().get_route_handler(), self.request_class

        async def handle(request: Request) -> Response:
            return await handler(made(request.scope, request.receive))

        return handle


class RouteTable:
    """Every direct route by method and path."""

    def __init__(self, routes: Iterable[object]) -> None:
        self._exact: dict[tuple[str, str], DirectRoute] = {}
        self._patterns: dict[tuple[str, ...], list[DirectRoute]] = {}
        for route in routes:
            if not isinstance(route, DirectRoute) or route.direct is None:
                continue
            if "{" in route.path:
                self._patterns.setdefault(_literal(route.path), []).append(route)
                continue
            for method in route.methods or ():
                self._exact.setdefault((method, route.path), route)

    def find(self, method: str, path: str) -> tuple[DirectRoute, dict[str, Any]] | None:
        """Return the route and the values of its path's parameters; `None` where the framework has to look."""
        route = self._exact.get((method, path))
        if route is not None:
            return route, {}
        key = tuple(path.split("/", _KEY_SEGMENTS + 1)[1 : _KEY_SEGMENTS + 1])
        for route in self._patterns.get(key) or self._patterns.get(key[:1]) or ():
            found = route.path_regex.match(path)
            if found is not None and method in (route.methods or ()):
                convert = route.param_convertors
                return route, {name: convert[name].convert(text) for name, text in found.groupdict().items()}
        return None


def _literal(path: str) -> tuple[str, ...]:
    """Return the segments before the first with a parameter, as many as a key has."""
    segments = path.split("/")[1 : _KEY_SEGMENTS + 1]
    return tuple(segments[: next((at for at, each in enumerate(segments) if "{" in each), _KEY_SEGMENTS)])


def _handler(route: APIRoute) -> Handler | None:
    """Return what calls the endpoint of `route` with all it asks for; `None` where only the framework can."""
    dependant, endpoint = route.dependant, route.endpoint
    providers = [(each.name, each.call) for each in dependant.dependencies]
    if not _is_plain(dependant) or get_type_hints(endpoint).get("return") is not Response:
        return None
    if not all(_takes_request(each) for each in dependant.dependencies):
        return None
    if [name for name, _ in providers] == [] and not dependant.path_params and not dependant.query_params:
        name = dependant.request_param_name
        return endpoint if name is not None else _without_request(endpoint)
    given = _parameters(dependant)

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {}
        for name, provider in providers:
            value = await provider(request)  # type: ignore[misc] # _takes_request has looked
            if name is not None:
                values[name] = value
        if given is not None:
            values.update(given(request))
        if dependant.request_param_name is not None:
            values[dependant.request_param_name] = request
        response: Response = await endpoint(**values)
        return response

    return handle


def _without_request(endpoint: Callable[[], Awaitable[Response]]) -> Handler:
    async def handle(_: Request) -> Response:
        return await endpoint()

    return handle


def _is_plain(dependant: Dependant) -> bool:
    """Whether nothing is asked for but dependencies, the request, and parameters of path and query."""
    names = (
        dependant.http_connection_param_name,
        dependant.websocket_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    return not (any(names) or dependant.header_params or dependant.cookie_params or dependant.body_params)


def _takes_request(dependant: Dependant) -> bool:
    """Whether a dependency is an `async` function of the request alone, called by position."""
    alone = not (dependant.dependencies or dependant.path_params or dependant.query_params)
    return _is_plain(dependant) and alone and dependant.request_param_name is not None


def _parameters(dependant: Dependant) -> Callable[[Request], Mapping[str, Any]] | None:
    """Return what reads the parameters of path and query; it raises the framework's own `RequestValidationError`."""
    path, query = dependant.path_params, dependant.query_params
    if not path and not query:
        return None
    optional = not any(field.field_info.is_required() for field in query)
    absent = {field.name: field.get_default() for field in query} if optional else {}

    def given(request: Request) -> Mapping[str, Any]:
        values, errors = request_params_to_args(path, request.path_params)
        if request.scope["query_string"] or not optional:
            more, wrong = request_params_to_args(query, request.query_params)
            values |= more
            errors += wrong
        else:
            values |= absent
        if errors:
            raise RequestValidationError(errors)
        return values

    return given
