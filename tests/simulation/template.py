"""What every schedule starts from: regions that know, recognise and watch each other, made once and copied."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from ledger import departments, equivalences, types, witness_policies
from ledger.config import RegionConfig
from ledger.database import migrate
from ledger.issued import Issued
from ledger.receipts import receipt_of
from tests.ledger import licensing
from tests.region import OPERATOR, memory_store
from tests.regions import REGIONS, admit, base_url_of
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.node import HandRegion, Home, LoopClock, Node, by_hand
from verifiers.note import NoteKey
from verifiers.witness_policy import PolicyWitness, WitnessPolicy, format_policy

TTL_S = 30
GRACE_S = {licensing.FOOD: 1, licensing.BUSINESS: 90}
"""Types of licences that schedules issue, and their grace: one counts for the `ttl` of a list, one for longer."""

TEMPLATE_S = 300
"""How long before a run the templates were finished, on every clock."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A licence that was issued before the run, everywhere known, with its receipt."""

    code: str
    kind: str
    issued: Issued
    receipt: str


@dataclass(frozen=True, slots=True)
class Template:
    """Regions by code; `quorum` of the other regions cosign the log of each. `earlier` are the licences there are."""

    homes: dict[str, Home]
    quorum: int
    earlier: tuple[Earlier, ...]

    @property
    def watching(self) -> int:
        """How many witnesses each log has."""
        return len(self.homes) - 1


def work_folder() -> Path:
    """A folder of this process, in memory where the machine has one there."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="elicence-simulation-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run_folder() -> Path:
    """The folder of the run under way, empty; its name is always the same, see `FaultyDatabase`."""
    folder = _one_folder() / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@lru_cache(maxsize=1)
def _one_folder() -> Path:
    return work_folder()


@lru_cache(maxsize=8)
def template(count: int, quorum: int) -> Template:
    """Make the template of `count` regions whose logs ask for `quorum` of all other witnesses."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner, by_hand():
        return runner.run(_make(count, quorum, work_folder()))


def copied(home: Home, folder: Path) -> Home:
    """Copy what a region keeps into `folder`; the region must not run, or not write meanwhile."""
    folder.mkdir(parents=True)
    for part in home.file.parent.glob(home.file.name + "*"):
        shutil.copyfile(part, folder / part.name)
    shutil.copytree(home.config.tiles, folder / "public")
    return home.moved(folder / home.file.name, folder / "public")


async def _make(count: int, quorum: int, folder: Path) -> Template:
    schema = folder / "schema.db"
    migrate(f"sqlite:///{schema}")
    network = Network(Random(0))
    for code, zh, en in REGIONS[:count]:
        below = folder / code
        below.mkdir()
        for part in folder.glob("schema.db*"):
            shutil.copyfile(part, below / part.name.replace("schema", "ledger"))
        config = RegionConfig(
            region=code,
            names={"zh": zh, "en": en},
            base_url=base_url_of(code),
            database_url=f"sqlite:///{below / 'ledger.db'}",
            tiles=below / "public",
            status_ttl_s=TTL_S,
            recognition_notice_s=0,
        )
        home = Home(config, memory_store())
        clock = LoopClock()
        first = await HandRegion.create(config, home.store, clock=clock)
        first.writer.end()  # type: ignore[attr-defined]
        first.database.close()
        node = Node(home, clock, lambda code=code: network.road(code), Random(0))  # type: ignore[misc]
        await node.start()
        network.nodes[code] = node
    for node in network.nodes.values():
        await _furnish(node)
    for node in network.nodes.values():
        for other in network.nodes.values():
            if other is not node:
                await admit(node.region, other.region)
        await node.publish()
        await node.region.status.step()
    await _settle(network)
    for node in network.nodes.values():
        await _recognise(node, network, quorum)
    await _settle(network)
    await _settle(network)
    asyncio.get_running_loop().advance(TEMPLATE_S)  # type: ignore[attr-defined]
    await _settle(network)
    earlier = [each for node in network.nodes.values() for each in await _issue(node)]
    await _settle(network)
    given = [
        Earlier(code, kind, licence, await receipt_of(network.nodes[code].region, licence.entry))
        for code, kind, licence in earlier
    ]
    for node in network.nodes.values():
        states = {state["region"]: (state["state"], state["detail"]) for state in node.following.states()}
        assert all(state == ("followed", "") for state in states.values()), states
        assert node.region.cosigner is not None and node.region.cosigner.size > 0
        await node.end()
    return Template({code: node.home for code, node in network.nodes.items()}, quorum, tuple(given))


async def _issue(node: Node) -> list[tuple[str, str, Issued]]:
    issued = []
    for n, kind in enumerate(GRACE_S):
        licence = await licensing.issued(node.region, licensing.MARKET, licensing.food(n + 1, type=kind))
        issued.append((node.code, kind, licence))
    return issued


async def _furnish(node: Node) -> None:
    region = node.region
    names = {"zh": "示例市场监管局", "en": "Example market department"}
    await departments.register(region, OPERATOR, {"id": licensing.MARKET, "names": names})
    for code, grace_s in GRACE_S.items():
        body = licensing.definition("food-business-licence") | {"code": code, "grace_s": grace_s}
        await types.register(region, OPERATOR, body)
        await licensing.give(region, licensing.MARKET, code, area=node.code)
    await node.publish()


async def _recognise(node: Node, network: Network, quorum: int) -> None:
    witnesses = []
    for code, other in network.nodes.items():
        if other is node:
            continue
        service = other.region.witness_service
        assert service is not None
        keys = tuple(NoteKey.from_text(vkey) for vkey in service.vkeys)
        witnesses.append(PolicyWitness(f"w{code}", keys, service.url))
        for kind in GRACE_S:
            named: dict[str, Any] = {"type": kind, "major": 1}
            body = {"peer": code, "their": named, "ours": named, "fields": {}}
            await equivalences.declare(node.region, OPERATOR, body)
    policy = WitnessPolicy(tuple(witnesses), quorum)
    await witness_policies.set_policy(node.region, OPERATOR, {"policy": format_policy(policy)})
    await node.publish()


async def _settle(network: Network) -> None:
    for _ in range(2):
        await asyncio.sleep(3)
        for node in network.nodes.values():
            await node.publish()
            await node.region.status.step()
        for node in network.nodes.values():
            await node.following.step()
        for node in network.nodes.values():
            assert node.region.cosigner is not None
            await node.region.cosigner.step()
