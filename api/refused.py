"""From exceptions to answers: one place for every route, called through the framework or directly."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api import problems
from api.metrics import Metrics
from ledger.errors import Code, Refusal

NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
"""Header of every answer."""
_BY_STATUS = {404: Code.PATH_UNKNOWN, 405: Code.METHOD_NOT_ALLOWED, 413: Code.BODY_TOO_LARGE, 415: Code.BODY_MEDIA_TYPE}


class Refused(Exception):
    """Several refusals about one body; the first gives the problem its type."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = refusals
        super().__init__(*refusals)


def install(app: FastAPI) -> None:
    """Give `app` an answer for every exception a route can end in."""

    async def answered(request: Request, error: Exception) -> Response:
        return answer_to(request, error)

    for kind in (Refusal, Refused, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answered)


def hung_up(error: Exception) -> bool:
    """Whether a route ended because its caller left: there is nobody to answer, and nothing went wrong here."""
    return isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect)


def answer_to(request: Request, error: Exception) -> Response:
    """Return the problem answer for what a route ended in, and count it."""
    refusals = _refusals(request, error)
    metrics: Metrics = request.app.state.metrics
    metrics.refusals.labels(str(refusals[0].code)).inc()
    return respond(request, refusals)


def sent_away(app: FastAPI, headers: Iterable[tuple[bytes, bytes]], busy: Refusal) -> bytes:
    """Return the answer to a call that is not let in, from its status line on, and count it.

    One of a few dozen texts that are made once: under overload it is written more often than any other.
    """
    app.state.metrics.sent_away.inc()
    wanted = dict(headers).get(b"accept-language")
    language: problems.Language = "zh" if wanted is None else problems.language_of(wanted.decode("latin-1"))
    return _sent_away(busy.code, busy.facts["retry_after"], language, app.state.settings.base_url)


@lru_cache(256)
def _sent_away(code: Code, seconds: int, language: problems.Language, base: str) -> bytes:
    answer = _answer([Refusal(code, retry_after=seconds)], language, base)
    lines = [b"HTTP/1.1 %d %s" % (answer.status_code, HTTPStatus(answer.status_code).phrase.encode())]
    lines += [name + b": " + value for name, value in [*answer.raw_headers, NO_SNIFFING]]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])


def _refusals(request: Request, error: Exception) -> Sequence[Refusal]:
    if isinstance(error, Refusal):
        return [error]
    if isinstance(error, Refused):
        return error.refusals
    if isinstance(error, RequestValidationError):
        return [_finding(each) for each in error.errors()[:50]] or [Refusal(Code.BODY_INVALID)]
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, Refusal):  # the framework wraps whatever reading a body raises
            return [error.__cause__]
        return [
            Refusal(_BY_STATUS.get(error.status_code, Code.BODY_INVALID if error.status_code < 500 else Code.INTERNAL))
        ]
    if not hung_up(error):
        _tell(request, error)
    return [Refusal(Code.INTERNAL)]


def _tell(request: Request, error: Exception) -> None:
    structlog.get_logger().error("unexpected", exc_info=error, route=getattr(request.scope.get("route"), "path", None))


def respond(request: Request, refusals: Sequence[Refusal]) -> Response:
    """Return the problem answer for `refusals` in the caller's language (RFC 9457)."""
    language = problems.language_of(request.headers.get("accept-language"))
    return _answer(refusals, language, request.app.state.settings.base_url)


def _answer(refusals: Sequence[Refusal], language: problems.Language, base: str) -> Response:
    one = problems.problem(refusals[0], language, base)
    document = one if len(refusals) == 1 else problems.many(refusals, language, base)
    headers = {"Content-Language": "zh-CN" if language == "zh" else "en", "Cache-Control": "no-store"}
    if document["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if document["status"] in (429, 503):
        headers["Retry-After"] = str(max(1, round(refusals[0].facts.get("retry_after", 1))))
    return Response(problems.encode(document), document["status"], headers, problems.MEDIA_TYPE)


def _finding(error: Any) -> Refusal:
    """Return one finding of the framework's validation as a refusal with a JSON Pointer (RFC 6901)."""
    place, *rest = error["loc"]
    if place == "header" and rest and str(rest[0]).lower() == "idempotency-key":
        return Refusal(Code.IDEMPOTENCY_MISSING)
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in rest]
    # The framework's message may quote the input, so only its kind is passed on.
    rule = str(error["type"])
    if place == "body":
        return Refusal(Code.BODY_INVALID, "".join(f"/{part}" for part in parts), rule=rule)
    return Refusal(Code.PARAMETER_INVALID, f"#{place}/{'/'.join(parts)}", rule=rule)
