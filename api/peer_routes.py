"""Routes between regions: a window there, who relies on what, and notices.

Calls are signed with the key `peer` of the calling region (docs/formats/peer-calls.md).
"""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.bodies import Area, Body, CreditCode, Line, TypeCode
from api.call import RegionNow
from api.operations import Posted, answer, described
from api.peer_caller import REFUSES, PeerCaller
from api.strict_route import StrictRoute
from ledger import peer_scans, reliances
from ledger.verifying import OnlineVerifier

router = APIRouter(tags=["regions"], route_class=StrictRoute)


class WantedBody(Body):
    """A licence type of the asked region, and the fields of it that the matter needs."""

    type: TypeCode
    fields: Annotated[list[Line], Field(max_length=100)]


class WindowBody(Body):
    """The department whose window asks, and its region."""

    department: CreditCode
    region: Area


class PeerScanBody(Body):
    """A dynamic code of the asked region, what of it is needed, and for which matter of the asking one."""

    code: Annotated[str, Field(min_length=1, max_length=4096)]
    types: Annotated[list[WantedBody], Field(max_length=50)]
    matter: Annotated[str, Field(min_length=1, max_length=64)]
    purpose: Annotated[str, Field(min_length=1, max_length=500)]
    window: WindowBody


class ReliancesBody(Body):
    """Identifiers of licences of the asked region that the asking one relies on."""

    identifiers: Annotated[list[Line], Field(min_length=1, max_length=200)]


@router.post(
    "/peer/scans",
    summary="Redeem a dynamic code for a window of another region",
    **described(
        "redeemForPeer",
        takes=PeerScanBody,
        refuses=[
            *REFUSES,
            "request.",
            "code.malformed",
            "code.unknown",
            "code.ended",
            "code.withdrawn",
            "code.clock",
            "code.replayed",
            "scan.out_of_scope",
            "licence.erased",
        ],
    ),
)
async def scan(request: Request, region: RegionNow, caller: PeerCaller, body: Posted) -> Response:
    """Return the licences the holder chose, showing what was chosen and asked for, with receipts.

    The look is written down, with the region and department that asked, before anything leaves; the holder sees it.
    """
    verifier: OnlineVerifier = request.app.state.verifier
    return answer(await peer_scans.answer(region, verifier, caller, body))


@router.post(
    "/peer/reliances",
    summary="Say which licences another region relies on",
    **described("relyOn", takes=ReliancesBody, refuses=[*REFUSES, "request."]),
)
async def rely(region: RegionNow, caller: PeerCaller, body: Posted) -> Response:
    """Return where each licence shows its status; notices about it will go to the caller."""
    return answer(await reliances.answer(region, caller.peer, body))
