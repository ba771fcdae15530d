"""`make bench-growth`: how rate, latency, size and memory change while a region grows, through its real write path.

Licences are issued over HTTP in batches, each to another person and each resting on an earlier licence. At every mark
the service is asked, one request at a time, for things that lie anywhere in the log; what is on disk and in memory is
read off. At the end a start is timed and the audit is run. Prints tables, writes `var/growth.json` and plots; speeds
are printed and never judged, but a wrong answer or a finding of the audit ends it with exit status 1.

With `--copies-from N` the licences between two marks are copies (`benchmarks.copied_entries`) once there are N: the
marks themselves stay real, and ten million take an hour instead of two or more. Then the audit is one of the log alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from api.cli.demo_service import DemoService, ServiceProcess
from api.cli.http_client import ServiceClient, good
from benchmarks import copied_entries, growth_ends, growth_plots, requests
from benchmarks.over_http import OPERATOR, authorised, p95
from benchmarks.served import ENGINES, ServerClock, stoppable
from verifiers.tiles import WIDTH, Tile

CALL: Final = 5_000
"""Licences a batch call."""

WINDOW: Final = 20_000
"""Licences over which a rate is taken at a mark."""

ASKED: Final = 60
"""Requests of each kind at a mark."""

SMALL: Final = 100_000
TURNS: Final = 5
"""The region that a grown one is compared with, and how often."""

KEPT: Final = 400
"""Licences kept to ask for, drawn evenly from all that were issued."""

MATTER: Final = "EXAMPLE-SX-0117023"


@dataclass(frozen=True, slots=True)
class Known:
    """A licence that was issued, and the number of its holder."""

    id: str
    licence: str = field(repr=False)
    code: str = field(repr=False)
    number: int


@dataclass(slots=True)
class Mark:
    """What was measured with so many licences issued, rates over the last of them; milliseconds and bytes.

    `copied_per_second` and `start_s` (until ready) are 0 where the licences before this mark were not copies.
    """

    licences: int
    copied_per_second: float = 0.0
    start_s: float = 0.0
    per_second: float = 0.0
    micros: float = 0.0
    memory: int = 0
    disk: int = 0
    tiles: int = 0
    p50: dict[str, float] = field(default_factory=dict)
    p95: dict[str, float] = field(default_factory=dict)


class Growing:
    """A served region that is being filled."""

    def __init__(self, service: DemoService, process: ServiceProcess, window: int = WINDOW) -> None:
        self.issued = 0
        self.window = window
        self._service, self._process = service, process
        self._issuer = service.client(requests.ISSUER)
        self._clock = ServerClock(process.pid)
        self._chance = random.Random(11)
        self._known: list[Known] = []
        self._drawn_from = 0
        self._root = ""

    def copy(self, until: int, said: Callable[[int], None]) -> Mark:
        """Stop the service, append copies until there are `until` licences, and start it again."""
        self._process.stop()
        rate = copied_entries.fill(self._service.settings, self._root, self.issued, until, said)
        self.issued = until
        began = time.perf_counter()
        self._process.start()
        started = time.perf_counter() - began
        self._clock = ServerClock(self._process.pid)
        return Mark(0, copied_per_second=rate, start_s=started)

    def fill(self, until: int, said: Callable[[int], None]) -> float:
        """Issue until there are `until` licences; two calls are under way, so that the service is never idle."""
        began, first = time.perf_counter(), self.issued
        under_way: list[Future[list[dict[str, Any]]]] = []
        with ThreadPoolExecutor(2) as callers:
            for start in self._starts(until):
                under_way.append(callers.submit(self._batch, start, min(CALL, until - start)))
                if len(under_way) == 2:
                    self._keep(under_way.pop(0).result())
                    said(self.issued)
            for each in under_way:
                self._keep(each.result())
        return (self.issued - first) / (time.perf_counter() - began)

    def rate(self, said: Callable[[int], None]) -> tuple[float, float]:
        """Issue the next licences; return how many a second, and the CPU microseconds the service took for each."""
        before = self._clock.seconds()
        rate = self.fill(self.issued + self.window, said)
        return rate, 1e6 * (self._clock.seconds() - before) / self.window

    def mark(self, said: Callable[[int], None], found: Mark) -> Mark:
        """Measure the next licences, then ask for everything; puts it into `found`."""
        found.per_second, found.micros = self.rate(said)
        found.licences = self.issued
        time.sleep(1.5)  # published, and what was dirty is written
        found.memory = self._clock.memory()
        found.disk = growth_ends.database_bytes(self._service.settings.database_url)
        found.tiles = _folder_bytes(self._service.settings.tiles)
        for name, ask in self._questions().items():
            taken = [_timed(ask, each) for each in self._chance.choices(self._known, k=ASKED)]
            found.p50[name], found.p95[name] = statistics.median(taken), p95(taken)
        return found

    def _starts(self, until: int) -> Iterator[int]:
        return iter(range(self.issued, until, CALL))

    def _batch(self, first: int, count: int) -> list[dict[str, Any]]:
        rows = []
        for number in range(first, first + count):
            row = {"client_ref": f"g-{number}", **requests.licence(number)}
            if self._root:
                row["rests_on"] = [requests.resting_on(self._root)]
            rows.append(orjson.dumps(row))
        headers = dict(authorised(self._issuer, f"growth-{first}")) | {"Content-Type": "application/x-ndjson"}
        sent = self._service.http.post("/v1/licences/batch", content=b"\n".join(rows), headers=headers, timeout=600)
        answers = [orjson.loads(line) for line in good(sent).content.splitlines()]
        refused = [each for each in answers if "identifier" not in each]
        if refused or len(answers) != count:
            message = f"{len(refused)} of {len(answers)} rows were refused: {refused[:1]}"
            raise RuntimeError(message)
        return [each | {"holder_number": number} for number, each in enumerate(answers, first)]

    def _keep(self, answers: list[dict[str, Any]]) -> None:
        self._root = self._root or answers[0]["id"]
        self._drawn_from += len(answers)
        for each in self._chance.sample(answers, min(len(answers), 40)):
            known = Known(each["id"], each["licence"], each["code"], each["holder_number"])
            if len(self._known) < KEPT:
                self._known.append(known)
            elif self._chance.random() < KEPT * len(answers) / (40 * self._drawn_from):
                self._known[self._chance.randrange(KEPT)] = known
        self.issued += len(answers)

    def _questions(self) -> dict[str, Callable[[Known], object]]:
        http, issuer, window = self._service.http, self._issuer, self._service.client("housing-window")
        return {
            "verify": lambda known: _valid(good(http.post("/v1/verify", json={"presented": known.licence})).json()),
            "receipt": lambda known: _read(issuer, f"/v1/licences/{known.id}/receipt"),
            "history": lambda known: _read(issuer, f"/v1/licences/{known.id}/history"),
            "subject look-up": lambda known: _found(issuer, known),
            "scan of a static code": lambda known: _scan(window, known),
            "hash tile": lambda known: good(http.get(f"/log/{Tile(0, self._full_tile(known)).path()}")),
        }

    def _full_tile(self, known: Known) -> int:
        return max(0, min(known.number, self.issued - WIDTH)) // WIDTH


def _timed(ask: Callable[[Known], object], known: Known) -> float:
    began = time.perf_counter()
    ask(known)
    return 1000 * (time.perf_counter() - began)


def _read(client: ServiceClient, path: str) -> bytes:
    return client.get(path, operator=OPERATOR).content


def _valid(verdict: dict[str, Any]) -> None:
    if verdict["outcome"] != "valid":
        message = f"a licence that was issued is {verdict['verdict']}: {verdict['reasons']}"
        raise RuntimeError(message)


def _found(client: ServiceClient, known: Known) -> None:
    holder = requests.person(known.number)
    asked = {"holder": {"id_type": holder["id_type"], "id": holder["id"]}, "purpose": "基准测试"}
    items = client.post("/v1/licences/search", asked, operator=OPERATOR)["items"]
    if [each["id"] for each in items] != [known.id]:
        message = f"a holder of one licence was found to have {len(items)}"
        raise RuntimeError(message)


def _scan(client: ServiceClient, known: Known) -> None:
    asked = {"code": known.code, "matter": MATTER, "purpose": "基准测试"}
    client.post("/v1/scans", asked, operator=OPERATOR)


def _folder_bytes(folder: Path) -> int:
    held = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a partial tile goes when the full one is there
                held += (Path(place) / name).stat().st_blocks * 512
    return held


def marks_to(licences: int) -> list[int]:
    """Return where to measure: at 30,000, 100,000, 300,000 … and in the end."""
    steps = [factor * 10**power for power in range(4, 8) for factor in (1, 3)][1:]
    return [each for each in steps if each < licences] + [licences]


def grow(engine: str, licences: int, copies_from: int) -> growth_ends.Grown:
    """Fill a fresh region on `engine`, measuring at each mark; then start it anew and audit it."""

    def said(done: int) -> None:
        _progress(engine, done, licences)

    with stoppable(engine) as (service, process):
        window = min(WINDOW, licences // 3)
        growing = Growing(service, process, window)
        found: list[Mark] = []
        for mark in marks_to(licences):
            until, begun = max(mark - window, growing.issued), Mark(0)
            # What is copied rests on a licence of the first mark.
            growing.fill(min(until, max(copies_from, growing.issued)) if found else until, said)
            if growing.issued < until:
                begun = growing.copy(until, said)
            found.append(growing.mark(said, begun))
            _print_mark(engine, found[-1])
        turns = in_turns(engine, growing, said) if licences > copies_from else []
        ends = growth_ends.measure(service, process, log_only=licences > copies_from)
    return growth_ends.Grown(engine, [asdict(each) for each in found], ends, turns)


def in_turns(engine: str, large: Growing, said: Callable[[int], None]) -> list[dict[str, float]]:
    """Issue to the grown region and to one of `SMALL` licences by turns: what the machine does besides hits both."""
    turns = []
    with stoppable(engine) as (service, process):
        small = Growing(service, process, large.window)
        small.fill(large.window, said)
        small.copy(SMALL, said)
        for _ in range(TURNS):
            (small_rate, small_us), (large_rate, large_us) = small.rate(said), large.rate(said)
            turns.append({"small": small_rate, "small_us": small_us, "large": large_rate, "large_us": large_us})
            sys.stdout.write(
                f"{engine:<11}{small.issued:>10,} {small_rate:>7,.0f}/s {small_us:>5.0f} us  beside "
                f"{large.issued:>10,} {large_rate:>7,.0f}/s {large_us:>5.0f} us\n"
            )
            sys.stdout.flush()
    return turns


def _progress(engine: str, done: int, whole: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{engine}: {done:,} of {whole:,} licences ")


def _print_mark(engine: str, mark: Mark) -> None:
    times = "  ".join(f"{name} {mark.p50[name]:.1f}/{mark.p95[name]:.1f}" for name in mark.p50)
    sys.stdout.write(
        f"{engine:<11}{mark.licences:>10,} {mark.per_second:>7,.0f}/s {mark.micros:>5.0f} us  "
        f"{mark.disk / mark.licences:>6,.0f} B/licence  memory {mark.memory / 2**20:>5.0f} MiB  ms: {times}"
        + (f"  copied {mark.copied_per_second:,.0f}/s, start {mark.start_s:.2f} s\n" if mark.start_s else "\n")
    )
    sys.stdout.flush()


def main() -> int:
    """Grow a region on each engine asked for; print, write and draw."""
    options = argparse.ArgumentParser(prog="benchmarks.growth", description=__doc__)
    options.add_argument("--licences", type=int, default=1_000_000)
    options.add_argument("--copies-from", type=int, default=10**9)
    options.add_argument("--engine", choices=ENGINES, action="append")
    options.add_argument("--out", type=Path, default=Path("var/growth.json"))
    options.add_argument("--plots", type=Path, default=Path("var/growth"))
    chosen = options.parse_args()
    grown = [grow(engine, chosen.licences, chosen.copies_from) for engine in chosen.engine or ENGINES]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps([asdict(each) for each in grown], indent=1) + "\n")
    for path in growth_plots.draw([asdict(each) for each in grown], chosen.plots):
        sys.stdout.write(f"{path}\n")
    for each in grown:
        sys.stdout.write(each.ends.told(each.engine))
    return 0 if all(each.ends.sound for each in grown) else 1


if __name__ == "__main__":
    sys.exit(main())
