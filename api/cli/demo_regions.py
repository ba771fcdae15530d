"""The demo's second act: a licence counts in another province, stops counting there, and no history can be rewritten.

Three regions admit each other and watch each other's logs. The second one's window accepts a licence of the first by a
signed rule and refuses a type nobody recognised; when the first withdraws the licence, the second knows within seconds
and suspends what it had granted on it. The third, cut off, says so once what it knows is too old. At the end the first
region signs another history, and is caught.
"""

import asyncio
import json
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import typer

from api.cli import demo_people as people
from api.cli.demo_artefacts import python_path
from api.cli.demo_gate import Gate
from api.cli.demo_neighbours import GRACE_S, Neighbour, introduce, neighbours, until
from api.cli.demo_stage import Stage, Unexpected
from api.cli.example_region import definition
from api.composition import open_store
from ledger.log_signing import LogSigner
from ledger.region_keys import LOG_KEYS
from verifiers.add_checkpoint import format_request
from verifiers.checkpoint import Checkpoint, parse_checkpoint
from verifiers.dynamic_code import mint
from verifiers.legal_dates import day_of
from verifiers.note import parse_note

OFFICER, WINDOW, OPERATOR = "示例经办员", "示例窗口员", "示例操作员"
_PATIENCE_S = 30.0


def _case(entity_type: str, at: str = "2026-11-21T08:00:00Z", *, expect: bool) -> dict[str, Any]:
    fields = {"entity_type": entity_type, "established_on": "2026-01-01"}
    return {"payload": {"fields": fields}, "at": at, "expect": expect}


FOUNDED: Final[dict[str, Any]] = {
    "and": [
        {"in": [{"var": "payload.fields.entity_type"}, ["有限责任公司", "股份有限公司"]]},
        {
            "not-after": [
                {"plusTime": [{"var": "payload.fields.established_on"}, 0, "day"]},
                # The clock is UTC, a date of a licence the day in China, which begins eight hours before.
                {"plusTime": [{"var": "external.validationClock"}, 8, "hour"]},
            ]
        },
    ]
}
"""What B and C ask of a company that is recognised: what kind it is, and that it was founded by today."""

TESTS: Final = (
    _case("有限责任公司", expect=True),
    _case("有限责任公司", "2025-12-31T16:00:00Z", expect=True),
    _case("有限责任公司", "2025-12-31T15:59:59Z", expect=False),
    _case("个体工商户", expect=False),
)
"""What B and C try that rule with before they declare it."""


@dataclass
class Regions(Stage):
    """The three regions, the way out of the third, and what was issued so far."""

    a: Neighbour
    b: Neighbour
    c: Neighbour
    gate: Gate
    folder: Path
    today: date
    licences: dict[str, dict[str, Any]] = field(default_factory=dict)

    def keep(self, name: str, document: object) -> None:
        """Leave a finding among the artefacts."""
        text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        (self.folder / name).write_text(text, "utf-8")


