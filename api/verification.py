"""`POST /v1/verify`: the online verdict, for anyone, without an account."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.bodies import Body
from api.call import language
from api.metrics import Metrics
from api.operations import answer, described, posted
from api.strict_route import StrictRoute
from ledger.request_members import RequestMembers
from ledger.verifying import OnlineVerifier

router = APIRouter(tags=["verification"], route_class=StrictRoute)

MAX_PRESENTED = 900_000
"""Characters: a licence has a few thousand, a bundle some hundred thousand with its lists."""

MAX_RECEIPT: Final = 327_680
"""Characters of the longest receipt that is read."""


class VerifyBody(Body):
    """What is to be checked."""

    presented: Annotated[
        str, Field(min_length=1, max_length=MAX_PRESENTED, description="SD-JWT VC, bundle, or text of a static code.")
    ]
    receipt: Annotated[
        str | None,
        Field(max_length=MAX_RECEIPT, description="Its receipt, where another region issued it; ours are looked up."),
    ] = None


@router.post(
    "/v1/verify",
    summary="Check a licence, bundle or code",
    **described("verify", takes=VerifyBody, refuses=["request."], uses=[posted]),
)
async def verify(request: Request) -> Response:
    """Return the verdict as of now. Nothing of what is presented is kept."""
    members = RequestMembers(await posted(request))
    presented = members.text("presented", MAX_PRESENTED)
    receipt = members.maybe("receipt", lambda name: members.text(name, MAX_RECEIPT))
    members.done()
    request.app.state.region.seen.require_whole()  # an older state would call valid what was revoked since
    verifier: OnlineVerifier = request.app.state.verifier
    verdict = await verifier.verdict(presented, receipt)
    metrics: Metrics = request.app.state.metrics
    metrics.verdicts.labels(verdict.outcome.value).inc()
    return answer(verdict.to_json(await language(request)))
