"""Two regions in memory, of which one recognises the other, and a licence from there with all it takes to judge it.

Tests change one input at a time, as `judged.py` does for a licence of the verifier's own region.
"""

import datetime as dt
from dataclasses import replace
from functools import cache
from typing import Any

from tests.verifiers.issuer import FOOD, INTEGRITY, NOW, Issuer, judge
from verifiers.errors import Reason
from verifiers.peer_view import PeerView, Watch
from verifiers.policy import Policy
from verifiers.trust_document import Names, TrustedType
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import (
    Intervals,
    RuleName,
    TrustedEquivalence,
    TrustedPeer,
    TrustedRule,
    WitnessRule,
)
from verifiers.verdict import Verdict

OUR_FOOD = "11610000MB0DEMA10W901"
"""The type of ours as which their food licence counts."""

OUR_GRACE_S = 3_600
DAY = dt.timedelta(days=1)
LOGIC: dict[str, Any] = {">=": [{"var": "payload.fields.area_m2"}, 100]}

HOME = Issuer()
ABROAD = Issuer(region="620000", base="https://abroad.example")
STRANGER = Issuer(region="630000", base="https://stranger.example")
GOOD = ABROAD.issue(7)
OTHER = ABROAD.issue(8)
OURS = HOME.issue(7)
PINNED = Policy(root=HOME.pin)

REASONS = frozenset(
    reason
    for reason in Reason
    if reason.startswith(("peer.", "equivalence.", "rule.")) and reason is not Reason.PEER_UNREACHABLE
)
"""The reasons that only documents of another region have, but for the one that only a service on line finds."""


def row(there: Issuer = ABROAD, **changes: Any) -> TrustedPeer:
    """What our list says of the other region."""
    peer = TrustedPeer(there.region, Names("示例乙省", "Example province B"), there.base, there.pin)
    return replace(peer, **changes)


def equivalence(**changes: Any) -> TrustedEquivalence:
    """Their food licence counts as ours, if the rule says yes."""
    statement = TrustedEquivalence(
        id="food-62",
        version=3,
        peer=ABROAD.region,
        their_type=FOOD,
        their_major=1,
        our_type=OUR_FOOD,
        our_major=1,
        valid_from=NOW - DAY,
        rule=RuleName("large-enough", 2),
        fields={"range": "scope", "site": "premises", "holders": "holders"},
    )
    return replace(statement, **changes)


def rule(logic: Any = None) -> TrustedRule:
    """The conditions: premises of a hundred square metres."""
    return TrustedRule(RuleName("large-enough", 2), logic or LOGIC, Names("面积足够", "Large enough"))


def home_trust(pin: bool = True, **changes: Any) -> TrustList:
    """Our list, which recognises the other region."""
    kind = TrustedType(
        3, OUR_FOOD, 1, f"{HOME.base}/types/{OUR_FOOD}/1", (INTEGRITY,), Names("示例证", "Example"), OUR_GRACE_S
    )
    members: dict[str, Any] = {
        "types": (*HOME.document().types, kind),
        "peers": (row(),),
        "equivalences": (equivalence(),),
        "rules": (rule(),),
        "intervals": Intervals(200, 60, 30),
    }
    return HOME.trust(pin, **(members | changes))


@cache
def usual_home() -> TrustList:
    """Our list without changes."""
    return home_trust()


@cache
def usual_abroad() -> TrustList:
    """Their list without changes, opened under their root."""
    return ABROAD.trust(intervals=Intervals(200, 60, 30))


def view(trust: TrustList | None = None, watch: Watch = Watch.FOLLOWED, **changes: Any) -> PeerView:
    """What we know of the other region."""
    return PeerView(trust or usual_abroad(), watch, NOW, **({"poll_ms": 1_000, "logged": True} | changes))


WATCHED = Issuer(region="620000", base="https://abroad.example", watchers=3, quorum=1)
"""The same region, under another root, where three witnesses watch."""

WATCHED_GOOD = WATCHED.issue(7)


def witness_rule(quorum: int) -> WitnessRule:
    """We ask for so many of the region's witnesses ourselves."""
    return WitnessRule(quorum, WATCHED.document().logs[0].witnesses)


def given_abroad(presented: str | bytes = GOOD.compact, **changes: Any) -> Verdict:
    """The verdict at home on a good licence from abroad with everything right, but for the changes."""
    trust = changes.pop("trust", usual_home())
    inputs: dict[str, Any] = {
        "status": [ABROAD.status(usual_abroad())],
        "receipt": ABROAD.receipt(GOOD.index, GOOD.opening),
        "policy": PINNED,
        "peers": [view()],
    }
    return judge(presented, trust, **(inputs | changes))


def recognising(**changes: Any) -> Verdict:
    """The good licence under our list with changes."""
    return given_abroad(trust=home_trust(**changes))


def bundled(**changes: Any) -> Verdict:
    """A bundle from abroad, for a verifier with our list and nothing else."""
    peers, trust = changes.pop("peers", []), changes.pop("trust", usual_home())
    bundle = ABROAD.bundle(GOOD, **changes)
    return judge(bundle, trust, policy=PINNED, peers=peers)
