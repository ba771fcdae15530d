"""One walk through every operation, as the people of a region would use it; what goes in and out is remembered.

The worked examples of the interface description are taken from here, and a test compares the two.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute
from PIL import Image

from api import qr_codes
from tests.api import story_calls, story_equivalences, story_peers, story_watched, story_witness
from tests.api.service import Caller, Service, service_on
from tests.ledger import licensing
from tests.ledger.licensing import COMPANY, HOUSING, MARKET, PERSON, furnish
from tests.verifiers.issuer import Issuer
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.legal_dates import day_of

NEW_DEPARTMENT = {
    "id": "11610000010000020C",
    "names": {"zh": "示例省农业农村厅", "en": "Example Department of Agriculture"},
}
CLOSING_DEPARTMENT = {
    "id": "11610000010000012H",
    "names": {"zh": "示例省卫生健康委员会", "en": "Example Health Commission"},
}
MATTER = "EXAMPLE-SX-0131003"


@dataclass
class World:
    """The callers of the story and what they have learnt so far."""

    service: Service
    operator: Caller
    business: Caller
    window: Caller
    officer: Caller
    second: Caller
    app: Caller
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    there: Issuer | None = None
    """The other region, once it has been admitted."""

    def today(self) -> str:
        """Return today's calendar date in +08:00."""
        return day_of(self.service.region.clock.now()).isoformat()


