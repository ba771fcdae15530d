"""A short life in one thread that opens, appends and publishes: its system calls come in the same order every time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keys.errors import KeyStoreError
from ledger import erasing
from ledger.catalogue import Catalogue
from ledger.clock import SystemClock
from ledger.committing import Committer
from ledger.database import Database
from ledger.errors import Refusal
from ledger.history import load_event
from ledger.issued import Issued
from ledger.issuing import issue
from ledger.proposals import Committed, Proposal
from ledger.region import Region
from ledger.sealing import SealedProposal, seal
from ledger.sequencing import Rules, read_head
from ledger.vault import Vault
from tests.faults.faults import Saboteur
from tests.faults.subject import NUMBERS, Place
from tests.faults.surroundings import Keys
from tests.ledger import licensing
from tests.ledger.licensing import MARKET
from tests.region import region_config

TRIES = 4
ACKNOWLEDGED = "acknowledged"
"""The file that every answer is written to, a line each, before anything else happens."""


class AtOnce(ThreadPoolExecutor):
    """An executor that does the work while it is handed over."""

    def submit(self, do: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do it now."""
        done: Future[Any] = Future()
        try:
            done.set_result(do(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked, as any executor does
            done.set_exception(error)
        return done


class WriterAtOnce:
    """A writer without a thread: what is appended is committed by the same committer, one call a batch."""

    trouble = None

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    async def append(self, proposal: Proposal) -> Committed:
        """Append one proposal."""
        [outcome] = self._committer.commit([seal(proposal, self._committer.vault)]).outcomes
        if isinstance(outcome, Committed):
            return outcome
        raise outcome

    async def append_sealed(self, proposals: Sequence[SealedProposal], *, bulk: bool = True) -> list[Any]:
        """Append many proposals in one batch."""
        return [*self._committer.commit(proposals).outcomes]

    def close(self) -> None:
        """Give the connection back."""
        self._committer.close()


async def open_here(place: Place) -> Region:
    """Open the region of a place without starting anything that runs beside it."""
    asyncio.get_running_loop().set_default_executor(AtOnce())
    config, clock = region_config(place.url, place.folder), SystemClock()
    keys: Any = Keys(place.store(), Saboteur(None, None), place.folder / "signed")
    database = Database.open(config.database_url)
    database._threads = AtOnce()
    await erasing.replay_erasures(database)
    with database.reading() as tx:
        opened, catalogue = load_event(tx, Vault.open(keys), 0), Catalogue.load(tx)
    region = Region(config, keys, database, clock, opened, catalogue)
    rules = Rules(region.origin, region.vault, clock, region._catalogues.at)
    writer: Any = WriterAtOnce(Committer(database, rules, resolve_s=2))
    region.writer = writer
    await database.read(region.witness_identity.refresh)
    return region


async def append(place: Place, names: Sequence[str], *, dies_when_refused: bool = False) -> None:
    """Ask for licences until they are acknowledged, then publish until that is done, as the pulses would.

    With `dies_when_refused` the power fails as soon as a refusal has been told.
    """
    region: Region | None = None

    async def begin() -> None:
        nonlocal region
        region = await open_here(place)

    async def ask() -> None:
        assert region is not None
        requests = [licensing.request(region, licensing.food(NUMBERS[name]), name) for name in names]
        outcomes = await issue(region, licensing.actor(MARKET), requests)
        refused = {str(each.code) for each in outcomes if isinstance(each, Refusal)}
        write_down(place.folder / ACKNOWLEDGED, names, outcomes)
        if refused and dies_when_refused:
            os.kill(os.getpid(), signal.SIGKILL)
        if refused:
            raise Refused(str(refused))

    async def publish() -> None:
        assert region is not None
        # The prepared region is older than half an hour at the end of a long run. Then a trust list is due, which is an
        # entry, and is to be published like any other.
        for step in (region.publisher.step, region.status.step, region.trust.step, region.publisher.step):
            await step()
        assert region.publisher.size == (await region.database.read(read_head)).size

    for turn in (begin, ask, publish):
        await tried(turn)
    assert region is not None
    writer: Any = region.writer
    writer.close()
    region.database.close()


class Refused(Exception):
    """Some of the batch was refused; it is asked for again."""


async def tried(turn: Callable[[], Awaitable[None]]) -> None:
    """Do a turn until it works, a few times: one fault must not be the end of it.

    Calls are counted, and how often keys are looked for is not the same in every life: so one may hit a key file.
    """
    for left in reversed(range(TRIES)):
        try:
            await turn()
        except (Refused, Refusal, OSError, KeyStoreError) as error:
            print(f"{turn.__name__}: {error!r}", flush=True)
            if not left:
                raise
        else:
            return


def write_down(file: Path, names: Sequence[str], outcomes: Sequence[Issued | Refusal]) -> None:
    """Add a line for each answer: the acknowledgement that must never turn out to be wrong."""
    with file.open("ab", buffering=0) as lines:
        for name, each in zip(names, outcomes, strict=True):
            said: list[Any] = [name, str(each.code)] if isinstance(each, Refusal) else [name, each.id, each.entry]
            lines.write(json.dumps(said).encode() + b"\n")


def told(place: Place) -> list[list[Any]]:
    """Read what was answered."""
    file = place.folder / ACKNOWLEDGED
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
