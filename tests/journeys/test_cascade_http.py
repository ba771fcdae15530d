"""A decision over thousands of dependants, through HTTP: one request turns every verdict while others are served.

The licences form families under one root, with diamonds, dependants of two departments, later versions that rest on
more, suspended parents and overlapping cases; what each must be is asked of the slow reference, family by family.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_bad_input import batch
from tests.journeys.test_main_line import REVERSAL, ruling, today
from tests.journeys.world import World, until, world_on
from tests.ledger import cases, licensing
from tests.ledger.licensing import HOUSING, MARKET
from tests.verifiers.test_cascade import slow_effects
from verifiers.cascade import Edge, Effect, Holding, Thing

FAMILY, LEVELS = 25, 5
BASES = ("identity", "identity", "qualification", "evidence")
STATE = {
    Effect.NONE: ("valid", 0),
    Effect.NOTICE: ("valid", 0),
    Effect.SUSPENDED: ("suspended", 2),
    Effect.REVOKED: ("annulled", 2),
}


@dataclass
class Member:
    """One licence: its family, its owner, what it rests on and what was issued."""

    family: int
    department: str
    number: int
    rests: list[tuple[str, str]]
    made: dict[str, Any] = field(default_factory=dict)


@dataclass
class Families:
    """Everybody under the root, and every open cause as the reference knows it."""

    root: dict[str, Any]
    members: dict[str, Member] = field(default_factory=dict)
    standing: dict[str, dict[str, Effect]] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)

    def reference(self, target: str, by: str) -> dict[str, Effect]:
        """Ask the slow reference what a case about `target` does, one family at a time."""
        effects: dict[str, Effect] = {}
        wanted = None if target == self.root["id"] else self.members[target].family
        families: dict[int, list[Member]] = {}
        for member in self.members.values():
            if wanted in (None, member.family):
                families.setdefault(member.family, []).append(member)
        for members in families.values():
            edges = [
                Edge(Thing("licence", member.made["id"]), Thing("licence", parent), basis)
                for member in members
                for parent, basis in member.rests
            ]
            holdings = {member.made["id"]: Holding(member.department, None) for member in members}
            holdings[self.root["id"]] = Holding(MARKET, None)
            effects |= slow_effects([Thing("licence", target)], edges, holdings, by, set())
        return effects

    def expected(self) -> dict[str, tuple[str, int]]:
        """Return what every licence must be under all open causes together."""
        found = {}
        for id_ in [self.root["id"], *self.members]:
            worst = max((case.get(id_, Effect.NONE) for case in self.standing.values()), default=Effect.NONE)
            found[id_] = STATE[max(worst, Effect.SUSPENDED if id_ in self.suspended else Effect.NONE)]
        return found


async def grown(world: World, dice: random.Random, count: int) -> Families:
    """Issue `count` licences in families of `FAMILY`, level by level, each resting on the root or on earlier ones."""
    root = await world.of(MARKET).desk.post("/v1/licences", licensing.food(1))
    found = Families(root)
    by_family: dict[int, list[str]] = {}
    per_level = count // LEVELS
    for level in range(LEVELS):
        wanted = []
        for place in range(per_level):
            family = place % max(1, count // FAMILY)
            earlier = by_family.get(family, []) if level else []
            parents = dice.sample(earlier, min(len(earlier), dice.choice((1, 2, 3)))) or [root["id"]]
            rests = [(parent, dice.choice(BASES)) for parent in parents]
            owner = MARKET if dice.random() < 0.7 else HOUSING
            wanted.append(Member(family, owner, 2 + level * per_level + place, rests))
        for owner in (MARKET, HOUSING):
            await issued(world, [member for member in wanted if member.department == owner], owner)
        for member in wanted:
            found.members[member.made["id"]] = member
            by_family.setdefault(member.family, []).append(member.made["id"])
    return found


async def issued(world: World, members: list[Member], owner: str) -> None:
    """Issue the members of one level in one batch."""
    rows = []
    for member in members:
        rests = [{"licence": parent, "basis": basis} for parent, basis in member.rests]
        make = licensing.food if owner == MARKET else cases.certificate
        rows.append(json.dumps(make(member.number, rests_on=rests, client_ref=f"{owner}-{member.number}")))
    for member, answer in zip(members, await batch(world.of(owner).desk, rows), strict=True):
        assert "problem" not in answer, answer
        member.made = answer


async def disturbed(world: World, dice: random.Random, families: Families) -> None:
    """Let later versions rest on more, suspend some parents, and uphold two smaller cases."""
    ids = list(families.members)
    for id_ in dice.sample(ids[len(ids) // 2 :], 12):
        member = families.members[id_]
        older = [m for m in families.members.values() if m.family == member.family and m.number < member.number]
        parent = dice.choice(older).made["id"]
        if parent not in [each for each, _ in member.rests]:
            body = {"change": "amend", "rests_on": cases.resting_on(parent), "reason": "示例"}
            member.made |= await world.of(member.department).desk.post(f"/v1/licences/{id_}/versions", body)
            member.rests.append((parent, "identity"))
    for id_ in dice.sample(ids[: len(ids) // 2], 10):
        act = {
            "act": "suspend", "authority": "示例局", "articles": ["示例"], "document_no": "示〔2026〕1号",
            "decided_at": today(), "served_at": today(), "effective_from": today(), "reason": "示例",
        }  # fmt: skip
        await world.of(families.members[id_].department).first.post(f"/v1/licences/{id_}/acts", act)
        families.suspended.add(id_)
    for target in dice.sample(ids[: len(ids) // 5], 2):
        case, digest = await heard(world, target)
        await world.of(MARKET).second.post(f"/v1/fraud-flags/{case}/decision", ruling(digest))
        families.standing[case] = families.reference(target, MARKET)


async def heard(world: World, target: str) -> tuple[str, str]:
    """Take a case up to its decision; return it and the digest of its preview."""
    first = world.of(MARKET).first
    case = (await first.post("/v1/fraud-flags", {"targets": [cases.target(target)], "reason": "示例"}))["id"]
    path = f"/v1/fraud-flags/{case}"
    await first.post(f"{path}/notices", {"document_no": "示1", "served_at": today(), "respond_by": today()})
    await first.post(f"{path}/statements", {"text": "无异议(示例)", "waives": True})
    return case, (await world.of(MARKET).second.get(path))["preview"]["digest"]


async def issuing_on(world: World, start: int, stop: asyncio.Event) -> list[float]:
    """Issue one licence after the other until told to stop; every answer is good; return how long each took."""
    waits: list[float] = []
    while not stop.is_set():
        begun = time.perf_counter()
        await world.of(MARKET).desk.post("/v1/licences", licensing.food(start + len(waits)))
        waits.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    return waits


async def turned(world: World, families: Families, *, every: int) -> None:
    """Stored states and online verdicts are what the reference demands."""
    expected = families.expected()
    assert await cases.states(world.service.region, expected) == expected
    for id_, (_, value) in list(expected.items())[::every]:
        made = families.root if id_ == families.root["id"] else families.members[id_].made
        assert (await world.codes(made["licence"]))[0] == ("invalid" if value else "valid")


async def agree(world: World, families: Families, *, every: int) -> None:
    """What `turned` looks at, and the served status lists, are what the reference demands."""
    await turned(world, families, every=every)
    expected = families.expected()

    async def listed() -> bool:
        lists = {uri: await world.slots(uri) for uri in {m.made["status"]["uri"] for m in families.members.values()}}
        return all(
            lists[member.made["status"]["uri"]](member.made["status"]["idx"]) == expected[id_][1]
            for id_, member in families.members.items()
        )

    print(f"  status lists say so after {await until(listed):.2f} s")


async def run(database_url: str, folder: Path, count: int, *, every: int, seed: int) -> None:
    """Grow, disturb, decide and reverse over `count` dependants, and compare after each step."""
    print(f"\nseed {seed}")
    dice = random.Random(seed)
    async with world_on(database_url, folder) as world:
        begun = time.perf_counter()
        families = await grown(world, dice, count)
        print(f"  {count} licences in {time.perf_counter() - begun:.1f} s")
        await disturbed(world, dice, families)
        await agree(world, families, every=every)
        case, digest = await heard(world, families.root["id"])
        second, path = world.of(MARKET).second, f"/v1/fraud-flags/{case}"
        families.standing[case] = families.reference(families.root["id"], MARKET)
        preview = (await second.get(path))["preview"]
        found = {each["licence"]: Effect.parse(each["effect"]) for each in preview["effects"]}
        assert found == families.standing[case], seed

        stop = asyncio.Event()
        issuing = asyncio.create_task(issuing_on(world, 10 * count, stop))
        begun = time.perf_counter()
        await second.post(f"{path}/decision", ruling(digest))
        print(f"  decided in {time.perf_counter() - begun:.2f} s")
        await turned(world, families, every=count // 50)

        async def settled() -> bool:
            return bool((await second.get(path))["decision"]["settled"])

        await until(settled, 600)
        print(f"  settled {time.perf_counter() - begun:.1f} s after the decision was sent")
        stop.set()
        waits = sorted(await issuing)
        print(
            f"  {len(waits)} licences issued meanwhile: median {waits[len(waits) // 2] * 1000:.0f} ms,"
            f" 99 % {waits[len(waits) * 99 // 100] * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms"
        )
        await agree(world, families, every=every)
        begun = time.perf_counter()
        await second.post(f"{path}/reversal", REVERSAL)
        print(f"  reversed in {time.perf_counter() - begun:.2f} s")
        del families.standing[case]
        await agree(world, families, every=every)


async def test_a_thousand_dependants_turn_in_one_request(database_url: str, tmp_path: Path) -> None:
    """The short form: every single verdict is asked for."""
    await run(database_url, tmp_path, 1_000, every=1, seed=20261121)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_ten_thousand_dependants_turn_in_one_request(database_url: str, tmp_path: Path) -> None:
    """The long form, with another seed each day; every seventh verdict is asked for, all states and all slots."""
    await run(database_url, tmp_path, 10_000, every=7, seed=int(time.time()) // 86_400)
