"""A process that appends until it is killed: `python -m tests.ledger.appending URL FILE SEED COUNT`.

For every answer it gets it writes one line to FILE, whole and flushed: key, index, time. That was acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import IO

from keys.memory_store import MemoryKeyStore
from ledger.errors import Refusal
from ledger.proposals import Committed, EventCount, Replayed
from tests.ledger.small_log import SmallLog, key, note, small_log
from tests.region import memory_store

CLIENTS = 16


def shared_store() -> MemoryKeyStore:
    """Make a key store with the same secrets in every process."""
    store = memory_store()
    for name in ("facts-1", "kek-1", "blind-1", "body-mac"):
        store._secrets[name] = name.encode().ljust(32, b"\0")
    return store


async def client(log: SmallLog, chance: random.Random, name: str, answers: IO[str], count: int) -> None:
    """Append one entry after the other: fresh things, the next event of a shared thing, or a request sent again."""
    for number in range(count):
        request = f"{name}-{number}" if chance.random() < 0.8 or not number else f"{name}-{chance.randrange(number)}"
        thing, n = f"thing-{chance.randrange(20)}", 0
        proposal = note(idempotency=key(log.vault, request))
        if chance.random() < 0.3:
            n = chance.randrange(200)
            proposal = note(thing, n, idempotency=key(log.vault, request), conditions=(EventCount(thing, n),))
        try:
            outcome: Committed | Replayed = await log.writer.append(proposal)
        except Replayed as replayed:
            outcome = replayed
        except Refusal:
            continue
        answers.write(f"{request} {outcome.indexes[0]} {int(outcome.at.timestamp())}\n")
        answers.flush()


async def main(url: str, file: Path, seed: int, count: int) -> None:
    """Run all clients of one process against the log at `url`."""
    async with small_log(url, store=shared_store()) as log:
        with file.open("a") as answers:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            chances = [random.Random(f"{seed}-{number}") for number in range(CLIENTS)]
            await asyncio.gather(
                *(client(log, chance, f"{seed}-{number}", answers, count) for number, chance in enumerate(chances))
            )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
