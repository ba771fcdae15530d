"""Licence types and matters as data: what a definition may say, how it may change, what is served."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger import matters, types
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.type_definition import check_minor, parse_definition
from tests.ledger import licensing
from tests.region import OPERATOR

FILES = sorted((licensing.EXAMPLES / "types").glob("*.json"))


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_type_is_well_formed_and_marked(file: Path) -> None:
    """The shipped types parse, say that they are examples, and their defining authority's check digits hold."""
    definition = parse_definition(json.loads(file.read_text("utf-8")))

    assert definition.document["example"] is True
    assert "示例" in definition.names["zh"]


def test_there_are_at_least_five_example_types() -> None:
    """Enough kinds are shown: companies and persons, fixed and open validity."""
    definitions = [parse_definition(json.loads(file.read_text("utf-8"))) for file in FILES]

    assert len(definitions) >= 5
    assert {each.validity_rule for each in definitions} == {"fixed", "open", "either"}
    assert {kind for each in definitions for kind in each.holder_kinds} == {"person", "organisation"}


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("code",), "11100000MB0341032X902", "/code"),
        (("code",), "short", "/code"),
        (("major",), 0, "/major"),
        (("names", "en"), "", "/names/en"),
        (("holders", "kinds"), ["robot"], "/holders/kinds/0"),
        (("fields", 0, "name"), "_sd", "/fields/0/name"),
        (("fields", 0, "type"), "number", "/fields/0/type"),
        (("fields", 0, "pattern"), "(", "/fields/0/pattern"),
        (("fields", 1, "name"), "legal_representative", "/fields/1/name"),
        (("fields", 0, "disclosure"), "never", "/fields/0/disclosure"),
        (("validity", "rule"), "sometimes", "/validity/rule"),
        (("receipt",), "maybe", "/receipt"),
        (("areas",), [], "/areas"),
        (("effect_of_fraud", "qualification"), "revoked", "/effect_of_fraud/qualification"),
        (("effect_of_fraud", "evidence"), "suspended", "/effect_of_fraud/evidence"),
        (("grace_s",), 0, "/grace_s"),
        (("surprise",), 1, "/surprise"),
    ],
)
def test_a_definition_that_is_wrong_is_refused_where_it_is_wrong(
    path: tuple[Any, ...], value: Any, pointer: str
) -> None:
    """Every member is checked; effects may be softer than the basis allows, never harder."""
    document = copy.deepcopy(licensing.definition("food-business-licence"))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value

    with pytest.raises(Refusal) as caught:
        parse_definition(document)

    assert (caught.value.code, caught.value.pointer) == (Code.TYPE_MALFORMED, pointer)


def minor(change: Any) -> None:
    """Check what `change` makes of the food licence as its next minor."""
    old = licensing.definition("food-business-licence")
    new = copy.deepcopy(old) | {"minor": 1}
    change(new)
    check_minor(parse_definition(old), parse_definition(new))


def test_a_minor_version_may_add_an_optional_field() -> None:
    """Old licences stay well formed, so this is a minor change; so is another label or a longer grace."""
    field = {"name": "website", "type": "text", "label": {"zh": "网址", "en": "Web"}, "disclosure": "always"}

    minor(lambda new: new["fields"].append(field | {"printed": False}))
    minor(lambda new: new["fields"][0]["label"].update(en="Representative"))
    minor(lambda new: new.update(grace_s=7200))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda new: new["fields"].pop(), "/fields"),
        (lambda new: new["fields"][0].update(required=False), "/fields/0"),
        (lambda new: new["fields"][-1].update(required=True), "/fields/6"),
        (lambda new: new["holders"].update(several=True), "/holders"),
        (lambda new: new["validity"].update(max_months=12), "/validity"),
        (lambda new: new.update(minor=3), "/minor"),
    ],
)
def test_a_minor_version_may_change_nothing_else(change: Any, pointer: str) -> None:
    """Whatever decides whether a licence is well formed needs a new major version."""
    with pytest.raises(Refusal) as caught:
        minor(change)

    assert (caught.value.code, caught.value.pointer) == (Code.TYPE_INCOMPATIBLE, pointer)


