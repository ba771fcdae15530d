"""A long day: everybody works, another region follows, and every minute something is killed.

A supervisor starts what died again, as an operator's would, and after each time everything acknowledged since the last
time is asked for again. At the end nothing may be missing, the audit passes, what onlookers saw is one log, and nothing
has grown that should not have.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.cli.demo_neighbours import Neighbour, Place, admit, regions
from api.settings import Settings, environment
from benchmarks import over_http, requests
from benchmarks.dynamic_codes import add_matter
from tests.soak import growth, promises
from tests.soak.callers import Caller, Told
from tests.soak.doings import Day, Person
from tests.soak.following import Onlooker, until_at
from tests.soak.journal import Journal
from tests.soak.place import Store, pid_of, store
from tests.soak.processes import Held, held, preparers

QUIET_S = 120.0
READY_S = 60.0
STARTS = 3
HEAD = (
    "minute | killed, ready after | issued | rows | acts | decided | scanned | verified | refused or silent"
    " | asked again | A: MiB, files | B: MiB, files | half-written"
)


@dataclass(frozen=True, slots=True)
class Form:
    """How long, on which database, how often something is killed, and how busy everybody is."""

    engine: str
    seconds: float
    every_s: float
    rest_s: float
    desks: int
    witnessed: bool

    @property
    def kills(self) -> int:
        """How many there will be."""
        return int(self.seconds / self.every_s)


def full(engine: str, minutes: float) -> Form:
    """Give the long form: a kill each minute."""
    return Form(engine, 60 * minutes, 60.0, 0.4, 3, witnessed=True)


SHORT = Form("sqlite", 10.0, 5.0, 0.05, 1, witnessed=False)


@dataclass
class Run:
    """One run and what was seen in it."""

    form: Form
    a: Neighbour
    b: Neighbour
    store: Store
    folder: Path
    told: Told = field(default_factory=Told)
    day: Day = field(default_factory=lambda: Day(0.0))
    lives: list[Held] = field(default_factory=list)
    abroad: list[Held] = field(default_factory=list)
    followed: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def holds(self, what: str, right: bool) -> None:
        """Print whether a promise held."""
        if right:
            print(f"holds  | {what}", flush=True)
        else:
            self.told.breaks(what)


@contextmanager
def place(form: Form) -> Iterator[Run]:
    """Serve two regions; the second one follows the first, and its witness watches the first one's log."""
    with tempfile.TemporaryDirectory(prefix="elicence-soak-") as name, store(form.engine) as kept, ExitStack() as stack:
        own: dict[str, Any] = {"preparers": 1, "recognition_notice_s": 0, **kept.settings}
        folder = Path(name)
        [a, b] = stack.enter_context(regions(folder, [Place(own), Place({"recognition_notice_s": 0})]))
        admit(b, a)
        if form.witnessed:
            admit(a, b)
            a.command("witnesses", "add", b.code, "--quorum", "1")
        diploma = {"type": requests.DIPLOMA, "major": 1}
        rule = {"peer": a.code, "their": diploma, "ours": diploma, "fields": {}}
        b.service.client("operator").post("/v1/equivalences", rule, operator=over_http.OPERATOR)
        add_matter(a.service)
        yield Run(form, a, b, kept, folder, day=Day(form.rest_s))


def run(form: Form) -> Run:
    """Let the day pass, and judge it."""
    with place(form) as found:
        journal = Journal(found.folder / "acknowledged")
        onlooker = Onlooker(found.a.settings, found.told)
        onlooker.start()
        people = _people(found, journal)
        threads = [threading.Thread(target=person.work, args=(doing,)) for person, doing in people]
        for thread in threads:
            thread.start()
        print(f"{HEAD}", flush=True)
        try:
            _day(found, journal)
        finally:
            found.day.over.set()
            for thread in threads:
                thread.join()
            onlooker.stop()
        for person, _ in people:
            person.leave()
        _evening(found, journal, onlooker)
        journal.close()
    return found


def _people(found: Run, journal: Journal) -> list[tuple[Person, Any]]:
    def caller() -> Caller:
        return Caller(found.a.service, journal, found.told, found.day.over)

    people: list[tuple[Person, Any]] = []
    for number in range(found.form.desks):
        person = Person(caller(), 1 + number, found.day)
        people.append((person, person.desk))
    sender, clerk = Person(caller(), 11, found.day), Person(caller(), 12, found.day)
    abroad = Caller(found.b.service, journal, found.told, found.day.over)
    window = Person(caller(), 13, found.day, abroad)
    return [*people, (sender, sender.batches), (clerk, clerk.cases), (window, window.window)]


def _day(found: Run, journal: Journal) -> None:
    """Kill something every minute, start it again, and have everything acknowledged before asked for again."""
    chance, form = random.Random(20261122), found.form
    began = time.monotonic()
    before = found.told.done.copy()
    minute = 0
    with promises.Checking(found.a.service, journal, found.told) as checking:
        while (minute := minute + 1) <= form.kills and time.monotonic() < began + form.seconds:
            _until(began + form.every_s * (minute - 0.6))
            _kill_preparer(found)
            _until(began + form.every_s * minute - chance.uniform(0, form.every_s / 6))
            found.lives.append(held(pid_of(found.a.process)))
            found.abroad.append(held(pid_of(found.b.process)))
            what = _kill(found, minute)
            if minute == (form.kills + 1) // 2:
                _stopped_audit(found)
            ready = _start_again(found, what)
            checking.add(journal.end)
            _follow(found)
            _row(found, minute, f"{what}, {ready:.1f} s", found.told.done - before, checking.asked)
            before = found.told.done.copy()
    found.asked = checking.asked


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _row(found: Run, minute: int, killed: str, done: Counter[str], again: int) -> None:
    a, b = found.lives[-1], found.abroad[-1]
    refused, found.told.refused = found.told.refused, Counter()
    print(
        f"{minute:6} | {killed} | {done['issued']} | {done['rows']} | {done['acts']} | {done['decided']}"
        f" | {done['scanned']} | {done['verified']} | {dict(refused)} | {again}"
        f" | {a.mib:.0f}, {a.files} | {b.mib:.0f}, {b.files} | {growth.half_written(found.a.settings.tiles)}",
        flush=True,
    )


