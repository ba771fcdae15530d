"""Schedules: drawn from a seed, run, printed, and made shorter while they still fail."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

from tests.simulation.healing import heal_and_settle
from tests.simulation.invariants import EVERY_STEP, Broken, Invariant, check_step
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.moves import MOVES, Surprise
from tests.simulation.node import by_hand
from tests.simulation.template import Template, template
from tests.simulation.world import World

SHAPES = ((3, 1, 2), (3, 1, 2), (3, 0, 2), (3, 1, 1), (4, 1, 3), (4, 2, 3))
"""Regions, liars among them, and the quorum of witnesses each log asks for; what comes more often is more likely."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens in one run: a world, and moves with the seed of each; `heals` says whether it ends healed."""

    seed: int
    shape: tuple[int, int, int]
    steps: tuple[tuple[str, int], ...]
    heals: bool

    @property
    def command(self) -> str:
        """What runs this schedule again."""
        return f"python -m tests.simulation --seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: `fault` is None where everything held; `trace` says what each step did."""

    schedule: Schedule
    fault: str | None
    trace: tuple[str, ...]

    def __str__(self) -> str:
        count, liars, quorum = self.schedule.shape
        lines = [
            f"schedule {self.schedule.seed}: {count} regions, {liars} of them lie, {quorum} witnesses must cosign",
            *(f"{number:4} {said}" for number, said in enumerate(self.trace)),
            self.fault or "everything held",
            f"again, whole: {self.schedule.command}",
        ]
        return "\n".join(lines)


def drawn(seed: int) -> Schedule:
    """Draw the schedule of a seed."""
    rng = Random(seed)
    names = list(MOVES)
    weights = [MOVES[name][0] for name in names]
    length = rng.randint(4, 11) if rng.random() < 0.875 else rng.randint(12, 30)
    steps = [(name, rng.getrandbits(32)) for name in rng.choices(names, weights, k=length)]
    return Schedule(seed, rng.choice(SHAPES), tuple(steps), rng.random() < 0.2)


def focused(seed: int, names: Sequence[str], shape: tuple[int, int, int], *, heals: bool = False) -> Schedule:
    """Draw a schedule of a dozen moves with these names only, each as likely as it is often named."""
    rng = Random(seed)
    steps = tuple((rng.choice(names), rng.getrandbits(32)) for _ in range(12))
    return Schedule(seed, shape, steps, heals)


def run(schedule: Schedule, invariants: Sequence[Invariant] = EVERY_STEP) -> Ran:
    """Run a schedule from its beginning to the first thing that does not hold."""
    made = template(schedule.shape[0], schedule.shape[2])
    trace: list[str] = []
    with quiet(), same_randomness(schedule.seed), by_hand(), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        fault = runner.run(_run(schedule, made, trace, invariants))
    return Ran(schedule, fault, tuple(trace))


async def _run(schedule: Schedule, made: Template, trace: list[str], invariants: Sequence[Invariant]) -> str | None:
    world = World(made, schedule.shape[1], Random(schedule.seed))
    world.invariants = invariants
    world.trace = trace
    await world.start()
    trace.append(f"liars: {', '.join(world.liars) or 'nobody'}")
    try:
        check_step(world)
        for name, seed in schedule.steps:
            trace.append(name)
            trace[-1] = await MOVES[name][1](world, Random(seed))
            check_step(world)
        if schedule.heals:
            await heal_and_settle(world)
    except Broken as broken:
        return str(broken)
    except (Surprise, Stuck) as surprise:
        return f"{surprise} ({surprise.__cause__!r})"
    finally:
        await world.close()
    return None


def shrunk(ran: Ran, tries: int = 200) -> Ran:
    """Drop steps of a schedule that fails for as long as it fails in the same way."""
    best = ran
    name = (ran.fault or "").partition(":")[0]
    at = len(best.schedule.steps) - 1
    while at >= 0 and tries > 0:
        tries -= 1
        steps = best.schedule.steps
        again = run(replace(best.schedule, steps=steps[:at] + steps[at + 1 :]))
        if again.fault is not None and again.fault.partition(":")[0] == name:
            best = again
        at = min(at, len(best.schedule.steps)) - 1
    return best


@contextmanager
def same_randomness(seed: int) -> Iterator[None]:
    """Let what is drawn from the operating system come from the seed; keys and signatures stay random."""
    source = Random(seed ^ 0x5EED)
    with patch.object(os, "urandom", source.randbytes), patch.object(random, "_urandom", source.randbytes):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the regions would log to themselves: liars make them complain all the time."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def first_failure(seeds: Iterable[int]) -> Ran | None:
    """Run the schedules of these seeds up to the first that fails, and give that one, made shorter."""
    for seed in seeds:
        ran = run(drawn(seed))
        if ran.fault is not None:
            return shrunk(ran)
    return None
