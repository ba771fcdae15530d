"""The part of the story in which somebody watches the log: a quorum of one has cosigned, and anybody may see it."""

from __future__ import annotations

from ledger.cosigning import Cosigner
from tests.api.service import Service
from tests.ledger.witnesses import Road, at_rest, watch, witness


async def be_watched(service: Service) -> None:
    """Have one checkpoint cosigned and fetch it, then go on without a policy."""
    region, one = service.region, witness("a", 1)
    await watch(region, 1, one)
    await at_rest(region)
    await Cosigner(region, Road(one)).step()
    answer = await service.http.get("/log/checkpoint.witnessed")
    assert answer.status_code == 200, answer.text
    assert one.name in answer.text
    await watch(region, 0, one)
