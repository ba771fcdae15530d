"""Having our log watched: sending its newest checkpoint to every witness, and keeping what a quorum has cosigned.

One round is, in this order, and a crash between any two steps leaves:

1. the newest published checkpoint goes to every witness that is not being asked already, each in a task of its own
   — nothing with us; a witness may have cosigned, and says so by its size (409) when it is asked again;
2. what comes back is checked line by line and gathered
   — cosignatures that are lost; the next round asks anew, and a witness signs the same tree again;
3. with the quorum met, the note is stored in `witnessed_checkpoints`
   — a witnessed checkpoint that nobody was shown; every process shows it from the row;
4. the file `checkpoint.witnessed` is written, and in closed mode `checkpoint` too
   — a witnessed log whose waiters are told at the next step.

Only the process that leads sends; every one serves. A witness that is slow, down or lying costs itself its line: others
are not waited for longer than one interval, and issuing never waits at all. What does stop us is proof that we have
forgotten something: a larger tree under our own signature, or a whole quorum that names one (protocol 11); a database
that came from a backup, until a quorum was heard; and a clock that runs ahead of the witnesses' (protocol 7).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ledger import witness_states, witnessed
from ledger.database import Writing
from ledger.errors import Refusal
from ledger.outside import Outside, Unreachable
from ledger.pacing import Pulse
from ledger.public_files import served_size
from ledger.publication import read_publication
from ledger.sequencing import read_head
from ledger.tile_files import TreeMismatch
from ledger.waiting import Waiting
from ledger.witness_calls import Proofs, WitnessAhead, WitnessCalls, WitnessFailed, note_of
from ledger.witness_policies import log_policy, policy_of
from ledger.witness_states import WitnessState
from ledger.witnessed import Witnessed
from verifiers.checkpoint import Checkpoint, Grade, open_checkpoint, parse_checkpoint
from verifiers.note import SignatureLine, parse_note
from verifiers.witness_policy import PolicyWitness, WitnessPolicy

if TYPE_CHECKING:
    from ledger.region import Region

FILE: Final = "checkpoint.witnessed"
"""Where the newest witnessed checkpoint lies among the published files."""

TIMEOUT_S: Final = 10.0
"""Longest time for asking one witness, all tries together."""

LOOK_BACK_S: Final = 3.0
"""Longest wait for witnesses before this process signs for the first time."""

_GATHERED: Final = 4  # checkpoints whose late cosignatures are still taken in
_SWEEP_S: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gathering:
    """Cosignatures of one signed checkpoint, by witness, as they come in; `number` says in which order they began."""

    number: int
    head: Checkpoint
    note: str
    lines: dict[str, tuple[SignatureLine, ...]] = field(default_factory=dict)
    fresh: bool = False


class Cosigner:
    """Has the log of `region` watched through `outside`; one a process. `step_done` lets tests crash between steps."""

    def __init__(
        self,
        region: Region,
        outside: Outside,
        *,
        timeout_s: float = TIMEOUT_S,
        step_done: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._region = region
        self._timeout_s = timeout_s
        self._interval_s = region.config.witness_interval_ms / 1000
        self._step_done = step_done
        own = log_policy(region.origin, region.vkeys, WitnessPolicy())
        self._calls = WitnessCalls(outside, Proofs(region.files), region.clock, own)
        self._policy = WitnessPolicy()
        self._known: dict[str, WitnessState] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._claims: dict[str, int] = {}
        self._heard: set[str] = set()
        self._gatherings: list[_Gathering] = []
        self._stored: dict[int, int] = {}
        self._served: Witnessed | None = None
        self._swept_at = 0.0
        self._waiting = Waiting()
        self.bad_lines = 0
        self.clock_ahead = False
        self.pulse = Pulse("cosigning", self.step, pause_s=self._interval_s, idle_s=self._interval_s)
        region.publisher.before_first = self.look_back
        region.publisher.on_publish.append(lambda _size: self.pulse.wake())

    @property
    def size(self) -> int:
        """How many entries the witnessed checkpoint served by this process covers."""
        return 0 if self._served is None else self._served.size

    @property
    def note(self) -> str | None:
        """The witnessed checkpoint served by this process, None before the first."""
        return None if self._served is None else self._served.note

    async def witnessed(self, idx: int) -> str:
        """Wait until a witnessed checkpoint that covers entry `idx` is served by this process, and return its note."""
        if self._served is not None and idx < self._served.size:
            return self._served.note
        self.pulse.wake()
        return await self._waiting.wait(idx)

    async def step(self) -> None:
        """Have the newest checkpoint cosigned if this process leads, then serve what was; see the module."""
        await self._look_around()
        if self._region.seen.unheard:
            await self._look_back()
        publisher = self._region.publisher
        if publisher.token is not None and publisher.note is not None and self._policy.witnesses:
            asked = self._send(publisher.note)
            await self._gather(asked)
            await self._sweep()
        await self._look_around()

    async def look_back(self) -> None:
        """Before this process signs for the first time: ask the witnesses, with what was signed before, how far they
        have seen this log; and the witnesses of our peers, who follow it unasked. Those that do not answer in time are
        not waited for.
        """
        await self._look_around()
        await self._ask_peers()
        await self._look_back()

    async def _look_back(self) -> None:
        database, seen = self._region.database, self._region.seen
        before, restored = await database.read(lambda tx: (read_publication(tx), witness_states.is_restored(tx)))
        seen.unheard = restored
        if before.note is not None and self._policy.witnesses:
            asked = self._send(before.note)
            # Nothing goes on without them, so those that failed before are waited for too.
            await self._gather([*self._asking.values()] if restored else asked, LOOK_BACK_S)
        counted = self._heard & {one.name for one in self._policy.counting}
        if restored and (before.note is None or len(counted) >= self._policy.quorum):
            await database.write(witness_states.heard)
            seen.unheard = False

    async def _ask_peers(self) -> None:
        region = self._region
        peers = region.catalogue.recognised.peers.values()
        if not peers:
            return
        size = await region.database.read(lambda tx: read_head(tx).size, cheap=True)
        asked = {asyncio.create_task(self._calls.proves(f"{each.base}/witness", size)): each.region for each in peers}
        answered, late = await asyncio.wait(asked, timeout=LOOK_BACK_S)
        for task in late:
            task.cancel()
        for task in answered:
            proven = task.result()
            if proven is not None:
                _log.error("peer %s shows a checkpoint of ours with %d entries; we have %d", asked[task], proven, size)
                region.seen.saw(proven, f"our own signature, shown by {asked[task]}")

    async def stop(self) -> None:
        """Finish the step under way; what witnesses have not answered by then is let go."""
        await self.pulse.stop()
        tasks = [*self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.end()

    def figures(self) -> dict[str, Any]:
        """Give what operators watch: how long ago a quorum answered (None: never), and who is failing how often."""
        met = witness_states.quorum_met_at(self._known, self._policy)
        age = None if met is None else max(0.0, (self._region.clock.now() - met).total_seconds())
        failing = {one.name: self._state(one).failures for one in self._policy.witnesses}
        return {"quorum_age_s": age, "failures": failing, "bad_lines": self.bad_lines, "size": self.size}

    def readiness(self) -> dict[str, Any]:
        """Tell whether the witnesses let us work. Their silence stops only who shows nothing without them."""
        if self.pulse.fault is not None:
            return {"ready": False, "detail": type(self.pulse.fault).__name__}
        if self.clock_ahead:
            return {"ready": False, "detail": "our clock is ahead of the witnesses'"}
        answering = sum(self._state(one).failures == 0 for one in self._policy.counting)
        if self._policy.quorum and answering < self._policy.quorum:
            detail = f"{answering} of {self._policy.quorum} witnesses answer"
            return {"ready": not self._region.withholds, "detail": detail}
        return {"ready": True}

    # --- sending ---

    def _send(self, note: str) -> list[asyncio.Task[None]]:
        """(1) Ask every witness that is idle and has not cosigned this note; give the tasks worth waiting for."""
        for name, task in [*self._asking.items()]:
            if task.done():
                del self._asking[name]
                _raise_mistake(task)
        # A clock that is ahead is let off by a fresh answer only, so the same tree is cosigned once more.
        gathering = None if self.clock_ahead else next((each for each in self._gatherings if each.note == note), None)
        if gathering is None:
            head = parse_checkpoint(parse_note(note).text)
            number = self._gatherings[-1].number + 1 if self._gatherings else 1
            gathering = _Gathering(number, head, note)
            self._gatherings = [*self._gatherings[1 - _GATHERED :], gathering]
        started = []
        for one in self._policy.witnesses:
            if one.name in self._asking or one.name in gathering.lines or gathering.head.size == 0:
                continue
            task = asyncio.create_task(self._ask(one, gathering), name=f"elicence-witness-{one.label}")
            self._asking[one.name] = task
            if self._state(one).failures == 0:
                started.append(task)
        return started

    async def _ask(self, witness: PolicyWitness, gathering: _Gathering) -> None:
        """(2) Ask one witness, check what it gives, and remember how it went."""
        before = self._state(witness)
        size = min(before.size, gathering.head.size)
        now = self._region.clock.now()
        state = replace(before, tried_at=now)

        def learnt(named: int) -> None:
            nonlocal size
            size = named

        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    given = await self._calls.cosign(witness, gathering.head, gathering.note, size, learnt)
                except WitnessAhead as ahead:
                    await self._heed(witness, ahead.size)
                    raise
        except TimeoutError:
            error = "no answer in time"
        except Unreachable as unreachable:
            error = f"not reached: {unreachable.detail}"
        except WitnessFailed as failed:
            self.bad_lines += failed.lied
            error = failed.detail
        except TreeMismatch as missing:
            error = f"no proof for it: {missing}"
        else:
            error = ""
            gathering.lines[witness.name] = given.lines
            gathering.fresh = True
            self._claims.pop(witness.name, None)
            self._heard.add(witness.name)
            state = replace(state, size=gathering.head.size, answered_at=now, skew_s=given.skew_s)
        if error and error != before.error:
            _log.warning("witness %s gave no cosignature: %s", witness.name, error)
        state = replace(state, size=max(size, state.size), failures=before.failures + 1 if error else 0, error=error)
        self._known[witness.name] = state
        try:
            await self._region.database.write(lambda tx: witness_states.keep(tx, state))
        except Refusal as refusal:  # it is remembered here, and asked anew after a restart
            _log.warning("the state of witness %s was not stored: %s", witness.name, refusal.code)

    async def _heed(self, witness: PolicyWitness, size: int) -> None:
        """Judge a witness that says it has seen more than we show it.

        That may be a newer checkpoint of ours. Beyond what is committed it is a fault of ours only if it is proven by
        our own signature, or said by a whole quorum: one liar must not be able to stop a log.
        """
        head = await self._region.database.read(lambda tx: read_head(tx).size, cheap=True)
        if size <= head:
            self._heard.add(witness.name)
            return
        self._claims[witness.name] = size
        proven = await self._calls.proves(str(witness.url), head)
        if proven is not None:
            _log.error("witness %s shows a checkpoint of ours with %d entries; we have %d", witness.name, proven, head)
            self._region.seen.saw(proven, f"our own signature, shown by {witness.name}")
        self._accuse()

    def _accuse(self) -> None:
        counting = {one.name for one in self._policy.counting}
        claims = sorted((size for name, size in self._claims.items() if name in counting), reverse=True)
        # A size is not signed. What a single witness only says never stops us, even where one is the whole quorum.
        needed = max(2, self._policy.quorum)
        if self._policy.quorum and len(claims) >= needed:
            self._region.seen.saw(claims[needed - 1], "a quorum of witnesses")

    # --- gathering ---

    async def _gather(self, asked: list[asyncio.Task[None]], patience_s: float | None = None) -> None:
        """Wait for witnesses that answered last time, no longer than an interval; store whatever has its quorum."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._interval_s if patience_s is None else patience_s)
        left = set(asked)
        while left and loop.time() < deadline:
            done, left = await asyncio.wait(left, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _raise_mistake(task)
            await self._conclude()
        await self._conclude()

    async def _conclude(self) -> None:
        """(3) Store the checkpoints that have got enough cosignatures, or more of them."""
        policy = log_policy(self._region.origin, self._region.vkeys, self._policy)
        for each in self._gatherings:
            if not each.fresh:
                continue
            each.fresh = False
            text = note_of(each.note, [line for lines in each.lines.values() for line in lines])
            opened = open_checkpoint(text, policy)
            if opened.grade is not Grade.WITNESSED or opened.cosigned_at is None:
                continue
            found = Witnessed(opened.size, opened.root, text, opened.cosigned_at)
            if self._stored.get(found.size, 0) <= each.number:
                await self._region.database.write(partial(_store, found))
                self._stored = {size: number for size, number in self._stored.items() if number > each.number - 8}
                self._stored[found.size] = each.number
                self._step_done("stored")
                await self._serve()

    # --- what every process does ---

    async def _look_around(self) -> None:
        region = self._region
        policy = policy_of(region.catalogue)
        if policy != self._policy:
            # Whoever is asked for now has to cosign what the others have.
            self._policy, self._gatherings, self._claims = policy, [], {}
        known = await region.database.read(witness_states.states, cheap=True)
        # Of a witness that is being asked this process knows more than the row says.
        busy = [name for name, task in self._asking.items() if not task.done()]
        self._known = known | {name: self._known[name] for name in busy if name in self._known}
        ahead = witness_states.clock_is_ahead(self._known, policy)
        if ahead is not None or not policy.quorum:
            self.clock_ahead = bool(ahead)  # while nobody answers what was said last stands
        await self._serve()

    async def _serve(self) -> None:
        """(4) Show the newest row, once the tiles of its size are here."""
        newest = await self._region.database.read(witnessed.newest, cheap=True)
        publisher = self._region.publisher
        if newest is None or newest == self._served or publisher.size < newest.size:
            return
        data = newest.note.encode()
        await asyncio.to_thread(self._region.files.write_forward, FILE, data, lambda text: served_size(text.decode()))
        if self._region.withholds:
            await asyncio.to_thread(self._region.files.write_checkpoint, newest.note)
        self._served = newest
        self._step_done("shown")
        self._waiting.tell(newest.size, newest.note)

    async def _sweep(self) -> None:
        loop_time = asyncio.get_running_loop().time()
        if loop_time >= self._swept_at + _SWEEP_S:
            await self._region.database.write(lambda tx: witnessed.thin(tx, self._region.clock.now()))
            self._swept_at = loop_time

    def _state(self, witness: PolicyWitness) -> WitnessState:
        return self._known.get(witness.name) or WitnessState(witness.name)


def _store(found: Witnessed, tx: Writing) -> None:
    # A quorum that comes late for a tree that was overtaken would move positions that were named meanwhile.
    if found.size >= witnessed.newest_size(tx) or witnessed.at_size(tx, found.size) is not None:
        witnessed.store(tx, found)


def _raise_mistake(task: asyncio.Task[None]) -> None:
    """Let a mistake of ours be heard; a question that was given up because we stop is none."""
    if not task.cancelled():
        task.result()
