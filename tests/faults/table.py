"""The fault table: what is expected of each fault at each step of a commit and of a publication.

A row is a promise; `test_fault_table.py` keeps it on each engine, and docs/reliability.md shows it. A fault that
cannot happen at a step says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.faults.faults import Fault, Step

OK: Final = "committed"
AWAY: Final = "database.unavailable"
FULL: Final = "storage.full"
NOBODY: Final = "nobody"
ANY: Final = "nobody, or committed"
NOTHING: Final = 0
ALL: Final = 3

STOPS: Final = "stops"
GOES_ON: Final = "goes on"

FILE: Final = "sqlite"
SERVER: Final = "postgresql"
ENGINES: Final = (FILE, SERVER)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault at one step.

    `going` is "stops", "goes on", or the part that is not ready until a later turn succeeds. `told` is what the callers
    of the batch under way hear, `stored` how many of its three licences are in the log right after (`None`: all or
    none). `late` is what somebody hears who asks next. `impossible` says why there is no such case, on all engines or
    on those not in `engines`.
    """

    step: Step
    fault: Fault
    going: str = GOES_ON
    told: str = OK
    stored: int | None = ALL
    late: str = OK
    engines: tuple[str, ...] = ENGINES
    impossible: str = ""

    @property
    def name(self) -> str:
        """What the case is called in reports."""
        return f"{self.step} - {self.fault}"


_FILE_HAS_NONE = "SQLite: a file has no connection"
_NO_DATABASE = "no database is asked here"
_WRITES_NOTHING = "nothing is written here"
_CLOCK = "clock.behind or clock.ahead"


def _back(step: Step, going: str = "writer", **more: str) -> Row:
    """What is under way is dated already; who comes next is refused until the clock is right."""
    # A trust list that is due cannot be logged meanwhile: `trust` may be not ready, too.
    return Row(step, Fault.BACK, going, late=_CLOCK, **more)  # type: ignore[arg-type]  # told only


def _statement(step: Step) -> Iterator[Row]:
    """A statement before COMMIT: whatever happens to it, nothing is written, and that is what is said."""
    yield Row(step, Fault.LOST, "writer", AWAY, NOTHING)
    yield Row(step, Fault.HALF, "writer", AWAY, NOTHING)
    yield Row(step, Fault.KILLED, STOPS, NOBODY, NOTHING)
    yield Row(step, Fault.FULL, "writer", FULL, NOTHING)
    # The connection had been idle, so the whole batch is done once more on a new one.
    yield Row(step, Fault.DROPPED, engines=(SERVER,), impossible=_FILE_HAS_NONE)
    if step is Step.LOCK:
        yield Row(step, Fault.BACK, "writer", _CLOCK, NOTHING, _CLOCK)
    else:
        yield _back(step)


def _commit() -> Iterator[Row]:
    yield from _statement(Step.LOCK)
    reading = "SQLite: asks nobody; PostgreSQL: part of the lock's statement"
    for fault in (Fault.LOST, Fault.HALF, Fault.KILLED, Fault.FULL, Fault.DROPPED):
        yield Row(Step.CLOCK, fault, impossible=reading)
    yield Row(Step.CLOCK, Fault.BACK, "writer", _CLOCK, NOTHING, _CLOCK)
    for step in (Step.CONDITIONS, Step.ENTRIES, Step.RECORDS, Step.ANSWERS, Step.PROJECT, Step.HEAD):
        yield from _statement(step)
    yield Row(Step.COMMIT, Fault.LOST, "writer", AWAY, NOTHING)
    yield Row(Step.COMMIT, Fault.HALF)
    yield Row(Step.COMMIT, Fault.KILLED, STOPS, NOBODY, None)
    yield Row(Step.COMMIT, Fault.FULL, "writer", FULL, NOTHING)
    yield Row(Step.COMMIT, Fault.DROPPED, "writer", AWAY, NOTHING, engines=(SERVER,), impossible=_FILE_HAS_NONE)
    yield _back(Step.COMMIT)
    same = f"is “{Step.COMMIT}, {Fault.HALF}”"
    yield Row(Step.ACKNOWLEDGED, Fault.LOST, engines=(SERVER,), impossible=f"SQLite: {same}")
    yield Row(Step.ACKNOWLEDGED, Fault.HALF, impossible=same)
    yield Row(Step.ACKNOWLEDGED, Fault.KILLED, STOPS, NOBODY)
    yield Row(Step.ACKNOWLEDGED, Fault.FULL, impossible=_WRITES_NOTHING)
    yield Row(Step.ACKNOWLEDGED, Fault.DROPPED, engines=(SERVER,), impossible=_FILE_HAS_NONE)
    yield _back(Step.ACKNOWLEDGED)
    yield Row(Step.ANSWER, Fault.LOST, told=NOBODY)
    yield Row(Step.ANSWER, Fault.HALF)
    yield Row(Step.ANSWER, Fault.KILLED, STOPS, NOBODY)
    yield Row(Step.ANSWER, Fault.FULL, impossible=_WRITES_NOTHING)
    yield Row(Step.ANSWER, Fault.DROPPED, impossible=_NO_DATABASE)
    yield _back(Step.ANSWER)


