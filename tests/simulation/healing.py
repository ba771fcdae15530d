"""The end of a run: all links are healed, liars keep what they signed, and everything must be found out and caught up.

`found_within_s` is the time within which a split that two honest followers were shown is found (protocol 29).
"""

from __future__ import annotations

import asyncio
from math import ceil
from typing import Final

from ledger.errors import Refusal
from ledger.following import HEAR_S
from ledger.publishing import LogWentBack
from ledger.witness_feeding import FEED_AFTER_S
from tests.simulation.invariants import Broken, check_step
from tests.simulation.node import Node
from tests.simulation.reference import slot_value, tree_root
from tests.simulation.world import World
from verifiers.peer_view import Watch

ROUND_S: Final = 2.0
"""Virtual seconds of a round: one witness interval, in which every region publishes, is cosigned and looks around."""


CAUGHT_UP: Final = 2
"""Rounds after which every follower knows all that honest regions have published."""


def found_within_s(count: int) -> float:
    """Seconds after healing within which one of `count` regions finds a split that two of them were shown.

    Our witness is shown what we follow at the latest after `FEED_AFTER_S`, then each of the other peers' witnesses has
    its turn of being asked (`HEAR_S` each, but one a round here), one round compares, and one lies between the moment
    of healing and the first of these.
    """
    return FEED_AFTER_S + (count - 2) * max(HEAR_S, ROUND_S) + 2 * ROUND_S


async def heal_and_settle(world: World) -> None:
    """Heal, let time pass in rounds, and check what must then hold. Raises `Broken`."""
    for (caller, code), link in world.network.links().items():
        await world.network.deliver(caller, code)
        link.heal()
    for node in world.every_node():
        node.fuse.plan.clear()
        node.crash_in = None
    for liar in world.liars.values():
        liar.tell_the_truth()
    split = splits(world)
    world.trace.append(f"all links are healed; {len(split)} splits are shown")
    begun = world.now()
    for number in range(1, ceil(found_within_s(len(world.codes)) / ROUND_S) + 1):
        await _round(world)
        check_step(world)
        if number >= CAUGHT_UP and not _unfound(world, split):
            break
    for code in _unfound(world, split):
        watches = {by: str(world.node(by).following.watch(code)) for by in world.honest}
        raise Broken(f"splits_are_found: {code} showed two histories, and after healing it is {watches}")
    if split:
        world.trace.append(f"all of them are found after {world.now() - begun:.0f} s")
    followers_equal_the_reference(world)
    world.ending = True
    check_step(world)


def _unfound(world: World, split: set[str]) -> list[str]:
    """The liars that nobody has caught yet."""
    return [
        code
        for code in sorted(split)
        if all(world.node(by).following.watch(code) is not Watch.FORKED for by in world.honest)
    ]


def splits(world: World) -> set[str]:
    """The liars that at least two honest followers hold different histories of."""
    found = set()
    for code, liar in world.liars.items():
        if len(liar.sides) < 2:
            continue
        origin = liar.node.region.origin
        heads = [heads[-1] for (_, of), heads in world.accepted.items() if of == origin and heads]
        for one in heads:
            if any(not world.agree(origin, one, other) for other in heads):
                found.add(code)
    return found


def followers_equal_the_reference(world: World) -> None:
    """After healing each follower's state equals a fold over the peer's log, computed anew (protocol 5, 19, 29)."""
    for code in world.honest:
        for other in world.honest:
            if other != code:
                _compare(world, code, other)


def _compare(world: World, code: str, other: str) -> None:
    def wrong(what: str) -> Broken:
        return Broken(f"followers_equal_the_reference: {code} of {other}: {what}")

    mine, theirs = world.looks[code, 0], world.looks[other, 0]
    [(origin, size, root, state, detail)] = mine.rows(
        "SELECT origin, size, root, state, detail FROM followed WHERE region = ?", other
    )
    leaves = theirs.entries_from(0)
    if state != Watch.FOLLOWED.value:
        raise wrong(f"{state}: {detail}")
    if size != world.served[other]:
        raise wrong(f"size {size}, and {world.served[other]} are published")
    if tree_root(leaves[:size]) != bytes(root):
        raise wrong(f"another root at size {size}")
    mirrored = [
        bytes(row[0]) for row in mine.rows("SELECT bytes FROM mirrored_entries WHERE origin = ? ORDER BY idx", origin)
    ]
    if mirrored != leaves[: len(mirrored)] or len(mirrored) < size:
        raise wrong(f"{len(mirrored)} mirrored entries are not the log's")
    _compare_lists(world, code, other)
    expected = {g.issued.status_idx: g.value for g in world.given if g.code == other}
    lists = {each.uri: each for each in world.node(code).following.status_lists() if each.source == other}
    for given in world.given:
        if given.code != other:
            continue
        held = lists.get(given.issued.status_uri)
        if held is None:
            raise wrong(f"no list {given.issued.status_uri}")
        value = slot_value(held.packed, given.issued.status_idx)
        if value != expected[given.issued.status_idx]:
            raise wrong(f"slot {given.issued.status_idx} says {value} where the acts say {given.value}")


def _compare_lists(world: World, code: str, other: str) -> None:
    newest = world.looks[other, 0].rows("SELECT seq, digest FROM trust_lists ORDER BY seq DESC LIMIT 1")
    held = world.looks[code, 0].rows(
        "SELECT seq, digest FROM followed_lists WHERE region = ? ORDER BY seq DESC LIMIT 1", other
    )
    if newest != held:
        raise Broken(f"followers_equal_the_reference: {code} holds list {held[0][0]} of {other}, not {newest[0][0]}")


async def _round(world: World) -> None:
    await asyncio.sleep(ROUND_S)
    for node in world.every_node():
        await _work(world, node)
    for code in world.honest:
        await world.node(code).following.step()


async def _work(world: World, node: Node) -> None:
    assert node.region.cosigner is not None
    try:
        await node.region.status.step()
        await node.publish()
        await node.region.cosigner.step()
    except (Refusal, LogWentBack):
        if node.code not in world.liars:
            raise
