"""Publishing the log: from committed entries to a signed checkpoint and the files behind it.

One step is, in this order, and a crash between any two of them leaves:

1. read the committed rows and the head, and compute the root anew from the rows
   — nothing; the next step starts here;
2. sign the checkpoint with every log key
   — a signature nobody has seen, of a tree that did commit; it is lost;
3. compare-and-swap it into the `publication` row, naming the size and the fencing token it started from — a
checkpoint that is published by definition, though no file shows it yet; the next step of any process takes it from
here;
4. write the tiles and bundles of that size
   — some tiles early; they are functions of committed rows and nobody is told of them;
5. write the checkpoint file
   — a published log whose waiters are told at the next step;
6. tell those who wait.

Recovery is not another path: a start does steps 1 to 6 like any other turn. A process that does not hold the lease
does 4 to 6 only, so each host serves tiles made from the rows it reads itself. Nothing smaller than what was seen
outside is ever signed: a database restored from an old backup stops the publication until an operator has looked
(protocol 11, 36, 37).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import select

from ledger.clock import Clock
from ledger.database import Database, Reading
from ledger.errors import Code, Refusal
from ledger.ids import new_id
from ledger.largest_seen import LargestSeen
from ledger.log_signing import LogSigner
from ledger.pacing import Pulse
from ledger.precompressed import compress_bundles
from ledger.public_files import PublicFiles, served_size
from ledger.publication import (
    LeaseLost,
    Publication,
    read_publication,
    release_lease,
    swap,
    take_lease,
    thin_checkpoints,
)
from ledger.tables.log import head
from ledger.tile_files import (
    SLICE,
    TreeMismatch,
    frontier_of,
    materialise,
    read_entries,
    remove_partials,
    start_of_comparison,
)
from ledger.waiting import Waiting
from verifiers.checkpoint import Checkpoint, parse_checkpoint
from verifiers.errors import Malformed
from verifiers.merkle import Frontier, leaf_hash
from verifiers.note import parse_note

LEASE_MS: Final = 5000
"""How long a publisher that died keeps others waiting; it is renewed when half of it is left."""

SWEEP_S: Final = 60
"""How often superseded partial tiles and old checkpoints are cleared away."""

_log = logging.getLogger(__name__)


class LogWentBack(Exception):
    """The database holds less than was published: an old backup, or another log. Nothing is signed until
    that is settled.
    """


class Publisher:
    """Publishes a region's log and serves its files; one a process, `pulse.wake` it on every commit.

    `interval_s` is the least time between two checkpoints while there is something new, `republish_s` the longest
    while there is not. `seen` knows how large the log is in other hands; while `withholds` nothing is shown,
    but all else is done. `step_done` is called after each named step, so that tests can crash between any two.
    `before_first` is awaited once, before anything is signed. Without `takes_over` it leaves the lease to whoever
    holds it: a command beside a running service, which publishes what the command appends.
    """

    def __init__(
        self,
        database: Database,
        files: PublicFiles,
        clock: Clock,
        signer: LogSigner,
        *,
        interval_s: float = 0.2,
        republish_s: float = 600.0,
        lease_ms: int = LEASE_MS,
        seen: LargestSeen | None = None,
        withholds: Callable[[], bool] = lambda: False,
        step_done: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self._signer = signer
        self._republish_s = republish_s
        self._withholds = withholds
        self._step_done = step_done
        self._holder = new_id()
        self._lease_ms = lease_ms
        self._lease_until = 0.0
        self._seen = LargestSeen() if seen is None else seen
        self._frontier: Frontier | None = None
        self._served: Publication | None = None
        self._swept_at = 0.0
        self._swept_size = 0
        self._waiting = Waiting()
        self.token: int | None = None
        self.takes_over = True
        self.before_first: Callable[[], Awaitable[None]] | None = None
        self.on_publish: list[Callable[[int], None]] = []
        self.pulse = Pulse("publisher", self.step, pause_s=interval_s, idle_s=interval_s)

    @property
    def size(self) -> int:
        """How many entries the checkpoint served by this process covers."""
        return 0 if self._served is None else self._served.size

    @property
    def note(self) -> str | None:
        """The signed checkpoint served by this process, None before the first."""
        return None if self._served is None else self._served.note

    @property
    def age_s(self) -> float:
        """How long ago the served checkpoint was signed, in seconds."""
        return 0.0 if self._served is None else (self._clock.now() - self._served.signed_at).total_seconds()

    async def published(self, idx: int) -> str:
        """Wait until a checkpoint that covers entry `idx` is served by this process, and return its note."""
        if self._served is not None and self._served.note is not None and idx < self._served.size:
            return self._served.note
        self.pulse.wake()
        return await self._waiting.wait(idx)

    async def step(self) -> None:
        """Sign a new checkpoint if this process holds the lease and one is due, then serve the newest one."""
        await self._renew_lease()
        try:
            if self.token is not None:
                if self.before_first is not None:
                    await self.before_first()
                    self.before_first = None
                await self._publish()
            await self._serve()
        except BaseException:
            # What was swapped in may be committed here and not on a standby. Nothing is shown before the next commit,
            # that of the lease, is confirmed: it comes after.
            self._lease_until = 0.0
            raise
        await self._sweep()

    async def stop(self) -> None:
        """Finish the step under way and give the lease back."""
        await self.pulse.stop()
        if self.token is not None:
            token, self.token = self.token, None
            try:
                await self._database.write(lambda tx: release_lease(tx, token))
            except Refusal as refusal:  # the lease runs out by itself; whoever stops us has more to close
                _log.warning("the lease was not given back: %s", refusal.code)
        self._waiting.end()

    async def _renew_lease(self) -> None:
        loop_time = asyncio.get_running_loop().time()
        if self.token is not None and loop_time < self._lease_until - self._lease_ms / 2000:
            return
        # With SQLite there is one serving process: whoever starts is it, and need not wait for a dead one's lease.
        force = self._database.is_sqlite and self.token is None and self.takes_over
        self.token = await self._database.write(lambda tx: take_lease(tx, self._holder, self._lease_ms, force=force))
        self._lease_until = loop_time + self._lease_ms / 1000

    async def _publish(self) -> None:
        # (1) What is committed, and what was published of it.
        before, size, at_head = await self._database.read(_state, cheap=True)
        if before.token != self.token:
            self.token = None
            return
        await self._refuse_to_go_back(before, size)
        age_s = (self._clock.now() - before.signed_at).total_seconds()
        if before.note is not None and size == before.size and age_s < self._republish_s:
            return
        frontier = await asyncio.to_thread(self._recompute, before, size)
        if frontier.to_bytes() != at_head:
            raise TreeMismatch(f"the {size} committed entries do not lead to the tree of the head row")
        self._step_done("read")
        # (2) The signatures exist in this process only.
        moment = self._clock.now().replace(microsecond=0)
        root = frontier.root()
        note = await self._signer.sign(Checkpoint(self._signer.origin, size, root), int(moment.timestamp()))
        self._step_done("sign")
        # (3) From here on the checkpoint exists for everybody, or it does not and nobody ever sees it.
        try:
            await self._database.write(lambda tx: swap(tx, before, size, root, note, moment))
        except LeaseLost:
            _log.info("another process publishes now; the checkpoint of size %d signed here is thrown away", size)
            self.token = None
            return
        self._frontier = frontier
        self._step_done("swap")

    async def _refuse_to_go_back(self, before: Publication, size: int) -> None:
        served = self._files.checkpoint()
        if served is not None and not served.startswith(f"{self._signer.origin}\n"):
            raise LogWentBack(f"the folder {self._files.root} serves another log")
        self._seen.saw(before.size, "the publication row")
        self._seen.saw(0 if served is None else served_size(served), "the published checkpoint")
        if size < self._seen.size:
            # Another process may have published since the head was read; what it published is in the head by now.
            _, size, _ = await self._database.read(_state, cheap=True)
        behind = self._seen.compare(size)
        if behind is not None:
            if behind.code is Code.LOG_UNCONFIRMED:
                raise LogWentBack("the database was restored, and too few witnesses have said how far they are")
            raise LogWentBack(f"the database holds {size} entries, but {behind.facts['seen']} were published")

    def _recompute(self, before: Publication, size: int) -> Frontier:
        """Return the compact range of the first `size` rows, from the rows since the last one this process computed."""
        known = self._frontier
        if known is None or known.size > size:
            known = self._frontier_at_start(before)
        frontier = known.copy()
        for start in range(frontier.size, size, SLICE):
            with self._database.reading() as tx:
                for row in read_entries(tx, start, min(start + SLICE, size)):
                    frontier.append(leaf_hash(row))
        return frontier

    def _frontier_at_start(self, before: Publication) -> Frontier:
        # Files spare reading the whole log again, if they lead to the root that was signed; else every row is read.
        if before.note is not None:
            try:
                frontier = frontier_of(self._files, before.size)
                if frontier.root() == parse_checkpoint(parse_note(before.note).text).root:
                    return frontier
            except (TreeMismatch, Malformed):
                _log.info("published files are incomplete; computing the tree from every entry")
        return Frontier()

    async def _serve(self) -> None:
        newest = await self._database.read(read_publication, cheap=True)
        if newest.note is None or (self._served is not None and newest.note == self._served.note):
            return
        note = newest.note
        # (4) Tiles first: a checkpoint whose tiles are missing is a promise this host cannot keep.
        await asyncio.to_thread(self._materialise, newest.size, parse_checkpoint(parse_note(note).text).root)
        self._step_done("tiles")
        # (5) Now readers may know, unless witnesses are to see it first: then `ledger.cosigning` shows it.
        if not self._withholds():
            await asyncio.to_thread(self._files.write_checkpoint, note)
        self._served = newest
        self._step_done("checkpoint")
        # (6) And so may those who wait for a receipt.
        self._waiting.tell(newest.size, note)
        for listener in self.on_publish:
            listener(newest.size)

    def _materialise(self, size: int, root: bytes) -> None:
        if self._served is None:
            note = self._files.checkpoint()
            there = 0 if note is None else min(served_size(note), size)
            old = start_of_comparison(self._files, there)
        else:
            old = self._served.size
        materialise(self._database, self._files, old, size, root)

    async def _sweep(self) -> None:
        loop_time = asyncio.get_running_loop().time()
        if self._served is None or loop_time < self._swept_at + SWEEP_S:
            return
        start, end = self._swept_size, self._served.size
        await asyncio.to_thread(remove_partials, self._files, start, end)
        await asyncio.to_thread(compress_bundles, self._files, start, end)
        if self.token is not None:
            await self._database.write(lambda tx: thin_checkpoints(tx, self._clock.now()))
        self._swept_at, self._swept_size = loop_time, end


def _state(tx: Reading) -> tuple[Publication, int, bytes]:
    row = tx.execute(select(head.c.size, head.c.frontier)).one_or_none()
    size, frontier = (0, Frontier().to_bytes()) if row is None else (row.size, bytes(row.frontier))
    return read_publication(tx), size, frontier
