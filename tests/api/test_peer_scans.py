"""A window shows what the phone of somebody from another region shows: codes are redeemed by the region they are of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import access, peer_scans, presentations, reliances
from ledger.issued import Issued
from ledger.notices import relied_on
from ledger.outside import Unreachable
from ledger.peer_calls import PeerRefused
from ledger.peer_scans import Presented, Wanted
from ledger.tables.scans import access_digests, access_records
from ledger.verifying import OnlineVerifier
from tests.ledger import cases
from tests.ledger.licensing import COMPANY, DIPLOMA, EDUCATION, FOOD, MARKET, food, furnish, issued
from tests.regions import Place, RegionsWorld, regions_world
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.licence import parse
from verifiers.verdict import Outcome

HERE, THERE = "620000", "610000"
"""The window's region, and the one whose licences are shown."""


@pytest.fixture
def clock() -> cases.ShiftedClock:
    """Give a clock that can be put forward."""
    return cases.ShiftedClock()


@pytest.fixture
async def world(
    sqlite_urls: Callable[[str], str], tmp_path: Path, clock: cases.ShiftedClock
) -> AsyncIterator[RegionsWorld]:
    """Two regions with departments that know each other's."""
    async with regions_world(tmp_path, sqlite_urls, clock=clock) as world:
        for place in world:
            await furnish(place.region)
        await world.settle()
        yield world


async def prepared(place: Place, licence: Issued, **choice: Any) -> dict[str, Any]:
    """Prepare a presentation of one licence by its holder."""
    subject = await cases.holder_of(place.region, licence.id)
    return await presentations.prepare(place.region, subject, {"licences": [{"licence": licence.id, **choice}]})


def code_now(place: Place, made: dict[str, Any]) -> str:
    """Mint the code as the phone does."""
    return mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), place.region.clock.now())


async def asked(world: RegionsWorld, code: str, *wanted: Wanted, department: str = EDUCATION) -> list[Presented]:
    """Ask the other region about a code, as a window here does."""
    here = world[HERE].region
    peer = here.catalogue.recognised.peers[THERE]
    needs = wanted or (Wanted(FOOD, ("premises", "holders")),)
    return await peer_scans.ask(
        here, peer, code, needs, department=department, matter="EXAMPLE-SX-1", purpose="示例办理"
    )


async def refused(world: RegionsWorld, code: str, *wanted: Wanted, **more: Any) -> str:
    """Ask about a code that is refused; gives the code of the refusal."""
    with pytest.raises(PeerRefused) as caught:
        await asked(world, code, *wanted, **more)
    return caught.value.code


async def test_a_window_sees_what_was_chosen_and_asked_for(world: RegionsWorld) -> None:
    """The holder's choice and the matter's need, cut with each other; the licence verifies where it came from."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    await there.region.publisher.published(licence.entry)
    made = await prepared(there, licence, fields=["legal_representative", "residence"])

    needs = Wanted(FOOD, ("legal_representative", "premises", "holders")), Wanted(DIPLOMA, ())
    [shown] = await asked(world, code_now(there, made), *needs)

    seen = parse(shown.presented).claims
    whole = parse(licence.licence).claims
    assert seen["fields"]["legal_representative"] == whole["fields"]["legal_representative"]
    assert "residence" in whole["fields"] and "residence" not in seen["fields"]
    assert COMPANY["id"] not in str(seen) and COMPANY["name"] not in str(seen)
    assert seen["identifier"] == licence.identifier
    assert shown.receipt is not None
    verdict = await OnlineVerifier(there.region).verdict(shown.presented)
    assert verdict.outcome is Outcome.VALID, verdict.findings


async def test_without_a_choice_the_asked_fields_are_shown(world: RegionsWorld) -> None:
    """Holders, number and object are asked for by name like any field."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    made = await prepared(there, licence)

    [shown] = await asked(world, code_now(there, made), Wanted(FOOD, ("holders",)))

    assert parse(shown.presented).claims["holders"][0]["name"] == COMPANY["name"]


