"""The whole story of one deceit, through HTTP alone: from the submission to what comes back on appeal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.world import World, outcome_of, problem, until, world_on
from tests.ledger import cases, licensing
from tests.ledger.licensing import COMPANY, EDUCATION, HOUSING, MARKET, OFFICER, PERSON
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.legal_dates import day_of
from verifiers.policy import Policy
from verifiers.verdict import NotVerified, Outcome
from verifiers.verification import verify

FORGED = "0" * 63 + "1"
REVERSAL = {"authority": "示例省人民政府", "articles": ["行政复议法"], "document_no": "示复决〔2026〕1号"}


@dataclass
class Family:
    """The licences of the story by short name, and the submission under all of them."""

    submission: str
    licences: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)

    def id(self, name: str) -> str:
        """Return the id of a licence."""
        return str(self.licences[name]["id"])


def today() -> str:
    """Return today's date in +08:00."""
    return day_of(datetime.now(UTC)).isoformat()


def rests(kind: str, id_: str, basis: str) -> list[dict[str, str]]:
    """Return `rests_on` with one basis."""
    return [{kind: id_, "basis": basis}]


async def issued(world: World, family: Family, name: str, department: str, body: dict[str, Any]) -> None:
    """Issue a licence, wait for its receipt, and read its printed code."""
    desk = world.of(department).desk
    made = await desk.post("/v1/licences?wait=receipt", body)
    family.licences[name] = made
    family.codes[name] = (await desk.get(f"/v1/licences/{made['id']}"))["code"]


async def grown(world: World) -> Family:
    """Take in a submission and let three departments issue three generations on it, and one licence beside it."""
    education = world.of(EDUCATION)
    made = await education.desk.post(
        "/v1/submissions",
        {
            "received_by": EDUCATION, "decided_by": EDUCATION, "destination": EDUCATION, "channel": "window",
            "applicant": PERSON, "materials": [{"digest": FORGED, "kind": "毕业证明"}], "missing": [],
        },
    )  # fmt: skip
    family = Family(made["id"])
    # The owner's word decides whether its licences fall with another department's (protocol 22a).
    await world.of(HOUSING).first.post(f"/v1/types/{OFFICER}/1/instruction")
    on_paper = rests("submission", family.submission, "identity")
    await issued(world, family, "diploma", EDUCATION, licensing.diploma(1, rests_on=on_paper))
    on_diploma = rests("licence", family.id("diploma"), "identity")
    await issued(world, family, "certificate", HOUSING, cases.certificate(1, rests_on=on_diploma))
    on_certificate = rests("licence", family.id("certificate"), "qualification")
    await issued(world, family, "shop", MARKET, licensing.food(1, rests_on=on_certificate))
    await issued(world, family, "canteen", MARKET, licensing.food(2, rests_on=on_diploma))
    await issued(world, family, "stall", MARKET, licensing.food(3))
    results = {"outcome": "granted", "results": [family.id("diploma")]}
    await education.desk.post(f"/v1/submissions/{family.submission}/decision", results)
    return family


async def test_one_deceit_from_submission_to_reversal(database_url: str, tmp_path: Path) -> None:
    """Every step is a call or a file; what one channel says of a licence, all of them say."""
    async with world_on(database_url, tmp_path) as world:
        family = await grown(world)
        await judged_offline(world, family)
        await scanned(world, family)
        before = await bundles(world, family)
        case = await accused(world, family)
        await decided(world, family, case)
        await everywhere(world, family, FALLEN)
        await old_bundle_ages(world, before["diploma"])
        await told(world, family)
        await on_record(world, withdrawn=False)
        other = await overlapping(world, family)
        await reversed_(world, family, case, other)


async def judged_offline(world: World, family: Family) -> None:
    """A stranger with files only, who gets a little more of them each time."""
    made = family.licences["shop"]
    alone = await world.download()
    listed = await world.download(status=made["status"]["uri"])

    assert world.offline(made["licence"], *alone) == (2, ["receipt.missing", "status.missing"])
    assert world.offline(family.codes["shop"], *alone) == (2, ["status.missing"])
    assert world.offline(family.codes["shop"], *listed) == (0, [])
    assert world.offline(made["licence"], *listed) == (2, ["receipt.missing"])
    assert world.offline(made["licence"], *listed, receipt=made["receipt"]) == (0, [])
    stranger = family.licences["canteen"]["receipt"]
    assert world.offline(made["licence"], *listed, receipt=stranger)[0] == 1
    for name, each in family.licences.items():
        assert await world.codes(each["licence"]) == ("valid", []), name


