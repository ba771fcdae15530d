"""Keys and grants that end: online and offline, what was signed before stays good and what came after does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.certificates import service_subject
from keys.signer import KeyState
from ledger import departments, grants, keys_registry, submissions
from ledger.auditing import Stored, audit_stored
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.receipts import counting_size, receipt_of
from ledger.region import Region
from ledger.verifying import OnlineVerifier
from tests.ledger import licensing
from tests.ledger.licensing import FOOD, MARKET, actor, food, issued
from tests.ledger.test_receipts import settled
from tests.region import OPERATOR
from verifiers.errors import Reason
from verifiers.status_list import open_status_list
from verifiers.trust_list import TrustList
from verifiers.verdict import Outcome

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    """Stand still, unless a test says otherwise."""
    return ManualClock(NOON)


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Region]:
    """A region with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        yield region


async def published(region: Region, n: int) -> Issued:
    """Issue a licence and wait until a checkpoint covers it."""
    licence = await issued(region, MARKET, food(n))
    await region.publisher.published(licence.entry)
    return licence


async def trusted_until(region: Region, kid: str) -> TrustList:
    """Wait for a trust list that says when the key with `kid` ended."""
    for _ in range(50):
        trust = await settled(region)
        key = trust.key(kid)
        if key is not None and key.log_to is not None:
            return trust
    raise AssertionError("the trust list never said that the key had ended")


async def test_online_a_licence_of_a_rotated_key_stays_valid(region: Region) -> None:
    """The newest tree would prove too little; the receipt ends in the one in which the key's term ended."""
    old = await published(region, 1)
    kid = region.catalogue.active_key(MARKET, "licence").kid
    await keys_registry.rotate(region, OPERATOR, MARKET, "licence")
    await trusted_until(region, kid)
    new = await published(region, 2)
    verifier = OnlineVerifier(region)

    for presented in (old.licence, old.code, new.licence, new.code):
        verdict = await verifier.verdict(presented)
        assert verdict.outcome is Outcome.VALID, verdict.reasons


async def test_a_code_of_a_rotated_key_stays_valid(region: Region) -> None:
    """Codes have a key and a term of their own."""
    old = await published(region, 1)
    kid = region.catalogue.active_key(MARKET, "code").kid
    await keys_registry.rotate(region, OPERATOR, MARKET, "code")
    await trusted_until(region, kid)

    assert (await OnlineVerifier(region).verdict(old.code)).outcome is Outcome.VALID


async def test_a_stolen_key_loses_what_came_after_and_nothing_before(region: Region, clock: ManualClock) -> None:
    """Promise 4: what is provably in the log before the theft stands, what came later falls, and the department
    issues again with a new key.
    """
    honest = await published(region, 1)
    clock.advance(3600)
    since = region.clock.now() - timedelta(minutes=30)
    suspect = await published(region, 2)
    kid = region.catalogue.active_key(MARKET, "licence").kid

    await keys_registry.compromise(region, OPERATOR, kid, since=since)
    await trusted_until(region, kid)
    verifier = OnlineVerifier(region)

    assert (await verifier.verdict(honest.licence)).outcome is Outcome.VALID
    after = await verifier.verdict(suspect.licence)
    assert after.outcome is Outcome.INVALID and Reason.KEY_COMPROMISED in after.reasons
    with pytest.raises(Refusal) as caught:
        await issued(region, MARKET, food(3))
    assert caught.value.code is Code.KEY_UNKNOWN

    await keys_registry.rotate(region, OPERATOR, MARKET, "licence")
    await settled(region)
    assert (await verifier.verdict((await published(region, 3)).licence)).outcome is Outcome.VALID


