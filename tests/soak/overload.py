"""Ten times more than the service can do, and callers who misbehave: `python -m tests.soak --only overload`.

First the service's capacity is measured with a modest load. Then ten times as much is offered, half of it licences to
issue and half to verify, by a process that does not wait. What is promised is checked after it:

- nobody is answered 5xx but 503 with `Retry-After` and a problem document, and nobody is left without an answer;
- memory stays under a bound that follows from the settings, and goes on staying there while strangers come;
- who was let in is answered within a bound that follows from the settings;
- every accepted licence is in the log exactly once: asked again under its key the answer has the same bytes;
- afterwards the service is as before: nothing waits, it is ready, a modest load is served.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from api.cli.demo_service import DemoService, ServiceProcess, prepared
from api.connections import STALLED_S
from benchmarks import over_http, requests
from benchmarks.load import HOST
from tests.soak.asking import asked_again
from tests.soak.offering import Offer, Outcome, offer
from tests.soak.place import licences_in, pid_of, store
from tests.soak.processes import Watch, held
from tests.soak.strangers import Crowd, come

MODEST = 64
"""Connections of a modest load: as many as the door never turns away."""
POLITE = 8
CALL_BYTES = 64 << 10
"""What a call under way may hold: its body, the licence built from it, its record, its answer, a few KiB each."""
CONNECTION_BYTES = 32 << 10
"""What a connection may hold: two buffers, parser and task; its part of the kernel's is not ours."""
SLACK_BYTES = 64 << 20
"""Caches that fill, and what the allocator does not give back, whatever is offered."""
LANES = 2
WAITS = 3
"""Longest waits of the settings that who was let in may take: one that was expected when it was let in, one because
what was expected is what the last half second was like, one in the sockets before the door sees it."""


@dataclass(frozen=True, slots=True)
class Form:
    """How much of it; only the full form says how long things took and judges that."""

    engine: str
    capacity_s: float
    seconds: float
    times: float
    connections: int
    each: int
    idle: int
    hold_s: float
    timed: bool
    settings: dict[str, object] = field(default_factory=dict)


def full(engine: str) -> Form:
    """Give the form that measures: a minute of ten times what the service can do, ten thousand idle connections."""
    return Form(engine, 8.0, 60.0, 10.0, 2_000, 100, 10_000, 45.0, timed=True)


SHORT = Form(
    "sqlite", 1.0, 3.0, 10.0, 600, 8, 300, 0.0, timed=False, settings={"head_timeout_s": 1.0, "body_timeout_s": 1.0}
)


@dataclass
class Run:
    """One run: where the service is, what was found out, and which promises broke."""

    form: Form
    service: DemoService
    process: ServiceProcess
    folder: Path
    lines: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    next_number: int = 1

    def says(self, line: str) -> None:
        """Print a line of the table."""
        self.lines.append(line)
        print(line, flush=True)

    def holds(self, what: str, right: bool) -> None:
        """Print whether a promise held."""
        self.says(f"{'holds ' if right else 'BROKEN'} | {what}")
        if not right:
            self.broken.append(what)

    @property
    def accepted(self) -> Path:
        """Where accepted licences are written down, outside the service."""
        return self.folder / "accepted"

    def offer(self, rate: float, seconds: float, connections: int, presented: list[str]) -> Outcome:
        """Offer a load, with numbers nobody had yet."""
        client = self.service.client(requests.ISSUER)
        first, self.next_number = self.next_number, self.next_number + 1_000_000
        headers = over_http.authorised(client)
        port = self.service.settings.port
        return offer(Offer(port, rate, seconds, connections, headers, first, presented, str(self.accepted)))


@contextmanager
def place(form: Form) -> Iterator[Run]:
    """Serve a fresh region for a run."""
    with tempfile.TemporaryDirectory(prefix="elicence-soak-") as name, store(form.engine) as kept:
        folder = Path(name)
        changes: dict[str, Any] = {**kept.settings, **form.settings}
        settings = prepared(folder, **changes)
        process = ServiceProcess(settings, folder)
        process.start()
        try:
            with httpx.Client(base_url=settings.base_url, timeout=60) as http:
                yield Run(form, DemoService(settings, folder, http), process, folder)
        finally:
            process.stop()


