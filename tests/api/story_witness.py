"""The part of the story in which a log outside our regions asks our witness, and somebody looks."""

from ledger import watched_logs
from tests.api.service import Service
from tests.ledger.watched_log import LOG
from verifiers.add_checkpoint import origin_hash


async def ask(service: Service) -> None:
    """Have a made-up log cosigned at three sizes, and look at the last one."""
    await watched_logs.watch(service.region, LOG.vkeys)
    for old, size in ((0, 3), (3, 8), (8, 13)):
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        answer = await service.http.post("/witness/add-checkpoint", content=LOG.request(old, size), headers=headers)
        assert answer.status_code == 200, answer.text
    answer = await service.http.get(f"/witness/{origin_hash(LOG.origin)}/checkpoint")
    assert answer.status_code == 200, answer.text
