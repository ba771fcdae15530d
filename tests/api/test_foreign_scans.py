"""A window here and licences from there: verified by what is followed, scanned by what is recognised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import access, equivalences, presentations
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.receipts import receipt_of
from ledger.scans import scan
from ledger.sequencing import read_head
from ledger.status_tokens import path_of
from ledger.tables.peers import followed_status, foreign_licences
from ledger.tables.scans import access_records
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import EDUCATION, FOOD, HOUSING, MARKET, food, furnish, issued
from tests.region import OPERATOR
from tests.regions import Place, RegionsWorld, regions_world
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.verdict import Outcome, Step

HERE, THERE = "620000", "610000"
"""The window's region, and the one whose licences are shown."""

FIELDS = {"premises": "premises", "items": "items"}
CAREFUL = {"!": [{"===": [{"var": "payload.fields.residence"}, "示例路0号"]}]}
"""A condition on something that no matter here needs."""


def recognition(**changes: Any) -> dict[str, Any]:
    """Their food licence counts as ours."""
    kind = {"type": FOOD, "major": 1}
    return {"peer": THERE, "their": kind, "ours": kind, "fields": FIELDS} | changes


@pytest.fixture
async def world(sqlite_urls: Callable[[str], str], tmp_path: Path) -> AsyncIterator[RegionsWorld]:
    """Two regions that know each other; here, food licences from there count."""
    clock = cases.ShiftedClock()
    async with regions_world(tmp_path, sqlite_urls, clock=clock, recognition_notice_s=0) as world:
        for place in world:
            await furnish(place.region)
        here = world[HERE].region
        await cases.matter(here)
        await world.settle()
        await equivalences.declare(here, OPERATOR, recognition())
        clock.ahead = timedelta(seconds=2)
        await world.settle()
        yield world


async def shown_licence(world: RegionsWorld) -> Issued:
    """A licence from there that everybody can see in the log and the lists."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    await there.region.publisher.published(licence.entry)
    await news(world)
    return licence


async def news(world: RegionsWorld) -> None:
    """Let what happened there get into its status lists, and be fetched here."""
    there, here = world[THERE].region, world[HERE]
    await there.status.pulse.stop()  # one that runs by itself would take turns with us
    size = (await there.database.read(read_head)).size
    await there.publisher.published(size - 1)
    await there.status.step()
    for _ in range(100):  # a status list may show more of the log than was fetched of it just before
        await here.following.step()
        served = {there.files.read(path_of(number)) for number in range(64)} - {None}
        fetched = await here.region.database.read(_tokens)
        if {data.decode("ascii") for data in served if data is not None} <= fetched:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the status lists from there never came")


def _tokens(tx: Reading) -> set[str]:
    return set(tx.execute(select(followed_status.c.token)).scalars())


async def prepared(place: Place, licence: Issued) -> str:
    """The code on the holder's phone."""
    subject = await cases.holder_of(place.region, licence.id)
    made = await presentations.prepare(place.region, subject, {"licences": [{"licence": licence.id}]})
    return mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), place.region.clock.now())


async def scanned(world: RegionsWorld, code: str, department: str = MARKET, **changes: Any) -> dict[str, Any]:
    """Scan a code at a window here."""
    here = world[HERE].region
    body = {"code": code, "matter": cases.MATTER, "purpose": "示例办理"} | changes
    return await scan(here, OnlineVerifier(here), licensing.actor(department, "window"), body)


async def looks(world: RegionsWorld) -> list[Any]:
    """The access records here."""
    database = world[HERE].region.database
    return list(await database.read(lambda tx: tx.execute(select(access_records)).all()))


def reasons_of(answer: dict[str, Any]) -> list[str]:
    """The reason codes of the first licence of a scan."""
    return [reason["code"] for reason in answer["licences"][0]["verdict"]["reasons"]]


async def test_a_foreign_licence_with_its_receipt_is_valid_on_line_without_a_call(world: RegionsWorld) -> None:
    """Judged by what was followed; our ledger has no say, so there is no step for it."""
    licence = await shown_licence(world)
    receipt = await receipt_of(world[THERE].region, licence.entry)
    here = world[HERE]
    here.road.asked.clear()
    verifier = OnlineVerifier(here.region)

    verdict = await verifier.verdict(licence.licence, receipt)
    alone = await verifier.verdict(licence.licence)

    assert (verdict.outcome, verdict.region) == (Outcome.VALID, THERE), verdict.findings
    assert verdict.recognition is not None and verdict.recognition.type == (FOOD, 1)
    steps = {check.step: check for check in verdict.checks}
    assert Step.LEDGER not in steps and steps[Step.KEY].source == f"{THERE} trust list {_seq(here)}"
    intervals = here.following.views()[0].trust.document.intervals
    assert intervals is not None and verdict.bound_s is not None and verdict.bound_s > intervals.status_ttl_s
    assert alone.reasons == (Reason.RECEIPT_MISSING,)
    assert here.road.asked == []


