"""Departments, grants and clients: who may do what, and what is refused when they are set up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keys.private_key import PrivateKey
from ledger import clients, departments, grants, keys_registry
from ledger.catalogue import covers
from ledger.errors import Code, Refusal
from ledger.region import Region
from tests.ledger import licensing
from tests.region import OPERATOR, region_on


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region with departments, types and grants, on both engines."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        yield region


@pytest.fixture
async def empty_region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with nothing in it."""
    async with region_on(sqlite_url, tmp_path) as region:
        yield region


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("000000", "610102", True),
        ("610000", "610102", True),
        ("610100", "610102", True),
        ("610102", "610102", True),
        ("610102", "610100", False),
        ("610100", "610200", False),
        ("610000", "620000", False),
        ("610000", "000000", False),
    ],
)
def test_areas_contain_what_lies_below_them(outer: str, inner: str, inside: bool) -> None:
    """Trailing zero pairs stand for everything below; 000000 is the whole country."""
    assert covers(outer, inner) is inside


async def test_a_new_department_can_sign_at_once(region: Region) -> None:
    """Registering makes three certified keys, and a small number for the code."""
    purposes = {key.purpose for key in region.catalogue.keys.values() if key.department == licensing.MARKET}
    market = region.catalogue.department(licensing.MARKET)

    assert purposes == {"licence", "code", "statement"}
    assert region.catalogue.active_key(licensing.MARKET, "licence").certificate is not None
    assert market.num == 1 and market.iss.endswith(f"/d/{licensing.MARKET}")


async def test_a_department_is_registered_once_under_a_real_code(empty_region: Region) -> None:
    """Wrong check digits and repetitions are refused."""
    names = {"zh": "示例局", "en": "Example"}
    await departments.register(empty_region, OPERATOR, {"id": licensing.MARKET, "names": names})

    refusals = []
    for body in (
        {"id": licensing.MARKET, "names": names},
        {"id": "11610000MB2900109X", "names": names},
        {"id": licensing.HOUSING, "names": {"zh": "示例局"}},
        {"id": licensing.HOUSING, "names": names, "surprise": 1},
    ):
        with pytest.raises(Refusal) as caught:
            await departments.register(empty_region, OPERATOR, body)
        refusals.append((caught.value.code, caught.value.pointer))

    assert refusals == [
        (Code.DEPARTMENT_EXISTS, "/id"),
        (Code.DEPARTMENT_INVALID, "/id"),
        (Code.TYPE_MALFORMED, "/names/en"),
        (Code.REQUEST_MEMBER_UNKNOWN, "/surprise"),
    ]


async def test_a_grant_names_what_exists(region: Region) -> None:
    """Unknown departments, types, acts and malformed areas are refused."""
    body = {"department": licensing.HOUSING, "type": licensing.FOOD, "major": 1, "area": "610000", "acts": ["read"]}
    wrong: list[dict[str, Any]] = [
        {"department": "1" * 18},
        {"type": "1" * 21},
        {"major": 2},
        {"acts": []},
        {"acts": ["steal"]},
        {"area": "61"},
    ]
    refusals = []
    for changes in wrong:
        with pytest.raises(Refusal) as caught:
            await grants.give(region, OPERATOR, body | changes)
        refusals.append(caught.value.code)

    assert refusals == [
        Code.DEPARTMENT_UNKNOWN,
        Code.TYPE_UNKNOWN,
        Code.TYPE_UNKNOWN,
        Code.GRANT_INVALID,
        Code.GRANT_INVALID,
        Code.REQUEST_MEMBER_INVALID,
    ]


async def test_a_closed_department_signs_nothing_more(region: Region) -> None:
    """Closing ends its keys and grants in the same transaction."""
    await departments.close(region, OPERATOR, licensing.MARKET)

    with pytest.raises(Refusal) as caught:
        await licensing.issued(region, licensing.MARKET, licensing.food())
    assert caught.value.code is Code.DEPARTMENT_CLOSED
    assert region.catalogue.open_grants(licensing.MARKET, licensing.FOOD, 1) == ()


async def test_a_compromised_key_is_bounded_by_a_position(region: Region) -> None:
    """What is proven before the named time stays; the bound only ever moves back."""
    key = region.catalogue.active_key(licensing.MARKET, "licence")
    now = region.clock.now()

    answer = await keys_registry.compromise(region, OPERATOR, key.kid, since=now)
    earlier = await keys_registry.compromise(region, OPERATOR, key.kid, since=now - timedelta(days=1))
    later = await keys_registry.compromise(region, OPERATOR, key.kid, since=now)

    first = answer["revoked"]["trust_before"]["size"]
    assert earlier["revoked"]["trust_before"]["size"] <= first
    assert later["revoked"]["trust_before"]["size"] <= first
    with pytest.raises(Refusal) as caught:
        await licensing.issued(region, licensing.MARKET, licensing.food())
    assert caught.value.code is Code.KEY_UNKNOWN


def client(**changes: Any) -> dict[str, Any]:
    """Return a client of the market department with a fresh key."""
    jwk = PrivateKey.generate("ES256").public_key.jwk()
    return {
        "id": "market-issuing",
        "name": "示例业务系统",
        "department": licensing.MARKET,
        "scopes": ["issue"],
        "jwks": {"keys": [jwk]},
    } | changes


async def test_a_client_is_known_by_its_public_keys(region: Region) -> None:
    """It can be changed and disabled; it never has a secret of ours."""
    await clients.register(region, client())
    await clients.change(region, "market-issuing", {"disabled": True})

    found = await region.database.read(lambda tx: clients.get(tx, "market-issuing"))
    assert found.disabled and found.scopes == {"issue"} and found.department == licensing.MARKET
    assert all("d" not in key for key in found.keys)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"scopes": ["rule"]}, Code.CLIENT_INVALID, "/scopes"),
        ({"scopes": []}, Code.CLIENT_INVALID, "/scopes"),
        ({"department": None}, Code.CLIENT_INVALID, "/department"),
        ({"department": "1" * 18}, Code.DEPARTMENT_UNKNOWN, "/department"),
        ({"areas": ["61"]}, Code.CLIENT_INVALID, "/areas"),
        ({"jwks": {"keys": []}}, Code.CLIENT_INVALID, "/jwks/keys"),
        (
            {"jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "A", "y": "A", "d": "A"}]}},
            Code.CLIENT_INVALID,
            "/jwks/keys/0",
        ),
    ],
)
async def test_a_client_that_does_not_fit_is_refused(
    region: Region, changes: dict[str, Any], code: Code, pointer: str
) -> None:
    """Unknown scopes, departments and private keys are refused where they stand."""
    with pytest.raises(Refusal) as caught:
        await clients.register(region, client(**changes))

    assert (caught.value.code, caught.value.pointer) == (code, pointer)
