"""The part of the story in which food licences of another region come to count here, and no longer do."""

import json

from tests.api.service import Caller
from tests.ledger.licensing import EXAMPLES
from tests.verifiers.issuer import FOOD

DECLARATION = EXAMPLES / "equivalences" / "food-business-licence.json"


async def recognise(operator: Caller) -> None:
    """Declare, look, end; the peer of the declaration is admitted."""
    declaration = json.loads(DECLARATION.read_text("utf-8")) | {"their": {"type": FOOD, "major": 1}}
    made = await operator.post("/v1/equivalences", declaration)
    await operator.get("/v1/equivalences")
    await operator.get(f"/v1/equivalences/{made['id']}")
    await operator.get(f"/v1/rules/{made['rule']['id']}/{made['rule']['version']}")
    await operator.post(f"/v1/equivalences/{made['id']}/withdrawal", {"reason": "示例：条件已变"})
