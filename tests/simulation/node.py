"""One honest region as a process that can end at any moment: the real `Region`, its follower, witness and verifier.

Nothing happens by itself: each of its background steps is taken when the schedule says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from keys.memory_store import MemoryKeyStore
from keys.public_key import PublicKey
from ledger import keys_registry
from ledger import region as region_module
from ledger.config import RegionConfig
from ledger.errors import Refusal
from ledger.following import Following
from ledger.outside import Outside
from ledger.region import Region
from ledger.sequencing import read_head
from ledger.verifying import OnlineVerifier
from ledger.witnessing import Witness
from tests.simulation.faults import Crash, FaultyDatabase, InlineWriter

BEGINNING = datetime(2026, 11, 21, 4, tzinfo=UTC)
"""When every template was made; a run begins some minutes later."""


class LoopClock:
    """The time of the loop, and how far the clock of one machine is off."""

    def __init__(self, begins: datetime = BEGINNING, skew_s: float = 0.0) -> None:
        self.begins = begins
        self.skew_s = skew_s

    def now(self) -> datetime:
        """The present moment as this machine sees it."""
        return self.begins + timedelta(seconds=asyncio.get_running_loop().time() + self.skew_s)


class HandRegion(Region):
    """A region whose background steps are taken by hand."""

    def _start(self) -> None:
        keys_registry.follow_log(self)
        self.writer.on_commit(self._committed)
        self.writer.start()


@contextmanager
def by_hand() -> Iterator[None]:
    """Let regions be opened with databases that can fail, and with a writer that has no thread."""
    with (
        patch.object(region_module, "Database", FaultyDatabase),
        patch.object(region_module, "Writer", InlineWriter),
        patch.object(PublicKey, "check", _check_once),
    ):
        yield


_CHECK = PublicKey.check
_checked: dict[tuple[bytes, bytes, bytes], None] = {}


def _check_once(key: PublicKey, message: bytes, signature: bytes) -> None:
    """Remember the signatures that held: all regions of a run check the same ones again and again."""
    asked = (key.spki, message, signature)
    if asked not in _checked:
        _CHECK(key, message, signature)
        if len(_checked) > 4096:
            _checked.clear()
        _checked[asked] = None


@dataclass(frozen=True, slots=True)
class Home:
    """Where one process of a region keeps what outlives it."""

    config: RegionConfig
    store: MemoryKeyStore

    @property
    def file(self) -> Path:
        """The database file."""
        return Path(self.config.database_url.removeprefix("sqlite:///"))

    def moved(self, file: Path, folder: Path) -> Home:
        """The same region with its files elsewhere."""
        return Home(replace(self.config, database_url=f"sqlite:///{file}", tiles=folder), self.store)


def _from_files_only(saw: Callable[[int, str], None], size: int, where: str) -> None:
    """Take down what the own files and rows say, and nothing that others show."""
    if where.startswith("the publi"):
        saw(size, where)


class Node:
    """A region that runs, ends without notice and starts again; `region` is its present process."""

    def __init__(self, home: Home, clock: LoopClock, road: Callable[[], Outside], rng: Random) -> None:
        self.home = home
        self.code = home.config.region
        self.clock = clock
        self._road = road
        self._rng = rng
        self.starts = 0
        self.scruples = True
        self.crash_in: int | None = None
        self.region: Region
        self.following: Following
        self.witness: Witness
        self.verifier: OnlineVerifier

    @property
    def fuse(self) -> Any:
        """What the next commits of the database do."""
        database = self.region.database
        assert isinstance(database, FaultyDatabase)
        return database.fuse

    async def start(self) -> None:
        """Begin a process on what the last one stored."""
        region = await HandRegion.open(self.home.config, self.home.store, clock=self.clock)
        road = self._road()
        region.reach(road)
        self.following = Following(region, road, rng=self._rng, step_done=self._done)
        region.following = self.following
        region.publisher._step_done = self._done
        if region.cosigner is not None:
            region.cosigner._step_done = self._done
        if not self.scruples:
            # Whoever signs two histories does not stop because a witness shows it the other one.
            region.seen.saw = partial(_from_files_only, region.seen.saw)  # type: ignore[method-assign]
        self.region, self.witness, self.verifier = region, Witness(region), OnlineVerifier(region)
        with suppress(Refusal):  # its database may be one that fails just now
            # Who leads follows, and with one process a region that is whoever starts.
            await region.publisher._renew_lease()
            await self.following.refresh()
        self.starts += 1

    async def end(self) -> None:
        """End the process where it stands: nothing is finished, nothing is given back."""
        self.crash_in = None
        await drop_tasks()
        region = self.region
        assert isinstance(region.writer, InlineWriter)
        region.writer.end()
        region.database.close()

    async def crash(self) -> None:
        """End the process and start another."""
        await self.end()
        await self.start()

    async def publish(self) -> None:
        """Sign and show what is committed, then the trust list that an entry of it may ask for."""
        region = self.region
        await region.publisher.step()
        await region.trust.step()
        if (await region.database.read(read_head, cheap=True)).size > region.publisher.size:
            await region.publisher.step()
            await region.trust.step()

    def _done(self, _step: str) -> None:
        if self.crash_in is None:
            return
        self.crash_in -= 1
        if self.crash_in < 0:
            self.crash_in = None
            raise Crash


async def drop_tasks() -> None:
    """Forget everything that is under way apart from whoever asks."""
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
