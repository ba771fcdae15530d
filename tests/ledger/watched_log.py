"""A log somewhere else that asks our witness: its keys, its heads at any size, honest and forked, and its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import watched_logs
from ledger.clock import ManualClock
from ledger.region import Region
from ledger.tables.witnessing import witnessed_logs
from ledger.witness_identity import Identity, renew, witness_name
from ledger.witnessing import Witness
from tests.region import region_on
from tests.verifiers.log_world import LOG_KEYS, ORIGIN, Signing, ed25519, mldsa, sign
from verifiers import merkle
from verifiers.add_checkpoint import format_request
from verifiers.checkpoint import Checkpoint
from verifiers.merkle import Node
from verifiers.note import NoteKey

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
NAMED_LIKE_US = "region.example/610000/witness"
"""The name that the example region gives its witness."""

STRANGER = (ed25519(ORIGIN, 11), mldsa(ORIGIN, 12))
"""Keys of the log's name that nobody knows."""


@cache
def _leaf(branch: str, index: int) -> bytes:
    return merkle.leaf_hash(f"{branch}-{index}".encode())


@dataclass(frozen=True)
class WatchedLog:
    """A log whose entries below `forked_at` are those of every other, and from there on those of `branch`."""

    origin: str = ORIGIN
    keys: tuple[Signing, ...] = LOG_KEYS
    branch: str = "honest"
    forked_at: int = 0
    _known: dict[int, Checkpoint] = field(default_factory=dict, repr=False, compare=False)

    @property
    def vkeys(self) -> list[str]:
        """Its verifier keys."""
        return [key.to_text() for key, _ in self.keys]

    def head(self, size: int) -> Checkpoint:
        """The tree head over the first `size` entries."""
        if size not in self._known:
            self._known[size] = Checkpoint(self.origin, size, merkle.root(self._leaves(0, size)))
        return self._known[size]

    def note(self, size: int) -> str:
        """The signed checkpoint, with a line that means nothing."""
        return sign(self.head(size), signers=self.keys)

    def proof(self, old: int, size: int) -> list[bytes]:
        """The proof that the first `old` entries are the beginning of the first `size`."""
        return merkle.prove_consistency(old, size, self._read)

    def request(self, old: int, size: int) -> bytes:
        """The request to go from `old` to `size`."""
        return format_request(old, self.proof(old, size), self.note(size))

    def _leaves(self, start: int, end: int) -> list[bytes]:
        return [_leaf("honest" if each < self.forked_at else self.branch, each) for each in range(start, end)]

    def _read(self, nodes: Sequence[Node]) -> list[bytes]:
        return [merkle.root(self._leaves(at << level, (at + 1) << level)) for level, at in nodes]


LOG = WatchedLog()
FORK = WatchedLog(branch="forked", forked_at=3)


@asynccontextmanager
async def watching(
    database_url: str, folder: Path, *logs: WatchedLog, clock: ManualClock | None = None, store: Any = None
) -> AsyncIterator[tuple[Region, Witness]]:
    """A region whose witness knows `logs`, with a clock that stands still."""
    async with region_on(database_url, folder, clock=clock or ManualClock(NOW), store=store) as region:
        for log in logs or (LOG,):
            await watched_logs.watch(region, log.vkeys, log.origin)
        yield region, Witness(region)


def last(region: Region, origin: str = ORIGIN) -> Any:
    """What is stored of the log, None before its first checkpoint."""
    with region.database.reading() as tx:
        return tx.execute(select(witnessed_logs).where(witnessed_logs.c.origin == origin)).one_or_none()


def witness_keys(region: Region) -> tuple[NoteKey, ...]:
    """The verifier keys that the region publishes for its witness."""
    service = region.witness_service
    assert service is not None
    return tuple(NoteKey.from_text(vkey) for vkey in service.vkeys)


def between_signing_and_storing(patch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[Any]]) -> None:
    """Let something happen once, when a witness has signed and not yet stored."""
    cosign = Identity.cosign

    async def signed(self: Identity, text: str, timestamp: int) -> Any:
        lines = await cosign(self, text, timestamp)
        patch.setattr(Identity, "cosign", cosign)
        await happens()
        return lines

    patch.setattr(Identity, "cosign", signed)


def renewed(region: Region) -> tuple[str, ...]:
    """Renew the witness of a running region, as the command does."""
    return renew(region.database, region.store, witness_name(region.config), region.clock.now())
