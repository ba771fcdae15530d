"""Random licences over two regions, acts, reinstatements, links that drop: in the end states equal a slow reference.

The reference says it aloud: a licence is down if its own department suspended it, or if a licence abroad is down on
which it rests, by itself or through others here. That is repeated until nothing changes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.foreign_judging import Standing, entry_of, place_of, root_of, stand_in_of
from ledger.rebuilding import rebuild
from tests.ledger import cases
from tests.ledger.cascade_world import SUSPENDED, VALID, A, B, CascadeWorld, cascade_world
from tests.verifiers.test_cascade import World, slow_effects, worlds
from verifiers.cascade import Effect, foreign_closure

Urls = Callable[[str], str]
LICENCES, STEPS = 10, 14


@dataclass
class Family:
    """The licences made, by name: where each is, what it rests on here and abroad, and what was done to it."""

    made: dict[str, tuple[str, Any]] = field(default_factory=dict)
    here: dict[str, set[str]] = field(default_factory=dict)
    abroad: dict[str, set[str]] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)

    def expected(self) -> set[str]:
        """Return the names of all that are down."""
        reached = {name: set(self.abroad[name]) for name in self.made}
        for name in self.made:  # parents were made first
            for parent in self.here[name]:
                reached[name] |= reached[parent]
        down = set(self.suspended)
        while True:
            following = self.suspended | {name for name in self.made if reached[name] & down}
            if following == down:
                return down
            down = following


async def grow(world: CascadeWorld, dice: random.Random) -> Family:
    """Issue licences in both regions, each resting on up to two earlier ones wherever they are."""
    family = Family()
    for n in range(LICENCES):
        code, name = dice.choice((A, B)), f"l{n}"
        parents = dice.sample(sorted(family.made), min(len(family.made), dice.choice((0, 1, 1, 2))))
        here = {each for each in parents if family.made[each][0] == code}
        rests = cases.resting_on(*(family.made[each][1].id for each in sorted(here)))
        far = [family.made[each] for each in parents if each not in here]
        family.made[name] = (code, await world.licence(code, *far, rests_on=rests))
        family.here[name], family.abroad[name] = here, set(parents) - here
    return family


async def test_after_any_history_both_regions_agree_with_the_reference(sqlite_urls: Urls, tmp_path: Path) -> None:
    """Links drop and heal, notices come late or after the lists; the seed is printed."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with cascade_world(tmp_path, sqlite_urls) as world:
        family = await grow(world, dice)
        await world.rounds(2)
        for _ in range(STEPS):
            step = dice.random()
            if step < 0.45:
                name = dice.choice(sorted(family.made))
                code, licence = family.made[name]
                await world.act(code, licence, "reinstate" if name in family.suspended else "suspend")
                family.suspended ^= {name}
            elif step < 0.6:
                code, other = dice.sample((A, B), 2)
                world[code].road.cut ^= {other}
            elif step < 0.8:
                await world.look(dice.choice((A, B)))
            else:
                await world.tell(dice.choice((A, B)))
        for code in (A, B):
            world[code].road.cut.clear()
        down = family.expected()
        for code in (A, B):
            pairs = [
                (licence, SUSPENDED if name in down else VALID)
                for name, (where, licence) in family.made.items()
                if where == code
            ]
            await world.until_states(code, pairs, tries=300)
        await world.rounds(4)
        for name, (code, licence) in family.made.items():
            assert await world.states(code, licence) == [SUSPENDED if name in down else VALID], (seed, name)
        for code in (A, B):
            region = world.region(code)
            rebuilt = rebuild(region.database, region.vault, region.clock)
            assert rebuilt.replaced == (), (seed, rebuilt.differences.findings[:3])


@given(worlds())
def test_nothing_abroad_does_more_than_suspend_here(world: World) -> None:
    """Whatever owners have instructed: never more than suspended, only what rests on it, as strong as bases allow."""
    targets, edges, holdings, _ = world

    fallen = foreign_closure(targets, edges, holdings)

    reference = slow_effects(targets, edges, holdings, "", set())
    assert {each.licence: each.effect for each in fallen} == {
        licence: min(effect, Effect.SUSPENDED) for licence, effect in reference.items()
    }
    assert all(each.cause == "inherited" and each.effect <= Effect.SUSPENDED for each in fallen)
    assert all(each.review is (each.effect is Effect.SUSPENDED) for each in fallen)


causes = st.sampled_from(["o:1", "o:2", "p:3", "p:status:https://p.example/s/1#4"])


@given(
    st.integers(0, 3),
    st.dictionaries(causes, st.frozensets(causes, max_size=2), max_size=3),
    st.frozensets(causes, max_size=3),
    st.booleans(),
)
def test_a_bit_decides_whether_and_a_notice_only_under_which_name(
    value: int, named: dict[str, frozenset[str]], standing: frozenset[str], waited: bool
) -> None:
    """Without a set bit nothing stands, whatever notices say; without names what stands is kept until the wait ends."""
    wanted = Standing(value, named, standing, "stand-in", waited).wanted()

    if value == 0:
        assert wanted == frozenset()
    elif named:
        assert wanted == frozenset(each for meaning in named.values() for each in meaning)
    else:
        assert wanted == (frozenset({"stand-in"}) if waited else standing)


def test_names_of_causes_are_read_as_they_are_written() -> None:
    """A stand-in names its place, an entry its index, and neither is taken for the other or for another log's."""
    origin, uri = "r.example/610000/1", "https://r.example/status-lists/12"

    assert place_of(stand_in_of(origin, uri, 7), origin) == (uri, 7)
    assert place_of(stand_in_of("other/1", uri, 7), origin) is None
    assert entry_of(f"{origin}:42", origin) == 42
    for other in (f"{origin}:42:1", f"{origin}:", f"{origin}:x", "other/1:42", stand_in_of(origin, uri, 7)):
        assert entry_of(other, origin) is None
    assert root_of("a" * 200) == "a" * 200
    assert len(root_of("a" * 201)) == 71
