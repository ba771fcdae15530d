"""A case from the flag to the decision: who may do what when, and what nobody may do at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ledger import fraud, freezing
from ledger.decisions import decide
from ledger.errors import Code, Refusal
from ledger.proposals import IdempotencyKey
from ledger.region import Region
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import HOUSING, MARKET, food, issued
from verifiers.cascade import Thing
from verifiers.verdict import Outcome


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


async def test_a_flag_changes_no_verdict(region: Region) -> None:
    """An accusation is written down, and the licence stays what it was."""
    licence = await issued(region, MARKET, food())

    flag_id = await cases.flagged(region, cases.target(licence.id))

    assert await cases.states(region, [licence.id]) == {licence.id: ("valid", 0)}
    view = await region.database.read(lambda tx: fraud.view_case(tx, flag_id, MARKET))
    assert view["state"] == "open" and view["targets"] == [{"licence": licence.id}]
    assert [effect["effect"] for effect in view["preview"]["effects"]] == ["revoked"]


async def test_a_target_that_does_not_exist_is_refused(region: Region) -> None:
    """Nobody can be accused of a licence that was never granted."""
    with pytest.raises(Refusal) as refused:
        await cases.flagged(region, cases.target("AAAAAAAAAAAAAAAAAAAAAA"))

    assert (refused.value.code, refused.value.pointer) == (Code.FLAG_TARGET_UNKNOWN, "/targets/0")


async def test_a_case_is_invisible_to_other_departments(region: Region) -> None:
    """Not even its existence is told."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))

    with pytest.raises(Refusal) as refused:
        await region.database.read(lambda tx: fraud.view_case(tx, flag_id, HOUSING))

    assert refused.value.code is Code.FLAG_UNKNOWN


async def test_a_freeze_suspends_what_it_names_and_ends_with_the_decision(region: Region) -> None:
    """The target is suspended, a dismissal gives it back, and nothing else moved."""
    licence = await issued(region, MARKET, food())
    dependant = await issued(region, MARKET, food(2, rests_on=cases.resting_on(licence.id)))
    flag_id = await cases.flagged(region, cases.target(licence.id))
    until = (cases.today(region) + timedelta(days=30)).isoformat()
    body = {"ground": "行政强制法(示例)", "document_no": "示例冻〔2026〕1号", "until": until}

    frozen = await freezing.freeze(region, cases.first_officer(), flag_id, body)

    assert frozen["licences"] == [licence.id]
    assert await cases.states(region, [licence.id, dependant.id]) == {
        licence.id: ("suspended", 2),
        dependant.id: ("valid", 0),
    }
    verdict = await OnlineVerifier(region).verdict(licence.licence)
    assert verdict.outcome is Outcome.INVALID and "state.suspended" in verdict.reasons

    dismissal = {"outcome": "dismissed", "articles": [], "document_no": "示例决〔2026〕2号"}
    await decide(region, cases.second_officer(), flag_id, dismissal)

    assert await cases.states(region, [licence.id]) == {licence.id: ("valid", 0)}


async def test_a_freeze_lapses_after_its_last_day(sqlite_url: str, tmp_path: Path) -> None:
    """When the day is over a logged lapse closes the cause, once."""
    clock = cases.ShiftedClock()
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        licence = await issued(region, MARKET, food())
        flag_id = await cases.flagged(region, cases.target(licence.id))
        until = cases.today(region).isoformat()
        body = {"ground": "示例", "document_no": "示例冻〔2026〕1号", "until": until}
        await freezing.freeze(region, cases.first_officer(), flag_id, body)
        assert await freezing.lapse_freezes(region) == 0

        clock.ahead = timedelta(days=1)

        assert await freezing.lapse_freezes(region) == 1
        assert await freezing.lapse_freezes(region) == 0
        assert await cases.states(region, [licence.id]) == {licence.id: ("valid", 0)}


@pytest.mark.parametrize("days", [-1, 181])
async def test_a_freeze_has_a_last_day_that_is_neither_over_nor_far_away(region: Region, days: int) -> None:
    """A freeze without an end is a punishment without a decision."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    until = (cases.today(region) + timedelta(days=days)).isoformat()
    body = {"ground": "示例", "document_no": "示例", "until": until}

    with pytest.raises(Refusal) as refused:
        await freezing.freeze(region, cases.first_officer(), flag_id, body)

    assert refused.value.code is Code.FREEZE_PERIOD


async def test_a_freeze_reaches_only_what_the_case_reaches(region: Region) -> None:
    """A licence that rests on nothing accused cannot be frozen by naming it."""
    licence = await issued(region, MARKET, food())
    stranger = await issued(region, MARKET, food(2))
    flag_id = await cases.flagged(region, cases.target(licence.id))
    until = cases.today(region).isoformat()
    body = {"ground": "示例", "document_no": "示例", "until": until, "targets": [cases.target(stranger.id)]}

    with pytest.raises(Refusal) as refused:
        await freezing.freeze(region, cases.first_officer(), flag_id, body)

    assert (refused.value.code, refused.value.pointer) == (Code.FREEZE_TARGET, "/targets/0")


async def test_nothing_is_built_on_what_is_frozen(region: Region) -> None:
    """Issuing on a basis with an open cause is refused under the head lock."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    body = {"ground": "示例", "document_no": "示例", "until": cases.today(region).isoformat()}
    await freezing.freeze(region, cases.first_officer(), flag_id, body)

    with pytest.raises(Refusal) as refused:
        await issued(region, MARKET, food(2, rests_on=cases.resting_on(licence.id)))

    assert refused.value.code is Code.BASIS_CAUSE_OPEN


