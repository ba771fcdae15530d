"""One run: regions, liars and roads between them, and a plain account of what happened, kept beside the real code."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ledger.issued import Issued
from tests.simulation.liars import Liar, SideRoad
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.node import BEGINNING, LoopClock, Node
from tests.simulation.reference import Look
from tests.simulation.template import TEMPLATE_S, Template, copied, run_folder

BEGINS_S = TEMPLATE_S + 30
"""When a run begins, in seconds after the templates were begun."""


@dataclass
class Given:
    """A licence that a region issued and acknowledged, with what happened to it since by that region's own clock."""

    code: str
    side: int
    issued: Issued
    kind: str
    value: int = 0
    changed_at: datetime | None = None
    ever: bool = False
    receipts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint as somebody accepted it."""

    size: int
    root: bytes


@dataclass
class Told:
    """What a verifier said: who, about which licence, when by its own clock, and how old the status list was."""

    by: str
    given: Given
    at: datetime
    outcome: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    bound_s: int | None
    list_iat: int | None
    fetched_at: datetime | None
    receipt: bool


class World:
    """Everything there is in one run. `honest` are the codes of regions that keep their word."""

    def __init__(self, made: Template, liars: int, rng: Random) -> None:
        self.template = made
        self.rng = rng
        self.network = Network(Random(rng.random()))
        self.folder = run_folder()
        codes = list(made.homes)
        self.liars: dict[str, Liar] = {
            code: Liar(self.network, code, self.folder, Random(rng.random())) for code in rng.sample(codes, liars)
        }
        self.codes = codes
        self.honest = [code for code in codes if code not in self.liars]
        self.looks: dict[tuple[str, int], Look] = {}
        # --- the account ---
        self.given: list[Given] = []
        self.acknowledged: dict[str, dict[int, bytes]] = {code: {} for code in codes}
        self.accepted: dict[tuple[str, str], list[Head]] = {}
        self.cosigned: dict[tuple[str, str], list[tuple[Head, Any]]] = {}
        self.told: list[Told] = []
        self.refused: list[str] = []
        self.trace: list[str] = []
        self.invariants: Sequence[Callable[[World], None]] = ()
        # --- how far invariants have looked ---
        self.judged = 0
        self.compared: dict[tuple[str, str], int] = {}
        self.last_changed = 0
        self.now_checked: dict[int, int] = {}
        self.served: dict[str, int] = {}
        self.ending = False

    async def start(self) -> None:
        """Copy the template and start every region."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        for code in self.codes:
            home = copied(self.template.homes[code], self.folder / code)
            clock = LoopClock(BEGINNING + timedelta(seconds=BEGINS_S))
            node = Node(home, clock, self._road(code), Random(self.rng.random()))
            self.network.nodes[code] = node
            if code in self.liars:
                node.scruples = False
                self.liars[code].sides.append(node)
                self.network.liars[code] = self.liars[code]
            self.looks[code, 0] = Look(home.file)
            await node.start()
            node.fuse.reset()
        for each in self.template.earlier:
            self.given.append(Given(each.code, 0, each.issued, each.kind, receipts=[each.receipt]))
            if each.code in self.honest:
                [leaf] = self.looks[each.code, 0].rows("SELECT bytes FROM entries WHERE idx = ?", each.issued.entry)
                self.acknowledged[each.code][each.issued.entry] = bytes(leaf[0])

    async def close(self) -> None:
        """End everything and leave nothing behind."""
        for node in self.every_node():
            await node.end()
        for look in self.looks.values():
            look.close()
        shutil.rmtree(self.folder)

    def every_node(self) -> list[Node]:
        """All processes: one of each region, two of a liar that has forked."""
        nodes = [self.network.nodes[code] for code in self.codes]
        return nodes + [side for liar in self.liars.values() for side in liar.sides[1:]]

    def node(self, code: str, side: int = 0) -> Node:
        """A process of a region; for honest ones there is one side."""
        if code in self.liars:
            sides = self.liars[code].sides
            return sides[min(side, len(sides) - 1)]
        return self.network.nodes[code]

    def sides(self, code: str) -> list[Look]:
        """What each history of a region holds."""
        count = len(self.liars[code].sides) if code in self.liars else 1
        return [self._look(code, side) for side in range(count)]

    def code_of(self, origin: str) -> str:
        """The region whose log has this name."""
        return origin.split("/")[1]

    def agree(self, origin: str, one: Head, other: Head) -> bool:
        """Whether two heads of a log are heads of one history, by the entries themselves."""
        for look in self.sides(self.code_of(origin)):
            if look.root_at(one.size) == one.root and look.root_at(other.size) == other.root:
                return True
        return one.size == 0 or other.size == 0

    def now(self) -> float:
        """Virtual seconds since the run began."""
        return asyncio.get_running_loop().time()

    def _look(self, code: str, side: int) -> Look:
        if (code, side) not in self.looks:
            self.looks[code, side] = Look(self.node(code, side).home.file)
        return self.looks[code, side]

    def _road(self, code: str) -> Any:
        if code in self.liars:
            return lambda: SideRoad(self.liars[code], 0)
        return lambda: self.network.road(code)
