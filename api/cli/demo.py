"""`elicence demo`: the main job from issue to reversal, on a running service, each step with what proves it.

Three departments, a company, two persons, three generations of licences. Everything shown comes from the service over
HTTP or from `elicence-verify` working on files alone; artefacts stay in `var/demo/`. A second act shows three regions
together (`api.cli.demo_regions`).
"""

import base64
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import zxingcpp
from PIL import Image

from api import qr_codes
from api.cli import demo_people as people
from api.cli import demo_regions
from api.cli.answers import say
from api.cli.demo_artefacts import Artefacts, python_path
from api.cli.demo_service import DemoService, running
from api.cli.demo_stage import Stage, Unexpected
from api.cli.example_region import MARKET
from api.cli.http_client import Refused, good
from api.cli.key_refusals import EXIT_REFUSED
from api.settings import environment
from verifiers.dynamic_code import mint
from verifiers.legal_dates import day_of

FLAGGER, SECOND, WINDOW = "示例监管员一", "示例监管员二", "示例窗口员"
ISSUER_OFFICER = "示例经办员"


@dataclass
class Story(Stage):
    """What the demo knows as it goes along: ids by short name."""

    service: DemoService
    files: Artefacts
    today: date
    licences: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def named(self, licence: str) -> str:
        """Return the short name of a licence."""
        return self.names.get(licence, licence)


