"""Batches: many licences in one call, as NDJSON in and out, or in the background where gateways cut long calls.

Each row has a `client_ref`, unique for its client for ever: whoever sends a row again gets what it got before. A row
that is wrong is an error row in its place; the others are issued.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import IO, Annotated, Any, Final, Literal

import orjson
import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from api import problems
from api.batch_input import MEDIA_TYPES, NDJSON, Lines, lines, put, row_of, take
from api.bodies import Body, Day, Line, PathId
from api.call import Issuer, RegionNow, Tongue, idempotency_key
from api.direct_route import DirectRoute
from api.licences import ActBody, IssueBody
from api.operations import answer, described
from api.settings import Settings
from ledger import batches
from ledger.actors import Actor
from ledger.batch_rows import CHUNK, BatchRow, issue_patiently, work_off
from ledger.cursors import decode_cursor, encode_cursor
from ledger.errors import Code, Refusal
from ledger.issued import Answered, Issued
from ledger.issuing import Outcome
from ledger.region import Region

router = APIRouter(tags=["batches"], route_class=DirectRoute)

_AHEAD: Final = 3
_AHEAD_ELSEWHERE: Final = 6
_IN_MEMORY: Final = 1_048_576
BATCH: Final = ("batch.", "body.too_large", "body.too_slow", "body.media_type")


class EarlierVersion(Body):
    """A version before the one imported."""

    version: Annotated[int, Field(ge=1, le=998)]
    issued_on: Day
    identifier: Annotated[str, Field(max_length=160)] | None = None
    change: Annotated[str, Field(max_length=60)] | None = None


class BatchRowBody(IssueBody):
    """One line: a licence to issue, or with `kind=import` one that was issued before this ledger."""

    client_ref: Annotated[str, Field(min_length=1, max_length=128, description="Unique for the client for ever.")]
    issuer: Annotated[Line | None, Field(description="Imports: who issued it.")] = None
    issued_on: Annotated[Day | None, Field(description="Imports: when.")] = None
    version: Annotated[int, Field(ge=1, le=998)] | None = None
    identifier: Annotated[str, Field(max_length=160)] | None = None
    earlier_versions: Annotated[list[EarlierVersion], Field(max_length=100)] | None = None
    assurance: Literal["declared", "checked"] | None = None
    act: Annotated[ActBody | None, Field(description="Imports: the act that ended it.")] = None


Kind = Annotated[Literal["issue", "import"], Query(description="Issue, or take over what others issued before.")]
Rule = Annotated[
    Literal["strict", "lenient"], Query(description="Imports: refuse numbers that do not hold, or note them.")
]


def _take_ndjson(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise Refusal(Code.BODY_MEDIA_TYPE, expected=NDJSON)


@router.post(
    "/v1/licences/batch",
    response_class=Response,
    summary="Issue or import many licences at once",
    **described("issueBatch", takes=BatchRowBody, media=NDJSON, gives=NDJSON, refuses=BATCH),
)
async def issue_batch(
    request: Request, region: RegionNow, actor: Issuer, language: Tongue, kind: Kind = "issue", rule: Rule = "strict"
) -> Response:
    """Read the whole input, then answer row by row in the same order.

    A row is answered by its licence, or by `{"client_ref", "row", "problem"}`.
    """
    _take_ndjson(request)
    settings: Settings = request.app.state.settings
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by whoever answers
    try:
        count = await _spooled(request.stream(), spool, settings)
        if count == 0:
            raise Refusal(Code.BATCH_EMPTY)
    except BaseException:
        spool.close()
        raise
    work = _Work(region, actor, language, kind, rule, settings)
    return StreamingResponse(work.answers(spool), media_type=NDJSON, headers={"Cache-Control": "no-store"})


async def _spooled(stream: AsyncIterable[bytes], spool: IO[bytes], settings: Settings) -> int:
    """Write the input to `spool`, a file without a name, so that a crash leaves nothing of it; return the rows."""
    count = 0
    async for number, line in lines(stream, settings):
        put(spool, number, line)
        count += 1
    spool.seek(0)
    return count


class _Work:
    """One batch being answered: a few chunks under way, outcomes in the order of the rows."""

    def __init__(
        self, region: Region, actor: Actor, language: problems.Language, kind: str, rule: str, settings: Settings
    ) -> None:
        self._region = region
        self._actor = actor
        self._language = language
        self._kind = kind
        self._rule = rule
        self._settings = settings

    async def answers(self, spool: IO[bytes]) -> AsyncIterator[bytes]:
        """Yield the answer, a chunk of rows at a time. Rows under way when the caller hangs up are finished."""
        under_way: deque[asyncio.Task[bytes]] = deque()
        ahead = _AHEAD if self._region.preparers is None else _AHEAD_ELSEWHERE
        with spool:
            while taken := take(spool, CHUNK):
                source = Lines(taken, self._settings.max_row_bytes, self._region.base_url)
                under_way.append(asyncio.create_task(self._chunk(source)))
                if len(under_way) >= ahead:
                    yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()

    async def _chunk(self, source: Lines) -> bytes:
        [worked] = await asyncio.gather(self._worked(source), return_exceptions=True)
        if isinstance(worked, BaseException):
            # A fault of ours: the answer has begun, so it is said row by row; sent again, each row gets its outcome.
            structlog.get_logger().error("unexpected", exc_info=worked, route="/v1/licences/batch")
        outcomes = [Refusal(Code.INTERNAL)] * len(source) if isinstance(worked, BaseException) else worked
        return b"".join(self._line(source, position, outcome) for position, outcome in enumerate(outcomes))

    async def _worked(self, source: Lines) -> list[Outcome]:
        if self._kind == "issue":
            return await issue_patiently(self._region, self._actor, source)
        rows = [source.row(position) for position in range(len(source))]
        return await work_off(self._region, self._actor, self._kind, self._rule, rows)

    def _line(self, source: Lines, position: int, outcome: Outcome) -> bytes:
        if isinstance(outcome, Answered):
            return outcome.answer
        row = source.row(position)
        return orjson.dumps(
            row_answer(row.number, row.ref, outcome, self._language, self._region.base_url),
            option=orjson.OPT_APPEND_NEWLINE,
            default=str,
        )


def row_answer(
    number: int, ref: str | None, outcome: Issued | Refusal, language: problems.Language, base_url: str
) -> dict[str, Any]:
    """Return the answer to one row: the licence as a single call gives it, or its problem."""
    named = {"client_ref": ref, "row": number}
    if isinstance(outcome, Refusal):
        return {**named, "problem": problems.problem(outcome, language, base_url)}
    return {**named, **outcome.to_json(base_url)}


@router.post(
    "/v1/batches",
    summary="Send a batch to be worked off in the background",
    **described("sendBatch", takes=BatchRowBody, media=NDJSON, status=202, refuses=[*BATCH, "idempotency.conflict"]),
)
async def send(
    request: Request,
    region: RegionNow,
    actor: Issuer,
    kind: Kind = "issue",
    rule: Rule = "strict",
) -> Response:
    """Take in the whole batch and say where to ask about it; it is worked off whatever happens to this process."""
    _take_ndjson(request)
    settings: Settings = request.app.state.settings

    async def rows() -> AsyncIterator[BatchRow]:
        async for number, line in lines(request.stream(), settings):
            yield row_of(number, line, settings.max_row_bytes)

    order = batches.Order(kind, rule, idempotency_key(request))
    status = await batches.take_in(region, actor, order, rows())
    request.app.state.batches.pulse.wake()
    return answer(_status(region, status), 202, {"Location": f"{region.base_url}/v1/batches/{status['id']}"})


def _status(region: Region, status: dict[str, Any]) -> dict[str, Any]:
    return {**status, "results": f"{region.base_url}/v1/batches/{status['id']}/results"}


@router.get("/v1/batches/{batch}", summary="How far a batch is", **described("getBatch", refuses=["batch.unknown"]))
async def get(region: RegionNow, actor: Issuer, batch: PathId) -> Response:
    """Return counts of rows sent, done and refused."""
    return answer(_status(region, await region.database.read(lambda tx: batches.status(tx, actor, batch))))


@router.get(
    "/v1/batches/{batch}/results",
    summary="What came of the rows of a batch",
    **described("getBatchResults", refuses=["batch.unknown", "cursor.invalid"]),
)
async def results(
    region: RegionNow,
    actor: Issuer,
    language: Tongue,
    batch: PathId,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Return outcomes in the order of the rows, as far as they are known; `cursor` is absent once all have come."""
    position, of = decode_cursor(cursor) if cursor else (0, batch)
    if of != batch or not 0 <= position < 2**31:
        raise Refusal(Code.CURSOR_INVALID)
    found, state, complete = await batches.results(region, actor, batch, position, limit)
    items = [row_answer(*each, language, region.base_url) for each in found]
    more = {} if complete else {"cursor": encode_cursor(position + len(items), batch)}
    return answer({"items": items, "state": state, **more})
