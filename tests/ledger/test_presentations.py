"""Dynamic codes: prepared by the holder, minted on the phone, redeemed once by a window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import documents, freezing, key_loss, keys_registry, presentations
from ledger.clock import ManualClock
from ledger.database import Reading
from ledger.documents import compact_of
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.region import Region
from ledger.scans import scan, verdict_on_current
from ledger.tables.log import records, thing_events
from ledger.tables.scans import presentations as rows
from ledger.trust_publishing import newest, payload_of
from ledger.vault import erased
from ledger.verifying import OnlineVerifier
from ledger.versions import new_version
from tests.ledger import cases, licensing
from tests.ledger.licensing import HOUSING, MARKET, food, issued
from tests.region import OPERATOR
from verifiers import verification
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.errors import Malformed, Reason
from verifiers.verdict import Outcome, Verdict


@pytest.fixture
def clock() -> cases.ShiftedClock:
    """Give a clock that can be put forward."""
    return cases.ShiftedClock()


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: cases.ShiftedClock) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types, grants and a matter."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        await cases.matter(region)
        await cases.trusted(region)
        yield region


async def prepared(region: Region, licence: Issued, **more: Any) -> dict[str, Any]:
    """Prepare a presentation of one licence by its holder."""
    subject = await cases.holder_of(region, licence.id)
    choice = {"licence": licence.id} | ({"fields": more.pop("fields")} if "fields" in more else {})
    return await presentations.prepare(region, subject, {"licences": [choice], **more})


def code_now(region: Region, made: dict[str, Any], ahead: timedelta = timedelta()) -> str:
    """Mint the code as the phone does, whose clock may be off."""
    return mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), region.clock.now() + ahead)


async def scanned(region: Region, code: str, department: str = MARKET) -> dict[str, Any]:
    """Scan a code at a window."""
    body = {"code": code, "matter": cases.MATTER, "purpose": "示例办理"}
    return await scan(region, OnlineVerifier(region), licensing.actor(department, "window"), body)


async def test_a_scan_shows_what_was_chosen_and_is_needed(region: Region) -> None:
    """The holder chose two fields, the matter needs three: their common part is shown, and no number of the holder."""
    licence = await issued(region, MARKET, food())
    made = await prepared(region, licence, fields=["premises", "legal_representative"])

    answer = await scanned(region, code_now(region, made))

    [shown] = answer["licences"]
    assert (answer["means"], answer["outcome"], shown["fields"]) == ("dynamic", "valid", ["premises"])
    assert shown["verdict"]["licence"]["fields"] == {"premises": "示例省示例市示例路2号"}
    assert licensing.COMPANY["id"] not in str(answer)
    assert answer["credit"]["outcome"] == "yes"


async def test_without_a_choice_the_matter_decides(region: Region) -> None:
    """Everything the matter needs, and nothing more."""
    licence = await issued(region, MARKET, food())

    answer = await scanned(region, code_now(region, await prepared(region, licence)))

    content = answer["licences"][0]["verdict"]["licence"]
    assert set(content["fields"]) == {"premises", "items"}
    assert content["holders"][0]["name"] == "示例甲有限公司"
    assert "number" not in content


async def verdicts(region: Region, id_: str) -> tuple[Verdict, Verdict]:
    """Judge a licence at one moment as a scan does, and as if its text had been presented."""
    verifier, row = OnlineVerifier(region), await region.scan_reads.current(id_)
    region.clock = ManualClock(region.clock.now())
    presented = compact_of(row.event(region.vault), region.catalogue)
    return await verdict_on_current(region, verifier, row), await verifier.verdict(presented)


async def trust_says_revoked(region: Region) -> None:
    """Wait until the trust list names a compromised key."""
    for _ in range(400):
        row = await region.database.read(newest)
        if row is not None and any(key.get("revoked") for key in payload_of(row.list)["keys"]):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the trust list did not follow")


@pytest.mark.parametrize("state", ["valid", "annulled", "suspended", "expired", "key-lost", "amended"])
async def test_the_verdict_is_that_on_the_same_licence_presented(
    region: Region, clock: cases.ShiftedClock, state: str
) -> None:
    """Step by step, to the last word, whatever became of the licence."""
    licence = await issued(region, MARKET, food())
    if state == "annulled":
        await cases.upheld(region, cases.target(licence.id))
    elif state == "suspended":
        until = cases.today(region).isoformat()
        body = {"ground": "示例", "document_no": "示例", "until": until}
        await freezing.freeze(
            region, cases.first_officer(), await cases.flagged(region, cases.target(licence.id)), body
        )
    elif state == "expired":
        clock.ahead = timedelta(days=365 * 10)
    elif state == "key-lost":
        kid = key_loss.key_named(region, MARKET, "licence")
        await keys_registry.compromise(region, OPERATOR, kid, since=licence.entry)
        await trust_says_revoked(region)
    elif state == "amended":
        change = {"change": "amend", "fields": {"premises": "示例省示例市示例路9号"}}
        await new_version(region, licensing.actor(MARKET), licence.id, change)

    scanned, presented = await verdicts(region, licence.id)

    assert scanned == presented
    assert (scanned.outcome is Outcome.VALID) == (state in ("valid", "amended"))


async def test_a_signature_that_does_not_hold_is_found_out(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in our own record is checked like what anybody presents, and nothing of it is shown."""
    licence = await issued(region, MARKET, food())
    monkeypatch.setattr(documents, "signatures_of", lambda _: (bytes(64), bytes(64)))

    scanned, presented = await verdicts(region, licence.id)

    assert scanned == presented
    assert Reason.LICENCE_SIGNATURE in scanned.reasons and scanned.licence is None