def demo(
    folder: Annotated[Path, typer.Option(help="产物目录 / where the artefacts go")] = Path("var/demo"),
) -> None:
    """从签发到撤销再到恢复，完整演示一遍。Show the main job: issue, check, scan, fraud, cascade, reversal."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _tell(folder)
    except Refused as refused:
        say(f"演示中断 the demo was refused: {json.dumps(refused.problem, ensure_ascii=False)}")
        raise typer.Exit(EXIT_REFUSED) from None
    except Unexpected as unexpected:
        say(f"演示中断 not as promised: {unexpected}")
        raise typer.Exit(EXIT_REFUSED) from None


def _tell(folder: Path) -> None:
    began = time.monotonic()
    with running(folder / "service") as service:
        story = Story(service, Artefacts(service.http, folder), day_of(datetime.now(UTC)))
        _meet(story)
        _issue(story)
        _check_printed_code(story)
        _scan(story)
        flag = _accuse(story)
        _decide(story, flag)
        _show_it_fell(story)
        _audit(story)
        _reverse(story, flag)
        story.files.save_log()
    typer.secho("\n第二幕：三地互认  Second act: three regions together", bold=True)
    act = demo_regions.play(folder / "regions")
    total = round(time.monotonic() - began, 1)
    checks = story.checks + act.checks
    summary = {
        "licences": len(story.licences),
        "checks": checks,
        "seconds": story.seconds,
        "regions": {"checks": act.checks, "seconds": act.seconds},
        "total_s": total,
    }
    story.files.write_json("summary.json", summary)
    typer.echo(f"\n完成 done: {checks} checks, {total} s, {folder}/")


def _meet(story: Story) -> None:
    with story.step("认识地区：根、日志、信任列表", "Meet the region: root, log, trust list"):
        region = good(story.service.http.get("/.well-known/elicence-region")).json()
        story.files.save_region(region)
        typer.echo(f"   地区 {region['region']} {region['names']['zh']} · 根指纹 root {region['root'][:16]}…")
        typer.echo(f"   日志 log {region['log']['origin']} · {len(region['log']['vkeys'])} 个签名密钥 keys")
        typer.echo(
            "   注意：指纹应当从别处取得；这里从服务取得只为演示。Get the fingerprint out of band; this is a demo."
        )


def _issue(story: Story) -> None:
    market, housing = story.service.client("market-business"), story.service.client("housing-business")
    education = story.service.client("education-business")
    with story.step("办件与签发：三代证照", "Submissions and licences: three generations"):
        submission = _submit(story)
        story.names[submission] = "办件 submission"
        _granted(story, "L0", education, people.diploma(), "示例甲的学历证书（与办件无关）")
        _granted(
            story, "L1", market, people.business_licence(story.today, submission), "公司营业执照 ← 办件（identity）"
        )
        on_diploma = [{"licence": story.licences["L0"]["id"], "basis": "qualification"}]
        certificate = people.safety_certificate(story.today, people.PERSON_A, "SXC3000001", on_diploma)
        _granted(story, "L2", housing, certificate, "示例甲的安管人员证书 ← L0（qualification）")
        on_both = [
            {"licence": story.licences["L1"]["id"], "basis": "identity"},
            {"licence": story.licences["L2"]["id"], "basis": "qualification"},
        ]
        _granted(
            story, "L3", housing, people.safety_permit(story.today, on_both), "安全生产许可证 ← L1（identity）、L2"
        )
        on_licence = [{"licence": story.licences["L1"]["id"], "basis": "qualification"}]
        _granted(
            story, "L4", market, people.food_licence(story.today, on_licence), "食品经营许可证 ← L1（qualification）"
        )
        on_permit = [{"licence": story.licences["L3"]["id"], "basis": "qualification"}]
        second = people.safety_certificate(story.today, people.PERSON_B, "SXC3000002", on_permit)
        _granted(story, "L5", housing, second, "示例乙的安管人员证书 ← L3（qualification）")
        market.post(
            f"/v1/submissions/{submission}/decision",
            {"outcome": "granted", "results": [story.licences["L1"]["id"]]},
            operator=ISSUER_OFFICER,
        )
        story.files.save_licence(market, story.licences["L1"], ISSUER_OFFICER)


def _read_qr(picture: bytes) -> str:
    """Read the text of a printed code as a scanner would."""
    found = zxingcpp.read_barcode(Image.open(io.BytesIO(picture)).convert("L"))
    if found is None:
        raise Unexpected("no QR reader can read the printed code")
    return found.text


def _submit(story: Story) -> str:
    body = {
        "received_by": MARKET.id,
        "decided_by": MARKET.id,
        "destination": MARKET.id,
        "channel": "window",
        "applicant": people.COMPANY.json(),
        "materials": [
            {"digest": base64.b16encode(bytes([number]) * 32).decode().lower(), "kind": kind}
            for number, kind in ((1, "住所使用证明"), (2, "股东身份证明"))
        ],
        "missing": [],
    }
    answer = story.service.client("market-business").post("/v1/submissions", body, operator=ISSUER_OFFICER)
    typer.echo(f"   办件 submission {answer['id']}：2 份材料 materials")
    return str(answer["id"])


def _granted(story: Story, name: str, client: Any, body: dict[str, Any], what: str) -> None:
    answer = client.post("/v1/licences?wait=receipt", body, operator=ISSUER_OFFICER)
    story.licences[name] = answer
    story.names[answer["id"]] = name
    story.files.write(f"licences/{name}.sdjwt", answer["licence"] + "\n")
    story.files.write(f"licences/{name}.tlog-proof", answer["receipt"])
    typer.echo(f"   {name} {what} · 条目 entry {answer['entry']} · {answer['identifier']}")


def _check_printed_code(story: Story) -> None:
    files = story.files
    with story.step("静态码：打印、解码、离线核验", "Static code: printed, decoded, checked offline"):
        licence = story.licences["L1"]["id"]
        picture = (
            story.service.client("market-business")
            .get(f"/v1/licences/{licence}/code.png", operator=ISSUER_OFFICER)
            .content
        )
        text = _read_qr(picture)
        files.write("code-static.png", picture)
        files.write("code-static.txt", text + "\n")
        status = story.licences["L1"]["status"]["uri"]
        files.fetch("status-list-before.jwt", status)
        pinned = ["--trust", "trust-list.jwt", "--root", "root.txt"]
        alone = _offline(story, "code-static.txt", *pinned)
        story.shows("只有根和信任列表 root and trust list alone", alone, "undetermined: status.missing")
        listed = [*pinned, "--status", "status-list-before.jwt"]
        story.shows("加状态列表 with the status list", _offline(story, "code-static.txt", *listed), "valid")
        whole = _offline(story, "licence.sdjwt", *listed, "--receipt", "receipt.tlog-proof")
        story.shows("完整证照和入账凭证 whole licence with receipt", whole, "valid")
        files.write_json("verdict-before.json", _online(story, "L1"))
        for uri in sorted({each["status"]["uri"] for each in story.licences.values()}):
            files.fetch(f"status/{uri.rsplit('/', 1)[1]}.jwt", uri)


def _offline(story: Story, file: str, *options: str) -> str:
    """Run the stranger's command on files alone and return the outcome, with the first reason when not valid."""
    command = [sys.executable, "-m", "verifiers", file, *options, "--json"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, cwd=story.files.folder, capture_output=True, text=True, check=False, env=python_path()
    )
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(done.stderr)
    verdict = json.loads(done.stdout)
    verdict = verdict[0] if isinstance(verdict, list) else verdict
    reasons = [reason["code"] for reason in verdict["reasons"]]
    return verdict["outcome"] if verdict["outcome"] == "valid" else f"{verdict['outcome']}: {reasons[0]}"