async def test_a_version_once_registered_never_changes(region: Region) -> None:
    """The same version again is refused, the next minor is taken and keeps the number of its major."""
    document = licensing.definition("food-business-licence")
    before = region.catalogue.type(licensing.FOOD)

    with pytest.raises(Refusal) as caught:
        await types.register(region, OPERATOR, document | {"grace_s": 3600})
    answer = await types.register(region, OPERATOR, document | {"minor": 1, "grace_s": 3600})

    assert caught.value.code is Code.TYPE_EXISTS
    assert (answer["num"], answer["minor"]) == (before.num, 1)
    assert region.catalogue.type(licensing.FOOD).definition.grace_s == 3600
    assert region.catalogue.type_version(licensing.FOOD, 1, 0).integrity == before.integrity


async def test_the_metadata_is_what_the_integrity_digest_pins(region: Region) -> None:
    """What is served under the type's URL hashes to the digest in every licence and lists every field."""
    found = region.catalogue.type(licensing.FOOD)
    served = types.served(region.catalogue, licensing.FOOD, 1)

    digest = base64.b64encode(hashlib.sha256(served).digest()).decode()
    document = json.loads(served)
    assert found.integrity == f"sha256-{digest}"
    assert document["vct"] == found.vct
    paths = [claim["path"] for claim in document["claims"]]
    assert all(["fields", field.name] in paths for field in found.definition.fields)


async def test_a_department_instructs_what_fraud_does_to_its_licences(region: Region) -> None:
    """The instruction is the department's own, versioned, and no harder than each basis allows."""
    market = licensing.actor(licensing.MARKET)

    await types.instruct(region, market, licensing.FOOD, 1, None)
    effects = {"identity": "suspended", "qualification": "notice", "evidence": "none"}
    answer = await types.instruct(region, market, licensing.FOOD, 1, {"effects": effects})
    with pytest.raises(Refusal) as stranger:
        await types.instruct(region, licensing.actor(licensing.HOUSING), licensing.FOOD, 1, None)
    with pytest.raises(Refusal) as harder:
        await types.instruct(region, market, licensing.FOOD, 1, {"effects": effects | {"evidence": "revoked"}})

    assert answer["version"] == 2
    assert region.catalogue.instructions[licensing.MARKET, licensing.FOOD, 1].effects == effects
    assert stranger.value.code is Code.GRANT_EXCEEDED
    assert harder.value.pointer == "/effects/evidence"


def example_matter(**changes: Any) -> dict[str, Any]:
    """Return an example matter of the market department."""
    file = licensing.EXAMPLES / "matters" / "food-business-licence.json"
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document | {"department": licensing.MARKET} | changes


async def test_a_matter_is_versioned_and_names_only_what_exists(region: Region) -> None:
    """Versions follow one another; unknown types and fields are refused where they stand."""
    first = await matters.register(region, OPERATOR, example_matter())
    with pytest.raises(Refusal) as again:
        await matters.register(region, OPERATOR, example_matter())
    second = await matters.register(region, OPERATOR, example_matter(version=2, promise_allowed=True))
    need = {"type": licensing.BUSINESS, "fields": ["nothing"], "basis": "identity"}
    with pytest.raises(Refusal) as unknown:
        await matters.register(region, OPERATOR, example_matter(version=3, needs=[need]))

    assert (first["version"], second["version"]) == (1, 2)
    assert again.value.code is Code.MATTER_EXISTS
    assert (unknown.value.code, unknown.value.pointer) == (Code.FIELD_UNKNOWN, "/needs/0/fields/0")
    assert region.catalogue.matter(first["code"]).definition["promise_allowed"] is True


async def test_every_example_matter_can_be_registered(region: Region) -> None:
    """The shipped matters name types and fields of the shipped types."""
    for file in sorted((licensing.EXAMPLES / "matters").glob("*.json")):
        document = json.loads(file.read_text("utf-8"))
        await matters.register(region, OPERATOR, document)

    assert len(region.catalogue.matters) >= 4
