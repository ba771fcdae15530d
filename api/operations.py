"""What every operation says of itself: its body, its refusals, its name in the interface description.

Bodies are read strictly and handed to the ledger as they are; the ledger is the one judge of their members, the same
way for a call, a row of a batch and a row of an import. The models at the top of each route module only describe them,
so nothing is checked twice on the way to a signature.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Request, Response
from pydantic import BaseModel

from ledger.errors import Code, Refusal

JSON: Final = "application/json"

Dependency = Callable[..., Awaitable[Any]]
"""What FastAPI calls before a route, or the route calls itself."""

AnyBody = Any
"""A JSON value that the ledger will judge."""


@dataclass(frozen=True, slots=True)
class Description:
    """What goes in and out of an operation, and the codes it may refuse with beyond those of its kind of call."""

    takes: type[BaseModel] | None
    body_required: bool
    media: str
    gives: str
    status: int
    refuses: frozenset[str]
    uses: frozenset[Dependency]


OPERATIONS: Final[dict[str, Description]] = {}
"""Every operation by its id, filled as the route modules are loaded; `api.interface` reads it."""


def described(
    operation: str,
    *,
    takes: type[BaseModel] | None = None,
    optional_body: bool = False,
    media: str = JSON,
    gives: str = JSON,
    refuses: Sequence[str] = (),
    status: int = 200,
    uses: Sequence[Dependency] = (),
) -> dict[str, Any]:
    """Name a route `operation`, describe what goes in and out, and return the keyword arguments for its decorator.

    `takes` is the model of its body, `media` the body's media type, `gives` the answer's. `refuses` lists refusal
    codes; one that ends in a dot means its whole group (`"field."`). `uses` names dependencies that a busy route calls
    itself, because the framework takes longer to find out that it should than they take. Raises `ValueError` for a
    name used twice or a code there is not.
    """
    codes = frozenset(code for each in refuses for code in _codes(each))
    if operation in OPERATIONS:
        message = f"two operations are called {operation}"
        raise ValueError(message)
    OPERATIONS[operation] = Description(takes, not optional_body, media, gives, status, codes, frozenset(uses))
    return {"operation_id": operation, "status_code": status}


def _codes(named: str) -> list[str]:
    found = [str(code) for code in Code if code == named or (named.endswith(".") and code.startswith(named))]
    if not found:
        message = f"there is no refusal {named}"
        raise ValueError(message)
    return found


class JsonAnswer(Response):
    """A JSON answer whose headers are put together without looking for any that are not there."""

    media_type = JSON

    def __init__(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"cache-control", b"no-store"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
        ]


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer; what stands in answers changes with the next act, so nobody keeps it."""
    return JsonAnswer(orjson.dumps(document), status, headers)


async def posted(request: Request) -> AnyBody:
    """Return the JSON body, read strictly.

    Raises `Refusal` with a `body.*` code.
    """
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise Refusal(Code.BODY_MEDIA_TYPE, expected=JSON)
    return await request.json()


async def posted_or_none(request: Request) -> AnyBody:
    """Return the JSON body, `None` where nothing was sent.

    Raises `Refusal` with a `body.*` code.
    """
    return await posted(request) if await request.body() else None


Posted = Annotated[AnyBody, Depends(posted)]
MaybePosted = Annotated[AnyBody, Depends(posted_or_none)]
