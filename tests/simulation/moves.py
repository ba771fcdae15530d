"""What may happen in one step, by name. Each move takes its choices from the random source it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from ledger import acts
from ledger.errors import Code, Refusal
from ledger.issuing import issue
from ledger.publishing import LogWentBack
from ledger.receipts import receipt_of
from tests.ledger import licensing
from tests.simulation.faults import Crash
from tests.simulation.judging import judge
from tests.simulation.liars import READING_LIES, TOKEN_LIES, WITNESS_LIES
from tests.simulation.node import LoopClock, Node
from tests.simulation.template import GRACE_S
from tests.simulation.world import Given, World

Move = Callable[[World, Random], Awaitable[str]]

_DATABASE: Final = frozenset({Code.DATABASE_UNAVAILABLE, Code.STORAGE_FULL, Code.COMMIT_UNKNOWN})


class Surprise(Exception):
    """The code under test raised what it must not raise."""


def _any(world: World, rng: Random) -> tuple[str, int, Node]:
    code = rng.choice(world.codes)
    side = rng.randrange(2) if code in world.liars and len(world.liars[code].sides) > 1 else 0
    return code, side, world.node(code, side)


async def guarded(world: World, node: Node, doing: Callable[[], Awaitable[object]], what: str) -> str:
    """Do a step of a region; a database that was told to fail may make it fail, and a crash ends the process."""
    blown = node.fuse.blown
    try:
        await doing()
    except Crash:
        await node.crash()
        return f"{what}, crashed on the way"
    except Refusal as refusal:
        if refusal.code in _DATABASE and node.fuse.blown > blown:
            return f"{what}: {refusal.code}"
        if node.code in world.liars:
            return f"{what}: {refusal.code} (a liar)"
        raise Surprise(f"{what} at {node.code}: {refusal!r}") from refusal
    except LogWentBack as fault:
        if node.code in world.liars:
            return f"{what}: its other history is longer (a liar)"
        raise Surprise(f"{what} at {node.code}: {fault}") from fault
    finally:
        node.crash_in = None
    return what


# --- honest moves, which liars make too ---


async def issue_one(world: World, rng: Random) -> str:
    """Issue a licence and keep what was acknowledged."""
    code, side, node = _any(world, rng)
    kind = rng.choice(list(GRACE_S))
    n = rng.randrange(10**6)
    begun = world.now()
    blown = node.fuse.blown
    request = licensing.request(node.region, licensing.food(n, type=kind), f"k{n}")
    try:
        [outcome] = await issue(node.region, licensing.actor(licensing.MARKET), [request])
    except Refusal as refusal:
        outcome = refusal
    if isinstance(outcome, Refusal):
        if outcome.code not in _DATABASE or node.fuse.blown == blown:
            world.refused.append(f"{code} did not issue: {outcome!r}")
        return f"{code} issues: {outcome.code}"
    if world.now() - begun > 1:
        world.refused.append(f"{code} took {world.now() - begun:.1f} s to issue")
    given = Given(code, side, outcome, kind)
    world.given.append(given)
    if code in world.honest:
        leaf = world.looks[code, 0].rows("SELECT bytes FROM entries WHERE idx = ?", outcome.entry)
        world.acknowledged[code][outcome.entry] = bytes(leaf[0][0]) if leaf else b"not there"
    return f"{code}/{side} issues number {len(world.given) - 1} at {outcome.entry}"


async def change_one(world: World, rng: Random) -> str:
    """Suspend, reinstate or annul a licence."""
    if not world.given:
        return "nothing to change"
    given = rng.choice(world.given)
    node = world.node(given.code, given.side)
    act = "reinstate" if given.value and rng.random() < 0.6 else rng.choice(("suspend", "suspend", "annul"))
    before = node.clock.now()
    blown = node.fuse.blown
    day = {"decided_at": "2026-11-21", "served_at": "2026-11-21"}
    body = {"act": act, "authority": "示例市场监管局", "articles": ["行政许可法 69"], "document_no": "示例1号", **day}
    number = world.last_changed = world.given.index(given)
    try:
        await acts.act(node.region, licensing.actor(licensing.MARKET), given.issued.id, body)
    except Refusal as refusal:
        if refusal.code in _DATABASE and node.fuse.blown == blown:
            world.refused.append(f"{given.code} did not {act}: {refusal!r}")
        return f"{act} of number {number}: {refusal.code}"
    state = node_state(world, given)
    given.value = {"valid": 0, "suspended": 2, "annulled": 2}[state]
    given.changed_at = max(before, node.clock.now())
    given.ever = True
    return f"{act} of number {number}: {state}"


def node_state(world: World, given: Given) -> str:
    """The state of a licence by its own region's table."""
    [[state]] = world.sides(given.code)[given.side].rows("SELECT state FROM licences WHERE id = ?", given.issued.id)
    return str(state)


async def publish(world: World, rng: Random) -> str:
    """Publish log and trust list."""
    code, side, node = _any(world, rng)
    return await guarded(world, node, node.publish, f"{code}/{side} publishes")