async def test_online_a_licence_under_an_ended_grant_stays_valid(region: Region) -> None:
    """A department that may issue no more has issued what it issued."""
    old = await published(region, 1)
    for grant in region.catalogue.open_grants(MARKET, FOOD, 1):
        await grants.end(region, OPERATOR, grant.id)
    for _ in range(50):
        trust = await settled(region)
        if all(row.log_to is not None for row in trust.grants(MARKET, FOOD, 1)):
            break

    verdict = await OnlineVerifier(region).verdict(old.licence)

    assert verdict.outcome is Outcome.VALID, verdict.reasons
    size = await region.database.read(lambda tx: counting_size(tx, region.catalogue, region.origin, old.entry))
    assert size is not None
    assert f"\n{size}\n" in await receipt_of(region, old.entry, size=size)


async def test_what_the_log_has_ended_is_destroyed_in_the_store(region: Region) -> None:
    """A key that was closed with its department, or compromised, signs nothing more, here or after a restart."""
    kid = region.catalogue.active_key(licensing.HOUSING, "licence").kid
    await keys_registry.compromise(region, OPERATOR, kid, since=region.clock.now())
    await departments.close(region, OPERATOR, licensing.EDUCATION)

    active = {entry.name for entry in region.store.list() if entry.state is KeyState.ACTIVE}

    assert f"{licensing.HOUSING}/licence" not in active and f"{licensing.HOUSING}/code" in active
    assert not {name for name in active if name.startswith(licensing.EDUCATION)}


async def test_a_department_without_a_statement_key_is_refused_clearly(region: Region) -> None:
    """Its acts wait for a new key; they are not signed by the stolen one."""
    kid = region.catalogue.active_key(MARKET, "statement").kid
    await keys_registry.compromise(region, OPERATOR, kid, since=region.clock.now())
    body = {
        "received_by": MARKET,
        "decided_by": MARKET,
        "destination": MARKET,
        "channel": "window",
        "materials": [],
        "missing": [],
    }

    with pytest.raises(Refusal) as caught:
        await submissions.open_submission(region, actor(MARKET), body)
    assert caught.value.code is Code.KEY_RETIRED

    await keys_registry.rotate(region, OPERATOR, MARKET, "statement")
    assert (await submissions.open_submission(region, actor(MARKET), body))["id"]


@pytest.mark.parametrize("purpose", ["status", "list", "statement"])
async def test_the_regions_own_keys_rotate_through_the_log(region: Region, purpose: str) -> None:
    """Announced first, so that verifiers know the successor; then it takes over, and the audit finds nothing."""
    licence = await published(region, 1)
    name = keys_registry.store_name(None, purpose)
    old = region.signer(None, purpose).public_key.kid
    region.store.rotate(name)
    if purpose != "statement":
        subject = service_subject(region.base_url, purpose, "示例省")
        assert await keys_registry.certify(region, name, subject)
    announced = await keys_registry.register(region, OPERATOR, None, purpose)
    assert region.signer(None, purpose).public_key.kid == old

    answer = await keys_registry.rotate(region, OPERATOR, None, purpose)
    await published(region, 2)
    trust = await settled(region)

    assert (answer["kid"], answer["retired"]) == (announced["kid"], old)
    assert region.signer(None, purpose).public_key.kid == announced["kid"] != old
    assert (await OnlineVerifier(region).verdict(licence.licence)).outcome is Outcome.VALID
    if purpose == "status":
        await _opens(region, trust, licence.status_uri)

    report = await asyncio.to_thread(audit_stored, Stored.of(region))
    assert report.findings == []


async def _opens(region: Region, trust: TrustList, uri: str) -> None:
    token = region.files.read(uri.removeprefix(f"{region.base_url}/"))
    assert token is not None
    assert open_status_list(token.decode("ascii"), trust).uri == uri


async def test_a_stolen_status_key_is_replaced_at_once(region: Region) -> None:
    """The region never stands without a status key, or nothing could be verified until somebody had made one."""
    old = region.signer(None, "status").public_key.kid

    await keys_registry.compromise(region, OPERATOR, old, since=region.clock.now())

    new = region.signer(None, "status").public_key.kid
    assert new != old and region.catalogue.keys[new].closed_idx is None
    assert region.catalogue.keys[old].revoked is not None