async def scanned(world: World, family: Family) -> None:
    """The holder shows a code, a window of another department redeems it once."""
    definition = {
        "base_code": "000000000001", "code": cases.MATTER, "department": MARKET, "area": "610000", "version": 1,
        "names": {"zh": "示例事项", "en": "Example matter"},
        "needs": [{"type": licensing.FOOD, "fields": ["premises", "holders"], "basis": "qualification"}],
        "credit": {"purpose": "示例事项办理", "policy": "refuse"},
        "deferrable": [], "promise_allowed": False, "results": [licensing.FOOD],
    }  # fmt: skip
    await world.operator.post("/v1/matters", definition)
    phone = await world.holder(COMPANY["id_type"], COMPANY["id"])
    chosen = {"licences": [{"licence": family.id("shop"), "fields": ["premises", "items"]}], "purpose": "示例办理"}
    answer = await phone.call("POST", "/v1/codes", chosen)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    code = mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), datetime.now(UTC))
    asked = {"code": code, "matter": cases.MATTER, "purpose": "示例办理"}
    window = world.of(MARKET).window

    seen = await window.post("/v1/scans", asked)

    assert seen["verdict"]["outcome"] == "valid"
    assert seen["verdict"]["licence"]["fields"] == {"premises": "示例省示例市示例路2号"}
    assert COMPANY["id"] not in str(seen)
    assert problem(await window.call("POST", "/v1/scans", asked)) == "code.replayed"
    printed = await window.post("/v1/scans", asked | {"code": family.codes["canteen"]})
    assert (printed["means"], printed["verdict"]["outcome"]) == ("static", "valid")
    assert await world.download() and world.offline(code)[0] == 2
    looked = (await phone.call("GET", "/v1/holder/accesses")).json()["items"]
    assert {each["means"] for each in looked} == {"static", "dynamic"}


async def bundles(world: World, family: Family) -> dict[str, str]:
    """Fetch the bundle of every licence."""
    owners = {"diploma": EDUCATION, "certificate": HOUSING}
    return {
        name: (await world.of(owners.get(name, MARKET)).desk.call("GET", f"/v1/licences/{made['id']}/bundle")).text
        for name, made in family.licences.items()
    }


async def accused(world: World, family: Family) -> str:
    """Flag, freeze, notice, statement: no verdict but the frozen one changes."""
    first = world.of(EDUCATION).first
    diploma = family.licences["diploma"]["licence"]
    targets = [{"submission": family.submission}]
    accusation = {"targets": targets, "reason": "毕业证明系伪造(示例)", "evidence": [FORGED]}
    case = str((await first.post("/v1/fraud-flags", accusation))["id"])
    path = f"/v1/fraud-flags/{case}"
    assert await world.codes(diploma) == ("valid", [])
    await first.post(f"{path}/freezes", {"ground": "示例", "document_no": "示教冻〔2026〕1号", "until": today()})
    assert await world.codes(diploma) == ("invalid", ["status.suspended", "state.suspended"])
    assert (await world.codes(family.licences["certificate"]["licence"]))[0] == "valid"
    refused = await world.of(HOUSING).desk.call(
        "POST", "/v1/licences", cases.certificate(2, rests_on=rests("licence", family.id("diploma"), "identity"))
    )
    assert problem(refused) == "basis.cause_open"
    early = await world.of(EDUCATION).second.call("POST", f"{path}/decision", ruling("A" * 43))
    assert problem(early) == "flag.not_notified"
    notice = {"document_no": "示教告〔2026〕1号", "served_at": today(), "respond_by": today()}
    await first.post(f"{path}/notices", notice)
    open_still = await world.of(EDUCATION).second.call("POST", f"{path}/decision", ruling("A" * 43))
    assert problem(open_still) == "flag.response_open"
    await first.post(f"{path}/statements", {"text": "系中介所为(示例)", "waives": True})
    stranger = await world.of(MARKET).first.call("GET", path)
    assert problem(stranger) == "flag.unknown", "an accusation is nobody else's to read"
    return case


def ruling(digest: str, **changes: Any) -> dict[str, Any]:
    """Return an upholding decision."""
    return {
        "outcome": "upheld", "articles": ["行政许可法第六十九条第二款"], "document_no": "示教撤〔2026〕1号",
        "preview": digest, "liable": [], "spared": [],
    } | changes  # fmt: skip


