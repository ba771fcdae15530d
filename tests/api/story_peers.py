"""The part of the story in which another region is admitted, suspended, resumed and given up."""

from typing import Any

from tests.api.service import Caller, Service
from tests.ledger.peering import CODE, THERE, Documents, approve, register, shown_by
from tests.verifiers.issuer import Issuer


async def admit(service: Service, operator: Caller) -> Issuer:
    """Admit a made-up region, as the operators of `service` do, and return it; it stays admitted."""
    region = service.region
    there = Issuer(now=region.clock.now().replace(microsecond=0), region=CODE, base=THERE)
    region.outside = Documents(shown_by(there))
    for who in ("ann", "bob"):
        await register(region, who)
    asked = {"base": THERE, "root": there.pin}
    proposal = (await operator.post("/v1/peers/proposals", asked))["proposal"]
    await operator.post("/v1/peers", approved(service, proposal))
    await operator.get("/v1/peers")
    await operator.get(f"/v1/peers/{CODE}")
    await operator.get(f"/v1/peers/{CODE}/notices")
    await operator.get(f"/v1/peers/{CODE}/evidence")
    await operator.get(f"/v1/peers/{CODE}/held")
    await operator.post(f"/v1/peers/{CODE}/release", {})
    await operator.post(f"/v1/peers/{CODE}/acts", {"act": "suspend", "reason": "示例：来源待查"})
    back = (await operator.post("/v1/peers/proposals", {"act": "resume", "region": CODE}))["proposal"]
    await operator.post(f"/v1/peers/{CODE}/acts", {"act": "resume", **approved(service, back)})
    return there


def approved(service: Service, proposal: dict[str, Any]) -> dict[str, Any]:
    """The proposal with the approvals of two operators."""
    now = service.region.clock.now()
    return {"proposal": proposal, "approvals": [approve(proposal, who, at=now) for who in ("ann", "bob")]}
