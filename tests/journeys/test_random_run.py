"""Many tasks at once do whatever comes to mind; in the end the log has everything once and says what the tables say."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.demo_people import citizen_id
from ledger import erasing
from ledger.auditing import Stored, audit_stored
from ledger.errors import Code, Refusal
from ledger.rebuilding import rebuild
from ledger.settling import settle_cases
from tests.journeys.test_main_line import REVERSAL, ruling, today
from tests.journeys.world import World, problem, world_on
from tests.ledger import cases, licensing
from tests.ledger.licensing import EDUCATION, HOUSING, MARKET
from verifiers.commitment import jws_digest
from verifiers.receipt import check_receipt

TASKS = 8
EXPECTED = {
    "act.not_possible", "act.nothing_open", "answer.erased", "basis.cause_open", "basis.cycle", "flag.decided",
    "flag.not_notified", "flag.not_upheld", "flag.reversed", "flag.response_open", "flag.undecided", "licence.erased",
    "licence.state", "preview.changed", "record.erased", "request.member_invalid", "stale", "subject.unknown",
}  # fmt: skip
"""What honest clerks may hear because somebody else was faster; everything else fails the test."""


class Crowd:
    """Everybody who works on the region at the same time, and all that they were ever told."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.heard: Counter[str] = Counter()
        self.licences: list[tuple[str, dict[str, Any]]] = []
        self.flags: list[tuple[str, str]] = []
        self.given: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []
        self._number = 0

    async def work(self, task: int, steps: int) -> None:
        """Do `steps` things, one after the other."""
        dice = random.Random(f"{self.seed}-{task}")
        doings: list[tuple[int, Callable[[random.Random], Awaitable[None]]]] = [
            (40, self.issue), (14, self.act), (12, self.version), (8, self.flag), (12, self.go_on), (6, self.reverse),
            (6, self.repeat), (2, self.erase),
        ]  # fmt: skip
        weights, what = [weight for weight, _ in doings], [doing for _, doing in doings]
        for _ in range(steps):
            [doing] = dice.choices(what, weights)
            await doing(dice)

    async def _said(self, calling: Awaitable[httpx.Response]) -> dict[str, Any] | None:
        answer = await calling
        if answer.is_success:
            self.heard["done"] += 1
            made: dict[str, Any] = answer.json()
            return made
        code = problem(answer)
        assert code in EXPECTED, (self.seed, answer.text)
        self.heard[code] += 1
        return None

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def issue(self, dice: random.Random) -> None:
        """Issue a licence, often resting on earlier ones, sometimes with its receipt."""
        n = self._next()
        rests = [
            {"licence": made["id"], "basis": dice.choice(("identity", "qualification", "evidence"))}
            for _, made in dice.sample(self.licences, min(len(self.licences), dice.choice((0, 0, 1, 1, 2))))
        ]
        department = dice.choice((MARKET, MARKET, HOUSING, EDUCATION))
        person = licensing.PERSON | {"id": citizen_id(f"6101011990010{100 + dice.randrange(12)}1"), "name": "示例众"}
        body = {
            MARKET: licensing.food(n, rests_on=rests),
            HOUSING: cases.certificate(n, rests_on=rests),
            EDUCATION: licensing.diploma(n, rests_on=rests, holder=person),
        }[department]
        path = "/v1/licences" + dice.choice(("", "", "?wait=receipt"))
        made = await self._said(self.world.of(department).desk.call("POST", path, body, key=f"issue-{n}"))
        if made is not None:
            self.licences.append((department, made))
            self.given.append((department, f"issue-{n}", body, made))

    async def act(self, dice: random.Random) -> None:
        """Suspend, reinstate or end a licence."""
        if self.licences:
            department, made = dice.choice(self.licences)
            body = {
                "act": dice.choice(("suspend", "suspend", "reinstate", "reinstate", "withdraw", "cancel")),
                "authority": "示例局", "articles": ["示例第一条"], "document_no": f"示〔2026〕{self._next()}号",
                "decided_at": today(), "served_at": today(), "effective_from": today(), "reason": "示例",
            }  # fmt: skip
            path = f"/v1/licences/{made['id']}/acts"
            await self._said(self.world.of(department).first.call("POST", path, body))

    async def version(self, dice: random.Random) -> None:
        """Issue a next version, sometimes resting on something more."""
        if self.licences:
            department, made = dice.choice(self.licences)
            body: dict[str, Any] = {"change": dice.choice(("correct", "amend", "reissue")), "reason": "示例"}
            if dice.random() < 0.5:
                body["rests_on"] = cases.resting_on(dice.choice(self.licences)[1]["id"])
            path = f"/v1/licences/{made['id']}/versions"
            await self._said(self.world.of(department).desk.call("POST", path, body))

    async def flag(self, dice: random.Random) -> None:
        """Accuse a licence; what its department does not hold, another may accuse too."""
        if self.licences:
            _, made = dice.choice(self.licences)
            department = dice.choice((MARKET, HOUSING))
            body = {"targets": [cases.target(made["id"])], "reason": "示例"}
            case = await self._said(self.world.of(department).first.call("POST", "/v1/fraud-flags", body))
            if case is not None:
                self.flags.append((department, case["id"]))

    async def go_on(self, dice: random.Random) -> None:
        """Freeze, serve notice, hear, look and decide, each of which somebody else may have done already."""
        if not self.flags:
            return
        department, case = dice.choice(self.flags)
        first, second = self.world.of(department).first, self.world.of(department).second
        path = f"/v1/fraud-flags/{case}"
        if dice.random() < 0.3:
            freeze = {"ground": "示例", "document_no": "示1", "until": today()}
            await self._said(first.call("POST", f"{path}/freezes", freeze))
        notice = {"document_no": "示2", "served_at": today(), "respond_by": today()}
        await self._said(first.call("POST", f"{path}/notices", notice))
        await self._said(first.call("POST", f"{path}/statements", {"text": "示例", "waives": True}))
        preview = (await second.get(path)).get("preview")
        if preview is not None:
            body = ruling(preview["digest"])
            if dice.random() < 0.2:
                body = {"outcome": "dismissed", "document_no": "示3"}
            await self._said(second.call("POST", f"{path}/decision", body))

    async def reverse(self, dice: random.Random) -> None:
        """Reverse a decision, if there is one."""
        if self.flags:
            department, case = dice.choice(self.flags)
            path = f"/v1/fraud-flags/{case}/reversal"
            await self._said(self.world.of(department).second.call("POST", path, REVERSAL))

    async def repeat(self, dice: random.Random) -> None:
        """Send a request once more that was answered before: the same answer, or that it was erased."""
        if self.given:
            department, key, body, before = dice.choice(self.given)
            again = await self._said(self.world.of(department).desk.call("POST", "/v1/licences", body, key=key))
            if again is not None:
                members = ("id", "identifier", "licence", "entry", "status")
                assert {m: again[m] for m in members} == {m: before[m] for m in members}, self.seed

    async def erase(self, dice: random.Random) -> None:
        """Erase a person who holds diplomas, as two officers may."""
        diplomas = [made for department, made in self.licences if department == EDUCATION]
        if diplomas:
            region = self.world.service.region
            subject = await cases.holder_of(region, dice.choice(diplomas)["id"])
            operator = licensing.actor("", "operate", operator="示例操作员一")
            try:
                await erasing.erase_subject(
                    region, operator, subject, second="示例操作员二", ground="示例", document_no=f"示{self._next()}"
                )
            except Refusal as refusal:
                if refusal.code not in EXPECTED:
                    raise
                self.heard[refusal.code] += 1
            else:
                self.heard["erased"] += 1


