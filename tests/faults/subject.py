"""One life of a region under test: it opens, is asked for something, suffers its fault, and tells what it told whom."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from keys.file_store import FileKeyStore
from keys.password import TESTING_ONLY
from keys.signer import KeyStore
from ledger import acts, case_steps, departments, witness_policies
from ledger.cosigning import Cosigner
from ledger.database import Database
from ledger.errors import Refusal
from ledger.issued import Issued
from ledger.issuing import issue
from ledger.region import Region
from ledger.tables.licences import licences
from tests.faults.connections import sabotage
from tests.faults.faults import Fault, Saboteur, Step
from tests.faults.surroundings import FaultyRoad, Keys, LastingWitness, sabotage_files
from tests.ledger import licensing
from tests.ledger.licensing import MARKET
from tests.ledger.test_acts import body as act_body
from tests.ledger.witnesses import policy_text
from tests.region import OPERATOR, region_config

NEW_DEPARTMENT = "11610000MB2900504R"
_PASSWORD = "示例口令"
FIRST = "first"
BATCH = ("batch-0", "batch-1", "batch-2")
EARLY, LATE = "early", "late"
NUMBERS = {FIRST: 1, EARLY: 50, LATE: 200} | {name: 100 + number for number, name in enumerate(BATCH)}
EVERYTHING = (*BATCH, "suspend", "register", LATE)
PATIENCE_S = 30.0
FRESH_S = 15

Answers = dict[str, dict[str, Any]]
"""What each request was answered: `{"ok": …}` or `{"refused": code}`, by its idempotency key."""


@dataclass
class Life:
    """What became of one life, as far as it got; written down after every step of it."""

    told: Answers = field(default_factory=dict)
    again: Answers = field(default_factory=dict)
    stored: int = -1
    unready: list[str] = field(default_factory=list)
    sabotaged: bool = False
    recovered: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Place:
    """Where a region lives: its database, and a folder for its public files and for what is written down of it."""

    url: str
    folder: Path

    @property
    def public(self) -> Path:
        """The published files."""
        return self.folder / "public"

    def store(self, *, new: bool = False) -> KeyStore:
        """Open its key store, which outlives every process."""
        folder = self.folder / "keys"
        return FileKeyStore.new(folder, _PASSWORD, TESTING_ONLY) if new else FileKeyStore.open(folder, _PASSWORD)

    def life(self, name: str) -> dict[str, Any]:
        """Read what one life wrote down."""
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found


class Subject:
    """A running region with its witness, and the requests that it is sent."""

    def __init__(self, place: Place, region: Region, saboteur: Saboteur, life: Life, file: Path) -> None:
        self.place = place
        self.region = region
        self.saboteur = saboteur
        self.life = life
        self.asking: asyncio.Future[Any] | None = None
        self._file = file

    def note(self) -> None:
        """Write down what is known so far: the next step may be the last one."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(asdict(self.life)))
        new.rename(self._file)

    async def ask(self, names: Iterable[str], answers: Answers) -> None:
        """Send requests and write down what came back."""
        names = [*names]
        batch = [name for name in names if name in NUMBERS]
        if batch:
            for name, outcome in zip(batch, await self._issue(batch), strict=True):
                answers[name] = outcome
            self.note()
        if "suspend" in names:
            answers["suspend"] = await _told(self._suspend())
            self.note()
        if "register" in names:
            answers["register"] = await _told(self._register())
            self.note()

    async def _issue(self, names: list[str]) -> list[dict[str, Any]]:
        requests = [licensing.request(self.region, licensing.food(NUMBERS[name]), name) for name in names]
        self.asking = asyncio.ensure_future(issue(self.region, licensing.actor(MARKET), requests))
        try:
            outcomes = await self.asking
        except asyncio.CancelledError:
            return [{"gone": True}] * len(names)
        return [
            {"ok": _essence(each)} if isinstance(each, Issued) else {"refused": str(each.code)} for each in outcomes
        ]

    async def _suspend(self) -> Any:
        licence = (self.place.folder / "first-licence").read_text()
        body = act_body("suspend")
        key = licensing.key(self.region, "suspend", body)
        return await acts.act(self.region, licensing.actor(MARKET), licence, body, idempotency=key)

    async def _register(self) -> Any:
        body = {"id": NEW_DEPARTMENT, "names": {"zh": "示例税务局", "en": "Example Tax Office"}}
        key = licensing.key(self.region, "register", body)
        return await case_steps.once(
            self.region, key, lambda: departments.register(self.region, OPERATOR, body, idempotency=key)
        )

    async def count(self) -> int:
        """Count the licences in the log but for those of the first requests: what there is of the batch."""
        counted = select(func.count()).select_from(licences)
        return await self.region.database.read(lambda tx: int(tx.execute(counted).scalar_one()) - 2)

    async def watch(self) -> None:
        """Write down every part that is not ready at some moment."""
        while True:
            for part in await unready(self.region):
                if part not in self.life.unready:
                    self.life.unready.append(part)
            await asyncio.sleep(0.005)

    async def quiet(self) -> bool:
        """Wait until all that is committed is published, listed, witnessed and ready; tell whether it came to that."""
        return await until(self._is_quiet)

    async def is_reachable(self) -> bool:
        """Tell whether the database answers."""
        return await self.count() >= 0

    async def _is_quiet(self) -> bool:
        region, cosigner = self.region, self.region.cosigner
        size = (await region.figures())["size"]
        published = region.publisher.size == size and (cosigner is None or cosigner.size == size)
        # Lists as old as those of the place this one was copied from are signed again soon.
        published = published and 0 <= max(region.status.ages().values(), default=-1) < FRESH_S
        return published and not await unready(region) and await region.trust.settled(0)


