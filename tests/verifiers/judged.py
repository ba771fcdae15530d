"""One good licence and everything a verifier needs to judge it; tests change one input at a time."""

import datetime as dt
from typing import Any

from tests.verifiers.issuer import Issuer, judge
from verifiers.errors import Reason
from verifiers.policy import Policy
from verifiers.verdict import Check, Finding, Step, Verdict

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
ISSUER = Issuer()
GOOD = ISSUER.issue(7)
TRUST = ISSUER.trust()
PINNED = Policy(root=ISSUER.pin)


def given_to(presented: str | bytes = GOOD.compact, **changes: Any) -> Verdict:
    """The verdict about a good licence with everything a verifier needs, but for the changes."""
    inputs: dict[str, Any] = {
        "status": [ISSUER.status(TRUST)],
        "receipt": ISSUER.receipt(GOOD.index, GOOD.opening),
        "policy": PINNED,
    }
    trust = changes.pop("trust", TRUST)
    return judge(presented, trust, **(inputs | changes))


def found(verdict: Verdict, reason: Reason) -> Finding:
    """The one finding with a reason."""
    [one] = [each for each in verdict.findings if each.reason is reason]
    return one


def check(verdict: Verdict, step: Step) -> Check:
    """The one check of a step."""
    [one] = [each for each in verdict.checks if each.step is step]
    return one
