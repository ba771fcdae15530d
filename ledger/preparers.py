"""Processes beside the serving one that prepare licences: checking, building, signing and sealing take most time.

They are children of the serving process, each with a reading connection, a vault and signers of its own. Only the
serving process appends and answers, so a child that dies loses nothing but work: its jobs are prepared again, by
another or here. While none is ready everything is prepared here; the service never waits for them to start.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ledger.actors import Actor
from ledger.errors import Refusal
from ledger.preparer_wire import packed, receive, send
from ledger.preparing import SMALL, Prepared, Source, prepare
from ledger.status_slots import Slot
from ledger.waiting import settle

if TYPE_CHECKING:
    from ledger.region import Region

_DEPTH_SMALL: Final = 4
_DEPTH: Final = 2  # jobs at one preparer: while one waits for the database or has just been done there is another
_LIVES: Final = 2  # preparers that may die over a job before it is done here
_JOB_S: Final = 60.0  # a preparer that takes longer hangs
_STOP_S: Final = 5.0
_PAUSES_S: Final = (0.1, 30.0)
_STEADY_S: Final = 60.0  # who lived so long did not die of starting

Launch = Callable[[], Awaitable[tuple["subprocess.Popen[bytes]", asyncio.StreamReader, asyncio.StreamWriter]]]
"""Starts one child, and gives it with the two directions of a pipe that only it holds the other end of."""

_log = logging.getLogger(__name__)


class PreparationFailed(RuntimeError):
    """A mistake of ours in a preparer; the text is its traceback."""


class _Lost(Exception):
    """The preparer that had the job is gone."""


@dataclass(slots=True, eq=False)
class _Job:
    message: tuple[Any, ...]
    answer: asyncio.Future[Prepared]


@dataclass(slots=True, eq=False)
class _Preparer:
    """One child: how to reach it, and what it is working on."""

    process: subprocess.Popen[bytes]
    writer: asyncio.StreamWriter
    jobs: dict[int, tuple[_Job, asyncio.TimerHandle]] = field(default_factory=dict)


class Preparers:
    """A number of such processes for one region; used from its event loop.

    `launch` starts a child and gives the pipe to it; `begin` is the first message it is sent: whatever it needs to open
    the region's database and key store. It goes over the pipe and stands in no argument or environment.
    """

    def __init__(self, region: Region, count: int, launch: Launch, begin: object) -> None:
        self._region = region
        self._count = count
        self._launch = launch
        self._begin = begin
        self._small: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._ready: list[_Preparer] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._helping: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self.bulk = asyncio.Semaphore(_DEPTH * count + 2)
        """Taken for each chunk of a batch from before it is prepared until it is in the log: what is ready may have to
        wait for the writer's room, and there must be an end to that."""
        self._changed = asyncio.Event()
        self.lost = 0
        """How many died or were ended because they hung, since the service started."""

    @property
    def ready(self) -> int:
        """How many can be given work."""
        return len(self._ready)

    @property
    def pids(self) -> list[int]:
        """Process ids of those that can be given work."""
        return [each.process.pid for each in self._ready]

    def start(self) -> None:
        """Begin to start them; returns at once."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]

    async def stop(self) -> None:
        """End them, and wait until they have ended; what they still had is prepared here."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()

    async def until_ready(self, count: int | None = None) -> None:
        """Wait until so many of them, or all, can be given work."""
        while len(self._ready) < (self._count if count is None else count):
            self._changed.clear()
            await self._changed.wait()

    async def prepare(self, actor: Actor, source: Source, now: datetime) -> Prepared:
        """Prepare in another process, as `ledger.preparing.prepare` does here.

        Raises what that raises, and `PreparationFailed` for a mistake of ours.
        """
        line = self._small if len(source) <= SMALL else self._bulk
        for _ in range(_LIVES):
            if not self._ready:
                break
            message = (self._region.catalogue.idx, actor, source, now)
            job = _Job(message, asyncio.get_running_loop().create_future())
            line.append(job)
            self._dispatch()
            try:
                return await job.answer
            except _Lost:
                continue
        return await prepare(self._region, actor, source, now)

    def _dispatch(self) -> None:
        for line, depth in ((self._small, _DEPTH_SMALL), (self._bulk, _DEPTH)):
            while line:
                free = min(self._ready, key=lambda each: len(each.jobs), default=None)
                if free is None or len(free.jobs) >= depth:
                    break
                job = line.popleft()
                if not job.answer.done():  # the caller has gone
                    self._give(free, job)

    def _give(self, preparer: _Preparer, job: _Job) -> None:
        self._numbers += 1
        hangs = asyncio.get_running_loop().call_later(_JOB_S, preparer.process.kill)
        preparer.jobs[self._numbers] = (job, hangs)
        # Not waited for: a preparer has few jobs at once.
        preparer.writer.write(packed(("job", self._numbers, *job.message)))

    async def _keep(self) -> None:
        """Keep one preparer running until cancelled."""
        loop, pause = asyncio.get_running_loop(), _PAUSES_S[0]
        while True:
            began = loop.time()
            try:
                pid = await self._live()
            except OSError as error:
                _log.error("a preparer could not be started: %s", error)
            else:
                self.lost += 1
                _log.warning("preparer %d has gone; its work is done again, and another is started", pid)
            pause = _PAUSES_S[0] if loop.time() - began > _STEADY_S else min(2 * pause, _PAUSES_S[1])
            await asyncio.sleep(pause)

    async def _live(self) -> int:
        """Start one and serve it until it has gone; return its process id."""
        process, reader, writer = await self._launch()
        preparer = _Preparer(process, writer)
        try:
            await send(writer, self._begin)
            while True:
                self._heard(preparer, *(await receive(reader)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return process.pid
        finally:
            self._lose(preparer)
            writer.close()  # which tells it to end, if it lives
            await asyncio.shield(asyncio.to_thread(_end, process))

    def _heard(self, preparer: _Preparer, what: str, number: int, said: Any) -> None:
        if what == "ready":
            self._ready.append(preparer)
            self._changed.set()
        elif what == "slots":
            lending = asyncio.create_task(self._lend(preparer, number, *said))
            self._helping.add(lending)
            lending.add_done_callback(self._helping.discard)
        else:
            job, hangs = preparer.jobs.pop(number)
            hangs.cancel()
            done = what == "done" or isinstance(said, Refusal)
            settle(job.answer, said if done else PreparationFailed(said))
        self._dispatch()

    async def _lend(self, preparer: _Preparer, number: int, valid_until: date | None, count: int) -> None:
        """Lend slots out. What a preparer does not use is burnt with it, as our own are when we end (protocol 8)."""
        lent: list[Slot] | Exception
        try:
            lent = await self._region.slots.take(valid_until, count)
        except (Refusal, OverflowError, RuntimeError) as error:
            lent = error  # raised where the slots were wanted
        preparer.writer.write(packed(("slots", number, lent)))

    def _lose(self, preparer: _Preparer) -> None:
        if preparer in self._ready:
            self._ready.remove(preparer)
        for _, hangs in preparer.jobs.values():
            hangs.cancel()
        lost = [job for job, _ in preparer.jobs.values()]
        if not self._ready:
            lost += [*self._small, *self._bulk]
            self._small.clear()
            self._bulk.clear()
        for job in lost:
            settle(job.answer, _Lost())


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
