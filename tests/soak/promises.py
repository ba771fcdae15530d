"""Was anything lost? Everything acknowledged is asked for again, and seen in what is published."""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import orjson

from api.cli.demo_service import DemoService
from api.cli.http_client import Refused, good
from benchmarks import over_http
from benchmarks.dynamic_codes import MATTER
from tests.soak.callers import Caller, Told, all_there, rows
from tests.soak.doings import WINDOW
from tests.soak.journal import Journal, digest
from verifiers.encoding import b64u_decode

AT_ONCE = 4
LISTED_S = 30.0
"""Longest wait for a status list to say what was acknowledged; it is published within a second."""
SCAN_S = 60.0
"""Codes older than this are refused for their age, so asking again would show nothing."""


def nothing_lost(callers: list[Caller], journal: Journal, told: Told, start: int, end: int) -> int:
    """Ask for everything acknowledged in that part of the journal again; returns how much that was."""
    lock, lines = threading.Lock(), journal.read(start, end)

    def next_line() -> dict[str, Any] | None:
        with lock:
            return next(lines, None)

    def ask(caller: Caller) -> int:
        done = 0
        while (line := next_line()) is not None:
            done += _again(caller, told, line)
        return done

    with ThreadPoolExecutor(len(callers)) as pool:
        return sum(pool.map(ask, callers))


class Checking:
    """Asks for parts of the journal again, one after the other, while the day goes on; ends when all are done."""

    def __init__(self, service: DemoService, journal: Journal, told: Told) -> None:
        self._callers = [Caller(service, journal, told, threading.Event()) for _ in range(AT_ONCE)]
        self._journal = journal
        self._told = told
        self._ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._check)
        self.asked = 0

    def add(self, end: int) -> None:
        """Let everything be asked for that was acknowledged up to `end`, and was not yet."""
        self._ends.put(end)

    def _check(self) -> None:
        start = 0
        try:
            while (end := self._ends.get()) is not None:
                self.asked += nothing_lost(self._callers, self._journal, self._told, start, end)
                listed(self._callers[0], self._journal, self._told, start, end)
                start = end
        except Exception as error:
            self._told.breaks(f"from {start} on of the journal nothing was asked for again: {error!r}")
            raise

    def __enter__(self) -> Checking:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.put(None)
        self._thread.join()
        for caller in self._callers:
            caller.http.close()


def _again(caller: Caller, told: Told, line: dict[str, Any]) -> int:
    what = line["what"]
    try:
        if what == "post":
            return _post(caller, told, line)
        if what == "rows":
            return _rows(caller, told, line)
        if what == "scan" and time.time() - line["at"] < SCAN_S:
            return _scan(caller, told, line)
    except Refused as refused:
        told.breaks(f"asked again, {what} {line.get('key') or line.get('first')} is refused: {refused}")
        return 1
    return 0


def _post(caller: Caller, told: Told, line: dict[str, Any]) -> int:
    client, operator = caller.client(line["client"]), line["operator"]
    answer = caller.insist(lambda: client.post(line["path"], line["body"], operator=operator, key=line["key"]))
    if digest(answer) != line["answer"]:
        told.breaks(f"{line['path']} {line['key']}: another answer than the one acknowledged")
    return 1


def _rows(caller: Caller, told: Told, line: dict[str, Any]) -> int:
    sent, client = rows(line["first"], line["bodies"]), caller.client(line["client"])

    def ask() -> list[str]:
        # The token, too, is asked of a service that may just have been killed.
        headers = dict(over_http.authorised(client)) | {"Content-Type": "application/x-ndjson"}
        answer = good(caller.http.post("/v1/licences/batch", content=sent, headers=headers))
        heard = [orjson.loads(each) for each in answer.content.splitlines()]
        return [digest(each) for each in all_there(heard, len(line["bodies"]))]

    found = caller.insist(ask)
    if any(told not in (None, again) for told, again in zip(line["answers"], found, strict=False)):
        told.breaks(f"batch {line['first']}: other answers than those acknowledged")
    return len(line["answers"])


def _scan(caller: Caller, told: Told, line: dict[str, Any]) -> int:
    """A code that was redeemed before a crash is not good again."""
    asked = {"code": line["code"], "matter": MATTER, "purpose": "示例办理"}
    try:
        caller.insist(lambda: caller.client(WINDOW).post("/v1/scans", asked, operator=over_http.OPERATOR))
    except Refused:
        return 1
    told.breaks("a dynamic code was good twice")
    return 1


class Lists:
    """The published status lists of a region, fetched when asked for."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def bits(self, uri: str) -> bytes:
        """Return the unpacked bits of one list."""
        token = self._caller.insist(lambda: good(self._caller.http.get(uri))).text
        claims = orjson.loads(b64u_decode(token.split(".")[1]))
        return zlib.decompress(b64u_decode(claims["status_list"]["lst"]))

    def wrong(self, standing: Iterable[dict[str, Any]]) -> list[str]:
        """Return the licences that the lists say something else of than what was acknowledged."""
        known: dict[str, bytes] = {}
        found = []
        for line in standing:
            uri, idx = line["status"]["uri"], int(line["status"]["idx"])
            bits = known[uri] if uri in known else known.setdefault(uri, self.bits(uri))
            slot = bits[idx // 4] >> (2 * (idx % 4)) & 3 if idx // 4 < len(bits) else 0
            if (slot == 0) != line["stands"]:
                found.append(f"{line['id']} stands: {line['stands']}, its slot says {slot}")
        return found


def listed(caller: Caller, journal: Journal, told: Told, start: int, end: int) -> int:
    """See that published lists say of every licence nobody touches any more what was acknowledged."""
    standing = [line for line in journal.read(start, end) if line["what"] == "stands"]
    until, lists = time.monotonic() + LISTED_S, Lists(caller)
    while (wrong := lists.wrong(standing)) and time.monotonic() < until:
        time.sleep(0.5)
    for each in wrong[:5]:
        told.breaks(f"status list: {each}")
    return len(standing)


def entries_acknowledged(journal: Journal) -> Iterator[int]:
    """Give the index of every single licence or act that was acknowledged with one."""
    for line in journal.read(0, journal.end):
        if line["what"] == "post" and line["path"].startswith("/v1/licences") and isinstance(line["entry"], int):
            yield line["entry"]


def settled(caller: Caller, journal: Journal, told: Told, seconds: float) -> None:
    """See that every decision stands and is settled, and every background batch is done, all rows of it."""
    until = time.monotonic() + seconds
    for line in journal.read(0, journal.end):
        if line["what"] == "background":
            path = f"/v1/batches/{line['id']}"
            while (found := caller.get("education-business", path))["state"] != "done" and time.monotonic() < until:
                time.sleep(0.5)
            if (found["state"], found["accepted"]) != ("done", line["rows"]):
                told.breaks(f"batch {line['id']}: {found['state']}, {found['accepted']} of {line['rows']} rows")
        if line["what"] == "decision":
            path = f"/v1/fraud-flags/{line['case']}"
            while not (case := caller.get("education-supervisor", path))["decision"]["settled"]:
                if time.monotonic() > until:
                    told.breaks(f"case {line['case']} is not settled")
                    break
                time.sleep(0.5)
            if case["state"] not in ("upheld", "reversed"):
                told.breaks(f"case {line['case']} was decided and is {case['state']}")