def play(folder: Path) -> Stage:
    """Play the act below `folder` and return how it went. Raises `Unexpected`, `Refused`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        [a, b, c], gate = stack.enter_context(neighbours(folder))
        act = Regions(a=a, b=b, c=c, gate=gate, folder=folder, today=day_of(datetime.now(UTC)))
        for step in (_meet, _recognise, _accept, _refuse, _rely, _kit, _withdraw, _cut_off, _fork):
            step(act)
    return act


def outcome(verdict: dict[str, Any]) -> str:
    """Say a verdict in one line: its outcome and, unless valid, the first reason."""
    if verdict["outcome"] == "valid":
        return "valid"
    return f"{verdict['outcome']}: {verdict['reasons'][0]['code']}"


def _meet(act: Regions) -> None:
    with act.step("三地互认：根指纹线下交换，两名操作员批准，互为见证", "Three regions admit and watch each other"):
        introduce([act.a, act.b, act.c])
        for here in (act.a, act.b, act.c):
            found, _ = until(
                f"{here.code} 被见证 witnessed",
                lambda here=here: here.command("witnesses", "status"),  # type: ignore[misc] # bound for this turn
                lambda status: status["witnessed"] is not None and not any(w["error"] for w in status["witnesses"]),
                _PATIENCE_S,
            )
            names = [each["name"] for each in found["witnesses"]]
            act.shows(f"{here.code} 的见证方 witnesses of its log", (found["quorum"], len(names)), (2, 2))


def _recognise(act: Regions) -> None:
    business = definition("business-licence")
    with act.step("互认声明：对方何类证照、以何条件算作我方何类", "Recognition: what of theirs counts as what of ours"):
        for here in (act.b, act.c):
            operator = here.service.client("operator")
            for name, more in (
                ("business-licence", {"conditions": FOUNDED, "tests": list(TESTS), "names": business["names"]}),
                ("food-business-licence", {}),
            ):
                type_ = {"type": definition(name)["code"], "major": 1}
                body = {"peer": act.a.code, "their": type_, "ours": type_, "fields": {}, **more}
                declared = operator.post("/v1/equivalences", body, operator=OPERATOR)
                typer.echo(f"   {here.code}: {definition(name)['names']['zh']} {declared['id']} v{declared['version']}")


def _accept(act: Regions) -> None:
    with act.step("甲地签发，乙地窗口凭码受理", "Issued in A, accepted at a window of B"):
        market, education = act.a.service.client("market-business"), act.a.service.client("education-business")
        act.licences["business"] = market.post(
            "/v1/licences?wait=receipt", people.business_licence(act.today), operator=OFFICER
        )
        act.licences["food"] = market.post(
            "/v1/licences?wait=receipt", people.food_licence(act.today, []), operator=OFFICER
        )
        act.licences["diploma"] = education.post("/v1/licences?wait=receipt", people.diploma(), operator=OFFICER)
        # Until B has looked once it has no status list of A's first licences; a dynamic code is good for one scan only.
        by_rule, _ = until(
            "乙地静态码 printed",
            lambda: act.b.verify(_printed(act, "business")),
            lambda found: [reason["code"] for reason in found["reasons"]] == ["rule.field_missing"],
            _PATIENCE_S,
        )
        act.shows(
            "静态码未含条件所需字段 printed code lacks a field", outcome(by_rule), "undetermined: rule.field_missing"
        )
        _scan(act)
        bundle = _bundle(act)
        whole, _ = until("乙地核验包 bundle at B", lambda: act.b.verify(bundle), _is_valid, _PATIENCE_S)
        act.shows("核验包 bundle", outcome(whole), "valid")
        printed, _ = until("乙地静态码 printed", lambda: act.b.verify(_printed(act, "food")), _is_valid, _PATIENCE_S)
        act.shows("静态码（无条件互认）printed code, no conditions", outcome(printed), "valid")


def _scan(act: Regions) -> None:
    """Scan what the company's phone shows, at a window of B."""
    asked = {"code": _dynamic_code(act), "matter": people.FOOD_MATTER, "purpose": "食品经营许可办理"}
    began = time.monotonic()
    scanned = act.b.service.client("market-window").post("/v1/scans", asked, operator=WINDOW)
    took = time.monotonic() - began
    verdict = scanned["licences"][0]["verdict"]
    act.keep("scan-at-b.json", scanned)
    act.shows("动态码（向甲地取得所选字段）dynamic code, fields from A", outcome(verdict), "valid")
    rule = verdict["recognition"]["rule"]
    typer.echo(f"   依据规则 by rule {rule['id']} v{rule['version']}，{took * 1000:.0f} ms")


def _is_valid(verdict: dict[str, Any]) -> bool:
    return bool(verdict["outcome"] == "valid")


def _printed(act: Regions, name: str) -> str:
    """The text of the licence's printed code, as its bundle holds it."""
    market = act.a.service.client("education-business" if name == "diploma" else "market-business")
    bundle = market.get(f"/v1/licences/{act.licences[name]['id']}/bundle", operator=OFFICER).json()
    return str(bundle["code"])


