"""Recognition over HTTP: declared and ended by operators, read by everybody with an account."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger import types
from tests.api.service import Caller, Service, service_on
from tests.api.story_equivalences import DECLARATION
from tests.api.test_accounts import code_of
from tests.ledger.licensing import definition
from tests.ledger.recognising import admit
from tests.region import OPERATOR


@pytest.fixture
async def service(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Serve a region with one licence type and one peer, which gives two minutes' notice."""
    async with service_on(sqlite_url, tmp_path, changes={"recognition_notice_s": 120}) as running:
        await types.register(running.region, OPERATOR, definition("food-business-licence"))
        await admit(running.region)
        yield running


@pytest.fixture
async def operator(service: Service) -> Caller:
    """Give an operator's client."""
    return await service.caller("operator-1", ["operate"])


def declaration(**changes: Any) -> dict[str, Any]:
    """Return the example's request."""
    body: dict[str, Any] = json.loads(DECLARATION.read_text("utf-8"))
    return body | changes


async def test_an_equivalence_is_declared_read_and_ended(service: Service, operator: Caller) -> None:
    """The same request again is the same declaration; a reader sees every version, and the rule with its cases."""
    first = await operator.post("/v1/equivalences", declaration(), key="once")
    again = await operator.post("/v1/equivalences", declaration(), key="once")
    later = await operator.post("/v1/equivalences", declaration(fields={}))
    id_ = first["id"]

    assert again == first and (first["version"], later["version"]) == (1, 2)
    reader = await service.caller("auditor-1", ["audit"])
    [listed] = (await reader.get("/v1/equivalences"))["items"]
    assert (listed["id"], listed["version"], listed["state"]) == (id_, 2, "announced")
    assert (await reader.get("/v1/equivalences?peer=630000"))["items"] == []
    assert [each["version"] for each in (await reader.get(f"/v1/equivalences/{id_}"))["versions"]] == [2, 1]
    rule = await reader.get(f"/v1/rules/{id_}/1")
    assert (rule["logic"], rule["tests"]) == (declaration()["conditions"], declaration()["tests"])

    ended = await operator.post(f"/v1/equivalences/{id_}/withdrawal", {"reason": "示例：条件已变"})

    assert ended["version"] == 2
    assert {each["state"] for each in (await reader.get("/v1/equivalences"))["items"]} == {"ended"}


async def test_only_operators_decide(service: Service, operator: Caller) -> None:
    """Whoever may read may neither declare nor end."""
    made = await operator.post("/v1/equivalences", declaration())
    reader = await service.caller("auditor-1", ["audit"])

    for path, body in (
        ("/v1/equivalences", declaration()),
        (f"/v1/equivalences/{made['id']}/withdrawal", {"reason": "示例"}),
    ):
        answer = await reader.call("POST", path, body)
        assert (answer.status_code, code_of(answer)) == (403, "scope.exceeded")
    assert (await service.http.get("/v1/equivalences")).status_code == 401


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"peer": "630000"}, 404, "peer.unknown"),
        ({"conditions": {"or": [True, True]}}, 422, "rule.malformed"),
        ({"tests": []}, 422, "rule.tests_missing"),
        ({"valid_from": "2020-01-01T00:00:00Z"}, 422, "equivalence.notice_too_short"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 422, "equivalence.window_invalid"),
        ({"fields": {"nothing": "x"}}, 422, "field.unknown"),
        ({"surprise": 1}, 422, "request.member_unknown"),
    ],
)
async def test_a_refusal_says_what_and_where(operator: Caller, changes: dict[str, Any], status: int, code: str) -> None:
    """With the status that belongs to it."""
    answer = await operator.call("POST", "/v1/equivalences", declaration(**changes))

    assert (answer.status_code, code_of(answer)) == (status, code), answer.text


async def test_what_is_not_there_is_not_found(operator: Caller) -> None:
    """Neither an equivalence nor a version of a rule."""
    for path, code in (
        ("/v1/equivalences/nothing", "equivalence.unknown"),
        ("/v1/rules/nothing/1", "rule.unknown"),
    ):
        answer = await operator.call("GET", path)
        assert (answer.status_code, code_of(answer)) == (404, code)