async def run(database_url: str, folder: Path, steps: int, seed: int) -> None:
    """Let a crowd work, then compare everything it was told with everything that is stored."""
    print(f"\nseed {seed}")
    async with world_on(database_url, folder) as world:
        crowd = Crowd(world, seed)
        begun = time.monotonic()
        await asyncio.gather(*(crowd.work(task, steps) for task in range(TASKS)))
        region = world.service.region
        took = time.monotonic() - begun
        print(f"{TASKS * steps} steps in {took:.1f} s: {dict(crowd.heard.most_common())}")

        entries = [made["entry"] for _, made in crowd.licences]
        assert len(entries) == len(set(entries)), seed
        report = await asyncio.to_thread(audit_stored, Stored.of(region))
        assert report.passed, (seed, [str(each) for each in report.findings[:5]])
        await settle_cases(region)
        rebuilt = await asyncio.to_thread(rebuild, region.database, region.vault, region.clock)
        assert rebuilt.replaced == (), (seed, [str(each) for each in rebuilt.differences.findings[:5]])
        policy = Stored.of(region).policy
        receipts = [made for _, made in crowd.licences if "\n" in made["receipt"]]
        assert receipts
        for made in receipts:
            opened = check_receipt(made["receipt"], policy)
            signed = made["licence"].partition("~")[0].rpartition(".")[0]
            assert (opened.index, opened.opening.jws) == (made["entry"], jws_digest(signed.encode())), seed


async def test_a_crowd_leaves_one_consistent_log(database_url: str, tmp_path: Path) -> None:
    """The short form, with one seed; in which order the tasks meet is the machine's choice."""
    await run(database_url, tmp_path, 30, seed=20261121)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_crowd_leaves_one_consistent_log_after_a_long_day(database_url: str, tmp_path: Path) -> None:
    """The long form."""
    await run(database_url, tmp_path, 600, seed=int(time.time()))


async def test_two_erasures_of_one_person_at_once_are_one(database_url: str, tmp_path: Path) -> None:
    """The faster one erases, the others hear that nobody is left; the log names each part once."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        made = [await licensing.issued(region, EDUCATION, licensing.diploma(n)) for n in (1, 2, 3)]
        subject = await cases.holder_of(region, made[0].id)
        operator = licensing.actor("", "operate", operator="示例操作员一")

        outcomes = await asyncio.gather(
            *(
                erasing.erase_subject(
                    region, operator, subject, second="示例操作员二", ground="示例", document_no=f"示{n}"
                )
                for n in range(5)
            ),
            return_exceptions=True,
        )

        [erased] = [each for each in outcomes if isinstance(each, dict)]
        assert erased["parts"] == 3
        assert [each.code for each in outcomes if isinstance(each, Refusal)] == [Code.SUBJECT_UNKNOWN] * 4
        report = await asyncio.to_thread(audit_stored, Stored.of(region))
        assert report.passed, [str(each) for each in report.findings]
