"""Example data: regions with departments, types, matters and clients, for `serve --example`, demo and benchmarks.

Everything is marked 示例; codes have valid check digits and belong to nobody. What is there already stays, so that a
run that was cut short is simply run again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from ledger import clients, departments, grants, matters, types
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.region import Region

FOLDER = Path(__file__).resolve().parents[2] / "examples"
WHOLE_REGION = "000000"
ALL_ACTS = ("annul", "change", "issue", "penalty", "read", "scan", "seal", "suspend")
OPERATOR = Actor("example-setup", "", frozenset({"operate"}), "示例操作员")


@dataclass(frozen=True, slots=True)
class ExampleDepartment:
    """A department, the example types it issues and the file its matters are in."""

    id: str
    slug: str
    zh: str
    en: str
    issues: tuple[str, ...]
    matters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExampleRegion:
    """A region with its example departments: market regulator, housing, education."""

    code: str
    zh: str
    en: str
    departments: tuple[ExampleDepartment, ...]

    @property
    def settings(self) -> dict[str, str]:
        """Settings that make a service this region."""
        return {"region": self.code, "region_name_zh": self.zh, "region_name_en": self.en}


def _departments(zh: str, en: str, market: str, housing: str, education: str) -> tuple[ExampleDepartment, ...]:
    return (
        ExampleDepartment(
            market,
            "market",
            f"{zh}市场监督管理局",
            f"{en} Market Regulator",
            ("business-licence", "food-business-licence", "drug-business-licence"),
            ("food-business-licence",),
        ),
        ExampleDepartment(
            housing,
            "housing",
            f"{zh}住房和城乡建设厅",
            f"{en} Housing and Construction Department",
            ("construction-safety-certificate", "construction-safety-permit"),
            ("construction-safety-certificate", "construction-safety-permit"),
        ),
        ExampleDepartment(
            education,
            "education",
            f"{zh}教育厅",
            f"{en} Education Department",
            ("higher-education-diploma", "residence-permit", "animal-clinic-licence"),
            ("animal-clinic-licence",),
        ),
    )


def _region(code: str, zh: str, en: str, short: str, *departments: str) -> ExampleRegion:
    return ExampleRegion(code, zh, en, _departments(zh, short, *departments))


REGIONS = (
    _region("610000", "示例省", "Example Province", "Example", "11610000010000020C", "116100000100000399",
            "116100000100000474"),
    _region("620000", "示例二省", "Second Example Province", "Second Example", "11620000010000020G",
            "11620000010000039D", "116200000100000478"),
    _region("630000", "示例三省", "Third Example Province", "Third Example", "11630000010000020L",
            "11630000010000039H", "11630000010000047C"),
    _region("640000", "示例四省", "Fourth Example Province", "Fourth Example", "11640000010000020Q",
            "11640000010000039M", "11640000010000047G"),
)  # fmt: skip
"""Four invented regions; a region with another code gets the departments of the first."""
MARKET, HOUSING, EDUCATION = REGIONS[0].departments


def departments_of(code: str) -> tuple[ExampleDepartment, ...]:
    """Return the example departments of the region with this code."""
    return next((each.departments for each in REGIONS if each.code == code), REGIONS[0].departments)


_CLIENTS = (("business", ["issue", "audit"]), ("window", ["window", "verify"]), ("supervisor", ["supervise", "audit"]))


def definition(name: str, folder: str = "types") -> dict[str, Any]:
    """Return an example definition as JSON. Raises `Refusal` examples.missing outside a checkout."""
    try:
        document: dict[str, Any] = json.loads((FOLDER / folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        raise Refusal(Code.EXAMPLES_MISSING, None, where=str(FOLDER)) from None
    return document


def client_bodies(departments: tuple[ExampleDepartment, ...]) -> list[dict[str, Any]]:
    """Return every example client without its key: three for each department, operators, and the holders' app."""
    found = [
        {
            "id": f"{department.slug}-{role}",
            "name": f"{department.zh} {role}",
            "department": department.id,
            "scopes": scopes,
            "areas": [],
        }
        for department in departments
        for role, scopes in _CLIENTS
    ]
    found.append({"id": "operator", "name": "示例地区运维", "scopes": ["audit", "operate"], "areas": []})
    # Admitting another region takes two operators, each with a key.
    found.append({"id": "second-operator", "name": "示例地区运维二", "scopes": ["audit", "operate"], "areas": []})
    found.append({"id": "holder-app", "name": "示例一码通", "scopes": ["holder"], "areas": []})
    return found


async def seed(region: Region, folder: Path, *, grace_s: int | None = None) -> None:
    """Bring all example data into `region` and write `clients.json` and the clients' private keys below `folder`.

    `grace_s` replaces the age that status lists may have in the definitions of types.
    """
    catalogue, chosen = region.catalogue, departments_of(region.config.region)
    for department in chosen:
        if department.id not in catalogue.departments:
            body = {"id": department.id, "names": {"zh": department.zh, "en": department.en}}
            await departments.register(region, OPERATOR, body)
        for name in department.issues:
            await _seed_type(region, department, name, {} if grace_s is None else {"grace_s": grace_s})
    for department in chosen:
        for name in department.matters:
            body = definition(name, "matters") | {"department": department.id}
            if body["code"] not in region.catalogue.matters:
                await matters.register(region, OPERATOR, body)
    await seed_clients(region, folder)


async def _seed_type(region: Region, department: ExampleDepartment, name: str, changes: dict[str, Any]) -> None:
    body = definition(name) | changes
    code, major = body["code"], body["major"]
    if (code, major) not in region.catalogue.types:
        await types.register(region, OPERATOR, body)
    if not region.catalogue.open_grants(department.id, code, major):
        grant = {
            "department": department.id,
            "type": code,
            "major": major,
            "area": WHOLE_REGION,
            "acts": list(ALL_ACTS),
        }
        await grants.give(region, OPERATOR, grant)
        actor = Actor("example-setup", department.id, frozenset({"supervise"}), "示例法制员")
        await types.instruct(region, actor, code, major, None)


async def seed_clients(region: Region, folder: Path) -> None:
    """Register the example clients that are missing, each with a key of its own, and write what programs need."""
    keys = folder / "client-keys"
    keys.mkdir(parents=True, exist_ok=True)
    listed = []
    for body in client_bodies(departments_of(region.config.region)):
        path = keys / f"{body['id']}.jwk.json"
        if not path.exists():
            write_key(path)
        public = {name: value for name, value in json.loads(path.read_text()).items() if name != "d"}
        await _register_client(region, body | {"jwks": {"keys": [public]}})
        listed.append(
            {"client_id": body["id"], "department": body.get("department"), "scopes": body["scopes"], "key": str(path)}
        )
    (folder / "clients.json").write_text(json.dumps({"clients": listed}, ensure_ascii=False, indent=1) + "\n", "utf-8")


async def _register_client(region: Region, body: dict[str, Any]) -> None:
    """Register a client unless it is there already, from an earlier run."""
    try:
        await clients.register(region, body)
    except Refusal as refused:
        if refused.code is not Code.CLIENT_EXISTS:
            raise


def write_key(path: Path) -> None:
    """Make a P-256 key and write its private JWK, readable by its owner only."""
    private = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(private | {"kid": path.name.partition(".")[0]}, file)
