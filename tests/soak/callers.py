"""A caller as a department's system is one: it asks again under the same key until it is answered.

What it may hear meanwhile is silence (nobody listens, the line breaks) and 503; anything else is a promise broken.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import orjson

from api.cli.demo_service import DemoService
from api.cli.http_client import Refused, ServiceClient
from benchmarks import over_http
from tests.soak.journal import Journal, digest

T = TypeVar("T")

PATIENCE_S = 180.0
AGAIN_S = 0.1


class Stopped(Exception):
    """The run is over, and what was asked for was never answered."""


@dataclass
class Told:
    """What all callers of a run were told: counts by doing, refusals by code, and promises found broken."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        """Count something done."""
        with self.lock:
            self.done[what] += number

    def breaks(self, what: str) -> None:
        """Note a broken promise."""
        with self.lock:
            self.broken.append(what)
        print(f"BROKEN | {what}", flush=True)


class Caller:
    """One thread's way to a service; not to be shared."""

    def __init__(self, service: DemoService, journal: Journal, told: Told, over: threading.Event) -> None:
        http = httpx.Client(base_url=service.settings.base_url, timeout=30)
        self._service = DemoService(service.settings, service.folder, http)
        self._clients: dict[str, ServiceClient] = {}
        self._over = over
        self.silences = 0
        """How often something was asked for once more, because it was not answered or not now."""
        self.http = http
        self.journal = journal
        self.told = told

    def client(self, name: str) -> ServiceClient:
        """Return a client by name; it keeps its token."""
        return self._clients.setdefault(name, self._service.client(name))

    def identity(self, holder: dict[str, str]) -> str:
        """Sign that a holder is there, as the identity platform would."""
        return self._service.identity_token(holder["id_type"], holder["id"])

    def insist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer. Raises `Refused` for what is no 503, `Stopped`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except httpx.TransportError:
                code = "(no answer)"
            except Refused as refused:
                code = refused.code
                if refused.status == 401:
                    self._clients.clear()  # whoever restarts may want a new token
                elif refused.status != 503:
                    raise
            self.silences += 1
            with self.told.lock:
                self.told.refused[code] += 1
            if time.monotonic() > until:
                self.told.breaks(f"no answer within {PATIENCE_S:g} s; last {code}")
                raise Stopped
            if self._over.wait(AGAIN_S) and time.monotonic() > until - PATIENCE_S / 2:
                raise Stopped

    def get(self, name: str, path: str, operator: str = over_http.OPERATOR) -> Any:
        """Read something."""
        return self.insist(lambda: self.client(name).get(path, operator=operator)).json()

    def post(self, what: str, name: str, path: str, body: Any, key: str, operator: str = over_http.OPERATOR) -> Any:
        """Change something, and write the answer down."""
        answer = self.insist(lambda: self.client(name).post(path, body, operator=operator, key=key))
        told = {"client": name, "path": path, "body": body, "key": key, "operator": operator}
        self.journal.note("post", **told, answer=digest(answer), entry=answer.get("entry"))
        self.told.count(what)
        return answer

    def batch(self, name: str, first: int, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Issue licences as one batch; each row is acknowledged by itself, also those before a line that broke."""

        def ask() -> list[dict[str, Any]]:
            heard: list[dict[str, Any]] = []
            headers = dict(over_http.authorised(self.client(name))) | {"Content-Type": "application/x-ndjson"}
            sent = rows(first, bodies)
            try:
                with self.http.stream("POST", "/v1/licences/batch", content=sent, headers=headers) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise Refused(answer.status_code, answer.json())
                    heard.extend(orjson.loads(line) for line in answer.iter_lines())
            finally:
                told = [digest(each) if "identifier" in each else None for each in heard]
                if any(told):
                    self.journal.note("rows", client=name, first=first, bodies=bodies, answers=told)
            return all_there(heard, len(bodies))

        answers = self.insist(ask)
        self.told.count("rows", len(answers))
        return answers


PASSING = {"writer.busy", "database.unavailable", "commit.unknown", "writer.stopped", "service.busy"}
"""What a row may be refused with while the database is away: it is sent again."""


def all_there(heard: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the answers of a batch. Raises `Refused`, as 503 where it has to be sent again, unless all were issued."""
    later = {str(each["problem"]["code"]) for each in heard if "problem" in each}
    if later or len(heard) < count:
        raise Refused(503 if later <= PASSING else 500, {"code": ",".join(sorted(later)) or "(cut)"})
    return heard


def rows(first: int, bodies: list[dict[str, Any]]) -> bytes:
    """Return a batch, each row with its reference."""
    return b"".join(
        orjson.dumps({"client_ref": f"row-{first + number}", **body}) + b"\n" for number, body in enumerate(bodies)
    )