def _kill_preparer(found: Run) -> None:
    for pid in preparers(pid_of(found.a.process))[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill(found: Run, minute: int) -> str:
    """Kill the service, or every third time its database server; never both, each has to do without the other."""
    if found.store.server is not None and minute % 3 == 0:
        found.store.server.kill9()
        return "database server"
    found.a.process.kill()
    return "service"


def _start_again(found: Run, what: str) -> float:
    """Start what died; returns after how many seconds the service was ready."""
    began = time.monotonic()
    if what == "service":
        while True:  # on a busy machine one start may take longer than it is given; a supervisor tries again
            try:
                found.a.process.start()
            except RuntimeError:
                if time.monotonic() > began + READY_S * STARTS:
                    raise
            else:
                return time.monotonic() - began
    assert found.store.server is not None
    found.store.server.start()
    while found.a.service.http.get("/readyz").status_code != 200:
        if time.monotonic() > began + READY_S:
            found.told.breaks("the service did not come back by itself after its database did")
            break
        time.sleep(0.1)
    return time.monotonic() - began


def _stopped_audit(found: Run) -> None:
    """Audit between two lives, where the service and not its database was killed."""
    if found.a.process.pid is None:
        _audited(found, found.a.settings, "in the middle")


def _audited(found: Run, settings: Settings, when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "audit", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | environment(settings),
    )
    found.holds(f"audit of {settings.region} {when}: {done.stdout.strip()[-300:]}", done.returncode == 0)


def _follow(found: Run) -> None:
    """Ask the other region how the log it follows looks to it."""
    for state in _states(found):
        found.followed[state] += 1
        if state not in ("followed", "unreachable"):
            found.told.breaks(f"the other region says of the log that it is {state}")


def _states(found: Run) -> list[str]:
    peers = found.b.service.client("operator").get("/v1/peers", operator=over_http.OPERATOR).json()["items"]
    return [str(each["following"]["state"]) for each in peers]


def _evening(found: Run, journal: Journal, onlooker: Onlooker) -> None:
    """Nobody asks any more: see that all of it is there, and that nothing has grown."""
    never = threading.Event()
    callers = [Caller(found.a.service, journal, found.told, never) for _ in range(promises.AT_ONCE)]
    again = promises.nothing_lost(callers, journal, found.told, 0, journal.end)
    standing = promises.listed(callers[0], journal, found.told, 0, journal.end)
    promises.settled(callers[0], journal, found.told, QUIET_S)
    print(f"       | {journal.lines} acknowledgements; {again} requests asked for again, {standing} slots looked up")
    entries = list(promises.entries_acknowledged(journal))
    found.holds("no index was given twice", len(entries) == len(set(entries)))
    http = found.a.service.http
    found.holds("all of it is published", until_at(http, max(entries, default=0) + 1, QUIET_S))
    found.holds("it is ready", http.get("/readyz").status_code == 200)
    _wait_followed(found)
    for caller in callers:
        caller.http.close()
    ended_at = datetime.now(UTC)
    for process in (found.a.process, found.b.process):
        process.stop()
    _audited(found, found.a.settings, "at the end")
    _audited(found, found.b.settings, "at the end")
    found.holds(f"{onlooker.judge(found.a.settings)} checkpoints seen from outside, all of this log", True)
    _growth(found, ended_at)


def _wait_followed(found: Run) -> None:
    until = time.monotonic() + QUIET_S
    while (states := _states(found)) != ["followed"] and time.monotonic() < until:
        time.sleep(0.5)
    found.holds(f"the other region follows: {states}; seen each minute: {dict(found.followed)}", states == ["followed"])


def _growth(found: Run, ended_at: datetime) -> None:
    kills, minutes = found.form.kills, found.form.seconds / 60
    scans = found.told.done["scanned"]
    for settings in (found.a.settings, found.b.settings):
        for bound, rows in growth.overgrown(settings, growth.bounds(kills, minutes, scans, ended_at)):
            found.holds(
                f"{settings.region} {bound.table} ({bound.what}): {rows} of at most {bound.most}: {bound.why}",
                rows <= bound.most,
            )
        left, most = growth.half_written(settings.tiles), growth.LEFT_BY_A_KILL * kills
        found.holds(f"{settings.region} half-written files: {left} of at most {most}", left <= most)
    for name, values in (("one life after the other", found.lives), ("one long life", found.abroad)):
        found.holds(f"memory, {name}", not growth.grew([each.mib for each in values], 0.25, 24))
        found.holds(f"open files, {name}", not growth.grew([float(each.files) for each in values], 0.1, 16))
    print(f"       | grows by design: {growth.by_design(found.a.settings)}", flush=True)