def _seq(place: Place) -> int:
    return place.following.views()[0].trust.document.seq


async def test_anybody_may_verify_a_foreign_licence_with_its_receipt(world: RegionsWorld) -> None:
    """`POST /v1/verify` takes both, and takes down nothing of what it learns."""
    licence = await shown_licence(world)
    receipt = await receipt_of(world[THERE].region, licence.entry)
    http = world[HERE].service.http

    answer = await http.post("/v1/verify", json={"presented": licence.licence, "receipt": receipt})

    assert (answer.status_code, answer.json()["outcome"]) == (200, "valid"), answer.json()["reasons"]
    assert answer.json()["recognition"]["by"] == HERE
    assert await _remembered(world) == []


async def test_our_own_documents_are_judged_as_before(world: RegionsWorld) -> None:
    """By the ledger, with peers or without; a wrong receipt beside one is found out."""
    here, there = world[HERE], world[THERE]
    await licensing.give(here.region, MARKET, FOOD, area=HERE)
    assert await here.region.trust.settled()
    ours = await issued(here.region, MARKET, food(2) | {"area": HERE})
    theirs = await issued(there.region, MARKET, food(3))
    await there.region.publisher.published(theirs.entry)
    verifier = OnlineVerifier(here.region)

    verdict = await verifier.verdict(ours.licence)
    stapled = await verifier.verdict(ours.licence, await receipt_of(there.region, theirs.entry))

    assert (verdict.outcome, verdict.recognition) == (Outcome.VALID, None), verdict.findings
    assert Step.PEER not in {check.step for check in verdict.checks}
    assert stapled.outcome is Outcome.INVALID


async def test_a_revocation_there_shows_here_after_the_next_look(world: RegionsWorld) -> None:
    """Their status list says so; nobody is asked while verifying."""
    licence, here, there = await shown_licence(world), world[HERE], world[THERE]
    receipt = await receipt_of(there.region, licence.entry)
    await cases.upheld(there.region, cases.target(licence.id))
    await news(world)

    verdict = await OnlineVerifier(here.region).verdict(licence.licence, receipt)

    assert Reason.REVOKED in verdict.reasons or Reason.SUSPENDED in verdict.reasons


async def test_a_printed_code_from_there_shows_what_is_printed(world: RegionsWorld) -> None:
    """With the region it is of; the look is written down under the foreign licence's name, and its place learnt."""
    licence = await shown_licence(world)

    answer = await scanned(world, licence.code)

    [shown] = answer["licences"]
    assert (answer["means"], answer["outcome"], answer["credit"]) == ("static", "valid", None), reasons_of(answer)
    assert shown["licence"] is None and shown["verdict"]["region"] == THERE
    assert shown["verdict"]["licence"]["name"] == licensing.COMPANY["name"]
    [look] = await looks(world)
    assert (look.licence, look.abroad, look.outcome) == (None, f"{THERE}:{licence.identifier}", "valid")
    assert len(answer["access"]) == 1
    [known] = await _remembered(world)
    assert (known.region, known.identifier, known.source) == (THERE, licence.identifier, "scan")
    assert known.uri is not None and known.slot is not None


async def test_a_dynamic_code_from_there_is_redeemed_there_and_cut_here(world: RegionsWorld) -> None:
    """The matter's fields under our names; what only the holder's region shows stays out."""
    licence = await shown_licence(world)
    code = await prepared(world[THERE], licence)

    answer = await scanned(world, code)

    [shown] = answer["licences"]
    assert (answer["means"], answer["outcome"]) == ("dynamic", "valid"), reasons_of(answer)
    content = shown["verdict"]["licence"]
    assert set(content["fields"]) == {"premises", "items"}
    assert set(shown["verdict"]["recognition"]["fields"]) == {"premises", "items", "holders"}
    assert content["holders"][0]["name"] == licensing.COMPANY["name"]
    assert shown["fields"] == ["holders", "items", "premises"]
    [look] = await looks(world)
    assert (look.means, look.abroad) == ("dynamic", f"{THERE}:{licence.identifier}")
    again = await _refused(world, code)
    assert again is Code.CODE_REPLAYED


