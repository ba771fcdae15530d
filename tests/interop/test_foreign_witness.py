"""Witnesses that others wrote cosign our live log, growth after growth, and others verify what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import Checkpoint as ScalesCheckpoint

from api.outside_http import HttpOutside
from ledger import keys_registry, witness_policies
from ledger.cosigning import FILE, Cosigner
from ledger.outside import NO_HEADERS, Answer
from ledger.receipts import receipt_of
from ledger.region import Region
from tests.interop.foreign_witnesses import ForeignWitness, aics_witness, litewitness, torchwood
from tests.interop.strangers import Missing, Programs
from tests.ledger.witnesses import Road, witness
from tests.region import OPERATOR, region_on
from verifiers.checkpoint import Grade, open_checkpoint
from verifiers.note import KeyType, NoteKey
from verifiers.receipt import check_receipt
from verifiers.witness_policy import PolicyWitness, WitnessPolicy, format_policy

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

GROWTHS = 35


class Crossing(Road):
    """Leads to strangers over HTTP, and to witnesses of our own in this process."""

    def __init__(self, http: HttpOutside, *ours: object) -> None:
        super().__init__(*ours)  # type: ignore[arg-type]
        self._http = http

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Ask for a cosignature."""
        if url.startswith("http://127.0.0.1:"):
            return await self._http.post(url, body, media_type=media_type, limit=limit, headers=headers)
        return await super().post(url, body, media_type=media_type, limit=limit, headers=headers)


@pytest.fixture(scope="module")
def lite() -> Path:
    """Give torchwood's programs, or skip with what is missing."""
    try:
        return torchwood()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for what the stranger keeps."""
    below = tmp_path / "stranger"
    below.mkdir()
    return below


async def test_aics_witness_cosigns_our_live_log(aics: Programs, sqlite_url: str, tmp_path: Path, folder: Path) -> None:
    """35 growths, each cosigned by a witness in Python that shares no code with us, and by our own with both keys."""
    async with region_on(sqlite_url, tmp_path, witness_interval_ms=2000) as region:
        with aics_witness(aics, folder, _ed25519_key(region)) as stranger:
            await _watched_over_growths(region, stranger)


async def test_litewitness_cosigns_our_live_log(lite: Path, sqlite_url: str, tmp_path: Path, folder: Path) -> None:
    """35 growths, each cosigned by the witness that public logs use, and by our own with both keys."""
    async with region_on(sqlite_url, tmp_path, witness_interval_ms=2000) as region:
        with litewitness(lite, folder, _ed25519_key(region)) as stranger:
            await _watched_over_growths(region, stranger)


def _ed25519_key(region: Region) -> NoteKey:
    return next(key for key in region.log_policy.keys if key.type is KeyType.ED25519)


async def _watched_over_growths(region: Region, stranger: ForeignWitness) -> None:
    ours = witness("ours", 40, quantum=True)
    rows = (
        PolicyWitness("stranger", (stranger.key,), stranger.url),
        PolicyWitness("ours", tuple(key for key, _ in ours.keys), ours.url),
    )
    await witness_policies.set_policy(region, OPERATOR, {"policy": format_policy(WitnessPolicy(rows, 2))})
    http = HttpOutside(timeout_s=20)
    cosigner = Cosigner(region, Crossing(http, ours), timeout_s=30)
    region.cosigner = cosigner
    sizes: list[int] = []
    try:
        for growth in range(GROWTHS):
            await keys_registry.rotate(region, OPERATOR, None, "peer")
            size = (await region.figures())["size"]
            await region.publisher.published(size - 1)
            if growth == GROWTHS // 2:
                cosigner = await _forgetting(region, cosigner, Crossing(http, ours))
            await cosigner.step()
            sizes.append(cosigner.size)
            assert cosigner.size >= size, cosigner._known
            _verified_by_others(region, (region.files.read(FILE) or b"").decode())
        assert sizes == sorted(set(sizes))
        opened = check_receipt(await receipt_of(region, 0), region.log_policy)
        assert opened.checkpoint.grade is Grade.WITNESSED
        assert stranger.key.name in {each.witness for each in opened.checkpoint.cosignatures}
    finally:
        await cosigner.stop()
        await http.close()


async def _forgetting(region: Region, before: Cosigner, road: Road) -> Cosigner:
    """Give a cosigner that believes nobody has ever signed: the stranger's 409 puts it right."""
    from sqlalchemy import delete

    from ledger.tables.witnessing import cosigners

    await asyncio.gather(*before._asking.values())
    await region.database.write(lambda tx: tx.execute(delete(cosigners)))
    region.cosigner = Cosigner(region, road, timeout_s=30)
    return region.cosigner


def _verified_by_others(region: Region, text: str) -> None:
    """0x01 and 0x06 of the log, 0x04 of the stranger, 0x04 and 0x06 of our own witness: all hold for tlog-scales."""
    policy = region.log_policy
    assert open_checkpoint(text, policy).grade is Grade.WITNESSED
    keys = [*policy.keys, *policy.witnesses]
    theirs = ScalesCheckpoint.from_text(text)

    verified = VkeySet(*(Vkey.from_string(key.to_text()) for key in keys)).verify(theirs.signatures, theirs)

    assert {vkey.key_id for vkey, _ in verified} == {int(key.key_id.hex(), 16) for key in keys}
    assert {key.type for key in keys} == set(KeyType)
