"""Licence types (证照类型): registered, never changed, served as SD-JWT VC type metadata; and what fraud does to them.

A definition is signed by the region as part of its entry. What fraud does to a department's licences is that
department's own instruction (protocol 22a): `instruct` signs it with the department's key; the table in the definition
is what it starts from.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from ledger.actors import Actor
from ledger.catalogue import Catalogue, LicenceType
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.proposals import IdempotencyKey
from ledger.recording import acted, record
from ledger.request_members import RequestMembers
from ledger.tables.catalogue import licence_types, standing_instructions
from ledger.type_definition import TypeDefinition, check_minor, parse_definition, parse_effects
from verifiers import canonical
from verifiers.encoding import b64_encode, b64u_decode, b64u_encode
from verifiers.entry import REGION

if TYPE_CHECKING:
    from ledger.region import Region

_MAX_NUM = 0xFFFF
"""The static code has two bytes for the type's number."""


async def register(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Register the definition `body` (docs/licence-types.md) and return `answer_of` it.

    Raises `Refusal` type.malformed, type.exists, type.incompatible.
    """
    definition = parse_definition(body)
    catalogue = region.catalogue
    num = _number(catalogue, definition)
    _check_place(catalogue, definition)
    vct = definition.vct(region.base_url)
    integrity = integrity_of(metadata(definition, vct))
    facts = {**acted(actor), "num": num, "vct": vct, "integrity": integrity, "definition": definition.document}
    thing = f"{definition.code}/{definition.major}.{definition.minor}"
    event = Unsigned("type", REGION, "type.registered", thing, 0, secrets.token_bytes(32), facts)

    def still_next(current: Catalogue) -> None:
        _check_place(current, definition)
        if _number(current, definition) != num:
            raise Refusal(Code.STALE)

    answer = _answer(definition, num, vct, integrity)
    return await record(
        region, [event], answer, idempotency=idempotency, authorise=still_next, touches=["type.num", definition.code]
    )


async def instruct(
    region: Region,
    actor: Actor,
    code: str,
    major: int,
    body: Any,
    *,
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Take down the actor's department's standing instruction for one type: `{"effects": {basis: effect}}`.

    Without a body the table of the type's definition is taken over. Raises `Refusal` grant.exceeded where the
    department does not issue the type, type.malformed for effects harder than the basis allows.
    """
    department = actor.department
    catalogue = region.catalogue
    definition = catalogue.type(code, major).definition
    members = RequestMembers(body if body is not None else {})
    effects = parse_effects(members.take("effects"), "/effects") if members.has("effects") else None
    members.done()
    known = catalogue.instructions.get((department, code, major))
    version = known.version + 1 if known else 1
    thing = f"{department}/{code}/{major}"
    secret = known.secret if known else secrets.token_bytes(32)
    facts = {
        **acted(actor),
        "secret": b64u_encode(secret),
        "department": department,
        "type": code,
        "major": major,
        "version": version,
        "effects": effects or dict(definition.effect_of_fraud),
    }
    event = Unsigned("type", department, "type.instructed", thing, version - 1, secret, facts)

    def may_instruct(current: Catalogue) -> None:
        current.active_department(department)
        if not any("issue" in grant.acts for grant in current.open_grants(department, code, major)):
            raise Refusal(Code.GRANT_EXCEEDED, None, department=department, licence_type=code, act="issue")

    answer = {name: facts[name] for name in ("department", "type", "major", "version", "effects")}
    return await record(region, [event], answer, idempotency=idempotency, authorise=may_instruct)


def metadata(definition: TypeDefinition, vct: str) -> bytes:
    """Return the type metadata document of one version (draft-ietf-oauth-sd-jwt-vc §6), the bytes that are served."""
    claims: list[dict[str, Any]] = [_claim([member], labels, "never") for member, labels in _OPEN_CLAIMS]
    claims += [_claim([member], labels, "allowed") for member, labels in _HIDDEN_CLAIMS]
    claims += [_claim(["holders", None, member], labels, "allowed") for member, labels in _HOLDER_CLAIMS]
    for field in definition.fields:
        hidden = "never" if field.disclosure == "always" else "allowed"
        claims.append(_claim(["fields", field.name], dict(field.label), hidden, mandatory=field.required))
    return canonical.encode(
        {
            "vct": vct,
            "name": definition.names["en"],
            "description": f"{definition.names['zh']} {definition.code} {definition.major}.{definition.minor}",
            "display": [
                {"locale": "zh-CN", "name": definition.names["zh"]},
                {"locale": "en", "name": definition.names["en"]},
            ],
            "claims": claims,
        }
    )


def integrity_of(document: bytes) -> str:
    """Return the Subresource Integrity digest of served bytes, as `vct#integrity` quotes it."""
    return "sha256-" + b64_encode(sha256(document).digest())


def served(catalogue: Catalogue, code: str, major: int, minor: int | None = None) -> bytes:
    """Return the metadata to serve at `/types/<code>/<major>`; the newest minor unless one is asked for.

    Raises `Refusal` type.unknown.
    """
    found = catalogue.type(code, major) if minor is None else catalogue.type_version(code, major, minor)
    return metadata(found.definition, found.vct)


def answer_of(found: LicenceType) -> dict[str, Any]:
    """Return what callers see of a type, with its whole definition."""
    answer = _answer(found.definition, found.num, found.vct, found.integrity)
    return {**answer, "definition": found.definition.document}


def listed(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the newest version of every type and major, by number."""
    newest = sorted((versions[-1] for versions in catalogue.types.values()), key=lambda each: each.num)
    return [_answer(each.definition, each.num, each.vct, each.integrity) for each in newest]


def _answer(definition: TypeDefinition, num: int, vct: str, integrity: str) -> dict[str, Any]:
    return {
        "code": definition.code,
        "major": definition.major,
        "minor": definition.minor,
        "num": num,
        "names": dict(definition.names),
        "vct": vct,
        "integrity": integrity,
    }


def _number(catalogue: Catalogue, definition: TypeDefinition) -> int:
    """The small number of a code and major: kept by its minors, the next free one for a new major."""
    versions = catalogue.types.get((definition.code, definition.major))
    if versions:
        return versions[-1].num
    num = max((each[-1].num for each in catalogue.types.values()), default=0) + 1
    if num > _MAX_NUM:
        raise Refusal(Code.TYPE_MALFORMED, "/code", why="no small number is left for the static code")
    return num


def _check_place(catalogue: Catalogue, definition: TypeDefinition) -> None:
    versions = catalogue.types.get((definition.code, definition.major))
    if versions is None:
        majors = [major for code, major in catalogue.types if code == definition.code]
        if definition.minor != 0 or definition.major != max(majors, default=0) + 1:
            raise Refusal(Code.TYPE_INCOMPATIBLE, "/major", expected=max(majors, default=0) + 1)
        return
    if any(each.definition.minor == definition.minor for each in versions):
        raise Refusal(Code.TYPE_EXISTS, "/minor", licence_type=definition.code)
    check_minor(versions[-1].definition, definition)


def _claim(path: list[str | None], labels: dict[str, str], sd: str, *, mandatory: bool = False) -> dict[str, Any]:
    display = [{"locale": "zh-CN", "label": labels["zh"]}, {"locale": "en", "label": labels["en"]}]
    claim: dict[str, Any] = {"path": path, "display": display, "sd": sd}
    return {**claim, "mandatory": True} if mandatory else claim


_OPEN_CLAIMS = (
    ("identifier", {"zh": "证照标识", "en": "Licence identifier"}),
    ("version", {"zh": "证照版本号", "en": "Version"}),
    ("region", {"zh": "所属地区", "en": "Region"}),
    ("issued_on", {"zh": "证照颁发日期", "en": "Issued on"}),
    ("valid_from", {"zh": "有效期起始日期", "en": "Valid from"}),
    ("valid_until", {"zh": "有效期截止日期", "en": "Valid until"}),
)
_HIDDEN_CLAIMS = (
    ("number", {"zh": "证照编号", "en": "Licence number"}),
    ("object", {"zh": "许可对象", "en": "Object of the licence"}),
)
_HOLDER_CLAIMS = (
    ("name", {"zh": "持证主体", "en": "Holder"}),
    ("id_type", {"zh": "持证主体代码类型代码", "en": "Kind of the holder's number"}),
    ("id", {"zh": "持证主体代码", "en": "Holder's number"}),
    ("share", {"zh": "份额", "en": "Share"}),
)


@projector("type.registered")
def _project_registered(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(tx, licence_types, [_type_row(event) for event in events])


def _type_row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    definition = facts["definition"]
    return (
        definition["code"],
        definition["major"],
        definition["minor"],
        facts["num"],
        orjson.dumps(definition, option=orjson.OPT_SORT_KEYS).decode(),
        facts["vct"],
        facts["integrity"],
        b64u_decode(facts["secret"]),
        event.idx,
    )


@projector("type.instructed")
def _project_instructed(tx: Writing, events: Sequence[Event]) -> None:
    rows = []
    for event in events:
        facts = event.facts
        effects = orjson.dumps(facts["effects"], option=orjson.OPT_SORT_KEYS).decode()
        scope = (facts["department"], facts["type"], facts["major"], facts["version"])
        rows.append((*scope, effects, b64u_decode(facts["secret"]), event.idx))
    bulk_insert(tx, standing_instructions, rows)