async def test_what_a_rule_reads_is_asked_for_and_not_shown(world: RegionsWorld) -> None:
    """The condition can be judged, and the window sees no more than the matter needs."""
    here = world[HERE].region
    tests = [
        {"payload": {"fields": {"residence": text}}, "at": "2026-11-21T00:00:00Z", "expect": expect}
        for text, expect in (("示例路1号", True), ("示例路0号", False))
    ]
    named = {"zh": "示例条件", "en": "Example condition"}
    [known] = here.catalogue.recognised.equivalences
    await equivalences.declare(here, OPERATOR, recognition(id=known, conditions=CAREFUL, tests=tests, names=named))
    assert isinstance(here.clock, cases.ShiftedClock)
    here.clock.ahead += timedelta(seconds=2)  # it counts from the next whole second on
    await world.settle()
    licence = await shown_licence(world)

    answer = await scanned(world, await prepared(world[THERE], licence))

    [shown] = answer["licences"]
    assert answer["outcome"] == "valid", reasons_of(answer)
    assert shown["verdict"]["recognition"]["rule"] is not None
    assert "residence" not in str(shown)


async def test_a_code_of_nobody_we_know_is_unknown_and_its_address_is_never_called(world: RegionsWorld) -> None:
    """The address in a code chooses among admitted peers and nothing else (protocol 27)."""
    licence = await shown_licence(world)
    code = await prepared(world[THERE], licence)
    here = world[HERE]
    here.road.asked.clear()

    for host in ("HTTPS://EVIL.EXAMPLE", "HTTPS://R610000.EXAMPLE:8443", "HTTP://R610000.EXAMPLE"):
        assert await _refused(world, code.replace("HTTPS://R610000.EXAMPLE", host)) is Code.CODE_UNKNOWN
    assert await _refused(world, code.rpartition("/")[2]) is Code.CODE_UNKNOWN
    assert here.road.asked == []


async def test_a_region_that_cannot_be_reached_leaves_it_undetermined(world: RegionsWorld) -> None:
    """And the verdict says what can still be done: the printed code."""
    licence = await shown_licence(world)
    code = await prepared(world[THERE], licence)
    world[HERE].road.cut.add(THERE)

    answer = await scanned(world, code)
    printed = await scanned(world, licence.code)

    assert (answer["outcome"], reasons_of(answer)) == ("undetermined", ["peer.unreachable"])
    assert "printed code" in answer["licences"][0]["verdict"]["reasons"][0]["detail"]
    assert answer["access"] == [] and answer["licences"][0]["verdict"]["licence"] is None
    assert printed["outcome"] == "valid"


async def test_a_window_that_may_not_scan_our_type_may_not_scan_theirs(world: RegionsWorld) -> None:
    """Scope is judged by the type of ours as which it counts; the phone's code is not used up."""
    licence = await shown_licence(world)
    code = await prepared(world[THERE], licence)

    with pytest.raises(Refusal) as refused:
        await scanned(world, code, department=HOUSING)

    assert refused.value.code is Code.SCAN_OUT_OF_SCOPE
    assert (await scanned(world, code))["outcome"] == "valid"
    printed = await scanned(world, licence.code, department=EDUCATION)
    assert printed["licences"][0]["verdict"]["recognition"]["fields"] == {}


async def _refused(world: RegionsWorld, code: str) -> Code:
    with pytest.raises(Refusal) as caught:
        await scanned(world, code)
    return caught.value.code


async def _remembered(world: RegionsWorld) -> list[Any]:
    database = world[HERE].region.database
    return list(await database.read(lambda tx: tx.execute(select(foreign_licences)).all()))


async def test_looks_at_foreign_licences_are_digested_like_all(world: RegionsWorld) -> None:
    """An hour's digest covers them, and a look at our own licence is digested as it was before there were others."""
    licence = await shown_licence(world)
    await scanned(world, licence.code)
    [look] = await looks(world)

    count, digest = await world[HERE].region.database.read(
        lambda tx: access.digest_of_hour(tx, look.at // access.HOUR * access.HOUR)
    )

    assert count == 1 and len(digest) == 32
