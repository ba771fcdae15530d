"""Recognition: what of another region's licences counts here, since when, and by which rules.

All of it stands in the public trust list, so anyone with an account may read it here with its whole history. Declaring
and withdrawing take the scope `operate`. Their client must name the officer, whom the record keeps.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.administration import Account
from api.bodies import Body, Names, TypeCode
from api.call import OnceOnly, Operator, RegionNow
from api.operations import Posted, answer, described
from api.strict_route import StrictRoute
from ledger import equivalences, rules

router = APIRouter(tags=["equivalences"], route_class=StrictRoute)

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"

Id = Annotated[str, Path(pattern=_ID, description="Id of the equivalence, or of the rule.")]
Version = Annotated[int, Path(ge=1, le=999_999)]
PeerCode = Annotated[str, Field(pattern=r"^[0-9]{6}$")]
Instant = Annotated[str, Field(pattern=_INSTANT)]


class TypeAndMajor(Body):
    """A licence type and its major version."""

    type: TypeCode
    major: Annotated[int, Field(ge=1, le=999)]


class TrialBody(Body):
    """A case that the conditions are tried on before they are published."""

    payload: dict[str, Any]
    at: Instant
    expect: bool | Literal["undetermined"]


class EquivalenceBody(Body):
    """A peer's licence type counts as one of ours, on conditions (docs/formats/rule.md)."""

    id: Annotated[str, Field(pattern=_ID)] | None = None
    peer: PeerCode
    their: TypeAndMajor
    ours: TypeAndMajor
    conditions: dict[str, Any] | None = None
    names: Names | None = None
    fields: Annotated[dict[str, str], Field(max_length=64)] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    tests: Annotated[list[TrialBody], Field(max_length=100)] | None = None


class EquivalenceEnd(Body):
    """Why recognition ends, and from when: at once unless it says."""

    reason: Annotated[str, Field(min_length=1, max_length=400)]
    from_: Annotated[Instant | None, Field(alias="from")] = None


@router.get("/v1/equivalences", summary="All equivalences", **described("listEquivalences"))
async def list_equivalences(
    region: RegionNow, _: Account, peer: Annotated[str | None, Query(pattern=r"^[0-9]{6}$")] = None
) -> Response:
    """Return the newest version of every equivalence, or of those with one peer, and whether it is in force."""
    return answer({"items": equivalences.listed(region.catalogue, region.clock.now(), peer)})


@router.post(
    "/v1/equivalences",
    summary="Declare an equivalence or its next version",
    **described(
        "declareEquivalence",
        takes=EquivalenceBody,
        status=201,
        refuses=[
            "request.", "equivalence.", "rule.", "peer.unknown", "peer.withdrawn", "type.unknown", "type.malformed",
            "field.unknown", "stale", "entry.too_large",
        ],
    ),
)  # fmt: skip
async def declare_equivalence(region: RegionNow, actor: Operator, once: OnceOnly, body: Posted) -> Response:
    """Declare that a peer's licence type counts as one of ours; it takes effect after the period of notice."""
    made = await once.run(region, actor, lambda key: equivalences.declare(region, actor, body, idempotency=key))
    await region.trust.settled()
    return answer(made, 201)


@router.get(
    "/v1/equivalences/{equivalence}",
    summary="One equivalence, all versions",
    **described("getEquivalence", refuses=["equivalence.unknown"]),
)
async def get_equivalence(region: RegionNow, _: Account, equivalence: Id) -> Response:
    """Return every version of an equivalence, the newest first."""
    return answer(equivalences.history(region.catalogue, region.clock.now(), equivalence))


@router.post(
    "/v1/equivalences/{equivalence}/withdrawal",
    summary="End an equivalence",
    **described(
        "withdrawEquivalence",
        takes=EquivalenceEnd,
        status=201,
        refuses=["request.", "equivalence.unknown", "equivalence.window_invalid", "stale"],
    ),
)
async def withdraw_equivalence(
    region: RegionNow, actor: Operator, once: OnceOnly, equivalence: Id, body: Posted
) -> Response:
    """End an equivalence with all its versions, at once unless the body says from when."""
    made = await once.run(
        region, actor, lambda key: equivalences.withdraw(region, actor, equivalence, body, idempotency=key)
    )
    await region.trust.settled()
    return answer(made, 201)


@router.get(
    "/v1/rules/{rule}/{version}",
    summary="One version of a rule",
    **described("getRule", refuses=["rule.unknown"]),
)
async def get_rule(region: RegionNow, _: Account, rule: Id, version: Version) -> Response:
    """Return conditions as they were published, what they look at, and the cases they were tried on.

    Anybody finds the conditions themselves in the trust list; the cases are for people with an account.
    """
    return answer(rules.shown(region.catalogue, rule, version))
