"""Our witness over HTTP (C2SP tlog-witness): any log it knows may ask for a cosignature, and anybody may look.

Answers have the specification's codes and bodies, plain text; what keeps the witness from working at all, and a body
that is too long, is refused as everywhere else. See docs/formats/witness.md.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from api.direct_route import DirectRoute
from api.metrics import Metrics
from api.operations import described
from api.published import NOTE, REVALIDATE, static_answer
from ledger.errors import Code, Refusal
from ledger.witnessing import Outcome, Result, Witness
from verifiers.add_checkpoint import MAX_BYTES

router = APIRouter(tags=["witness"], route_class=DirectRoute)

SIZE: Final = "text/x.tlog.size"
STATUS: Final = {
    Outcome.COSIGNED: 200,
    Outcome.MALFORMED: 400,
    Outcome.UNTRUSTED: 403,
    Outcome.UNKNOWN_LOG: 404,
    Outcome.CONFLICT: 409,
    Outcome.INCONSISTENT: 422,
}
_SAID: Final = {
    Outcome.MALFORMED: "Not a request, or the old size is larger than the checkpoint.",
    Outcome.UNTRUSTED: "A key of the log has not signed, or its signature does not fit.",
    Outcome.UNKNOWN_LOG: "A log this witness was not told of.",
    Outcome.CONFLICT: "Another size was cosigned last; the body is that size.",
    Outcome.INCONSISTENT: "The checkpoint does not follow from the one cosigned last.",
}
_TEXT: Final = {"schema": {"type": "string"}}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    STATUS[outcome]: {
        "description": said,
        "content": {SIZE if outcome is Outcome.CONFLICT else "text/plain": _TEXT},
    }
    for outcome, said in _SAID.items()
}


@router.post(
    "/witness/add-checkpoint",
    response_class=Response,
    summary="Cosign a checkpoint of another log",
    responses=_ANSWERS,
    **described(
        "addCheckpoint",
        media="text/plain",
        gives=NOTE,
        refuses=["body.too_large", "witness.state_missing", "witness.clock", "writer.busy", "storage.full"],
    ),
)
async def add_checkpoint(request: Request) -> Response:
    """Check that a log has grown from what was cosigned last, and give our signature lines (C2SP tlog-witness)."""
    witness: Witness = request.app.state.witness
    result = await witness.add_checkpoint(await _body(request))
    _count(request.app.state.metrics, result)
    kind = SIZE if result.outcome is Outcome.CONFLICT else NOTE
    # The header is given as it is: Starlette would add a character set to every `text/` type.
    headers = {"Content-Type": kind, "Cache-Control": "no-store"}
    return Response(result.body, STATUS[result.outcome], headers)


@router.get(
    "/witness/{origin_hash}/checkpoint",
    response_class=Response,
    summary="The newest checkpoint our witness cosigned for a log",
    **described("getCosignedCheckpoint", gives=NOTE, refuses=["checkpoint.unknown", "witness.state_missing"]),
)
async def witnessed_checkpoint(
    request: Request,
    origin_hash: Annotated[
        str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the log's origin, in lower-case hex.")
    ],
) -> Response:
    """Return it with the log's own signatures, as a signed note (C2SP tlog-checkpoint)."""
    witness: Witness = request.app.state.witness
    note = await witness.latest(origin_hash)
    if note is None:
        raise Refusal(Code.CHECKPOINT_UNKNOWN)
    return static_answer(request, note.encode(), NOTE, REVALIDATE)


async def _body(request: Request) -> bytes:
    """Return the body, counted while it arrives. Raises `Refusal` body.too_large, whatever was announced."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise Refusal(Code.BODY_TOO_LARGE, limit=MAX_BYTES)
        parts.append(chunk)
    return b"".join(parts)


def _count(metrics: Metrics, result: Result) -> None:
    """Count an answer; only logs we know get a label of their own, so nobody can make them grow."""
    log = result.origin or ""
    metrics.witness_answers.labels(log, str(result.outcome)).inc()
    if result.misbehaviour is not None:
        metrics.witness_misbehaviour.labels(log, result.misbehaviour).inc()
