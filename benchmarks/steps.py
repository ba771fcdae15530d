"""Where the time of one licence goes: CPU microseconds a step, from the bytes of a batch's row to its answer's.

The service's own code runs in this process, with a clock around the functions named below. CPU time, because it says
much the same on a machine that others use; the least of several rounds, because interruptions only ever add.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from api import batch_input, batches
from api.cli.demo_service import prepared
from api.composition import open_region
from benchmarks import requests
from keys.private_key import PrivateKey
from ledger import batch_rows, clients, committing, composing, documents, preparing, subjects
from ledger.actors import Actor
from ledger.issued import Answered
from ledger.region import Region
from verifiers import statement

ROWS: Final = 256
ROW_LIMIT: Final = 65_536

READ = "read the row: strict JSON, shape of the request, keyed hash of its body"
CHECK = "check numbers and fields against the type"
LOOK_UP = "look the holder up (blind index)"
BUILD = "licence: salts, disclosures, digests, payload"
CODE = "static code"
STATEMENT = "statement and its facts"
SIGN = "sign licence, code and statement (ES256, in threads)"
SEAL = "record: canonical JSON, zlib, AES-256-GCM, wrapped key, commitment"
ROWS_STEP = "sequence, insert into its tables, project (writer's thread)"
COMMIT = "take the head's lock and commit (writer's thread)"
ANSWER = "write the answer"
REST = "the rest: grants, slots, facts, conditions, queues, event loop, publishing"

_CLOCKED: Final[tuple[tuple[Any, str, str], ...]] = (
    (batch_input, "row_of", READ),
    (batch_rows, "key_of", READ),
    (batch_rows, "parse_issue", READ),
    (composing, "check_face", CHECK),
    (subjects, "resolve", LOOK_UP),
    (documents, "build", BUILD),
    (documents, "sig_structure", CODE),
    (documents, "signed_code", CODE),
    (statement, "payload", STATEMENT),
    (statement, "encoded", STATEMENT),
    (statement, "signing_input_of", STATEMENT),
    (statement, "assemble", STATEMENT),
    (PrivateKey, "sign_all", SIGN),
    (preparing, "seal", SEAL),
    (committing, "sequence", ROWS_STEP),
    (committing.Committer, "commit", COMMIT),
    (batches, "row_answer", ANSWER),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step and the CPU microseconds that it takes a licence."""

    name: str
    micros: float


def measure(folder: Path, rounds: int = 8) -> list[Step]:
    """Issue `rounds` chunks of 256 rows into a fresh region below `folder`, and give the best of each step."""
    settings = prepared(folder)

    async def run() -> list[Step]:
        region = await open_region(settings)
        try:
            client = await region.database.read(lambda tx: clients.get(tx, requests.ISSUER))
            actor = Actor(client.id, client.department, frozenset({"issue"}), "BENCH-1")
            best: dict[str, float] = {}
            for number in range(rounds):
                lines = _lines(1000 * number)
                with _clocks() as spent:
                    began = time.process_time()
                    await _chunk(region, actor, lines)
                    whole = time.process_time() - began
                for name, seconds in (spent | {REST: whole - sum(spent.values())}).items():
                    best[name] = min(seconds, best.get(name, seconds))
            return [Step(name, 1e6 * best[name] / ROWS) for name in _order()]
        finally:
            await region.close()

    return asyncio.run(run())


def _lines(first: int) -> list[bytes]:
    numbers = range(first, first + ROWS)
    return [orjson.dumps({"client_ref": f"step-{number}", **requests.licence(number)}) for number in numbers]


async def _chunk(region: Region, actor: Actor, lines: list[bytes]) -> None:
    rows = [batch_input.row_of(number, line, ROW_LIMIT) for number, line in enumerate(lines, 1)]
    outcomes = await batch_rows.work_off(region, actor, "issue", "strict", rows)
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, Answered):
            continue  # written where it was prepared
        orjson.dumps(batches.row_answer(row.number, row.ref, outcome, "en", region.base_url))


def _order() -> list[str]:
    return [*dict.fromkeys(label for _, _, label in _CLOCKED), REST]


@contextmanager
def _clocks() -> Iterator[dict[str, float]]:
    """Clock the functions for the block; time spent in a clocked function inside another counts for the inner one."""
    spent: dict[str, float] = defaultdict(float)
    inner = threading.local()
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in _CLOCKED]

    def clocked(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*args: Any, **named: Any) -> Any:
            outer, inner.spent = getattr(inner, "spent", 0.0), 0.0
            began = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                taken = time.thread_time() - began
                spent[label] += taken - inner.spent
                inner.spent = outer + taken

        return measured

    for (owner, name, function), (_, _, label) in zip(before, _CLOCKED, strict=True):
        setattr(owner, name, clocked(function, label))
    try:
        yield spent
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