@asynccontextmanager
async def world_on(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[World]:
    """Serve a region with departments, types, grants, a matter and callers for the block."""
    async with service_on(database_url, folder, **settings) as service:
        await furnish(service.region)
        world = World(
            service=service,
            operator=await service.caller("operator", ["operate", "audit"]),
            business=await service.caller("market-business", ["issue"], MARKET, "示例经办员"),
            window=await service.caller("market-window", ["window", "verify"], MARKET, "示例窗口员"),
            officer=await service.caller("market-supervisor", ["supervise"], MARKET, "示例监管员一"),
            second=await service.caller("market-legal", ["supervise"], MARKET, "示例监管员二"),
            app=await service.caller("holder-app", ["holder"]),
        )
        matter = json.loads((licensing.EXAMPLES / "matters" / "food-business-licence.json").read_text("utf-8"))
        await world.operator.post("/v1/matters", matter | {"department": MARKET})
        await served(world, "/trust-list")
        _remember(world)
        yield world


def _remember(world: World) -> None:
    """Keep the first good request and answer of every operation."""
    transport: Any = world.service.http._transport
    routes = [route for route in transport.app.routes if isinstance(route, APIRoute)]

    async def note(answer: httpx.Response) -> None:
        request = answer.request
        scope = {"type": "http", "path": request.url.path, "method": request.method, "headers": []}
        found = [route for route in routes if route.matches(scope)[0].value == 2]
        if not answer.is_success or not found or found[0].operation_id in world.seen:
            return
        await answer.aread()
        kept: dict[str, Any] = {}
        if request.headers.get("content-type", "").startswith("application/json"):
            kept["request"] = json.loads(request.content)
        elif request.content and not request.headers["content-type"].startswith("image/"):
            kept["request"] = request.content.decode()
        kind = answer.headers.get("content-type", "")
        if kind.startswith("application/json"):
            kept["answer"] = answer.json()
        elif answer.content and not kind.startswith(("image/", "application/pdf", "application/octet-stream")):
            kept["answer"] = answer.text
        world.seen[found[0].operation_id or ""] = kept

    world.service.http.event_hooks["response"].append(note)


async def tell(world: World) -> None:
    """Call every operation once, each with what the ones before gave."""
    await _set_up(world)
    world.there = there = await story_peers.admit(world.service, world.operator)
    await story_equivalences.recognise(world.operator)
    licence = await _issue(world)
    await _look(world, licence)
    await _batches(world)
    await _show(world, licence)
    await story_calls.call(world.service, there, licence)
    await _credit(world)
    await _act(world, licence)
    await _accuse(world)
    await _published(world, licence)
    await story_witness.ask(world.service)
    await _tidy_up(world)


async def _set_up(world: World) -> None:
    operator = world.operator
    await operator.post("/v1/departments", NEW_DEPARTMENT)
    await operator.post("/v1/departments", CLOSING_DEPARTMENT)
    definition = licensing.definition("food-business-licence")
    later = definition | {"minor": 1, "fields": [*definition["fields"], _new_field()]}
    await operator.post("/v1/types", later)
    grant = {
        "department": NEW_DEPARTMENT["id"],
        "type": licensing.PERMIT,
        "major": 1,
        "area": "610000",
        "acts": ["read"],
    }
    await operator.post("/v1/grants", grant)
    effects = {"identity": "suspended", "qualification": "suspended", "evidence": "notice"}
    await world.officer.post(f"/v1/types/{licensing.FOOD}/1/instruction", {"effects": effects})
    matter = json.loads((licensing.EXAMPLES / "matters" / "food-business-licence.json").read_text("utf-8"))
    await operator.post("/v1/matters", matter | {"department": MARKET, "version": 2})
    for path in ("/v1/departments", "/v1/grants", "/v1/types", "/v1/matters"):
        await operator.get(path)


def _new_field() -> dict[str, Any]:
    return {
        "name": "online_shop",
        "type": "text",
        "label": {"zh": "网络经营场所", "en": "Online shop"},
        "disclosure": "selective",
        "printed": False,
    }


def business_licence(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request for a business licence to the n-th made-up company."""
    numbers = ("91610100MA0000015Q", "91610100MA0000023K", "91610100MA0000031E")
    holder = COMPANY | {"id": numbers[n - 1]} if n > 1 else COMPANY
    body: dict[str, Any] = {
        "type": licensing.BUSINESS,
        "holder": holder,
        "number": holder["id"],
        "fields": {
            "entity_type": "有限责任公司",
            "legal_representative": "示例甲",
            "residence": "示例省示例市示例路1号",
            "registered_capital": "壹佰万元整",
            "established_on": "2026-11-21",
            "business_scope": "餐饮服务",
        },
    }
    return body | changes


async def _issue(world: World) -> dict[str, Any]:
    business = world.business
    submission = await business.post(
        "/v1/submissions",
        {
            "received_by": MARKET,
            "decided_by": MARKET,
            "destination": MARKET,
            "channel": "window",
            "matter": MATTER,
            "applicant": COMPANY,
            "materials": [{"digest": "0a" * 32, "kind": "住所使用证明"}],
            "missing": [],
        },
    )
    basis = [{"submission": submission["id"], "basis": "identity"}]
    licence: dict[str, Any] = await business.post("/v1/licences", business_licence(rests_on=basis))
    await business.post(
        f"/v1/submissions/{submission['id']}/decision", {"outcome": "granted", "results": [licence["id"]]}
    )
    await business.get(f"/v1/submissions/{submission['id']}")
    food = licensing.food(1, rests_on=[{"licence": licence["id"], "basis": "qualification"}])
    inside = await business.post("/v1/licences?wait=receipt", food)
    assert inside["receipt"].startswith("c2sp.org/tlog-proof@v1\n"), inside["receipt"][:60]
    licence["submission"] = submission["id"]
    return licence


async def served(world: World, path: str) -> httpx.Response:
    """Wait until something is published at `path`."""
    async with asyncio.timeout(20):
        while not (answer := await world.service.http.get(path)).is_success:
            await asyncio.sleep(0.02)
    return answer


async def _look(world: World, licence: dict[str, Any]) -> None:
    business = world.business
    path = f"/v1/licences/{licence['id']}"
    await served(world, httpx.URL(licence["status"]["uri"]).path)
    await business.get(path)
    search = {"holder": {"id_type": COMPANY["id_type"], "id": COMPANY["id"]}, "purpose": "日常监督检查"}
    assert (await business.post("/v1/licences/search", search))["items"]
    for part in ("receipt", "bundle", "code.png", "code.svg", "face.svg", "face.pdf"):
        answer = await business.call("GET", f"{path}/{part}")
        assert answer.status_code == 200, (part, answer.text)
    verdict = await world.service.http.post("/v1/verify", json={"presented": licence["licence"]})
    assert verdict.json()["outcome"] == "valid", verdict.text


async def _batches(world: World) -> None:
    rows = [licensing.food(n) | {"client_ref": f"JY-{n}"} for n in (11, 12)] + [{"client_ref": "JY-13"}]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    headers = {"Content-Type": "application/x-ndjson"}
    for path in ("/v1/licences/batch", "/v1/batches"):
        answer = await world.business.call("POST", path, content=content.encode(), headers=headers)
        assert answer.is_success, answer.text
    batch = answer.headers["location"]
    while (await world.business.call("GET", batch)).json()["state"] != "done":
        world.seen.pop("getBatch")
    await world.business.get(f"{batch}/results")


async def _show(world: World, licence: dict[str, Any]) -> None:
    holder = await world.service.holder(world.app, str(COMPANY["id_type"]), str(COMPANY["id"]))
    chosen = {"licences": [{"licence": licence["id"]}], "purpose": "办理食品经营许可", "lifetime_s": 3600}
    prepared = (await holder.call("POST", "/v1/codes", chosen)).json()
    text = mint(
        prepared["base"],
        b64u_decode(prepared["handle"]),
        b64u_decode(prepared["key"]),
        world.service.region.clock.now(),
    )
    scan = {"code": text, "matter": MATTER, "purpose": "食品经营许可办理"}
    scanned = await world.window.post("/v1/scans", scan)
    assert scanned["outcome"] == "valid", scanned
    assert (await holder.call("DELETE", f"/v1/codes/{prepared['id']}")).status_code == 204
    for path in ("/v1/holder/credit", "/v1/holder/accesses"):
        answer = await holder.call("GET", path)
        assert answer.status_code == 200, answer.text
    picture = io.BytesIO()
    Image.open(io.BytesIO(qr_codes.png(text, "screen"))).convert("L").save(picture, "JPEG")
    read = await world.window.call(
        "POST", "/pages/read-frame", content=picture.getvalue(), headers={"Content-Type": "image/jpeg"}
    )
    assert read.json() == {"text": text}, read.text


async def _credit(world: World) -> None:
    subject = {"id_type": COMPANY["id_type"], "id": COMPANY["id"]}
    await world.window.post("/v1/credit/checks", {"subject": subject, "purpose": "食品经营许可", "matter": MATTER})
    today = world.today()
    await world.officer.post(
        "/v1/credit/records",
        {
            "subject": {"id_type": COMPANY["id_type"], "id": COMPANY["id"]},
            "role": "违法行为人",
            "class": "ordinary",
            "list_entry": "示例清单第1项",
            "measures": [],
            "document_no": "示市监罚〔2026〕1号",
            "decided_at": today,
            "served_at": today,
        },
    )
    await world.officer.post("/v1/credit/files", {"subject": subject, "purpose": "信用评价"})


async def _act(world: World, licence: dict[str, Any]) -> None:
    business, today = world.business, world.today()
    other = await business.post("/v1/licences", business_licence(2))
    suspend = {
        "act": "suspend",
        "authority": "示例市场监管局",
        "articles": ["食品安全法第一百二十四条"],
        "document_no": "示市监〔2026〕2号",
        "decided_at": today,
        "served_at": today,
        "reason": "限期整改期间",
    }
    await business.post(f"/v1/licences/{other['id']}/acts", suspend)
    change = {"change": "amend", "fields": {"residence": "示例省示例市示例路9号"}, "reason": "住所变更"}
    await business.post(f"/v1/licences/{licence['id']}/versions", change)
    await business.get(f"/v1/licences/{other['id']}/history")
    seal = {
        "code": "6101000000001",
        "kind": "licence",
        "name": "示例市场监管局证照专用章",
        "holder": MARKET,
        "picture": "1b" * 32,
        "certificate": "2c" * 32,
        "valid_from": today,
    }
    filed = await business.post("/v1/seals", seal)
    await business.post(f"/v1/seals/{filed['id']}/acts", {"act": "suspend", "reason": "印模更换"})
    await business.get(f"/v1/seals/{filed['id']}")


async def _accuse(world: World) -> None:
    housing = await world.service.caller("housing-business", ["issue"], HOUSING, "示例经办员")
    reviewer = await world.service.caller("housing-supervisor", ["supervise"], HOUSING, "示例监管员三")
    forged = await world.business.post("/v1/licences", business_licence(3))
    certificate = licensing.officer(1, holder=PERSON, rests_on=[{"licence": forged["id"], "basis": "qualification"}])
    await housing.post("/v1/licences", certificate)
    today = world.today()
    until = (day_of(world.service.region.clock.now()) + timedelta(days=10)).isoformat()
    flag = {"targets": [{"licence": forged["id"]}], "reason": "住所证明经核查系伪造（示例）", "evidence": ["3d" * 32]}
    path = f"/v1/fraud-flags/{(await world.officer.post('/v1/fraud-flags', flag))['id']}"
    freeze = {"ground": "防止继续使用", "document_no": "示市监冻〔2026〕1号", "until": until}
    await world.officer.post(f"{path}/freezes", freeze)
    notice = {"document_no": "示市监告〔2026〕1号", "served_at": today, "respond_by": until}
    await world.officer.post(f"{path}/notices", notice)
    await world.officer.post(f"{path}/statements", {"text": "证明由中介提供（示例）", "waives": True})
    preview = (await world.second.get(path))["preview"]
    ruling = {
        "outcome": "upheld",
        "articles": ["行政许可法第六十九条第二款"],
        "document_no": "示市监撤〔2026〕1号",
        "preview": preview["digest"],
        "liable": [],
        "spared": [],
    }
    await world.second.post(f"{path}/decision", ruling)
    notices = await reviewer.get("/v1/notices")
    await reviewer.post("/v1/notices/ack", {"cursor": notices["cursor"]})
    review = (await reviewer.get("/v1/reviews"))["items"][0]
    outcome = {"outcome": "restored", "reason": "另有独立证明，资格仍然成立（示例）"}
    await reviewer.post(f"/v1/reviews/{review['id']}/outcome", outcome)
    reversal = {
        "authority": "示例省人民政府",
        "articles": ["行政复议法"],
        "document_no": "示复决〔2026〕1号",
        "decided_at": today,
    }
    await world.second.post(f"{path}/reversal", reversal)


async def _published(world: World, licence: dict[str, Any]) -> None:
    http = world.service.http
    status = httpx.URL(licence["status"]["uri"]).path
    await story_watched.be_watched(world.service)
    paths = [
        "/.well-known/elicence-region", f"/.well-known/jwt-vc-issuer/d/{MARKET}", "/log/checkpoint",
        "/log/tile/0/000.p/1", "/trust-list", "/trust-list/1", "/trust-list/1/receipt", "/status-lists", status,
        f"/types/{licensing.FOOD}/1", "/healthz", "/readyz", "/metrics",
    ]  # fmt: skip
    for path in paths:
        answer = await http.get(path)
        if path.startswith("/log/tile") and answer.status_code == 404:
            continue
        assert answer.status_code == 200, (path, answer.text)


async def _tidy_up(world: World) -> None:
    operator = world.operator
    watched = await operator.call("GET", f"/v1/departments/{MARKET}/entries", params={"day": world.today()})
    assert watched.status_code == 200, watched.text
    new = f"/v1/departments/{NEW_DEPARTMENT['id']}"
    await operator.post(f"{new}/keys/licence/rotation")
    kid = next(
        key.kid
        for key in world.service.region.catalogue.keys.values()
        if key.department == NEW_DEPARTMENT["id"] and key.purpose == "code"
    )
    await operator.post(f"/v1/keys/{kid}/compromise", {"since": f"{world.today()}T00:00:00Z"})
    grant = (await operator.call("GET", "/v1/grants", params={"department": NEW_DEPARTMENT["id"]})).json()["items"][0]
    await operator.call("DELETE", f"/v1/grants/{grant['id']}")
    await operator.post(f"{new}/succession", {"successor": MARKET})
    await operator.post(f"/v1/departments/{CLOSING_DEPARTMENT['id']}/closure")
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    client = {
        "id": "market-archive",
        "name": "示例档案系统",
        "department": MARKET,
        "scopes": ["issue"],
        "jwks": {"keys": [key]},
    }
    await operator.post("/v1/clients", client)
    await operator.get("/v1/clients")
    await operator.call("PATCH", "/v1/clients/market-archive", {"disabled": True})
    assert (await operator.call("DELETE", "/v1/clients/market-archive")).status_code == 204
