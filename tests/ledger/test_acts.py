"""Acts on a licence: what each does to state and status bit, when it is final, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import acts, causes, licences
from ledger.clock import ManualClock
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.tables.licences import licence_versions, slot_status
from tests.ledger import licensing
from verifiers.legal_dates import day_of


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock at noon in China of a day in November 2026."""
    return ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        yield region


def body(act: str, **changes: Any) -> dict[str, Any]:
    """Return an act of the market department, decided and served today."""
    return {
        "act": act,
        "authority": "示例市场监管局",
        "articles": ["行政许可法 69"],
        "document_no": "示例市监〔2026〕1号",
        "decided_at": "2026-11-21",
        "served_at": "2026-11-21",
    } | changes


def standing(tx: Reading, licence: str) -> tuple[str, int]:
    """Return the state of a licence and the value of its current slot."""
    table = licence_versions
    current = select(table.c.list_num, table.c.slot).where(table.c.licence == licence, table.c.superseded_idx.is_(None))
    list_num, slot = tx.execute(current).one()
    value = select(slot_status.c.value).where(slot_status.c.list_num == list_num, slot_status.c.slot == slot)
    return licences.load(tx, licence).state, tx.execute(value).scalar_one_or_none() or 0


async def do(
    region: Region, licence: str, act: str, department: str = licensing.MARKET, **changes: Any
) -> dict[str, Any]:
    """Do an act and return its answer."""
    return await acts.act(region, licensing.actor(department), licence, body(act, **changes))


async def test_a_suspension_is_passing_and_can_be_lifted(database_url: str, tmp_path: Path, clock: ManualClock) -> None:
    """The slot says 2 while the licence is suspended and 0 after it was reinstated, on both engines."""
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

        await do(region, licence, "suspend")
        suspended = await region.database.read(lambda tx: standing(tx, licence))
        await do(region, licence, "reinstate")
        reinstated = await region.database.read(lambda tx: standing(tx, licence))

        assert suspended == ("suspended", 2)
        assert reinstated == ("valid", 0)


async def test_a_revocation_is_passing_until_it_cannot_be_appealed_any_more(region: Region, clock: ManualClock) -> None:
    """The slot of an annulled licence says 2 for sixty days from service, then 1 for ever."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    answer = await do(region, licence, "annul")
    appealable = await region.database.read(lambda tx: standing(tx, licence))
    clock.advance(days=61)
    today = day_of(clock.now())
    await region.database.write(lambda tx: causes.turn(tx, date(2026, 11, 21), today))
    final = await region.database.read(lambda tx: standing(tx, licence))

    assert answer["appealable_until"] == "2027-01-20"
    assert appealable == ("annulled", 2)
    assert final == ("annulled", 1)


@pytest.mark.parametrize(
    ("act", "state", "slot"),
    [
        ("penalty_revoke", "penalty_revoked", 2),
        ("withdraw", "withdrawn", 2),
        ("cancel", "cancelled", 1),
        ("expire", "expired", 1),
        ("transfer_out", "transferred_out", 1),
    ],
)
async def test_each_act_keeps_its_legal_name(region: Region, act: str, state: str, slot: int) -> None:
    """Acts differ in the state they lead to and in whether they can be appealed."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    await do(region, licence, act)

    assert await region.database.read(lambda tx: standing(tx, licence)) == (state, slot)


async def test_overlapping_causes_do_not_undo_each_other(region: Region) -> None:
    """Lifting a suspension leaves a cancellation in force; every cause stays on file."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    await do(region, licence, "suspend")
    await do(region, licence, "cancel")
    await do(region, licence, "reinstate")

    assert await region.database.read(lambda tx: standing(tx, licence)) == ("cancelled", 1)
    steps = await licences.history(region, licensing.actor(licensing.MARKET), licence)
    assert [step.get("act") for step in steps] == [None, "suspend", "cancel", "reinstate"]


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"decided_at": "2026-11-22", "served_at": None}, Code.ACT_DATES, "/decided_at"),
        ({"served_at": "2026-11-20"}, Code.ACT_DATES, "/served_at"),
        ({"effective_from": "2026-11-01", "act": "withdraw"}, Code.ACT_DATES, "/effective_from"),
        ({"appealable_until": "2026-11-20"}, Code.ACT_DATES, "/appealable_until"),
        ({"until": "2026-12-01"}, Code.ACT_DATES, "/until"),
        ({"articles": []}, Code.ACT_INVALID, "/articles"),
        ({"act": "destroy"}, Code.REQUEST_MEMBER_INVALID, "/act"),
        ({"document_no": None}, Code.REQUEST_MEMBER_MISSING, "/document_no"),
        ({"surprise": 1}, Code.REQUEST_MEMBER_UNKNOWN, "/surprise"),
    ],
)
async def test_an_act_that_does_not_fit_together_is_refused(
    region: Region, changes: dict[str, Any], code: Code, pointer: str
) -> None:
    """Dates out of order, missing grounds and unknown members are refused with a pointer to what is wrong."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    with pytest.raises(Refusal) as caught:
        await acts.act(region, licensing.actor(licensing.MARKET), licence, body("annul") | changes)

    assert (caught.value.code, caught.value.pointer) == (code, pointer)


async def test_only_a_department_with_the_grant_may_act(region: Region) -> None:
    """A department without a grant for the type cannot act on it; one that was granted the act can."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    with pytest.raises(Refusal) as without:
        await do(region, licence, "suspend", licensing.HOUSING)
    await licensing.give(region, licensing.HOUSING, licensing.FOOD, acts=["suspend"])
    await do(region, licence, "suspend", licensing.HOUSING)
    with pytest.raises(Refusal) as foreign:
        await do(region, licence, "cancel", licensing.HOUSING)

    assert without.value.code is Code.GRANT_EXCEEDED
    assert foreign.value.code is Code.LICENCE_OTHER_DEPARTMENT
    assert await region.database.read(lambda tx: standing(tx, licence)) == ("suspended", 2)


async def test_an_act_is_done_once(region: Region) -> None:
    """Doing the same act twice is refused, but the same request again gets its first answer."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id
    actor = licensing.actor(licensing.MARKET)
    again = licensing.key(region, "once", body("suspend"))

    first = await acts.act(region, actor, licence, body("suspend"), idempotency=again)
    second = await acts.act(region, actor, licence, body("suspend"), idempotency=again)
    with pytest.raises(Refusal) as caught:
        await do(region, licence, "suspend")

    assert first == second
    assert caught.value.code is Code.LICENCE_STATE


async def test_there_must_be_something_to_lift(region: Region) -> None:
    """A reinstatement without a suspension is refused, and so is an act on a licence nobody knows."""
    licence = (await licensing.issued(region, licensing.MARKET, licensing.food())).id

    with pytest.raises(Refusal) as nothing:
        await do(region, licence, "reinstate")
    with pytest.raises(Refusal) as unknown:
        await do(region, "A" * 22, "suspend")

    assert nothing.value.code is Code.ACT_NOTHING_OPEN
    assert unknown.value.code is Code.LICENCE_UNKNOWN