async def list_status(world: World, rng: Random) -> str:
    """Publish status lists."""
    code, side, node = _any(world, rng)
    return await guarded(world, node, node.region.status.step, f"{code}/{side} lists status")


async def cosign(world: World, rng: Random) -> str:
    """Have the log cosigned."""
    code, side, node = _any(world, rng)
    assert node.region.cosigner is not None
    return await guarded(world, node, node.region.cosigner.step, f"{code}/{side} asks its witnesses")


async def follow(world: World, rng: Random) -> str:
    """Look at all peers once."""
    code, side, node = _any(world, rng)
    said = await guarded(world, node, node.following.step, f"{code}/{side} looks at its peers")
    return f"{said} {_states(node)}"


def _states(node: Node) -> str:
    return "[" + ",".join(f"{state['region'][:2]}={state['state']}" for state in node.following.states()) + "]"


async def work(world: World, rng: Random) -> str:
    """Do all that one region does by itself within some seconds: list, publish, ask for cosignatures."""
    code, side, node = _any(world, rng)
    return await _work(world, code, side, node)


async def _work(world: World, code: str, side: int, node: Node) -> str:
    assert node.region.cosigner is not None
    listed = await guarded(world, node, node.region.status.step, f"{code}/{side} lists")
    published = await guarded(world, node, node.publish, "publishes")
    asked = await guarded(world, node, node.region.cosigner.step, "asks its witnesses")
    return f"{listed}, {published}, {asked}"


async def everybody_looks(world: World, _rng: Random) -> str:
    """Let every honest region look at all its peers, one after another."""
    said = []
    for code in world.honest:
        node = world.node(code)
        await guarded(world, node, node.following.step, code)
        said.append(f"{code} {_states(node)}")
    return f"everybody looks: {', '.join(said)}"


async def all_work(world: World, _rng: Random) -> str:
    """Let every process list, publish and ask for cosignatures."""
    for node in world.every_node():
        await _work(world, node.code, 0, node)
    return "everybody lists, publishes, asks its witnesses"


async def withdraw_and_tell(world: World, rng: Random) -> str:
    """Withdraw a licence and let the region that did it do its work."""
    said = await change_one(world, rng)
    given = world.given[world.last_changed]
    told = await _work(world, given.code, given.side, world.node(given.code, given.side))
    return f"{said}; {told}"


async def split(world: World, rng: Random) -> str:
    """Let a liar show two histories, grow both, and let everybody look."""
    if not world.liars:
        return "nobody lies"
    liar = world.liars[rng.choice(sorted(world.liars))]
    await liar.fork(LoopClock(liar.node.clock.begins, liar.node.clock.skew_s))
    for code in world.codes:
        liar.shown[code] = rng.randrange(2)
    for side, node in enumerate(liar.sides):
        n = rng.randrange(10**6)
        request = licensing.request(node.region, licensing.food(n), f"k{n}")
        try:
            [outcome] = await issue(node.region, licensing.actor(licensing.MARKET), [request])
        except Refusal as refusal:
            outcome = refusal
        if not isinstance(outcome, Refusal):
            world.given.append(Given(liar.code, side, outcome, licensing.FOOD))
        await _work(world, liar.code, side, node)
    shown = ", ".join(f"{code} sees {liar.shown[code]}" for code in world.honest)
    return f"{liar.code} splits: {shown}; {await everybody_looks(world, rng)}"


async def together(world: World, rng: Random) -> str:
    """Let several regions do several things at once."""
    nodes = rng.sample(world.every_node(), 2)
    doing: list[tuple[Node, Callable[[], Awaitable[object]], str]] = []
    for node in nodes:
        assert node.region.cosigner is not None
        doing.append((node, node.following.step, "looks"))
        doing.append((node, node.region.cosigner.step, "asks"))
        doing.append((node, node.region.status.step, "lists"))
        doing.append((node, node.publish, "publishes"))
    chosen = rng.sample(doing, 4)
    before = {node.code: node.fuse.blown for node in nodes}
    outcomes = await asyncio.gather(*(each[1]() for each in chosen), return_exceptions=True)
    for (node, _, what), outcome in zip(chosen, outcomes, strict=True):
        if isinstance(outcome, Refusal) and (node.fuse.blown > before[node.code] or node.code in world.liars):
            continue
        if isinstance(outcome, LogWentBack) and node.code in world.liars:
            continue
        if isinstance(outcome, BaseException):
            raise Surprise(f"{node.code} {what}, and others at once") from outcome
    return "at once: " + ", ".join(f"{node.code} {what}" for node, _, what in chosen)


async def take_receipt(world: World, rng: Random) -> str:
    """Ask a region for the receipt of a licence, and keep it."""
    if not world.given:
        return "no receipt to take"
    given = rng.choice(world.given)
    try:
        text = await receipt_of(world.node(given.code, given.side).region, given.issued.entry)
    except Refusal as refusal:
        return f"receipt of number {world.given.index(given)}: {refusal.code}"
    given.receipts.append(text)
    return f"receipt of number {world.given.index(given)}"