async def test_the_holder_sees_that_another_region_looked(world: RegionsWorld) -> None:
    """Region, department, matter and purpose; it is digested like every look, and no department here is told."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    made = await prepared(there, licence, fields=["premises"])
    await asked(world, code_now(there, made))
    holder = await cases.holder_of(there.region, licence.id)

    [look] = (await there.region.database.read(lambda tx: access.accesses_to(tx, holder)))["items"]

    assert (look["region"], look["department"], look["means"]) == (HERE, EDUCATION, "dynamic")
    assert (look["matter"], look["purpose"], look["fields"]) == ("EXAMPLE-SX-1", "示例办理", ["premises"])
    assert await there.region.database.read(lambda tx: relied_on(tx, [licence.id])) == []
    assert await there.region.database.read(lambda tx: reliances.relying(tx, [licence.id])) == {licence.id: [HERE]}


async def test_the_hourly_digest_covers_the_region_that_looked(world: RegionsWorld, clock: cases.ShiftedClock) -> None:
    """Whoever later says that it was somebody else is found out."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    await asked(world, code_now(there, await prepared(there, licence)))
    clock.ahead = timedelta(hours=1, minutes=2)
    assert await access.digest_accesses(there.region) == 1

    row = await there.region.database.read(lambda tx: tx.execute(select(access_digests)).one())
    await there.region.database.write(lambda tx: tx.execute(access_records.update().values(region="630000")))
    changed = await there.region.database.read(lambda tx: access.digest_of_hour(tx, row.hour))
    assert changed[1] != bytes(row.digest)


async def test_a_code_is_redeemed_once_wherever_it_is_shown(world: RegionsWorld) -> None:
    """Of two windows that show the same half-minute's code one gets an answer, though each call has its own nonce."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    code = code_now(there, await prepared(there, licence))

    both = await asyncio.gather(asked(world, code), asked(world, code), return_exceptions=True)

    assert sorted(type(each).__name__ for each in both) == ["PeerRefused", "list"]
    assert await refused(world, code) == "code.replayed"


async def test_what_was_not_asked_for_stays_unseen_and_uses_nothing_up(world: RegionsWorld) -> None:
    """A code for a licence that the matter does not need is refused, and still good for another window."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    code = code_now(there, await prepared(there, licence))

    assert await refused(world, code, Wanted(DIPLOMA, ("name",))) == "scan.out_of_scope"
    assert await there.region.database.read(lambda tx: tx.execute(select(access_records)).all()) == []
    assert len(await asked(world, code)) == 1


async def test_a_code_of_nobody_there_is_unknown(world: RegionsWorld) -> None:
    """A code of this region, or a made-up one, means nothing to the other."""
    here = world[HERE]
    licence = await issued(here.region, MARKET, food())

    assert await refused(world, code_now(here, await prepared(here, licence))) == "code.unknown"
    assert await refused(world, "示例") == "code.malformed"


async def test_a_withdrawn_code_says_so(world: RegionsWorld) -> None:
    """The holder's no counts at every window."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    made = await prepared(there, licence)
    code = code_now(there, made)
    await presentations.withdraw(there.region, await cases.holder_of(there.region, licence.id), made["id"])

    assert await refused(world, code) == "code.withdrawn"


async def test_only_a_department_of_the_calling_region_asks(world: RegionsWorld) -> None:
    """The holder is told a name that exists."""
    there = world[THERE]
    licence = await issued(there.region, MARKET, food())
    code = code_now(there, await prepared(there, licence))

    assert await refused(world, code, department="11610000MB29009992") == "request.member_invalid"
    assert len(await asked(world, code)) == 1


async def test_a_revoked_licence_is_handed_over_and_found_invalid(world: RegionsWorld) -> None:
    """The window is to see that it fell, and is not told that there is nothing."""
    there = world[THERE]
    await cases.trusted(there.region)
    licence = await issued(there.region, MARKET, food())
    made = await prepared(there, licence)
    await cases.upheld(there.region, cases.target(licence.id))

    [shown] = await asked(world, code_now(there, made))

    assert (await OnlineVerifier(there.region).verdict(shown.presented)).outcome is Outcome.INVALID


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"licences": []},
        {"licences": [{}]},
        {"licences": [{"presented": 1}]},
        {"licences": ["x"] * 21},
        {"licences": [{"presented": "x", "receipt": 1}]},
    ],
    ids=["nothing", "none", "empty", "a number", "too many", "no receipt"],
)
async def test_an_answer_of_another_form_is_no_answer(world: RegionsWorld, answer: dict[str, Any]) -> None:
    """What a peer says is judged before it is used."""

    class Odd:
        async def call(self, *_: Any) -> dict[str, Any]:
            return answer

    world[HERE].region.peer_calls = Odd()
    with pytest.raises(Unreachable):
        await asked(world, "HTTPS://REGION.EXAMPLE/C/AAAA")
