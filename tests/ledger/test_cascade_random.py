"""Random families of licences, cases upheld and reversed in any order: the stored state is what the open cases demand.

The reference is the sentence of protocol 22 repeated until nothing changes, once for each open case; and at the end a
replay of the whole log gives exactly the tables that are there.
"""

from __future__ import annotations

import random
from pathlib import Path

from ledger.rebuilding import rebuild
from ledger.region import Region
from ledger.reversal import reverse
from ledger.reviews import conclude, open_reviews
from ledger.settling import settle_cases
from tests.ledger import cases, licensing
from tests.ledger.licensing import HOUSING, MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL
from tests.verifiers.test_cascade import slow_effects
from verifiers.cascade import Edge, Effect, Holding, Thing

LICENCES, STEPS = 14, 16
STATE = {
    Effect.NONE: ("valid", 0),
    Effect.NOTICE: ("valid", 0),
    Effect.SUSPENDED: ("suspended", 2),
    Effect.REVOKED: ("annulled", 2),
}


async def grow(region: Region, dice: random.Random) -> tuple[list[Edge], dict[str, Holding]]:
    """Issue licences of two departments, each resting on up to three earlier ones in some way."""
    edges: list[Edge] = []
    holdings: dict[str, Holding] = {}
    for n in range(LICENCES):
        parents = dice.sample(sorted(holdings), min(len(holdings), dice.choice((0, 1, 1, 2, 3))))
        bases = [dice.choice(("identity", "identity", "qualification", "evidence")) for _ in parents]
        rests = [{"licence": parent, "basis": basis} for parent, basis in zip(parents, bases, strict=True)]
        owner = dice.choice((MARKET, MARKET, HOUSING))
        body = food(n, rests_on=rests) if owner == MARKET else cases.certificate(n, rests_on=rests)
        made = await issued(region, owner, body)
        holdings[made.id] = Holding(owner, None)
        edges += [
            Edge(Thing("licence", made.id), Thing("licence", parent), basis)
            for parent, basis in zip(parents, bases, strict=True)
        ]
    return edges, holdings


async def test_states_are_what_the_open_cases_demand(database_url: str, tmp_path: Path) -> None:
    """After every decision and reversal each licence is compared; the seed is printed."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with licensing.licensing_region(database_url, tmp_path) as region:
        edges, holdings = await grow(region, dice)
        standing: dict[str, dict[str, Effect]] = {}
        raised_by: dict[str, str] = {}
        for _ in range(STEPS):
            if standing and dice.random() < 0.4:
                flag_id = dice.choice(sorted(standing))
                await reverse(region, cases.second_officer(raised_by[flag_id]), flag_id, REVERSAL)
                del standing[flag_id]
            elif dice.random() < 0.2 and standing:
                await lift_one(region, dice, standing)
            else:
                target = dice.choice(sorted(holdings))
                by = holdings[target].department
                flag_id = await cases.upheld(region, cases.target(target), department=by)
                raised_by[flag_id] = by
                standing[flag_id] = slow_effects([Thing("licence", target)], edges, holdings, by, set())
            expected = {
                id_: STATE[max((case.get(id_, Effect.NONE) for case in standing.values()), default=Effect.NONE)]
                for id_ in holdings
            }
            assert await cases.states(region, holdings) == expected, seed

        await settle_cases(region)
        rebuilt = rebuild(region.database, region.vault, region.clock)
        assert rebuilt.replaced == (), (seed, rebuilt.differences.findings[:5])


async def lift_one(region: Region, dice: random.Random, standing: dict[str, dict[str, Effect]]) -> None:
    """Let an owner lift one of its suspensions, and take that effect out of the reference too."""
    owner = dice.choice((MARKET, HOUSING))
    reviews = (await region.database.read(lambda tx: open_reviews(tx, owner)))["items"]
    if not reviews:
        return
    review = dice.choice(reviews)
    flag_id, _, licence = review["id"].partition(":")
    body = {"outcome": "restored", "reason": "示例"}
    await conclude(region, licensing.actor(owner, "supervise"), review["id"], body)
    standing[flag_id][licence] = Effect.NONE