def _online(story: Story, name: str) -> dict[str, Any]:
    presented = {"presented": story.licences[name]["licence"]}
    verdict: dict[str, Any] = good(story.service.http.post("/v1/verify", json=presented)).json()
    return verdict


def _scan(story: Story) -> None:
    with story.step("动态码：手机生成，窗口扫一次", "Dynamic code: minted on the phone, scanned once at a window"):
        phone = story.service.client("holder-app")
        token = story.service.identity_token(people.COMPANY.id_type, people.COMPANY.id)
        chosen = {"licences": [{"licence": story.licences["L1"]["id"]}], "purpose": "办理食品经营许可"}
        prepared = phone.post("/v1/codes", chosen, subject_token=token)
        handle, key = _bytes(prepared["handle"]), _bytes(prepared["key"])
        text = mint(prepared["base"], handle, key, datetime.now(UTC))
        story.files.write("code-dynamic.txt", text + "\n")
        story.files.write("code-dynamic.png", qr_codes.png(text, "screen"))
        window = story.service.client("market-window")
        asked = {"code": text, "matter": people.FOOD_MATTER, "purpose": "食品经营许可办理"}
        scanned = window.post("/v1/scans", asked, operator=WINDOW)
        verdict = scanned.get("verdict", scanned)
        story.shows("窗口结论 verdict at the window", verdict["outcome"], "valid")
        typer.echo(f"   所见字段 disclosed: {json.dumps(verdict['licence'], ensure_ascii=False)[:160]}")
        again = _refusal(lambda: window.post("/v1/scans", asked, operator=WINDOW))
        story.shows("再扫一次 scanned again", again, "code.replayed")
        offline = _offline(story, "code-dynamic.txt", "--trust", "trust-list.jwt", "--root", "root.txt")
        story.shows("离线扫动态码 a dynamic code offline", offline.partition(":")[0], "undetermined")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _accuse(story: Story) -> str:
    market = story.service.client("market-supervisor")
    submission = next(thing for thing, name in story.names.items() if name.startswith("办件"))
    with story.step("发现造假：标记、冻结、告知、陈述", "Fraud found: flag, freeze, notice, statement"):
        body = {"targets": [{"submission": submission}], "reason": "住所使用证明经核查系伪造（示例）"}
        flag = str(market.post("/v1/fraud-flags", body, operator=FLAGGER)["id"])
        story.shows("标记后营业执照 L1 after the flag", _online(story, "L1")["outcome"], "valid")
        freeze = {
            "ground": "防止继续使用",
            "document_no": "示市监冻〔2026〕1号",
            "until": (story.today + timedelta(days=10)).isoformat(),
        }
        market.post(f"/v1/fraud-flags/{flag}/freezes", freeze, operator=FLAGGER)
        story.shows("冻结后 L1 frozen", _outcome(_online(story, "L1")), "invalid: status.suspended")
        notice = {
            "document_no": "示市监告〔2026〕1号",
            "served_at": story.today.isoformat(),
            "respond_by": (story.today + timedelta(days=5)).isoformat(),
        }
        market.post(f"/v1/fraud-flags/{flag}/notices", notice, operator=FLAGGER)
        statement = {"text": "证明由中介提供，我公司不知情；放弃剩余陈述期限。（示例）", "waives": True}
        market.post(f"/v1/fraud-flags/{flag}/statements", statement, operator=FLAGGER)
        typer.echo("   告知已送达，陈述申辩已记录 notice served, statement recorded")
    return flag


def _outcome(verdict: dict[str, Any]) -> str:
    if verdict["outcome"] == "valid":
        return "valid"
    return f"{verdict['outcome']}: {verdict['reasons'][0]['code']}"


