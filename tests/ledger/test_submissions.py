"""Submissions: what is handed in, what may be handed in later, and the results that rest on it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import licences, matters, submissions
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.tables.log import entries
from tests.ledger import licensing
from tests.ledger.test_types import example_matter
from tests.region import OPERATOR

DIGEST = hashlib.sha256("示例材料".encode()).hexdigest()


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types, grants and a matter."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        await matters.register(region, OPERATOR, example_matter())
        yield region


def body(**changes: Any) -> dict[str, Any]:
    """Return a submission at a window of the housing department for a matter of the market department."""
    return {
        "matter": "EXAMPLE-SX-0131003",
        "received_by": licensing.HOUSING,
        "channel": "cross_region",
        "applicant": licensing.COMPANY,
        "materials": [{"digest": DIGEST, "kind": "营业场所证明", "taken_by": "示例受理员"}],
        "missing": [],
    } | changes


async def test_a_submission_links_what_was_granted_on_it(database_url: str, tmp_path: Path) -> None:
    """Received in one place, decided in another, with the licence as result; both engines."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        await matters.register(region, OPERATOR, example_matter())
        opened = await submissions.open_submission(region, licensing.actor(licensing.HOUSING), body())
        material = opened["materials"][0]["id"]
        edges = [{"submission": opened["id"], "basis": "identity"}, {"material": material, "basis": "qualification"}]
        request = licensing.food(rests_on=edges, submission=opened["id"])
        licence = await licensing.issued(region, licensing.MARKET, request)
        market = licensing.actor(licensing.MARKET)

        decision = {"outcome": "granted", "results": [licence.id]}
        closed = await submissions.decide(region, market, opened["id"], decision)
        read = await region.database.read(lambda tx: submissions.get(tx, market, opened["id"]))

        assert closed["state"] == read["state"] == "granted"
        assert read["decided_by"] == licensing.MARKET and read["received_by"] == licensing.HOUSING
        assert read["results"] == [licence.id] and read["materials"][0]["digest"] == DIGEST
        found = await licences.get(region, market, licence.id)
        assert {edge["kind"] for edge in found["rests_on"]} == {"submission", "material"}


async def test_from_outside_nobody_sees_a_submission(region: Region) -> None:
    """The public entry is `sealed` and says nothing of applicant, matter or material."""
    opened = await submissions.open_submission(region, licensing.actor(licensing.HOUSING), body())

    query = select(entries.c.bytes).where(entries.c.idx == opened["entry"])
    leaf = await region.database.read(lambda tx: bytes(tx.execute(query).scalar_one()))
    assert b'"kind":"sealed"' in leaf
    assert opened["id"].encode() not in leaf and DIGEST.encode() not in leaf


async def test_only_what_the_matter_lists_may_be_handed_in_later(region: Region) -> None:
    """容缺 needs the matter's leave."""
    window = licensing.actor(licensing.HOUSING)
    late = {"material": "食品安全管理制度", "until": "2026-12-01"}

    taken = await submissions.open_submission(region, window, body(missing=[late]))
    with pytest.raises(Refusal) as caught:
        await submissions.open_submission(region, window, body(missing=[late | {"material": "身份证明"}]))

    assert taken["state"] == "open"
    assert (caught.value.code, caught.value.pointer) == (Code.SUBMISSION_INVALID, "/missing/0/material")


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"matter": "nothing"}, Code.MATTER_UNKNOWN, "/matter"),
        ({"received_by": "1" * 18}, Code.DEPARTMENT_UNKNOWN, "/received_by"),
        ({"channel": "owl"}, Code.REQUEST_MEMBER_INVALID, "/channel"),
        ({"materials": [{"digest": "x", "kind": "y"}]}, Code.REQUEST_MEMBER_INVALID, "/materials/0/digest"),
        (
            {"materials": [{"digest": DIGEST, "kind": "y", "licence": "A" * 22}]},
            Code.LICENCE_UNKNOWN,
            "/materials/0/licence",
        ),
        ({"received_by": licensing.EDUCATION}, Code.SUBMISSION_INVALID, "/received_by"),
    ],
)
async def test_a_submission_that_does_not_fit_is_refused(
    region: Region, changes: dict[str, Any], code: Code, pointer: str
) -> None:
    """Unknown matters, departments and licences are refused where they stand."""
    with pytest.raises(Refusal) as caught:
        await submissions.open_submission(region, licensing.actor(licensing.HOUSING), body(**changes))

    assert (caught.value.code, caught.value.pointer) == (code, pointer)


async def test_a_submission_is_decided_once_by_the_right_department(region: Region) -> None:
    """The receiving window cannot decide; results must be the deciding department's; nothing is decided twice."""
    window, market = licensing.actor(licensing.HOUSING), licensing.actor(licensing.MARKET)
    opened = await submissions.open_submission(region, window, body())
    strange = await licensing.issued(region, licensing.EDUCATION, licensing.diploma())

    with pytest.raises(Refusal) as foreign:
        await submissions.decide(region, window, opened["id"], {"outcome": "refused"})
    with pytest.raises(Refusal) as result:
        await submissions.decide(region, market, opened["id"], {"outcome": "granted", "results": [strange.id]})
    await submissions.decide(region, market, opened["id"], {"outcome": "refused"})
    with pytest.raises(Refusal) as twice:
        await submissions.decide(region, market, opened["id"], {"outcome": "refused"})

    assert foreign.value.code is Code.SUBMISSION_OTHER_DEPARTMENT
    assert (result.value.code, result.value.pointer) == (Code.SUBMISSION_RESULT, "/results/0")
    assert twice.value.code is Code.SUBMISSION_DECIDED


async def test_others_do_not_learn_of_it(region: Region) -> None:
    """A department that took no part is told that there is no such submission."""
    opened = await submissions.open_submission(region, licensing.actor(licensing.HOUSING), body())

    with pytest.raises(Refusal) as caught:
        await region.database.read(lambda tx: submissions.get(tx, licensing.actor(licensing.EDUCATION), opened["id"]))

    assert caught.value.code is Code.SUBMISSION_UNKNOWN