async def test_a_projection_that_differs_from_the_record_decides_nothing(region: Region) -> None:
    """A row that points at another licence's document is not taken for that of the record."""
    licence = await issued(region, MARKET, food())
    row = await region.scan_reads.current(licence.id)

    verdict = await verdict_on_current(region, OnlineVerifier(region), replace(row, digest=bytes(32)))

    assert verdict.outcome is Outcome.VALID  # the ledger holds these bytes, found by their own hash


async def test_a_licence_that_no_reader_accepts_is_invalid(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is told so, in the words that anybody is told who presents it."""
    licence = await issued(region, MARKET, food())

    def refuse(*_: object) -> None:
        raise Malformed(Reason.LICENCE, "for a test")

    monkeypatch.setattr(documents, "parsed", refuse)
    monkeypatch.setattr(verification, "parse", refuse)

    scanned, presented = await verdicts(region, licence.id)

    assert scanned == presented
    assert scanned.reasons == (Reason.LICENCE,) and scanned.licence is None


async def test_the_usual_record_is_opened_for_what_the_licence_says(region: Region) -> None:
    """The same facts and the same person as the careful reading finds."""
    licence = await issued(region, MARKET, food())
    row = await region.scan_reads.current(licence.id)

    opened, event = row.opened(region.vault), row.event(region.vault)

    assert opened is not None
    assert (opened.facts, opened.subjects) == (event.facts, event.subjects)
    assert licensing.COMPANY["name"] not in repr(opened)


@pytest.mark.parametrize("part", [0, 1])
async def test_a_changed_record_is_damaged(region: Region, part: int) -> None:
    """Nothing is shown of a licence whose record was changed, in whichever part."""
    licence = await issued(region, MARKET, food())
    row = await region.scan_reads.current(licence.id)
    changed = replace(
        row,
        parts=tuple(
            (number, blob[:-1] + bytes((blob[-1] ^ 1,)) if number == part else blob, key)
            for number, blob, key in row.parts
        ),
    )

    with pytest.raises(Refusal) as refused:
        await verdict_on_current(region, OnlineVerifier(region), changed)
    assert refused.value.code is Code.RECORD_DAMAGED


@pytest.mark.parametrize("other", ["licence", "act"])
async def test_a_record_of_something_else_is_damaged(region: Region, other: str) -> None:
    """It opens, since it was sealed here, but it is not what the entry of this licence commits to."""
    licence = await issued(region, MARKET, food())
    row = await region.scan_reads.current(licence.id)
    if other == "licence":
        parts = (await region.scan_reads.current((await issued(region, MARKET, food(2))).id)).parts
    else:
        flagged = await cases.flagged(region, cases.target(licence.id))
        blobs = await region.database.read(lambda tx: records_of(tx, flagged))
        parts = ((0, blobs[0], None), row.parts[1])

    with pytest.raises(Refusal) as refused:
        await verdict_on_current(region, OnlineVerifier(region), replace(row, parts=parts))
    assert refused.value.code is Code.RECORD_DAMAGED


def records_of(tx: Reading, thing: str) -> list[bytes]:
    """The sealed parts of the first entry about a thing."""
    idx = select(thing_events.c.idx).where(thing_events.c.thing == thing).order_by(thing_events.c.idx).limit(1)
    return list(tx.execute(select(records.c.blob).where(records.c.idx == idx.scalar_subquery())).scalars())


async def test_a_record_without_the_person_is_an_erased_licence(region: Region) -> None:
    """What is left of it is told as such."""
    licence = await issued(region, MARKET, food())
    row = await region.scan_reads.current(licence.id)
    facts, (number, blob, _) = row.parts

    with pytest.raises(Refusal) as refused:
        await verdict_on_current(
            region, OnlineVerifier(region), replace(row, parts=(facts, (number, erased(blob), None)))
        )
    assert refused.value.code is Code.LICENCE_ERASED


async def test_a_code_is_redeemed_once(region: Region) -> None:
    """The second window that shows up with the same half-minute's code is refused, even at the same moment."""
    licence = await issued(region, MARKET, food())
    code = code_now(region, await prepared(region, licence))

    outcomes = await asyncio.gather(*(scanned(region, code) for _ in range(3)), return_exceptions=True)

    refusals = [each for each in outcomes if isinstance(each, Refusal)]
    assert [each.code for each in refusals] == [Code.CODE_REPLAYED] * 2
    assert sum(isinstance(each, dict) for each in outcomes) == 1


async def test_the_next_half_minute_has_a_code_of_its_own(region: Region, clock: cases.ShiftedClock) -> None:
    """One presentation serves many windows, one code each."""
    made = await prepared(region, await issued(region, MARKET, food()))
    await scanned(region, code_now(region, made))
    clock.ahead = timedelta(seconds=30)

    assert (await scanned(region, code_now(region, made)))["outcome"] == "valid"


@pytest.mark.parametrize(
    ("ahead", "code"),
    [(-30, None), (30, None), (-90, Code.CODE_CLOCK), (90, Code.CODE_CLOCK), (9000, Code.CODE_UNKNOWN)],
)
async def test_a_wrong_clock_is_named(region: Region, ahead: int, code: Code | None) -> None:
    """A slice either way is tolerated; further off the phone's clock is to blame, and much further nothing is known."""
    made = await prepared(region, await issued(region, MARKET, food()))
    text = code_now(region, made, timedelta(seconds=ahead))

    if code is None:
        assert (await scanned(region, text))["outcome"] == "valid"
        return
    with pytest.raises(Refusal) as refused:
        await scanned(region, text)
    assert refused.value.code is code


async def test_a_presentation_ends_and_can_be_withdrawn(region: Region, clock: cases.ShiftedClock) -> None:
    """By time, and by its holder alone."""
    licence = await issued(region, MARKET, food())
    subject = await cases.holder_of(region, licence.id)
    short, long = await prepared(region, licence, lifetime_s=60), await prepared(region, licence)
    clock.ahead = timedelta(seconds=61)

    with pytest.raises(Refusal) as ended:
        await scanned(region, code_now(region, short))
    with pytest.raises(Refusal) as stranger:
        await presentations.withdraw(region, "AAAAAAAAAAAAAAAAAAAAAA", long["id"])
    await presentations.withdraw(region, subject, long["id"])
    with pytest.raises(Refusal) as withdrawn:
        await scanned(region, code_now(region, long))

    assert ended.value.code is Code.CODE_ENDED
    assert stranger.value.code is Code.CODE_UNKNOWN
    assert withdrawn.value.code is Code.CODE_WITHDRAWN


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"licences": []}, Code.CODE_NOTHING_CHOSEN),
        ({"licences": [{"licence": "AAAAAAAAAAAAAAAAAAAAAA"}]}, Code.LICENCE_UNKNOWN),
        ({"licences": [{"licence": "AAAAAAAAAAAAAAAAAAAAAA"}], "lifetime_s": 86_401}, Code.CODE_LIFETIME),
    ],
)
async def test_what_cannot_be_shown_is_refused(region: Region, body: dict[str, Any], code: Code) -> None:
    """Nothing, somebody else's, or for longer than a day."""
    with pytest.raises(Refusal) as refused:
        await presentations.prepare(region, "AAAAAAAAAAAAAAAAAAAAAA", body)

    assert refused.value.code is code


