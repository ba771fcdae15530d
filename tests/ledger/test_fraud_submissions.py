"""A forged submission or material: its results fall by themselves, and what rests on them after them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger import freezing
from ledger.errors import Code, Refusal
from ledger.fraud import view_case
from ledger.region import Region
from ledger.reversal import reverse
from ledger.submissions import open_submission
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


async def handed_in(region: Region) -> dict[str, Any]:
    """Hand in a submission of two materials by a company."""
    body = {
        "applicant": licensing.COMPANY,
        "materials": [{"digest": "a" * 64, "kind": "租赁合同(示例)"}, {"digest": "b" * 64, "kind": "平面图(示例)"}],
    }
    return await open_submission(region, licensing.actor(MARKET, "window"), body)


async def results(region: Region, submission: str) -> tuple[str, str, str]:
    """Issue a licence on a submission by name, one that only says it is its result, and one that rests on the first."""
    named = (await issued(region, MARKET, food(1, rests_on=[{"submission": submission, "basis": "identity"}]))).id
    linked = (await issued(region, MARKET, food(2, submission=submission))).id
    below = (await issued(region, MARKET, food(3, rests_on=cases.resting_on(named)))).id
    return named, linked, below


@pytest.mark.parametrize("kind", ["submission", "material"])
async def test_results_fall_directly_and_dependants_by_inheritance(region: Region, kind: str) -> None:
    """Whether the whole submission is accused or one paper in it; a reversal brings all of them back."""
    submission = await handed_in(region)
    ids = await results(region, submission["id"])
    accused = submission["id"] if kind == "submission" else submission["materials"][1]["id"]
    flag_id = await cases.flagged(region, cases.target(accused, kind))

    seen = await cases.preview_of(region, flag_id)
    assert {each["licence"]: each["cause"] for each in seen["effects"]} == dict(
        zip(ids, ("direct", "direct", "inherited"), strict=True)
    )
    flag_id = await cases.upheld(region, cases.target(accused, kind))
    assert set((await cases.states(region, ids)).values()) == {("annulled", 2)}

    await reverse(region, cases.second_officer(), flag_id, REVERSAL)
    assert set((await cases.states(region, ids)).values()) == {("valid", 0)}


async def test_freezing_a_submission_suspends_its_results_and_closes_it_to_new_ones(region: Region) -> None:
    """By default the target and its own direct results; what rests on those is left alone."""
    submission = await handed_in(region)
    named, linked, below = await results(region, submission["id"])
    flag_id = await cases.flagged(region, cases.target(submission["id"], "submission"))
    body = {"ground": "示例", "document_no": "示例", "until": cases.today(region).isoformat()}

    await freezing.freeze(region, cases.first_officer(), flag_id, body)

    states = await cases.states(region, [named, linked, below])
    assert (states[named], states[linked], states[below]) == (("suspended", 2), ("suspended", 2), ("valid", 0))
    for request in (
        food(4, rests_on=[{"submission": submission["id"], "basis": "evidence"}]),
        food(5, submission=submission["id"]),
    ):
        with pytest.raises(Refusal) as refused:
            await issued(region, MARKET, request)
        assert refused.value.code is Code.BASIS_CAUSE_OPEN


async def test_the_applicant_is_concerned_though_nothing_was_granted(region: Region) -> None:
    """Whoever handed it in is heard, also where there is no licence yet."""
    submission = await handed_in(region)

    flag_id = await cases.flagged(region, cases.target(submission["id"], "submission"))

    view = await region.database.read(lambda tx: view_case(tx, flag_id, MARKET))
    assert len(view["concerned"]) == 1
    assert view["preview"]["effects"] == []