async def test_the_one_who_flagged_does_not_decide(region: Region) -> None:
    """Four eyes: the officer is compared, not the client."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    await cases.notified(region, flag_id)
    preview = await cases.preview_of(region, flag_id)

    with pytest.raises(Refusal) as refused:
        await decide(region, cases.first_officer(), flag_id, cases.ruling(preview["digest"]))

    assert refused.value.code is Code.DECISION_SAME_OFFICER


async def test_nobody_is_judged_unheard(region: Region) -> None:
    """Without notice no decision; with notice none before the time is over, unless it is waived after that notice."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    preview = await cases.preview_of(region, flag_id)
    body = cases.ruling(preview["digest"])

    with pytest.raises(Refusal) as unserved:
        await decide(region, cases.second_officer(), flag_id, body)
    await fraud.hear(region, cases.first_officer(), flag_id, {"waives": True})
    await cases.notified(region, flag_id, waived=False)
    with pytest.raises(Refusal) as early:
        await decide(region, cases.second_officer(), flag_id, body)
    await fraud.hear(region, cases.first_officer(), flag_id, {"text": "材料是真的(示例)"})
    with pytest.raises(Refusal) as still_early:
        await decide(region, cases.second_officer(), flag_id, body)
    await fraud.hear(region, cases.first_officer(), flag_id, {"waives": True})
    await decide(region, cases.second_officer(), flag_id, body)

    assert unserved.value.code is Code.FLAG_NOT_NOTIFIED
    assert early.value.code is still_early.value.code is Code.FLAG_RESPONSE_OPEN


async def test_a_preview_that_has_changed_is_not_decided_on(region: Region) -> None:
    """What the officer saw is what happens, or nothing happens."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    await cases.notified(region, flag_id)
    preview = await cases.preview_of(region, flag_id)
    later = await issued(region, MARKET, food(2, rests_on=cases.resting_on(licence.id)))

    with pytest.raises(Refusal) as refused:
        await decide(region, cases.second_officer(), flag_id, cases.ruling(preview["digest"]))

    assert refused.value.code is Code.PREVIEW_CHANGED
    again = await cases.preview_of(region, flag_id)
    assert refused.value.facts["digest"] == again["digest"]
    assert {effect["licence"] for effect in again["effects"]} == {licence.id, later.id}


async def test_growth_elsewhere_leaves_a_preview_good(region: Region) -> None:
    """A log never stands still; only what touches the case counts."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    await cases.notified(region, flag_id)
    preview = await cases.preview_of(region, flag_id)
    await issued(region, MARKET, food(2))

    answer = await decide(region, cases.second_officer(), flag_id, cases.ruling(preview["digest"]))

    assert answer["effects"] == {"revoked": 1}


async def test_a_decided_case_is_closed_to_every_step(region: Region) -> None:
    """No second decision, no late notice, no freeze."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.upheld(region, cases.target(licence.id))

    for step in (
        cases.notified(region, flag_id),
        decide(region, cases.second_officer(), flag_id, cases.ruling("A" * 43)),
        freezing.freeze(
            region,
            cases.first_officer(),
            flag_id,
            {"ground": "示例", "document_no": "示例", "until": cases.today(region).isoformat()},
        ),
    ):
        with pytest.raises(Refusal) as refused:
            await step
        assert refused.value.code is Code.FLAG_DECIDED


async def test_the_same_decision_again_gets_the_same_answer(region: Region) -> None:
    """A lost answer is asked for again; another body under the same key is a conflict."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    await cases.notified(region, flag_id)
    body = cases.ruling((await cases.preview_of(region, flag_id))["digest"])
    once = IdempotencyKey("client", "/v1/fraud-flags/decision", "1", b"a" * 32)
    other = IdempotencyKey("client", "/v1/fraud-flags/decision", "1", b"b" * 32)

    first = await decide(region, cases.second_officer(), flag_id, body, idempotency=once)
    again = await decide(region, cases.second_officer(), flag_id, body, idempotency=once)
    with pytest.raises(Refusal) as refused:
        await decide(region, cases.second_officer(), flag_id, body, idempotency=other)

    assert first == again
    assert refused.value.code is Code.IDEMPOTENCY_CONFLICT


async def test_what_was_said_is_personal_and_what_was_done_is_not(region: Region) -> None:
    """The accusation stands in parts of the record that can be erased, one for each holder."""
    from ledger.history import events_of

    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    await cases.notified(region, flag_id)

    events = await region.database.read(lambda tx: events_of(tx, region.vault, flag_id))

    assert [event.kind for event in events] == ["sealed"] * 3
    assert all("伪造" not in str(event.facts) and "无异议" not in str(event.facts) for event in events)
    assert events[0].subjects[0] is not None and "伪造" in events[0].subjects[0].body["reason"]
    assert len({event.ref for event in events}) == 3


def test_a_target_is_a_kind_and_an_id() -> None:
    """Requests and answers name targets alike."""
    assert fraud.target_json(Thing("submission", "x")) == {"submission": "x"}