async def decided(world: World, family: Family, case: str) -> None:
    """The flagger may not decide, an old preview is refused, and the second officer's decision turns everything."""
    first, second = world.of(EDUCATION).first, world.of(EDUCATION).second
    path = f"/v1/fraud-flags/{case}"
    stale = (await second.get(path))["preview"]
    await issued(world, family, "kiosk", MARKET, licensing.food(4, rests_on=on(family, "certificate", "evidence")))
    seen = await second.get(path)
    preview = seen["preview"]

    assert {each["licence"]: (each["effect"], each["cause"]) for each in preview["effects"]} == {
        family.id("diploma"): ("revoked", "direct"),
        family.id("certificate"): ("revoked", "inherited"),
        family.id("shop"): ("suspended", "inherited"),
        family.id("canteen"): ("suspended", "inherited"),
        family.id("kiosk"): ("notice", "inherited"),
    }
    [subject] = seen["concerned"]
    liable = [
        {"subject": subject, "role": "申请人", "class": "serious", "list_entry": "行政许可法第七十九条", "measures": [],
         "bans": [{"type": licensing.DIPLOMA, "article": "79"}]},
    ]  # fmt: skip
    final = ruling(preview["digest"], liable=liable)
    assert problem(await first.call("POST", f"{path}/decision", final)) == "decision.same_officer"
    outdated = await second.call("POST", f"{path}/decision", ruling(stale["digest"], liable=liable))
    assert problem(outdated) == "preview.changed"
    assert (await world.codes(family.licences["shop"]["licence"]))[0] == "valid", "refused decisions turn nothing"

    upheld = await second.post(f"{path}/decision", final, key="decision-1")

    assert upheld["effects"] == {"revoked": 2, "suspended": 2, "notice": 1}
    assert len(upheld["credit_records"]) == 1
    assert await second.post(f"{path}/decision", final, key="decision-1") == upheld
    assert problem(await second.call("POST", f"{path}/decision", final)) == "flag.decided"
    banned = await world.of(EDUCATION).desk.call("POST", "/v1/licences", licensing.diploma(9))
    assert problem(banned) == "subject.banned"


def on(family: Family, name: str, basis: str) -> list[dict[str, str]]:
    """Return `rests_on` one licence of the family."""
    return rests("licence", family.id(name), basis)


REVOKED = ("annulled", 2, ["status.revoked", "state.annulled", "state.revoked_appealable"], ["status.suspended"])
SUSPENDED = ("suspended", 2, ["status.suspended", "state.suspended"], ["status.suspended"])
VALID: tuple[str, int, list[str], list[str]] = ("valid", 0, [], [])
FALLEN = {
    "diploma": REVOKED, "certificate": REVOKED, "shop": SUSPENDED, "canteen": SUSPENDED, "kiosk": VALID, "stall": VALID,
}  # fmt: skip


async def everywhere(world: World, family: Family, expected: dict[str, tuple[str, int, list[str], list[str]]]) -> None:
    """API, online verdict, status list, fresh bundle and printed code say the same of every licence."""
    owners = {"diploma": EDUCATION, "certificate": HOUSING}
    for name, (state, value, online, offline) in expected.items():
        made, desk = family.licences[name], world.of(owners.get(name, MARKET)).desk
        outcome = "invalid" if value else "valid"
        for presented in (made["licence"], family.codes[name]):
            assert await world.codes(presented) == (outcome, online), name
        assert (await desk.get(f"/v1/licences/{made['id']}"))["status"] == state, name

        async def listed(made: dict[str, Any] = made, value: int = value) -> bool:
            return await world.status_value(made["status"]) == value

        await until(listed)
        options = await world.download(status=made["status"]["uri"])
        exit_status = 1 if value else 0
        assert world.offline(family.codes[name], *options) == (exit_status, offline), name
        assert world.offline(made["licence"], *options, receipt=made["receipt"]) == (exit_status, offline), name
        bundle = (await desk.call("GET", f"/v1/licences/{made['id']}/bundle")).text
        assert world.offline(bundle, *options[2:4]) == (exit_status, offline), name
        assert (await world.codes(bundle))[0] == outcome, name


async def old_bundle_ages(world: World, bundle: str) -> None:
    """What was exported before the decision is believed for its type's grace, the stated bound, and no longer."""
    online = await world.codes(bundle)
    assert online[0] == "invalid", "the service knows better than the bundle"
    root = (world.folder / "root.txt").read_text()
    policy, now = Policy(root=root), datetime.now(UTC)
    assert verify(bundle, trust=None, at=now, policy=policy).verdict.outcome is Outcome.VALID
    with pytest.raises(NotVerified) as refused:
        verify(bundle, trust=None, at=now + timedelta(days=8), policy=policy)
    assert refused.value.verdict.outcome is Outcome.UNDETERMINED
    assert Reason.STATUS_STALE in refused.value.verdict.reasons