def run(form: Form) -> Run:
    """Do all of it, print a table, and say which promises broke."""
    with place(form) as found:
        presented = [each["licence"] for each in over_http.issued(found.service, 50, 90_000_000)]
        capacity = _capacity(found, presented)
        _overload(found, capacity, presented)
        _recovered(found, presented)
        _once(found)
        _strangers(found)
        _recovered(found, presented)
    return found


def _capacity(found: Run, presented: list[str]) -> float:
    if found.form.timed:
        found.offer(0, found.form.capacity_s / 2, MODEST, presented)  # warm
    modest = found.offer(0, found.form.capacity_s, MODEST, presented)
    found.says(
        f"       | capacity: {modest.good / modest.seconds:.0f} requests a second, half issue and half verify, over"
        f" {MODEST} connections; p99 {modest.quantile_ms('issue', 0.99)} and {modest.quantile_ms('verify', 0.99)} ms"
    )
    found.holds("a modest load is served, all of it", modest.good == modest.answered and not modest.broken)
    return modest.good / modest.seconds


def _overload(found: Run, capacity: float, presented: list[str]) -> None:
    form, settings = found.form, found.service.settings
    pid = pid_of(found.process)
    with Watch(pid) as watch:
        over = found.offer(form.times * capacity, form.seconds, form.connections, presented)
    statuses = dict(sorted(over.statuses().items()))
    found.says(
        f"       | offered for {over.seconds:.0f} s over {form.connections} connections: {over.sent / over.seconds:.0f}"
        f" a second ({over.sent / over.seconds / capacity:.1f} times capacity), and {over.unsent / over.seconds:.0f}"
        f" a second that found every connection waiting; answers {statuses}; refusals {dict(over.codes)}"
    )
    found.says(
        f"       | served meanwhile: {over.good / over.seconds:.0f} a second; accepted, p50 / p99: issue"
        f" {over.quantile_ms('issue', 0.5)} / {over.quantile_ms('issue', 0.99)} ms, verify"
        f" {over.quantile_ms('verify', 0.5)} / {over.quantile_ms('verify', 0.99)} ms; the generator took"
        f" {over.cpu_s / over.seconds:.2f} cores"
    )
    found.holds("the process is the one it was", held(pid).processes > 0)
    found.holds("no answer but 2xx and 503 with Retry-After and a problem", over.untold == 0)
    found.holds("every request was answered", over.broken == 0)
    found.holds("some were served", all(over.taken_ms.values()))
    most = bound_bytes(form.connections, settings.max_calls)
    found.holds(
        f"memory: {watch.memory >> 20} MiB at most, {watch.first.memory >> 20} before; bound: {most >> 20} more",
        watch.memory - watch.first.memory <= most,
    )
    if form.timed:
        bound = WAITS * settings.max_wait_ms
        slowest = max(over.quantile_ms(kind, 0.99) for kind in over.taken_ms)
        found.holds(
            f"p99 of what was let in: {slowest} ms; bound: {bound} ms, {WAITS} times the longest wait"
            f" (others had the cores: what took 1 s took {watch.starved:.1f} s)",
            slowest <= bound,
        )


def bound_bytes(connections: int, max_calls: int) -> int:
    """Return by how much memory may grow under load: every place of both lanes taken, every connection there."""
    return LANES * max_calls * CALL_BYTES + connections * CONNECTION_BYTES + SLACK_BYTES


def _recovered(found: Run, presented: list[str]) -> None:
    """Nothing waits, it is ready, and a modest load is served."""
    began = time.monotonic()
    http = found.service.http
    quiet = False
    while not quiet and time.monotonic() < began + 30:
        quiet = http.get("/readyz").status_code == 200 and _figure(http, "elicence_writer_queue") == 0
        time.sleep(0.05)
    found.holds(f"after {time.monotonic() - began:.1f} s it is ready and nothing waits", quiet)
    after = found.offer(0, found.form.capacity_s, POLITE, presented)
    slowest = max(after.quantile_ms(kind, 0.99) for kind in after.taken_ms)
    found.says(
        f"       | then a modest load: {after.good / after.seconds:.0f} a second over {POLITE} connections,"
        f" p99 {slowest} ms"
    )
    found.holds("it is served, all of it", after.good == after.answered > 0 and not after.broken)
    if found.form.timed:
        bound = found.service.settings.max_wait_ms
        found.holds(f"within the longest wait: {bound} ms", slowest <= bound)