def _decide(story: Story, flag: str) -> None:
    market = story.service.client("market-supervisor")
    with story.step("预览，由第二名人员决定", "Preview, decided by a second officer"):
        case = market.get(f"/v1/fraud-flags/{flag}", operator=SECOND).json()
        preview = case["preview"]
        for each in preview["effects"]:
            typer.echo(
                f"   将 would: {story.named(each['licence'])} → {each['effect']} ({each['cause']}, {each['basis']})"
            )
        story.files.write_json(
            "cascade.json",
            [{name: each[name] for name in ("licence", "effect", "cause", "basis")} for each in preview["effects"]],
        )
        liable = [
            {
                "subject": case["concerned"][0],
                "role": "申请人",
                "class": "serious",
                "list_entry": "行政许可法第七十九条",
                "measures": [],
                "bans": [],
            }
        ]
        ruling = {
            "outcome": "upheld",
            "articles": ["行政许可法第六十九条第二款"],
            "document_no": "示市监撤〔2026〕1号",
            "preview": preview["digest"],
            "liable": liable,
            "spared": [],
        }
        path = f"/v1/fraud-flags/{flag}/decision"
        alone = _refusal(lambda: market.post(path, ruling, operator=FLAGGER))
        story.shows("标记人自己决定 decided by the flagger", alone, "decision.same_officer")
        began = time.monotonic()
        decided = market.post(path, ruling, operator=SECOND)
        typer.echo(f"   第二人认定成立 upheld: {decided['effects']}，{time.monotonic() - began:.2f} s")


def _refusal(call: Callable[[], Any]) -> str:
    """Make a call that must be refused and return the code of the refusal."""
    try:
        call()
    except Refused as refused:
        return refused.code
    return "(accepted)"


def _show_it_fell(story: Story) -> None:
    files = story.files
    with story.step("各处结论一致", "Everywhere says so"):
        expected = {"L0": "valid", "L1": "invalid", "L2": "valid", "L3": "invalid", "L4": "invalid", "L5": "invalid"}
        for name, outcome in expected.items():
            verdict = _online(story, name)
            story.shows(f"在线 online {name} ({_outcome(verdict)})", verdict["outcome"], outcome)
        files.write_json("verdict-after.json", _online(story, "L1"))
        files.wait_for_status("status-list-after.jwt", story.licences["L1"]["status"])
        files.save_region(good(story.service.http.get("/.well-known/elicence-region")).json())
        pinned = ["--trust", "trust-list.jwt", "--root", "root.txt"]
        listed = [*pinned, "--status", "status-list-after.jwt"]
        story.shows(
            "离线静态码 printed code offline", _offline(story, "code-static.txt", *listed).partition(":")[0], "invalid"
        )
        files.fetch_bundle(story.service.client("market-business"), story.licences["L1"]["id"], ISSUER_OFFICER)
        bundle = _offline(story, "bundle.json", "--root", "root.txt")
        story.shows("离线包 offline bundle", bundle.partition(":")[0], "invalid")
        notices = story.service.client("housing-supervisor").get("/v1/notices", operator=SECOND).json()["items"]
        typer.echo(f"   住建厅收到通知 the housing department was told: {len(notices)}")


def _audit(story: Story) -> None:
    with story.step("审计账本", "Audit the log"):
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "audit", "--json"],
            capture_output=True,
            text=True,
            check=False,
            env=python_path() | environment(story.service.settings),
        )
        if not done.stdout:
            raise Unexpected(f"the audit did not run: {done.stderr[-500:]}")
        report = json.loads(done.stdout)
        story.shows("审计 audit", (done.returncode, report.get("findings")), (0, []))
        typer.echo(f"   {report.get('size')} 条 entries")


def _reverse(story: Story, flag: str) -> None:
    with story.step("复议撤销原决定，恢复", "Reversed on appeal: what came back"):
        body = {
            "authority": "示例省人民政府",
            "articles": ["行政复议法"],
            "document_no": "示复决〔2026〕1号",
            "decided_at": story.today.isoformat(),
        }
        story.service.client("market-supervisor").post(f"/v1/fraud-flags/{flag}/reversal", body, operator=SECOND)
        for name in story.licences:
            story.shows(f"恢复后 restored {name}", _outcome(_online(story, name)), "valid")