async def verify_one(world: World, rng: Random) -> str:
    """Let an honest region judge a licence, with a receipt it was given."""
    if not world.given:
        return "nothing to verify"
    recent = world.given[-4:] if rng.random() < 0.7 else world.given
    return await judge(world, rng.choice(world.honest), rng.choice(recent), rng)


async def advance(world: World, rng: Random) -> str:
    """Let time pass."""
    seconds = rng.choice((0.2, 1, 2, 5, 12, 25, 31, 33, 61, 95))
    await asyncio.sleep(seconds)
    return f"{seconds} s pass"


async def shift_clock(world: World, rng: Random) -> str:
    """Put a clock a little wrong, never back in its own time."""
    code, _, node = _any(world, rng)
    node.clock.skew_s += rng.uniform(0, 3)
    return f"the clock of {code} is {node.clock.skew_s:.1f} s ahead"


# --- faults ---


async def crash(world: World, rng: Random) -> str:
    """End a process between two steps, and start it again."""
    code, side, node = _any(world, rng)
    await node.crash()
    return f"{code}/{side} crashes"


async def crash_within(world: World, rng: Random) -> str:
    """End a process between two stored parts of one step."""
    code, side, node = _any(world, rng)
    assert node.region.cosigner is not None
    doing = rng.choice((node.following.step, node.publish, node.region.cosigner.step))
    node.crash_in = rng.randrange(6)
    return await guarded(world, node, doing, f"{code}/{side} does {doing.__qualname__} and may crash")


async def fail_database(world: World, rng: Random) -> str:
    """Let one of the next commits of a region fail, with or without effect."""
    code, side, node = _any(world, rng)
    fault, passed = rng.choice(("before", "after")), rng.randrange(3)
    node.fuse.plan.clear()
    node.fuse.plan.extend([*([None] * passed), fault])
    return f"commit {passed + 1} of {code}/{side} will fail {fault} it took effect"


async def harm_link(world: World, rng: Random) -> str:
    """Make the way of one region to another worse."""
    caller, code = rng.sample(world.codes, 2)
    link = world.network.link(caller, code)
    harm = rng.choice(("cut", "lost_requests", "lost_answers", "late_requests", "twice", "stale_answers", "instead"))
    if harm == "cut":
        link.cut = True
    elif harm == "instead":
        link.instead = rng.choice([each for each in world.codes if each != caller])
    else:
        setattr(link, harm, rng.randint(1, 4))
    return f"{caller} → {code}: {harm}"


async def heal_link(world: World, rng: Random) -> str:
    """Make all ways of one region good again."""
    caller = rng.choice(world.codes)
    for (from_, to), link in world.network.links().items():
        if from_ == caller:
            await world.network.deliver(from_, to)
            link.heal()
    return f"{caller} reaches everybody again"


async def deliver_late(world: World, _rng: Random) -> str:
    """Let late requests arrive."""
    count = 0
    for (caller, code), link in world.network.links().items():
        count += len(link.held)
        await world.network.deliver(caller, code)
    return f"{count} late requests arrive"


# --- lies ---


async def lie(world: World, rng: Random) -> str:
    """Let a liar begin one of its lies."""
    if not world.liars:
        return "nobody lies"
    liar = world.liars[rng.choice(sorted(world.liars))]
    move = rng.choice(
        ("fork", "show", "show", "read", "read", "witness", "witness", "sign", "sign", "past", "mute", "true")
    )
    said = move
    if move == "fork":
        await liar.fork(LoopClock(liar.node.clock.begins, liar.node.clock.skew_s))
        for code in world.codes:
            liar.shown[code] = rng.randrange(2)
    elif move == "show":
        liar.shown[rng.choice(world.codes)] = rng.randrange(2)
    elif move == "read":
        said = liar.reading = rng.choice(READING_LIES)
        if said == "frozen":
            liar.remember()
            liar.go_back()
    elif move == "witness":
        said = liar.cosigning = rng.choice(WITNESS_LIES)
    elif move == "sign":
        said = rng.choice(TOKEN_LIES)
        await liar.sign(said)
    elif move == "past":
        liar.remember()
        if len(liar.snapshots) > 1:
            liar.go_back()
    elif move == "mute":
        liar.mute = not liar.mute
    else:
        liar.tell_the_truth()
    return f"{liar.code} lies: {said}"


MOVES: Final[dict[str, tuple[int, Move]]] = {
    "issue": (5, issue_one),
    "change": (3, change_one),
    "withdraw and tell": (4, withdraw_and_tell),
    "publish": (2, publish),
    "status": (2, list_status),
    "cosign": (2, cosign),
    "work": (8, work),
    "all work": (2, all_work),
    "follow": (8, follow),
    "everybody looks": (4, everybody_looks),
    "together": (4, together),
    "receipt": (5, take_receipt),
    "verify": (14, verify_one),
    "advance": (7, advance),
    "clock": (1, shift_clock),
    "crash": (1, crash),
    "crash within": (3, crash_within),
    "database": (3, fail_database),
    "harm": (4, harm_link),
    "heal": (2, heal_link),
    "late": (1, deliver_late),
    "lie": (8, lie),
    "split": (4, split),
}
"""Every move with its weight."""