def _dynamic_code(act: Regions) -> str:
    """What the company's phone shows: prepared with region A, minted without it."""
    token = act.a.service.identity_token(people.COMPANY.id_type, people.COMPANY.id)
    chosen = {"licences": [{"licence": act.licences["business"]["id"]}], "purpose": "跨省办理食品经营许可"}
    prepared = act.a.service.client("holder-app").post("/v1/codes", chosen, subject_token=token)
    handle, key = (urlsafe_b64decode(prepared[name] + "==") for name in ("handle", "key"))
    return mint(prepared["base"], handle, key, datetime.now(UTC))


def _refuse(act: Regions) -> None:
    with act.step("未声明互认的类型一律不受理", "A type nobody recognised is refused"):
        diploma = act.b.verify(_printed(act, "diploma"))
        act.keep("verdict-unrecognised.json", diploma)
        act.shows("学历证书在乙地 a diploma of A at B", outcome(diploma), "invalid: equivalence.missing")


def _rely(act: Regions) -> None:
    with act.step("乙地据此签发", "B grants a licence on it"):
        foreign = {"region": act.a.code, "identifier": act.licences["business"]["identifier"]}
        body = people.food_licence(act.today, [{"foreign": foreign, "basis": "qualification"}])
        granted = act.b.service.client("market-business").post("/v1/licences?wait=receipt", body, operator=OFFICER)
        act.licences["dependant"] = granted
        act.shows("乙地食品经营许可 B's licence", outcome(act.b.verify(granted["licence"])), "valid")


def _kit(act: Regions) -> None:
    with act.step(
        "离线包：乙地窗口断网也能核验甲地证照", "Offline kit: a window of B checks A's licences without network"
    ):
        # On a busy machine a kit may be past these few seconds of grace before it is used, and is made once more.
        found, _ = until("离线包 kit", lambda: _by_kit(act), lambda found: found == "valid", 4 * _PATIENCE_S)
        act.shows("凭离线包核验 with the kit alone", found, "valid")