def _published(step: Step, part: str, *, writes: bool, database: bool = False) -> Iterator[Row]:
    """A step of publishing: callers have their answers, the part says that it failed and does it again."""
    yield Row(step, Fault.LOST, part)
    yield Row(step, Fault.HALF, part)
    yield Row(step, Fault.KILLED, STOPS, ANY)
    yield Row(step, Fault.FULL, part, impossible="" if writes else _WRITES_NOTHING)
    why = _FILE_HAS_NONE if database else _NO_DATABASE
    yield Row(step, Fault.DROPPED, part, engines=(SERVER,) if database else ENGINES, impossible=why)
    yield _back(step)


def _publication() -> Iterator[Row]:
    yield from _published(Step.SIGN, "publisher", writes=False)
    yield from _published(Step.SWAP, "publisher", writes=True, database=True)
    yield from _published(Step.TILES, "publisher", writes=True)
    yield from _published(Step.CHECKPOINT, "publisher", writes=True)
    yield from _published(Step.STATUS_SIGN, "status", writes=False)
    yield from _published(Step.STATUS_STORE, "status", writes=True, database=True)
    yield from _published(Step.STATUS_FILE, "status", writes=True)
    yield from _published(Step.TRUST_SIGN, "trust", writes=False)
    yield from _published(Step.TRUST_FILE, "trust", writes=True)
    # A silent witness costs its line, and is asked again in the next round.
    yield Row(Step.ASK, Fault.LOST)
    yield Row(Step.ASK, Fault.HALF)
    yield Row(Step.ASK, Fault.KILLED, STOPS, ANY)
    yield Row(Step.ASK, Fault.FULL)
    yield Row(Step.ASK, Fault.DROPPED, impossible=_NO_DATABASE)
    yield _back(Step.ASK)
    yield from _published(Step.COSIGNED, "witnesses", writes=True, database=True)
    yield from _published(Step.SHOWN, "witnesses", writes=True)


ROWS: Final = (*_commit(), *_publication())


def possible(row: Row, engine: str) -> bool:
    """Tell whether the fault of a row can happen on an engine."""
    return engine in row.engines and (not row.impossible or row.engines != ENGINES)


def markdown() -> str:
    """Write the table as docs/reliability.md shows it."""
    heads = ("step", "fault", "the service", "callers of the batch hear", "in the log right after", "the next hears")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        if not any(possible(row, engine) for engine in ENGINES):
            lines.append(f"| {row.step} | {row.fault} | impossible: {row.impossible} | | | |")
            continue
        going = row.going if row.going in (STOPS, GOES_ON) else f"{row.going} not ready, then goes on"
        stored = {None: "all or nothing", NOTHING: "nothing", ALL: "all"}[row.stored]
        fault = f"{row.fault} ({row.impossible})" if row.impossible else row.fault
        late = "asked after the restart" if row.going == STOPS else row.late
        lines.append(f"| {row.step} | {fault} | {going} | {row.told} | {stored} | {late} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
