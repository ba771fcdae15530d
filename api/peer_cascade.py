"""The cascade between regions: notices that peers send, what became of ours, and what is held for an operator."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.administration import Account
from api.bodies import Body, Line
from api.call import Operator, RegionNow
from api.operations import Posted, answer, described
from api.peer_caller import REFUSES, PeerCaller
from api.strict_route import StrictRoute
from ledger import flood, misbehaviour, peer_notices
from ledger.peer_inbox import inbox, receive, texts_of

router = APIRouter(tags=["peers"], route_class=StrictRoute)

PeerCode = Annotated[str, Path(pattern=r"^[0-9]{6}$", description="Region code of the peer (GB/T 2260).")]


class NoticesBody(Body):
    """Signed notices, oldest entry first (docs/formats/notice.md)."""

    notices: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=196_608)]], Field(min_length=1, max_length=100)
    ]


class ReleaseBody(Body):
    """Which held falls go on, all without `identifiers`; with `drop` they are not acted on instead."""

    identifiers: Annotated[list[Line], Field(max_length=10_000)] | None = None
    drop: bool = False


@router.post(
    "/peer/notices",
    summary="Tell that licences the called region relies on fell or came back",
    **described("tellPeer", takes=NoticesBody, refuses=[*REFUSES, "request."]),
)
async def notices(region: RegionNow, caller: PeerCaller, body: Posted) -> Response:
    """Take the notices in and look at the caller's log and lists at once. Nothing turns because of a notice."""
    return answer({"states": await receive(region, caller.peer, texts_of(body))})


@router.get(
    "/v1/peers/{peer}/notices",
    summary="Notices to a peer and how far they have come, or those it sent",
    **described("listPeerNotices", refuses=["peer.unknown", "cursor.invalid"]),
)
async def outbox(
    region: RegionNow,
    _: Account,
    peer: PeerCode,
    direction: Annotated[Literal["sent", "received"], Query(description="Ours to the peer, or the peer's.")] = "sent",
    cursor: Annotated[str | None, Query(max_length=1200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Response:
    """Return the notices to a peer with their attempts, delivery and answer, or those it sent; newest entry first."""
    region.catalogue.recognised.peer(peer, None)
    look = peer_notices.outbox if direction == "sent" else inbox
    return answer(await region.database.read(lambda tx: look(tx, peer, cursor, limit)))


@router.get(
    "/v1/peers/{peer}/evidence",
    summary="What is kept against a peer's log",
    **described("listPeerEvidence", refuses=["peer.unknown"]),
)
async def evidence(region: RegionNow, _: Account, peer: PeerCode) -> Response:
    """Return every pair of signed heads that do not fit together, verbatim, newest first: a few for each kind."""
    region.catalogue.recognised.peer(peer, None)
    return answer({"items": await region.database.read(lambda tx: misbehaviour.against(tx, peer))})


@router.get(
    "/v1/peers/{peer}/held",
    summary="What is held because of a peer",
    **described("listHeldFalls", refuses=["peer.unknown"]),
)
async def held(region: RegionNow, _: Operator, peer: PeerCode) -> Response:
    """Return the falls of the peer's licences that wait for an operator, oldest first."""
    region.catalogue.recognised.peer(peer, None)
    return answer({"items": await region.database.read(lambda tx: flood.listed(tx, peer))})


@router.post(
    "/v1/peers/{peer}/release",
    summary="Let what is held because of a peer go on, or drop it",
    **described("releaseHeldFalls", takes=ReleaseBody, refuses=["request.", "peer.unknown", "operator.missing"]),
)
async def release(region: RegionNow, actor: Operator, peer: PeerCode, body: Posted) -> Response:
    """Let held falls go on, or drop them; the answer says how many. Doing it again changes nothing."""
    return answer(await flood.release(region, actor, peer, body))
