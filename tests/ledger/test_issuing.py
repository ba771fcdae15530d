"""Issuing licences: what comes out, what is refused and why, and that the same request gets the same answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger import acts, grants, keys_registry, licences
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.issuing import issue
from ledger.region import Region
from tests.ledger import licensing
from tests.region import OPERATOR
from verifiers.code import parse_code_text
from verifiers.legal_dates import day_of
from verifiers.licence import parse


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


async def refused(region: Region, department: str, body: dict[str, Any]) -> Refusal:
    """Issue one licence that must be refused."""
    with pytest.raises(Refusal) as caught:
        await licensing.issued(region, department, body)
    return caught.value


async def test_a_licence_says_what_was_asked_for(database_url: str, tmp_path: Path) -> None:
    """The signed document, the code and the answer agree with the request, on both engines."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        answer = await licensing.issued(region, licensing.MARKET, licensing.food())

        licence = parse(answer.licence)
        assert licence.claims["number"] == "JY16101000000001"
        assert licence.claims["holders"][0]["name"] == "示例甲有限公司"
        assert licence.claims["fields"]["items"] == ["热食类食品制售", "冷食类食品制售"]
        assert answer.identifier == licence.identifier and answer.version == 1
        assert (licence.status_uri, licence.status_idx) == (answer.status_uri, answer.status_idx)
        assert parse_code_text(answer.code).payload.serial == "JY16101000000001"


async def test_the_same_request_gets_the_same_bytes_again(region: Region) -> None:
    """A repeated key with the same body is answered from the record, byte for byte, without a second licence."""
    body = licensing.food()

    first = await licensing.issued(region, licensing.MARKET, body, "key-1")
    second = await licensing.issued(region, licensing.MARKET, body, "key-1")

    assert first == second


async def test_the_same_key_with_another_body_is_a_conflict(region: Region) -> None:
    """A key that is used for something else is refused and nothing is issued."""
    await licensing.issued(region, licensing.MARKET, licensing.food(1), "key-1")

    with pytest.raises(Refusal) as caught:
        await licensing.issued(region, licensing.MARKET, licensing.food(2), "key-1")

    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT


async def test_a_number_is_given_once(region: Region) -> None:
    """Two licences of one type and department cannot bear the same number, in one batch or in two."""
    requests = [licensing.request(region, licensing.food(7)) for _ in range(2)]

    first, second = await issue(region, licensing.actor(licensing.MARKET), requests)
    third = await refused(region, licensing.MARKET, licensing.food(7))

    assert isinstance(first, Issued)
    assert isinstance(second, Refusal) and second.code is Code.NUMBER_TAKEN
    assert third.code is Code.NUMBER_TAKEN


async def test_a_bad_row_takes_nobody_with_it(region: Region) -> None:
    """In a batch every row has its own outcome, in the order of the requests."""
    bodies = [licensing.food(n) for n in range(1, 301)]
    bodies[100] = licensing.food(101, valid_until="2020-01-01")
    bodies[200]["fields"].pop("premises")

    outcomes = await issue(region, licensing.actor(licensing.MARKET), [licensing.request(region, b) for b in bodies])

    assert [position for position, each in enumerate(outcomes) if isinstance(each, Refusal)] == [100, 200]
    numbers = [parse(each.licence).claims["number"] for each in outcomes if isinstance(each, Issued)]
    assert numbers == [body["number"] for position, body in enumerate(bodies) if position not in (100, 200)]


async def test_one_new_holder_of_many_licences_is_one_subject(region: Region) -> None:
    """A batch that names a new company many times introduces it once, however its number is spelt."""
    bodies = [licensing.diploma(n) for n in range(1, 21)]
    bodies[3]["holder"] = {**licensing.PERSON, "id": "610101900101001"}

    outcomes = await issue(region, licensing.actor(licensing.EDUCATION), [licensing.request(region, b) for b in bodies])
    ids = [each.id for each in outcomes if isinstance(each, Issued)]
    page = await licences.search(
        region,
        licensing.actor(licensing.EDUCATION),
        {"holder": {"id_type": "111", "id": licensing.PERSON["id"]}, "purpose": "测试", "limit": 200},
    )

    assert len(ids) == 20
    assert {item["id"] for item in page["items"]} == set(ids)


async def test_a_licence_rests_on_another(region: Region) -> None:
    """What a licence rests on is kept, must exist and must be in force when it is issued."""
    basis = await licensing.issued(region, licensing.EDUCATION, licensing.diploma())
    edge = {"licence": basis.id, "basis": "qualification"}

    answer = await licensing.issued(region, licensing.HOUSING, licensing.officer(1, rests_on=[edge]))
    read = await licences.get(region, licensing.actor(licensing.HOUSING), answer.id)
    unknown = await refused(
        region, licensing.HOUSING, licensing.officer(2, rests_on=[{"licence": "A" * 22, "basis": "identity"}])
    )
    await acts.act(
        region,
        licensing.actor(licensing.EDUCATION),
        basis.id,
        {
            "act": "annul",
            "authority": "示例教育厅",
            "articles": ["示例 1"],
            "document_no": "1",
            "decided_at": day_of(region.clock.now()).isoformat(),
        },
    )
    fallen = await refused(region, licensing.HOUSING, licensing.officer(3, rests_on=[edge]))

    assert read["rests_on"] == [{"kind": "licence", "id": basis.id, "basis": "qualification"}]
    assert (unknown.code, unknown.pointer) == (Code.BASIS_UNKNOWN, "/rests_on/0/licence")
    assert fallen.code is Code.BASIS_CAUSE_OPEN


