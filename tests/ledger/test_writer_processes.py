"""Processes that die at random moments, and processes that write one log together."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger.database import Database, Reading
from ledger.history import load_events
from ledger.tables.log import thing_events
from ledger.tables.operational import idempotency
from tests.ledger.appending import shared_store
from tests.ledger.small_log import SmallLog, small_log

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.timeout(600)


def start(url: str, file: Path, seed: int, count: int) -> "subprocess.Popen[str]":
    """Start a process that appends, and wait until it does."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.ledger.appending", url, str(file), str(seed), str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


async def check_answers(log: SmallLog, files: list[Path], opened: int = 0) -> tuple[int, int]:
    """Check that the log is sound and holds what was acknowledged; gives the number of answers and the log's size.

    Records from entry `opened` on are opened; the caller has seen those before.
    """
    size = await log.check()
    answers: dict[str, tuple[int, int]] = {}
    for file in files:
        for line in file.read_text().splitlines():
            request, idx, at = line.split(" ")
            assert answers.setdefault(request, (int(idx), int(at))) == (int(idx), int(at)), "one request, two answers"
    indexes = [idx for idx, _ in answers.values()]
    assert len(set(indexes)) == len(indexes), "one index for two requests"
    assert all(idx < size for idx in indexes)

    def look(tx: Reading) -> None:
        stored = {row.idx: row.at for row in tx.execute(select(idempotency.c.idx, idempotency.c.at))}
        assert all(int(stored[idx].timestamp()) == at for idx, at in answers.values())
        rows = tx.execute(select(thing_events).where(thing_events.c.idx >= opened))
        numbered = {(row.thing, row.n, row.idx) for row in rows}
        found = {(event.thing, event.n, event.idx) for event in load_events(tx, log.vault, opened, size)}
        assert found == numbered and len(found) == size - opened
        of_things = select(func.count(), func.min(thing_events.c.n), func.max(thing_events.c.n))
        for count, lowest, highest in tx.execute(of_things.group_by(thing_events.c.thing)):
            assert (lowest, highest) == (0, count - 1)

    await log.database.read(look)
    return len(answers), size


async def killed_and_continued(url: str, tmp_path: Path, times: int) -> None:
    """Kill a writing process again and again; after each time everything acknowledged is there and the log goes on."""
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    files, known, size = [], 0, 0
    for round_ in range(times):
        files.append(tmp_path / f"answers-{round_}")
        process = start(url, files[-1], seed + round_, 10**6)
        await asyncio.sleep(chance.uniform(0.02, 0.6))
        process.kill()
        process.wait()
        async with small_log(url, store=shared_store()) as log:
            known, size = await check_answers(log, files, size)
    assert known > 0


async def test_killed_process_loses_nothing_it_acknowledged(database_url: str, tmp_path: Path) -> None:
    """After `kill -9` under load every answer is still true, no index is used twice and nothing is half there."""
    await killed_and_continued(database_url, tmp_path, 3)


@pytest.mark.long
async def test_killed_many_times(database_url: str, tmp_path: Path) -> None:
    """The same, fifty times over."""
    await killed_and_continued(database_url, tmp_path, 50)


@pytest.mark.postgres
async def test_two_processes_write_one_log(postgres_url: str, tmp_path: Path) -> None:
    """Two writers on one PostgreSQL, killed and restarted at random: no fork, no lost and no doubled entry."""
    Database.open(postgres_url).close()
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    files = [tmp_path / f"answers-{number}" for number in range(2)]
    # Both send the very same requests, so that they race for every idempotency key.
    running = [start(postgres_url, file, seed, 60) for file in files]
    await asyncio.sleep(chance.uniform(0.2, 0.5))
    running[0].kill()
    running[0].wait()
    running[0] = start(postgres_url, files[0], seed, 60)
    for process in running:
        assert process.wait(timeout=120) == 0

    async with small_log(postgres_url, store=shared_store()) as log:
        known, _ = await check_answers(log, files)
    assert known > 300