async def told(world: World, family: Family) -> None:
    """Owners are told of their licences, the window's department of what it had relied on; then no more."""
    expected = {
        EDUCATION: [("licence.revoked", "diploma", False)],
        HOUSING: [("licence.revoked", "certificate", False)],
        MARKET: [
            ("licence.notice", "kiosk", False), ("licence.suspended", "canteen", False),
            ("licence.suspended", "canteen", True), ("licence.suspended", "shop", False),
            ("licence.suspended", "shop", True),
        ],
    }  # fmt: skip
    names = {family.id(name): name for name in family.licences}
    for department, wanted in expected.items():
        reader = world.of(department).first
        listed = await reader.get("/v1/notices")
        decided_ones = [each for each in listed["items"] if each.get("document_no") == "示教撤〔2026〕1号"]
        assert sorted((each["kind"], names[each["licence"]], each["relied"]) for each in decided_ones) == wanted
        await reader.post("/v1/notices/ack", {"cursor": listed["cursor"]})
        assert (await reader.get("/v1/notices"))["items"] == []


async def on_record(world: World, *, withdrawn: bool) -> None:
    """The liable person's file holds class, rule version and document number, as the law wants."""
    phone = await world.holder(PERSON["id_type"], PERSON["id"])
    [record] = (await phone.call("GET", "/v1/holder/credit")).json()["records"]
    assert (record["class"], record["document_no"], record["withdrawn"]) == ("serious", "示教撤〔2026〕1号", withdrawn)
    assert record["rule"] and record["rule_cited_as"] and record["decided_at"] == today()
    assert record["in_use"] is not withdrawn
    asked = {"subject": {"id_type": PERSON["id_type"], "id": PERSON["id"]}, "purpose": "示例核查"}
    found = await world.of(MARKET).first.post("/v1/credit/checks", asked)
    assert found["outcome"] == ("yes" if withdrawn else "no"), found
    assert "records" not in found


async def overlapping(world: World, family: Family) -> str:
    """A second department upholds a case of its own on the certificate, which has fallen already."""
    first, second = world.of(HOUSING).first, world.of(HOUSING).second
    targets = [{"licence": family.id("certificate")}]
    case = (await first.post("/v1/fraud-flags", {"targets": targets, "reason": "考核作假(示例)"}))["id"]
    path = f"/v1/fraud-flags/{case}"
    await first.post(f"{path}/notices", {"document_no": "示建告1", "served_at": today(), "respond_by": today()})
    await first.post(f"{path}/statements", {"text": "无异议(示例)", "waives": True})
    digest = (await second.get(path))["preview"]["digest"]
    await second.post(f"{path}/decision", ruling(digest, document_no="示建撤〔2026〕1号"))
    await everywhere(world, family, FALLEN)
    return str(case)


async def reversed_(world: World, family: Family, case: str, other: str) -> None:
    """Reversing the first case gives back what the second does not hold; reversing that gives back the rest."""
    second = world.of(EDUCATION).second
    path = f"/v1/fraud-flags/{case}/reversal"
    assert problem(await world.of(HOUSING).second.call("POST", path, REVERSAL)) == "flag.unknown"

    await second.post(path, REVERSAL)

    left = FALLEN | {"diploma": VALID, "canteen": VALID}
    await everywhere(world, family, left)
    await on_record(world, withdrawn=True)
    assert problem(await second.call("POST", path, REVERSAL)) == "flag.reversed"
    restored = [each for each in (await second.get("/v1/notices"))["items"] if each["kind"] == "licence.restored"]
    assert [each["licence"] for each in restored] == [family.id("diploma")]

    await world.of(HOUSING).second.post(f"/v1/fraud-flags/{other}/reversal", REVERSAL)
    await everywhere(world, family, dict.fromkeys(FALLEN, VALID))


@pytest.mark.parametrize("spared", [True, False])
async def test_a_spared_dependant_stands_and_shields_what_rests_on_it(
    sqlite_url: str, tmp_path: Path, spared: bool
) -> None:
    """The decision may spare a named dependant with a reason; what rests on it alone stands too."""
    async with world_on(sqlite_url, tmp_path) as world:
        family = await grown(world)
        first, second = world.of(EDUCATION).first, world.of(EDUCATION).second
        accusation = {"targets": [{"licence": family.id("diploma")}], "reason": "示例"}
        path = f"/v1/fraud-flags/{(await first.post('/v1/fraud-flags', accusation))['id']}"
        await first.post(f"{path}/notices", {"document_no": "1", "served_at": today(), "respond_by": today()})
        await first.post(f"{path}/statements", {"text": "无异议(示例)", "waives": True})
        digest = (await second.get(path))["preview"]["digest"]
        why = [{"licence": family.id("certificate"), "reason": "公共利益(示例)"}] if spared else []
        await second.post(f"{path}/decision", ruling(digest, spared=why))

        verdicts = {name: outcome_of(await world.verdict(made["licence"]))[0] for name, made in family.licences.items()}
        stands = "valid" if spared else "invalid"
        assert verdicts == {
            "diploma": "invalid", "certificate": stands, "shop": stands, "canteen": "invalid", "stall": "valid",
        }  # fmt: skip