async def test_the_document_is_written_again_byte_for_byte(region: Region) -> None:
    """What is read later is exactly what was handed out, although it is not stored in one piece."""
    answer = await licensing.issued(region, licensing.EDUCATION, licensing.diploma())

    assert await licences.compact(region, answer.id) == answer.licence


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"type": "1" * 21}, Code.TYPE_UNKNOWN, "/type"),
        ({"type": "food"}, Code.REQUEST_MEMBER_INVALID, "/type"),
        ({"fields": {}}, Code.FIELD_MISSING, "/fields/business_form"),
        ({"number": "JY9"}, Code.NUMBER_INVALID, "/number"),
        ({"number": None}, Code.REQUEST_MEMBER_MISSING, "/number"),
        ({"valid_until": "2026-11-20"}, Code.VALIDITY_REVERSED, "/valid_until"),
        ({"valid_until": "2031-11-22"}, Code.VALIDITY_RULE, "/valid_until"),
        ({"valid_until": None}, Code.VALIDITY_RULE, "/valid_until"),
        ({"valid_until": "2027-02-29"}, Code.REQUEST_MEMBER_INVALID, "/valid_until"),
        ({"holder": None}, Code.REQUEST_MEMBER_MISSING, "/holders"),
        ({"holder": {**licensing.COMPANY, "id": "91610100MA0000015X"}}, Code.HOLDER_NUMBER, "/holders/0/id"),
        ({"holder": {**licensing.PERSON, "id": "610101199001010014"}}, Code.HOLDER_NUMBER, "/holders/0/id"),
        ({"holder": {**licensing.COMPANY, "id_type": "111"}}, Code.HOLDER_ID_TYPE, "/holders/0/id_type"),
        ({"holder": {**licensing.COMPANY, "name": ""}}, Code.REQUEST_MEMBER_INVALID, "/holder/name"),
        ({"area": "110000"}, Code.GRANT_EXCEEDED, None),
        ({"submission": "A" * 22}, Code.SUBMISSION_UNKNOWN, "/submission"),
        ({"extra": 1}, Code.REQUEST_MEMBER_UNKNOWN, "/extra"),
        ({"rests_on": [{"licence": "A" * 22}]}, Code.REQUEST_MEMBER_MISSING, "/rests_on/0/basis"),
        ({"rests_on": [{"basis": "identity"}]}, Code.REQUEST_MEMBER_INVALID, "/rests_on/0"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused_where_it_is_wrong(
    region: Region, changes: dict[str, Any], code: Code, pointer: str | None
) -> None:
    """Every refusal names its cause and points at the member."""
    body = {name: value for name, value in (licensing.food() | changes).items() if value is not None}

    caught = await refused(region, licensing.MARKET, body)

    assert (caught.code, caught.pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("surprise", "x", Code.FIELD_UNKNOWN),
        ("business_form", "没有的业态", Code.FIELD_INVALID),
        ("items", [], Code.FIELD_INVALID),
        ("items", "热食", Code.FIELD_INVALID),
        ("premises", "", Code.FIELD_INVALID),
        ("premises", "x" * 201, Code.FIELD_INVALID),
        ("complaint_phone", "电话", Code.FIELD_INVALID),
    ],
)
async def test_a_field_that_does_not_fit_its_type_is_refused(
    region: Region, field: str, value: Any, code: Code
) -> None:
    """Unknown fields and values outside the type's rules are refused by name."""
    body = licensing.food()
    body["fields"][field] = value

    caught = await refused(region, licensing.MARKET, body)

    assert (caught.code, caught.pointer) == (code, f"/fields/{field}")


async def test_a_department_issues_only_what_it_was_granted(region: Region) -> None:
    """Neither another department's type nor a grant that has ended lets anybody issue."""
    foreign = await refused(region, licensing.HOUSING, licensing.food())
    [grant] = region.catalogue.open_grants(licensing.MARKET, licensing.FOOD, 1)
    await grants.end(region, OPERATOR, grant.id)
    ended = await refused(region, licensing.MARKET, licensing.food())

    assert foreign.code is Code.GRANT_EXCEEDED and foreign.facts["lacking"] == "type"
    assert ended.code is Code.GRANT_EXCEEDED


async def test_a_rotated_key_takes_over_at_once(region: Region) -> None:
    """After a rotation licences are signed by the new key, and the old one's still read the same."""
    before = await licensing.issued(region, licensing.MARKET, licensing.food(1))
    old = region.catalogue.active_key(licensing.MARKET, "licence")

    answer = await keys_registry.rotate(region, OPERATOR, licensing.MARKET, "licence")
    after = await licensing.issued(region, licensing.MARKET, licensing.food(2))

    assert answer["retired"] == old.kid and region.catalogue.keys[old.kid].closed_idx is not None
    assert parse(before.licence).certificate != parse(after.licence).certificate
    assert await licences.compact(region, before.id) == before.licence