def _figure(http: httpx.Client, name: str) -> float:
    lines = http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def _once(found: Run) -> None:
    """What was accepted is there once, with the same answer; what was turned away is not there."""
    lines = [line.split() for line in found.accepted.read_text().splitlines()]
    entries = Counter(entry for _, _, entry in lines)
    found.holds("no index was given twice", all(count == 1 for count in entries.values()))
    stored = licences_in(found.service.settings)
    found.holds(f"{stored} licences in the log, {len(lines)} accepted and 50 before", stored == len(lines) + 50)
    headers = over_http.authorised(found.service.client(requests.ISSUER))
    port = found.service.settings.port
    differing = asked_again(port, headers, [(int(number), digest) for number, digest, _ in lines])
    found.holds(f"{len(lines)} accepted licences asked for again: {differing} other answers", differing == 0)
    found.holds("and none was issued again", licences_in(found.service.settings) == stored)


def _strangers(found: Run) -> None:
    """Let everybody come who misbehaves, and see that others are served meanwhile and how each kind was treated."""
    form, settings, pid = found.form, found.service.settings, pid_of(found.process)
    headers = over_http.authorised(found.service.client(requests.ISSUER))
    crowd = Crowd(
        settings.port, headers, form.each, form.idle, settings.head_timeout_s, settings.body_timeout_s,
        STALLED_S if form.timed else 0.0, form.hold_s,
    )  # fmt: skip
    over = threading.Event()
    waits: list[float] = []
    refused: Counter[int] = Counter()
    served = threading.Thread(target=_politely, args=(found, over, waits, refused))
    with Watch(pid) as watch:
        served.start()
        try:
            counts = come(crowd)
        finally:
            over.set()
            served.join()
    for kind, treated in counts.items():
        found.says(f"       | {kind}: {', '.join(f'{count} {how}' for how, count in treated.items())}")
    waits.sort()
    found.says(
        f"       | others meanwhile: {len(waits)} licences issued, p50 {1000 * waits[len(waits) // 2]:.0f},"
        f" p99 {1000 * waits[len(waits) * 99 // 100]:.0f} ms; open files at most {watch.files}"
    )
    found.holds("others are served, all of them", not refused)
    most = bound_bytes(form.idle + 8 * form.each, settings.max_calls)
    found.holds(
        f"memory: {watch.memory >> 20} MiB at most, {watch.first.memory >> 20} before; bound: {most >> 20} more",
        watch.memory - watch.first.memory <= most,
    )
    for kind, expected in TREATED.items():
        if form.timed or kind != "answer never read":
            right = set(counts[kind]) <= expected
            found.holds(f"{kind}: {' or '.join(sorted(expected))}", right)
    idle = counts["idle"]
    found.holds("idle connections are kept and served again", idle["seated"] == idle["served again"] > 0)
    if form.timed:
        found.holds("their files are given back", _files_given_back(pid, watch.first.files))


def _files_given_back(pid: int, before: int) -> bool:
    until = time.monotonic() + 10
    while held(pid).files > before + MODEST and time.monotonic() < until:
        time.sleep(0.2)
    return held(pid).files <= before + MODEST


TREATED = {
    "head by the byte": {"closed"},
    "body by the byte": {"408", "503", "closed"},
    "answer never read": {"closed"},
    "body declared huge": {"413", "503", "closed"},
    "body without an end": {"413", "503", "closed"},
    "silent": {"closed"},
    "reset in a request": {"gone"},
    "gone before the answer": {"gone"},
}
"""What each kind may see; one that still sends when it is told may miss the word (RFC 9112 §9.6), and who
comes while the lane of his call is full is told so before his body is read (503)."""


def _politely(found: Run, over: threading.Event, waits: list[float], refused: Counter[int]) -> None:
    """Issue one licence after the other and note how long each took."""
    base = f"http://{HOST}:{found.service.settings.port}"
    with httpx.Client(base_url=base, timeout=60) as http:
        client = DemoService(found.service.settings, found.folder, http).client(requests.ISSUER)
        for number in islice(_counting(over), 1_000_000):
            began = time.perf_counter()
            headers = dict(over_http.authorised(client, f"polite-{number}"))
            answer = http.post("/v1/licences", json=requests.licence(80_000_000 + number), headers=headers)
            if answer.is_success:
                waits.append(time.perf_counter() - began)
            else:
                refused[answer.status_code] += 1
            time.sleep(0.01)


def _counting(over: threading.Event) -> Iterator[int]:
    number = 0
    while not over.is_set() or number == 0:
        yield number
        number += 1