async def test_a_caller_without_a_grant_to_scan_sees_nothing(region: Region) -> None:
    """Out of scope is refused before the code is used up."""
    made = await prepared(region, await issued(region, MARKET, food()))
    code = code_now(region, made)

    with pytest.raises(Refusal) as refused:
        await scanned(region, code, HOUSING)

    assert refused.value.code is Code.SCAN_OUT_OF_SCOPE
    assert (await scanned(region, code))["outcome"] == "valid"


async def test_what_was_chosen_is_not_stored_in_the_clear(region: Region) -> None:
    """Neither key nor licence can be read from the table."""
    licence = await issued(region, MARKET, food())
    made = await prepared(region, licence)

    sealed = await region.database.read(lambda tx: bytes(tx.execute(select(rows.c.sealed)).scalar_one()))

    assert licence.id.encode() not in sealed
    assert b64u_decode(made["key"]) not in sealed


async def test_old_codes_are_forgotten(region: Region, clock: cases.ShiftedClock) -> None:
    """Two days later nothing is left, and a code that old is unknown."""
    made = await prepared(region, await issued(region, MARKET, food()))
    code = code_now(region, made)
    await scanned(region, code)
    clock.ahead = timedelta(days=4)
    now = int(region.clock.now().timestamp())

    await region.database.write(lambda tx: presentations.forget_old(tx, now))

    with pytest.raises(Refusal) as refused:
        await scanned(region, code_now(region, made))
    assert refused.value.code is Code.CODE_UNKNOWN