def _by_kit(act: Regions) -> str:
    """Make a kit at B, and check A's licence with nothing else."""
    act.keep("bundle.json", _bundle(act))
    act.b.run("bundle", "--regions", f"{act.a.code},{act.c.code}", "--out", str(act.folder / "kit.json"))
    command = [sys.executable, "-m", "verifiers", "bundle.json", "--kit", "kit.json", "--root", act.b.root, "--json"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, cwd=act.folder, capture_output=True, text=True, check=False, env=python_path()
    )
    if done.returncode not in (0, 1, 2):
        raise Unexpected(f"elicence-verify --kit: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    return outcome(found[0] if isinstance(found, list) else found)


def _bundle(act: Regions) -> str:
    """Everything about A's business licence that an offline check needs, as of now."""
    market = act.a.service.client("market-business")
    return market.get(f"/v1/licences/{act.licences['business']['id']}/bundle", operator=OFFICER).text


def _withdraw(act: Regions) -> None:
    with act.step("丙地断网；甲地撤回证照", "C is cut off; A withdraws the licence"):
        presented = _bundle(act)
        act.keep("bundle.json", presented)
        before, _ = until("丙地 at C", lambda: act.c.verify(presented), _is_valid, _PATIENCE_S)
        act.shows("断网前丙地 C before the cut", outcome(before), "valid")
        act.gate.shut()
        day = act.today.isoformat()
        body = {
            "act": "withdraw",
            "authority": "示例省市场监督管理局",
            "articles": ["行政许可法第八条"],
            "document_no": "示市监回〔2026〕1号",
            "decided_at": day,
            "served_at": day,
            "effective_from": day,
            "reason": "依据的规定已修改（示例）",
        }
        path = f"/v1/licences/{act.licences['business']['id']}/acts"
        act.a.service.client("market-supervisor").post(path, body, operator=OFFICER)
        fell, took = until(
            "乙地 at B", lambda: act.b.verify(presented), lambda found: not _is_valid(found), _PATIENCE_S
        )
        act.keep("verdict-withdrawn.json", fell)
        act.shows("乙地结论 B's verdict", fell["outcome"], "invalid")
        typer.echo(f"   甲地撤回后 {took:.1f} s，乙地不再受理 B refused {took:.1f} s after the withdrawal")
        dependant = act.licences["dependant"]["licence"]
        fallen, took = until(
            "乙地所发 B's own", lambda: act.b.verify(dependant), lambda found: not _is_valid(found), _PATIENCE_S
        )
        act.shows("乙地所发证照 B's dependant", outcome(fallen), "invalid: status.suspended")
        typer.echo(
            f"   {took:.1f} s 后暂扣，待本地部门确认 suspended after {took:.1f} s, for a department of B to confirm"
        )


def _cut_off(act: Regions) -> None:
    with act.step("断网的丙地：过期即不能确认；恢复后立即知道", "C, cut off, cannot tell; healed, it knows"):
        bundle = (act.folder / "bundle.json").read_text("utf-8")
        unsure, _ = until(
            "丙地 at C", lambda: act.c.verify(bundle), lambda found: not _is_valid(found), GRACE_S + _PATIENCE_S
        )
        act.keep("verdict-cut-off.json", unsure)
        act.shows("断网的丙地 C, cut off", outcome(unsure), "undetermined: status.stale")
        act.gate.reopen()
        found, took = until(
            "丙地 at C", lambda: act.c.verify(bundle), lambda found: found["outcome"] == "invalid", 2 * _PATIENCE_S
        )
        act.shows("恢复后的丙地 C, healed", found["outcome"], "invalid")
        typer.echo(f"   {took:.1f} s")


def _fork(act: Regions) -> None:
    with act.step("甲地另签一份历史，被发现", "A signs another history, and is caught"):
        valid, _ = until("乙地 at B", lambda: act.b.verify(_printed(act, "food")), _is_valid, _PATIENCE_S)
        act.shows("此前 before", outcome(valid), "valid")
        shown = act.a.service.http.get("/log/checkpoint").text
        true = parse_checkpoint(parse_note(shown).text)
        forged = asyncio.run(_signed(act.a, Checkpoint(true.origin, true.size, bytes(32))))
        act.keep("forged-checkpoint.txt", forged)
        answer = act.b.service.http.post("/witness/add-checkpoint", content=format_request(true.size, [], forged))
        act.shows("向见证方提交 shown to a witness", answer.status_code in (409, 422), True)
        for name in ("checkpoint", "checkpoint.witnessed"):
            (act.a.settings.tiles / name).write_text(forged, "utf-8")
        states, took = until(
            "乙地 at B", lambda: _state(act.b, act.a.code), lambda found: found == "forked", _PATIENCE_S
        )
        act.shows("跟踪方 those who follow its log", states, "forked")
        typer.echo(f"   {took:.1f} s 后发现 found after {took:.1f} s")
        verdict = act.b.verify(_printed(act, "food"))
        act.keep("verdict-forked.json", verdict)
        act.shows("甲地证照在乙地 A's licences at B", outcome(verdict), "undetermined: peer.forked")
        issued = act.b.service.client("market-business").post(
            "/v1/licences", people.business_licence(act.today), operator=OFFICER
        )
        act.shows("乙地照常签发 B goes on issuing", outcome(act.b.verify(issued["licence"])), "valid")


async def _signed(region: Neighbour, checkpoint: Checkpoint) -> str:
    """A checkpoint under the region's own log keys, as whoever holds them can make it."""
    store = open_store(region.settings)
    return await LogSigner(checkpoint.origin, tuple(store.signer(name) for name in LOG_KEYS)).sign(
        checkpoint, int(time.time())
    )


def _state(here: Neighbour, peer: str) -> str:
    operator = here.service.client("operator")
    [found] = [each for each in operator.get("/v1/peers", operator=OPERATOR).json()["items"] if each["region"] == peer]
    return str(found["following"]["state"])
