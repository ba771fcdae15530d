"""A region with example departments, types and grants, and requests for made-up holders: where issuing tests start."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ledger import departments, grants, types
from ledger.actors import Actor
from ledger.clock import Clock
from ledger.errors import Refusal
from ledger.issue_requests import IssueRequest, parse_issue
from ledger.issued import Issued
from ledger.issuing import issue
from ledger.proposals import IdempotencyKey
from ledger.region import Region
from tests.region import OPERATOR, region_on

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

MARKET = "11610000MB2900109J"
HOUSING = "11610000MB2900205U"
EDUCATION = "11610000MB29003015"
AGRICULTURE = "11610000MB2900408G"
"""Example departments; the check characters hold, the departments do not exist."""

ALL_ACTS = ["issue", "change", "suspend", "annul", "penalty", "seal", "read", "scan"]
FOOD = "11100000MB0341032Y902"
BUSINESS = "11100000MB0341032Y901"
DIPLOMA = "11100000MB00000C90901"
OFFICER = "11100000000013338W011"
PERMIT = "11100000000013338W901"
DRUG = "11100000MB00000A28901"

COMPANY = {"kind": "organisation", "name": "示例甲有限公司", "id_type": "001", "id": "91610100MA0000015Q"}
PERSON = {"kind": "person", "name": "示例甲", "id_type": "111", "id": "610101199001010013"}
OTHER_PERSON = {"kind": "person", "name": "示例乙", "id_type": "111", "id": "610101199102020026"}
"""Made-up holders with right check digits."""


def actor(department: str, *scopes: str, operator: str = "示例经办人") -> Actor:
    """Return a caller of one department."""
    return Actor(f"client-{department}", department, frozenset(scopes or ("issue", "window", "supervise")), operator)


def definition(name: str) -> dict[str, Any]:
    """Return one of the example types of `examples/types`."""
    document: dict[str, Any] = json.loads((EXAMPLES / "types" / f"{name}.json").read_text("utf-8"))
    return document


@asynccontextmanager
async def licensing_region(
    database_url: str, folder: Path, *, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Region]:
    """Run a region in which three departments hold grants for the example types."""
    async with region_on(database_url, folder, clock=clock, **changes) as region:
        await furnish(region)
        yield region


async def furnish(region: Region) -> None:
    """Register the example departments, types and grants."""
    names = {MARKET: "示例市场监管局", HOUSING: "示例住建局", EDUCATION: "示例教育厅", AGRICULTURE: "示例农业农村局"}
    for id_, name in names.items():
        await departments.register(region, OPERATOR, {"id": id_, "names": {"zh": name, "en": f"Example {id_}"}})
    for file in sorted((EXAMPLES / "types").glob("*.json")):
        await types.register(region, OPERATOR, json.loads(file.read_text("utf-8")))
    held = {MARKET: (FOOD, BUSINESS, DRUG), HOUSING: (OFFICER, PERMIT), EDUCATION: (DIPLOMA,)}
    for department, codes in held.items():
        for code in codes:
            await give(region, department, code)


async def give(region: Region, department: str, code: str, area: str = "610000", acts: Any = None) -> str:
    """Grant a department a type and return the grant's id."""
    body = {"department": department, "type": code, "major": 1, "area": area, "acts": acts or ALL_ACTS}
    answer = await grants.give(region, OPERATOR, body)
    return str(answer["id"])


def food(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request for a food business licence with the n-th number."""
    body: dict[str, Any] = {
        "type": FOOD,
        "holder": COMPANY,
        "number": f"JY1610100{n:07d}",
        "fields": {
            "legal_representative": "示例甲",
            "residence": "示例省示例市示例路1号",
            "premises": "示例省示例市示例路2号",
            "business_form": "餐饮服务经营者",
            "items": ["热食类食品制售", "冷食类食品制售"],
        },
        "valid_from": "2026-11-21",
        "valid_until": "2031-11-20",
        "rests_on": [],
    }
    return body | changes


def diploma(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request for a diploma with the n-th number."""
    body: dict[str, Any] = {
        "type": DIPLOMA,
        "holder": PERSON,
        "number": f"{106101200000000000 + n}",
        "fields": {
            "sex": "女",
            "born_on": "1990-01-01",
            "school": "示例大学",
            "major": "土木工程",
            "level": "本科",
            "study_form": "普通全日制",
            "enrolled_on": "2008-09-01",
            "graduated_on": "2012-07-01",
            "conclusion": "毕业",
        },
    }
    return body | changes


def officer(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request for a construction safety certificate with the n-th number."""
    body: dict[str, Any] = {
        "type": OFFICER,
        "holder": PERSON,
        "number": f"2026{n:07d}",
        "fields": {
            "sex": "女",
            "born_on": "1990-01-01",
            "employer": "示例甲有限公司",
            "employer_code": COMPANY["id"],
            "position": "项目负责人",
            "category": "B",
            "first_issued_on": "2026-11-21",
        },
        "valid_from": "2026-11-21",
        "valid_until": "2029-11-20",
    }
    return body | changes


def key(region: Region, name: str, body: Any) -> IdempotencyKey:
    """Return the idempotency key of a test request."""
    from verifiers import canonical

    return IdempotencyKey("client", "/v1/licences", name, region.vault.body_mac(canonical.encode(body)))


def request(region: Region, body: dict[str, Any], name: str | None = None) -> IssueRequest:
    """Read a request, with an idempotency key where `name` is given."""
    return parse_issue(body, None if name is None else key(region, name, body))


async def issued(region: Region, department: str, body: dict[str, Any], name: str | None = None) -> Issued:
    """Issue one licence and return it; a refusal is raised."""
    [outcome] = await issue(region, actor(department), [request(region, body, name)])
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
