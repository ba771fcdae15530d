"""Online verdicts: the offline verdict, sharpened by what the ledger itself holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger import freezing
from ledger.region import Region
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food, issued
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Reason
from verifiers.verdict import Mark, Outcome, Step


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite whose trust list names the example departments."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        await cases.trusted(region)
        yield region


async def test_a_licence_and_its_code_are_valid_at_once(database_url: str, tmp_path: Path) -> None:
    """Nobody has to wait for a checkpoint or a status list; every step says what it rests on."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        await cases.trusted(region)
        licence = await issued(region, MARKET, food())
        verifier = OnlineVerifier(region)

        for presented in (licence.licence, licence.code, f"  {licence.code}\n"):
            verdict = await verifier.verdict(presented)

            assert verdict.outcome is Outcome.VALID, verdict.reasons
            assert verdict.bound_s == 1
            checks = {check.step: check for check in verdict.checks}
            assert checks[Step.LEDGER].mark is checks[Step.STATUS].mark is Mark.PASSED
            assert checks[Step.STATUS].source == "ledger"


async def test_signed_bytes_the_ledger_does_not_hold_are_invalid(region: Region, tmp_path: Path) -> None:
    """A forgery with a stolen key has a good signature and no entry."""
    licence = await issued(region, MARKET, food())
    head, _, rest = licence.licence.partition("~")
    signed = head.rpartition(".")[0]
    signer = region.signer(MARKET, "licence")
    forged_payload = b64u_decode(signed.split(".")[1]).replace(b'"version":1', b'"version":2')
    forged = f"{signed.split('.')[0]}.{b64u_encode(forged_payload)}"
    [stolen] = await signer.sign([forged.encode()])

    verdict = await OnlineVerifier(region).verdict(f"{forged}.{b64u_encode(stolen)}~{rest}")

    assert verdict.outcome is Outcome.INVALID
    assert Reason.LEDGER_UNKNOWN in verdict.reasons and Reason.LICENCE_SIGNATURE not in verdict.reasons


@pytest.mark.parametrize("presented", ["", "x", "{}", "a~b", "HTTPS://X/V#", "~", "#", "\ud800~", "é.b.c~"])
async def test_nonsense_gets_a_verdict_and_no_exception(region: Region, presented: str) -> None:
    """Whatever is presented, the answer is a verdict."""
    verdict = await OnlineVerifier(region).verdict(presented)

    assert verdict.outcome is not Outcome.VALID


async def test_a_flipped_character_is_never_valid(region: Region) -> None:
    """Signature, payload, header: each is covered by what the ledger knows or by the signature."""
    licence = await issued(region, MARKET, food())
    verifier = OnlineVerifier(region)
    head = licence.licence.partition("~")[0]

    for position in range(0, len(head), 37):
        flipped = "A" if head[position] != "A" else "B"
        presented = licence.licence[:position] + flipped + licence.licence[position + 1 :]
        assert (await verifier.verdict(presented)).outcome is not Outcome.VALID


async def test_a_suspended_licence_says_that_it_may_come_back(region: Region) -> None:
    """A frozen licence is invalid for now, with the reason of its state."""
    licence = await issued(region, MARKET, food())
    flag_id = await cases.flagged(region, cases.target(licence.id))
    until = cases.today(region).isoformat()
    body = {"ground": "示例", "document_no": "示例", "until": until}
    await freezing.freeze(region, cases.first_officer(), flag_id, body)

    verdict = await OnlineVerifier(region).verdict(licence.licence)

    assert verdict.reasons == (Reason.SUSPENDED, Reason.STATE_SUSPENDED)


async def test_a_licence_stays_valid_however_often_it_is_asked_for(region: Region) -> None:
    """What the verifier remembers from one verdict to the next changes none of them."""
    licences = [(await issued(region, MARKET, food(n))).licence for n in range(1, 101)]
    verifier = OnlineVerifier(region)
    await verifier.verdict(licences[0])

    for _ in range(5):
        for licence in licences:
            assert (await verifier.verdict(licence)).outcome is Outcome.VALID
