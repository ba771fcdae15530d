"""What everybody does all day: issue, verify, scan, suspend and annul, flag and decide. Each licence has one caller."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from api.cli.http_client import Refused
from benchmarks import over_http, requests
from benchmarks.dynamic_codes import MATTER
from tests.soak.callers import Caller, Stopped, rows
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode

SUPERVISOR, WINDOW = "education-supervisor", "education-window"
FIRST, SECOND = "SOAK-S1", "SOAK-S2"
REVERSAL = {"authority": "示例省人民政府", "articles": ["行政复议法"], "document_no": "示复决〔2026〕1号"}
KEPT = 400
"""Licences a caller remembers to come back to."""


@dataclass
class Day:
    """What the callers of one run share: how long they rest between two things, and when it is over."""

    rest_s: float
    over: threading.Event = field(default_factory=threading.Event)


@dataclass
class Kept:
    """A licence a caller comes back to, and whether it stands, as the last acknowledgement about it said."""

    made: dict[str, Any]
    number: int
    stands: bool = True


class Person:
    """One caller and the licences that are its own; `number` makes its numbers and keys its own as well."""

    def __init__(self, caller: Caller, number: int, day: Day, abroad: Caller | None = None) -> None:
        self.caller = caller
        self.abroad = abroad
        self._day = day
        self._random = random.Random(number)
        self._next = number * 1_000_000
        self._kept: list[Kept] = []

    def work(self, doing: Callable[[], None]) -> None:
        """Do it again and again until the day is over."""
        while not self._day.over.is_set():
            try:
                doing()
            except Stopped:
                return
            except Refused as refused:
                self.caller.told.breaks(f"{doing.__name__}: {refused}")
            except Exception as error:  # noqa: BLE001 - a thread that ends by a mistake of ours must be heard of
                self.caller.told.breaks(f"{doing.__name__}: {error!r}")
                return
            self._day.over.wait(self._day.rest_s)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _issued(self, body: dict[str, Any], number: int, query: str = "") -> Kept:
        made = self.caller.post("issued", requests.ISSUER, f"/v1/licences{query}", body, f"soak-{number}")
        return self._keep(made, number)

    def _keep(self, made: dict[str, Any], number: int) -> Kept:
        kept = Kept({name: made[name] for name in ("id", "status", "licence")}, number)
        self._kept.append(kept)
        if len(self._kept) > KEPT:
            gone = self._kept.pop(self._random.randrange(KEPT // 2))
            self._settle(gone)
        return kept

    def _settle(self, kept: Kept) -> None:
        """Write down how a licence stands for good: nobody will touch it any more."""
        self.caller.journal.note("stands", id=kept.made["id"], status=kept.made["status"], stands=kept.stands)

    def leave(self) -> None:
        """Write down how all licences stand."""
        for kept in self._kept:
            self._settle(kept)
        self._kept.clear()

    def desk(self) -> None:
        """Issue a licence, and verify, suspend, reinstate or annul one now and then."""
        number = self._number()
        self._issued(requests.licence(number), number, "?wait=receipt" if self._random.random() < 0.05 else "")
        for _ in range(2):
            self._verify(self._random.choice(self._kept))
        if self._random.random() < 0.3:
            self._act(self._random.choice(self._kept))

    def _verify(self, kept: Kept) -> None:
        verdict = self._verdict(kept.made["licence"])
        if verdict["outcome"] != ("valid" if kept.stands else "invalid"):
            reasons = [each["code"] for each in verdict["reasons"]]
            self.caller.told.breaks(f"{kept.made['id']} stands: {kept.stands}; verdict {verdict['outcome']} {reasons}")

    def _verdict(self, presented: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            answer = self.caller.http.post("/v1/verify", json={"presented": presented})
            if not answer.is_success:
                raise Refused(answer.status_code, answer.json())
            verdict: dict[str, Any] = answer.json()
            if verdict["outcome"] == "undetermined":
                raise Refused(503, {"code": f"undetermined: {verdict['reasons'][0]['code']}"})
            return verdict

        self.caller.told.count("verified")
        return self.caller.insist(ask)

    def _act(self, kept: Kept) -> None:
        number = self._number()
        kind = self._random.choice(("suspend", "annul")) if kept.stands else "reinstate"
        path, body = f"/v1/licences/{kept.made['id']}/acts", over_http.act(kind, number)
        self.caller.post("acts", requests.ISSUER, path, body, f"act-{number}")
        kept.stands = kind == "reinstate"
        if kind == "annul":
            self._kept.remove(kept)
            self._settle(kept)
        self._verify(kept)

    def batches(self) -> None:
        """Send a batch and read its answers; sometimes another one for the background."""
        bodies = [requests.licence(self._number()) for _ in range(50)]
        first = self._next - len(bodies) + 1
        for made in self.caller.batch(requests.ISSUER, first, bodies):
            self.caller.journal.note("stands", id=made["id"], status=made["status"], stands=True)
        if self._random.random() < 0.2:
            self._background()
        self._day.over.wait(8 * self._day.rest_s)

    def _background(self) -> None:
        bodies = [requests.licence(self._number()) for _ in range(600)]
        first = self._next - len(bodies) + 1
        sent = rows(first, bodies)

        def ask() -> Any:
            headers = dict(over_http.authorised(self.caller.client(requests.ISSUER), f"background-{first}"))
            headers["Content-Type"] = "application/x-ndjson"
            answer = self.caller.http.post("/v1/batches", content=sent, headers=headers)
            if not answer.is_success:
                raise Refused(answer.status_code, answer.json())
            return answer.json()

        self.caller.journal.note("background", id=self.caller.insist(ask)["id"], rows=len(bodies))
        self.caller.told.count("background")

    def window(self) -> None:
        """Issue a licence, let its holder prepare a code, scan that, scan it again, and scan the printed one."""
        number = self._number()
        kept = self._issued(requests.licence(number), number)
        holder = requests.person(number)
        chosen = {"licences": [{"licence": kept.made["id"]}], "purpose": "示例办理"}
        app, token = "holder-app", self.caller.identity(holder)
        caller = self.caller
        prepared = caller.insist(lambda: caller.client(app).post("/v1/codes", chosen, subject_token=token))
        handle, key = b64u_decode(prepared["handle"]), b64u_decode(prepared["key"])
        self._dynamic(mint(prepared["base"], handle, key, datetime.now(UTC)))
        found = caller.get(requests.ISSUER, f"/v1/licences/{kept.made['id']}")
        self._scan(found["code"])
        caller.told.count("scanned")
        if self.abroad is not None:
            self._abroad(found["code"])

    def _scan(self, code: str) -> dict[str, Any]:
        asked = {"code": code, "matter": MATTER, "purpose": "示例办理"}
        found: dict[str, Any] = self.caller.insist(
            lambda: self.caller.client(WINDOW).post("/v1/scans", asked, operator=over_http.OPERATOR)
        )
        return found

    def _dynamic(self, code: str) -> None:
        """Redeem a code once; a scan that was not answered may have used it up."""
        before = self.caller.silences
        try:
            self._scan(code)
        except Refused as refused:
            if self.caller.silences == before or refused.code not in ("code.replayed", "code.expired"):
                raise
        self.caller.journal.note("scan", code=code, at=time.time())
        self.caller.told.count("scanned")
        try:
            self._scan(code)
        except Refused:
            return
        self.caller.told.breaks("a dynamic code was good twice")

    def _abroad(self, code: str) -> None:
        """Ask the other region, which follows this one, about a printed code: it is never told wrong."""
        assert self.abroad is not None
        http = self.abroad.http
        answer = self.abroad.insist(lambda: http.post("/v1/verify", json={"presented": code}))
        if answer.is_success and answer.json()["outcome"] == "invalid":
            self.caller.told.breaks(f"the other region refuses what stands: {answer.json()['reasons']}")
        self.caller.told.count("abroad")

    def cases(self) -> None:
        """Flag a licence others rest on, hear, decide, and see all of them fall; reverse some decisions."""
        caller = self.caller
        number = self._number()
        root = self._issued(requests.licence(number), number)
        family = [root]
        for _ in range(6):
            number = self._number()
            on = self._random.choice(family).made["id"]
            family.append(self._issued(requests.licence(number) | {"rests_on": [rests(on)]}, number))
        for each in family:
            self._kept.remove(each)
        flag = {"targets": [{"licence": root.made["id"]}], "reason": "示例"}
        case = caller.post("flags", SUPERVISOR, "/v1/fraud-flags", flag, f"flag-{number}", FIRST)["id"]
        path, today = f"/v1/fraud-flags/{case}", time.strftime("%Y-%m-%d")
        notice = {"document_no": "示1", "served_at": today, "respond_by": today}
        caller.post("steps", SUPERVISOR, f"{path}/notices", notice, f"notice-{number}", FIRST)
        statement = {"text": "无异议(示例)", "waives": True}
        caller.post("steps", SUPERVISOR, f"{path}/statements", statement, f"statement-{number}", FIRST)
        preview = caller.get(SUPERVISOR, path, SECOND)["preview"]
        ruling = {
            "outcome": "upheld", "articles": ["行政许可法第六十九条第二款"], "document_no": "示教撤〔2026〕1号",
            "preview": preview["digest"], "liable": [], "spared": [],
        }  # fmt: skip
        caller.post("decided", SUPERVISOR, f"{path}/decision", ruling, f"decision-{number}", SECOND)
        fallen = {each["licence"] for each in preview["effects"] if each["effect"] in ("revoked", "suspended")}
        for each in family:
            each.stands = each.made["id"] not in fallen
            self._verify(each)
        caller.journal.note("decision", case=case, fallen=len(fallen))
        if self._random.random() < 0.3:
            caller.post("reversed", SUPERVISOR, f"{path}/reversal", REVERSAL, f"reversal-{number}", SECOND)
        else:
            for each in family:
                self._settle(each)


def rests(licence: str) -> dict[str, str]:
    """Return one edge of lineage."""
    return {"licence": licence, "basis": "identity"}
