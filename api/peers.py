"""Other regions: who they are, what they would be trusted with, admitting them and taking that back.

Whom a region recognises stands in its public trust list; anyone with an account may read it here with the state of
following and delivery. Changing it takes the scope `operate`, and to give trust the approvals of two operators.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.administration import Account
from api.bodies import Body, Line
from api.call import OnceOnly, Operator, RegionNow
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import peer_listing, peers

router = APIRouter(tags=["peers"], route_class=StrictRoute)

PeerCode = Annotated[str, Path(pattern=r"^[0-9]{6}$", description="Region code of the peer (GB/T 2260).")]
Root = Annotated[
    str,
    Field(min_length=64, max_length=200, description="SHA-256 of its root certificate in hex, taken out of band."),
]
Approvals = Annotated[
    list[Annotated[str, Field(max_length=4096)]],
    Field(max_length=8, description="Two compact JWS (docs/formats/approval.md)."),
]


class WitnessBody(Body):
    """A witness of a peer's log."""

    name: Line
    vkey: Line
    url: Line


class WitnessRuleBody(Body):
    """How many of which witnesses must have cosigned a peer's checkpoints."""

    k: Annotated[int, Field(ge=0, le=64)]
    keys: Annotated[list[WitnessBody], Field(max_length=64)]


class PeerProposalBody(Body):
    """What is to be proposed: admitting the region at `base` under `root`, or an act on a peer."""

    act: Literal["admit", "resume", "change"] = "admit"
    base: Annotated[str, Field(max_length=512)] | None = None
    root: Root | None = None
    region: Annotated[str, Field(pattern=r"^[0-9]{6}$")] | None = None
    witnesses: WitnessRuleBody | None = None


class AdmissionBody(Body):
    """A proposal as it was made here, and the approvals of two operators."""

    proposal: dict[str, Any]
    approvals: Approvals


class PeerActBody(Body):
    """An act on a peer: `suspend` and `withdraw` with a reason, `resume` and `change` with proposal and approvals."""

    act: Literal["suspend", "withdraw", "resume", "change"]
    reason: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    proposal: dict[str, Any] | None = None
    approvals: Approvals | None = None


@router.get("/v1/peers", summary="All peers", **described("listPeers", refuses=["cursor.invalid"]))
async def list_peers(
    region: RegionNow,
    _: Account,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Response:
    """Return the regions that were ever admitted, by code, with how following and delivery go."""
    return answer(await peer_listing.listed(region, cursor, limit))


@router.get("/v1/peers/{peer}", summary="One peer", **described("getPeer", refuses=["peer.unknown"]))
async def get_peer(region: RegionNow, _: Account, peer: PeerCode) -> Response:
    """Return a peer, and who approved what when it was last admitted, changed or resumed."""
    return answer(await peer_listing.described(region, peer))


@router.post(
    "/v1/peers/proposals",
    summary="See what admitting or changing a peer would mean",
    **described("proposePeer", takes=PeerProposalBody, refuses=["request.", "peer."]),
)
async def propose(region: RegionNow, _: Operator, body: Posted) -> Response:
    """Fetch what the region shows, check it under the root that is given, and return it with the proposal to approve.

    Nothing is kept. The root is never taken from the network.
    """
    return answer(await peers.propose(region, body))


@router.post(
    "/v1/peers",
    summary="Admit a peer",
    **described("admitPeer", takes=AdmissionBody, status=201, refuses=["request.", "peer."]),
)
async def admit(region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Admit the region of a proposal that two operators approved."""
    made = await once.run(region, actor, lambda key: peers.admit(region, actor, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)


@router.post(
    "/v1/peers/{peer}/acts",
    summary="Suspend, resume, change or withdraw a peer",
    **described("actOnPeer", takes=PeerActBody, status=201, refuses=["request.", "peer."]),
)
async def act(region: RegionNow, actor: Operator, once: OnceOnly, peer: PeerCode, body: Posted) -> Response:
    """Suspend or withdraw a peer at once; resume or change it as two operators approved."""
    made = await once.run(region, actor, lambda key: peers.act(region, actor, peer, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)
