"""A log with nothing around it: database, vault and writer, and drafts about things that mean nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from keys.memory_store import MemoryKeyStore
from ledger.catalogue import Catalogue
from ledger.clock import Clock, SystemClock
from ledger.committing import Committer
from ledger.database import Database, Reading, Writing
from ledger.events import Draft, Event, SubjectPart, projector
from ledger.ids import new_id
from ledger.largest_seen import LargestSeen
from ledger.proposals import IdempotencyKey, Proposal
from ledger.sequencing import Rules, lock_head
from ledger.tables.log import entries, head
from ledger.vault import Vault
from ledger.writer import Writer
from tests.region import memory_store
from verifiers import statement
from verifiers.commitment import event_ref
from verifiers.encoding import b64u_encode
from verifiers.entry import FIRST_PREV, REGION
from verifiers.merkle import Frontier, leaf_hash

ORIGIN = "small.example/log"
KID = b64u_encode(bytes(16))


@projector("small.noted")
def _project_noted(tx: Writing, events: Sequence[Event]) -> None:
    """Nothing follows from a note."""


@dataclass(frozen=True, slots=True)
class SmallLog:
    """What a test of the writer holds."""

    database: Database
    vault: Vault
    committer: Committer
    writer: Writer

    async def leaves(self) -> list[bytes]:
        """Read every entry, checking that their indexes have no gap."""
        rows = await self.database.read(lambda tx: tx.execute(select(entries).order_by(entries.c.idx)).all())
        assert [row.idx for row in rows] == list(range(len(rows)))
        return [row.bytes for row in rows]

    async def check(self) -> int:
        """Recompute chain and tree from the entries, compare with the head, and give the size."""
        leaves = await self.leaves()
        row = await self.database.read(lambda tx: tx.execute(select(head)).one())
        frontier, chain = Frontier(), FIRST_PREV
        for leaf in leaves:
            assert f'"prev":"{b64u_encode(chain)}"'.encode() in leaf
            chain = leaf_hash(leaf)
            frontier.append(chain)
        assert (row.size, row.chain, row.frontier) == (len(leaves), chain, frontier.to_bytes())
        return len(leaves)


def prepare(tx: Writing, origin: str = ORIGIN, at: datetime = datetime(2026, 11, 21, 8, tzinfo=UTC)) -> None:
    """Lay down the head row of an empty log, if there is none yet."""
    if tx.execute(select(head)).one_or_none() is None:
        row = {"id": 1, "size": 0, "chain": FIRST_PREV, "frontier": Frontier().to_bytes(), "catalogue_idx": -1}
        tx.execute(insert(head).values(origin=origin, at=at, **row))


@asynccontextmanager
async def small_log(
    url: str,
    *,
    clock: Clock | None = None,
    store: MemoryKeyStore | None = None,
    resolve_s: float = 30,
    ahead: Callable[[], bool] = lambda: False,
    seen: LargestSeen | None = None,
    opened: bool = True,
) -> AsyncIterator[SmallLog]:
    """Run a writer on a migrated database for the block, in which a log is `opened`; `ahead`, `seen` as in `Rules`."""
    database = Database.open(url)
    if opened:
        await database.write(prepare)
    vault = Vault.open(store or memory_store())

    def catalogue_at(tx: Reading, _idx: int) -> Catalogue:
        return Catalogue.load(tx)

    rules = Rules(ORIGIN, vault, clock or SystemClock(), catalogue_at, ahead, seen or LargestSeen())
    committer = Committer(database, rules, resolve_s=resolve_s)
    writer = Writer(committer)
    writer.start()
    try:
        yield SmallLog(database, vault, committer, writer)
    finally:
        await writer.stop()
        database.close()


def draft(
    thing: str | None = None,
    n: int = 0,
    *,
    kind: str = "sealed",
    event: str = "small.noted",
    about: Sequence[str] = (),
    facts: dict[str, Any] | None = None,
    padding: int = 0,
) -> Draft:
    """Make a draft with a statement of the right form that nobody signed."""
    thing = thing or new_id()
    secret = thing.encode().ljust(32, b"\0")[:32]
    ref, salt_d = event_ref(secret, n), os.urandom(32)
    told = {"thing": thing, "n": n, "salt_d": b64u_encode(salt_d), **(facts or {})}
    if about:
        told["subjects"] = list(about)
    if padding:
        told["padding"] = os.urandom(padding // 2).hex()
    payload = statement.payload(origin=ORIGIN, ref=ref, kind=kind, by=REGION, event=event, facts=told)
    return Draft(
        kind=kind,
        by=REGION,
        ref=ref,
        event=event,
        facts=payload,
        statement=statement.assemble(statement.signing_input(KID, payload), bytes(64)),
        subjects=tuple(SubjectPart(subject, {"holder": {"name": "示例甲"}}) for subject in about),
        salt_d=salt_d,
    )


def note(thing: str | None = None, n: int = 0, **changes: Any) -> Proposal:
    """Make a proposal of one draft; `changes` are members of the proposal."""
    return Proposal([draft(thing, n)], **changes)


def key(vault: Vault, name: str, body: bytes = b"{}") -> IdempotencyKey:
    """Make the idempotency key of a request with this `body`."""
    return IdempotencyKey("example-client", "POST /v1/notes", name, vault.body_mac(body))


@contextmanager
def head_held(url: str) -> Iterator[None]:
    """Hold the head's lock as another process would, so that what is appended meanwhile lands in one batch."""
    other = Database.open(url)
    with other.writing() as tx:
        lock_head(tx, SystemClock())
        yield
    other.close()


async def queued(log: SmallLog, count: int) -> None:
    """Wait until the writer has got hold of `count` proposals."""
    while log.writer.waiting < count:
        await asyncio.sleep(0.005)