def _essence(issued: Issued) -> dict[str, Any]:
    return {"id": issued.id, "entry": issued.entry, "licence": issued.licence}


async def _told(asked: Awaitable[Any]) -> dict[str, Any]:
    try:
        return {"ok": await asked}
    except Refusal as refusal:
        return {"refused": str(refusal.code)}


async def until(done: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_S) -> bool:
    """Look again and again until `done`; tell whether it came to that in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        try:
            if await done():
                return True
        except Refusal:
            pass  # the database is away: so it is not done
        await asyncio.sleep(0.02)
    return False


async def unready(region: Region) -> list[str]:
    """Name the parts of a region that keep it from being ready."""
    checks = await region.readiness()
    return [name for name, found in checks.items() if not found["ready"] and not found.get("optional")]


async def opened(place: Place, saboteur: Saboteur) -> Region:
    """Open the region of a place with everything around it."""
    config = region_config(place.url, place.folder, witness_interval_ms=50)
    keys: Any = Keys(place.store(), saboteur, place.folder / "signed")
    witness = LastingWitness(place.folder / "witness")
    region = await Region.open(config, keys, clock=saboteur.clock, outside=FaultyRoad(saboteur, witness))
    assert isinstance(region.cosigner, Cosigner)
    region.cosigner.pulse.start()
    return region


async def prepare(place: Place) -> None:
    """Lay down the region that every case begins with: departments, types, one licence, a witness; all published."""
    config = region_config(place.url, place.folder)
    region = await Region.create(config, place.store(new=True))
    try:
        await licensing.furnish(region)
        first = await licensing.issued(region, MARKET, licensing.food(NUMBERS[FIRST]), FIRST)
        (place.folder / "first-licence").write_text(first.id)
        witness = LastingWitness(place.folder / "witness")
        await witness_policies.set_policy(region, OPERATOR, {"policy": policy_text(1, witness)})
    finally:
        await region.close()
    saboteur = Saboteur(None, None)
    subject = Subject(place, await opened(place, saboteur), saboteur, Life(), place.folder / "prepared.json")
    try:
        assert await subject.quiet(), await subject.region.readiness()
    finally:
        await subject.region.close()


async def suffer(place: Place, step: str | None, fault: str | None) -> None:
    """Live through one fault, and write down who was told what, what was ready, and whether all went on by itself."""
    saboteur = Saboteur(Step(step) if step else None, Fault(fault) if fault else None)
    sabotage(saboteur)
    sabotage_files(saboteur, place.public)
    region = await opened(place, saboteur)
    life = Life()
    subject = Subject(place, region, saboteur, life, place.folder / "suffered.json")
    await subject.ask((EARLY,), {})
    assert await subject.quiet(), await region.readiness()
    watching = asyncio.create_task(subject.watch())
    saboteur.armed = True
    listen(subject)
    await subject.ask(BATCH, life.told)
    await asyncio.sleep(0.02)
    life.stored = await subject.count()
    await subject.ask(("suspend", "register"), life.told)
    # What is published by a pulse has its turn now.
    await until(_is(lambda: saboteur.done), 5)
    await asyncio.sleep(0.1)
    life.sabotaged = saboteur.done
    await subject.ask((LATE,), life.told)
    saboteur.clock.put_right()
    life.recovered = await subject.quiet()
    watching.cancel()
    subject.note()
    await subject.ask(EVERYTHING, life.again)
    await region.close()
    life.ended = True
    subject.note()


def listen(subject: Subject) -> None:
    """Fail where the event loop is about to hand out the answers: it is told of a commit right before."""
    saboteur = subject.saboteur

    def about_to_answer(_size: int, _kinds: frozenset[str]) -> None:
        if saboteur.fault is Fault.LOST and saboteur.takes(Step.ANSWER) and subject.asking is not None:
            subject.asking.cancel()  # the caller's line is cut: nobody is there any more
            return
        saboteur.around(Step.ANSWER, lambda: None, lambda number: OSError(number, "nobody listens"))

    subject.region.writer.on_commit(about_to_answer)


def _is(fact: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return fact()

    return told


async def repeat(place: Place) -> None:
    """Start again without a fault, see what is there, send every request again, and stop in good order."""
    saboteur, life = Saboteur(None, None), Life()
    region = await opened(place, saboteur)
    subject = Subject(place, region, saboteur, life, place.folder / "repeated.json")
    life.stored = await subject.count()
    await subject.ask((FIRST, *EVERYTHING), life.again)
    life.recovered = await subject.quiet()
    if not life.recovered:
        warnings.warn(f"not quiet: {await region.readiness()} {await region.figures()}", stacklevel=1)
    await region.close()
    life.ended = True
    subject.note()


async def count(place: Place) -> None:
    """Write down how many licences of the batch, and of nobody else but the late one, are in the log."""
    database = Database.open(place.url)
    try:
        counted = select(func.count()).select_from(licences)
        number = await database.read(lambda tx: int(tx.execute(counted).scalar_one()))
    finally:
        database.close()
    (place.folder / "count").write_text(str(number - 1))
