"""Credit records of those liable, bans, checks and the subject's own file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import credit, credit_checks
from ledger.credit_rules import add_months
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.reversal import reverse
from tests.ledger import cases, licensing
from tests.ledger.licensing import FOOD, MARKET, food, issued
from tests.ledger.test_cascade import REVERSAL

FORGER = {"kind": "person", "name": "示例丙", "id_type": "111", "id": "610101199303030038"}


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types, grants and a matter."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        await cases.matter(region)
        yield region


def liable(subject: Any, **changes: Any) -> dict[str, Any]:
    """Return one liable person of a decision."""
    body = {
        "subject": subject,
        "role": "applicant",
        "class": "严重",
        "list_entry": "全国公共信用信息基础目录(示例)",
        "measures": [{"measure": "限制申请", "list_entry": "失信惩戒措施基础清单(示例)"}],
    }
    return body | changes


async def file_of(region: Region, subject: str, day: date | None = None) -> dict[str, Any]:
    """Return a subject's credit file."""
    at = day or cases.today(region)
    return await region.database.read(lambda tx: credit.credit_file(tx, subject, at))


async def checked(region: Region, subject: Any, matter: str | None = cases.MATTER) -> dict[str, Any]:
    """Make a credit check."""
    body = {"subject": subject, "purpose": "示例核查"} | ({"matter": matter} if matter else {})
    return await credit_checks.check(region, licensing.actor(MARKET, "window"), body)


async def test_who_is_liable_gets_a_record_under_the_rule_of_the_day(region: Region) -> None:
    """Class, dates, document and rule version stand in the file; the record says until when it counts."""
    licence = await issued(region, MARKET, food())
    holder = await cases.holder_of(region, licence.id)

    await cases.upheld(region, cases.target(licence.id), liable=[liable(holder)])

    [entry] = (await file_of(region, holder))["records"]
    today = cases.today(region)
    assert (entry["class_zh"], entry["rule"], entry["document_no"]) == ("严重", "ndrc-36", "示例撤决〔2026〕1号")
    assert entry["ends_on"] == (add_months(today, 36) - timedelta(days=1)).isoformat()
    assert entry["published"] and entry["in_use"]
    assert not (
        await region.database.read(lambda tx: credit.records_in_use(tx, holder, add_months(today, 36), public=False))
    )


async def test_nobody_is_liable_unless_named(region: Region) -> None:
    """The holder may be the victim: no name, no record."""
    licence = await issued(region, MARKET, food())
    holder = await cases.holder_of(region, licence.id)

    await cases.upheld(region, cases.target(licence.id))

    assert await file_of(region, holder) == {"records": [], "bans": []}


async def test_a_forger_who_holds_nothing_here_is_introduced(region: Region) -> None:
    """Named by number, found again by number, and only once."""
    licence = await issued(region, MARKET, food())

    await cases.upheld(region, cases.target(licence.id), liable=[liable(FORGER), liable(FORGER, role="agent")])

    assert (await checked(region, FORGER))["outcome"] == "no"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"list_entry": ""}, Code.REQUEST_MEMBER_INVALID),
        ({"list_entry": None}, Code.CREDIT_LIST_ENTRY_MISSING),
        ({"measures": [{"measure": "限制申请"}]}, Code.CREDIT_LIST_ENTRY_MISSING),
        ({"subject": "AAAAAAAAAAAAAAAAAAAAAA"}, Code.SUBJECT_UNKNOWN),
        ({"class": "可怕"}, Code.REQUEST_MEMBER_INVALID),
    ],
)
async def test_no_record_without_the_list_entry_that_allows_it(
    region: Region, changes: dict[str, Any], code: Code
) -> None:
    """Every restriction cites what allows it, and is about somebody."""
    licence = await issued(region, MARKET, food())

    with pytest.raises(Refusal) as refused:
        await cases.upheld(region, cases.target(licence.id), liable=[liable(FORGER) | changes])

    assert refused.value.code is code
    assert await cases.states(region, [licence.id]) == {licence.id: ("valid", 0)}


async def test_a_decision_before_the_first_rule_has_no_record(region: Region) -> None:
    """Nobody is judged by a rule that was not yet in force."""
    licence = await issued(region, MARKET, food())

    with pytest.raises(Refusal) as refused:
        await cases.upheld(
            region, cases.target(licence.id), liable=[liable(FORGER)], decided_at="2019-01-01", served_at="2019-01-01"
        )

    assert refused.value.code is Code.CREDIT_RULE_UNKNOWN


async def test_a_ban_closes_the_type_and_a_reversal_opens_it(region: Region) -> None:
    """Article 79: three years without a new application for the type, unless the decision falls."""
    licence = await issued(region, MARKET, food())
    holder = await cases.holder_of(region, licence.id)
    ban = {"type": FOOD, "article": "79"}
    flag_id = await cases.upheld(
        region, cases.target(licence.id), liable=[liable(holder, bans=[ban], **{"class": "轻微"})]
    )

    with pytest.raises(Refusal) as refused:
        await issued(region, MARKET, food(2))
    answer = await checked(region, holder)
    await reverse(region, cases.second_officer(), flag_id, REVERSAL)
    again = await issued(region, MARKET, food(3))

    assert refused.value.code is Code.SUBJECT_BANNED
    assert answer["outcome"] == "no"
    assert again.version == 1
    file = await file_of(region, holder)
    assert [each["withdrawn"] for each in file["records"]] == [True]
    assert [each["holds"] for each in file["bans"]] == [False]


async def test_a_check_answers_without_showing_and_is_recorded(region: Region) -> None:
    """Yes, no or with conditions; of somebody unknown nothing is known; the check can be what a licence rests on."""
    day = cases.today(region).isoformat()
    body = liable(FORGER, **{"class": "ordinary"}) | {
        "document_no": "示例罚〔2026〕3号",
        "decided_at": day,
        "served_at": day,
    }
    await credit.write_record(region, cases.first_officer(), body)

    known = await checked(region, {"id_type": FORGER["id_type"], "id": FORGER["id"]})
    unknown = await checked(region, licensing.PERSON)
    await checked(region, licensing.PERSON, matter=None)

    assert (known["outcome"], known["conditions"]) == ("conditions", ["no_promise", "no_deferral"])
    assert unknown["outcome"] == "yes"
    rests = [{"credit_check": unknown["id"], "basis": "evidence"}]
    assert (await issued(region, MARKET, food(rests_on=rests))).version == 1


async def test_the_policy_of_the_matter_decides(sqlite_url: str, tmp_path: Path) -> None:
    """A matter that asks for nothing gets yes, whatever stands in the file."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        await cases.matter(region, policy="none")
        day = cases.today(region).isoformat()
        body = liable(FORGER) | {"document_no": "示例", "decided_at": day, "served_at": day}
        await credit.write_record(region, cases.first_officer(), body)

        assert (await checked(region, FORGER))["outcome"] == "yes"
        assert (await checked(region, FORGER, matter=None))["outcome"] == "no"
