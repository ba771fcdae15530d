"""A witness signs only with the database that remembers what it cosigned, and only for logs it was told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from keys.memory_store import MemoryKeyStore
from ledger import watched_logs
from ledger.database import Database, migrate
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.tables.witnessing import witness_identity
from ledger.witnessing import Outcome
from tests.ledger.watched_log import (
    LOG,
    NAMED_LIKE_US,
    STRANGER,
    between_signing_and_storing,
    last,
    renewed,
    watching,
    witness_keys,
)
from tests.region import memory_store, region_config, region_on
from tests.verifiers.log_world import ORIGIN, ed25519
from verifiers.add_checkpoint import origin_hash
from verifiers.note import KeyType, NoteKey, parse_lines


async def test_keys_without_their_database_sign_nothing(
    database_url: str, tmp_path: Path, sqlite_template: Path
) -> None:
    """The same key store over an empty database: the witness refuses and says so, and the region goes on."""
    store = memory_store()
    async with watching(
        f"sqlite:///{_copy(sqlite_template, tmp_path / 'lost.db')}", tmp_path / "lost", store=store
    ) as (
        region,
        witness,
    ):
        old = witness_keys(region)
        await witness.add_checkpoint(LOG.request(0, 5))

    async with watching(database_url, tmp_path / "new", store=store) as (region, witness):
        assert region.witness_service is None
        assert (await region.readiness())["witness"] == {
            "ready": False,
            "optional": True,
            "detail": "witness.state_missing",
        }
        for asked in (witness.add_checkpoint(LOG.request(0, 4)), witness.latest(origin_hash(ORIGIN))):
            with pytest.raises(Refusal) as refused:
                await asked
            assert refused.value.code is Code.WITNESS_STATE_MISSING
        assert await region.trust.settled()

        await asyncio.to_thread(renewed, region)
        result = await witness.add_checkpoint(LOG.request(0, 4))

        assert result.outcome is Outcome.COSIGNED
        assert "witness" not in await region.readiness()
        assert not {key.public_key for key in witness_keys(region)} & {key.public_key for key in old}
        assert {line.key_id for line in parse_lines(result.body)} == {key.key_id for key in witness_keys(region)}


def _copy(template: Path, file: Path) -> Path:
    migrate(f"sqlite:///{file}")
    return file


async def test_a_renewed_witness_starts_anew_and_is_published(database_url: str, tmp_path: Path) -> None:
    """What the old keys cosigned is forgotten with them, and the trust list names the new ones."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))

        vkeys = await asyncio.to_thread(renewed, region)

        assert last(region) is None
        assert (await witness.add_checkpoint(LOG.request(0, 3))).outcome is Outcome.COSIGNED
        assert region.witness_service is not None and region.witness_service.vkeys == vkeys
        assert await region.trust.settled()
        retired = [entry.state for entry in region.store.list() if entry.name == "witness-ed25519"]
        assert retired == ["destroyed", "active"]


async def test_a_signature_by_retired_keys_is_not_stored(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal between signing and storing wins: the statement names the keys this database belongs to."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        between_signing_and_storing(monkeypatch, lambda: asyncio.to_thread(renewed, region))
        result = await witness.add_checkpoint(LOG.request(5, 9))

        assert (result.outcome, result.body) == (Outcome.CONFLICT, "0\n")
        assert last(region) is None


async def test_a_renewal_that_crashed_is_done_again(database_url: str, tmp_path: Path, monkeypatch: Any) -> None:
    """After any step of it the witness refuses, and the next renewal makes everything new."""
    async with watching(database_url, tmp_path) as (region, witness):
        promote = MemoryKeyStore.promote

        def crash(_store: MemoryKeyStore, _name: str) -> Any:
            raise OSError("the machine went away")

        monkeypatch.setattr(MemoryKeyStore, "promote", crash)
        with pytest.raises(OSError, match="went away"):
            await asyncio.to_thread(renewed, region)
        monkeypatch.setattr(MemoryKeyStore, "promote", promote)
        with pytest.raises(Refusal) as refused:
            await witness.add_checkpoint(LOG.request(0, 5))
        assert refused.value.code is Code.WITNESS_STATE_MISSING

        await asyncio.to_thread(renewed, region)

        assert (await witness.add_checkpoint(LOG.request(0, 5))).outcome is Outcome.COSIGNED


async def test_the_name_stays_with_the_keys_when_the_address_changes(database_url: str, tmp_path: Path) -> None:
    """An Ed25519 cosignature does not bind the name, so one key never stands under two."""
    store = memory_store()
    async with region_on(database_url, tmp_path, store=store) as region:
        before = region.witness_service
    moved = region_config(database_url, tmp_path, base_url="https://moved.example")
    region = await Region.open(moved, store)
    try:
        after = region.witness_service
    finally:
        await region.close()

    assert before is not None and after is not None
    assert before.name == after.name == NAMED_LIKE_US and before.vkeys == after.vkeys
    assert (before.url, after.url) == ("https://region.example/witness", "https://moved.example/witness")


async def test_a_region_from_before_gets_its_witness_when_it_is_opened(database_url: str, tmp_path: Path) -> None:
    """A store without witness keys over a database without a witness: nothing was ever signed, so one is made."""
    store = memory_store()
    async with region_on(database_url, tmp_path, store=store):
        pass
    bare = memory_store()
    for entry in store.list():
        if not entry.name.startswith("witness-"):
            bare.adopt(entry.name, store._private[entry.public_key.kid])
            if entry.certificate is not None:
                bare.install(entry.name, entry.certificate)
    bare._secrets = store._secrets
    database = Database.open(database_url)
    with database.writing() as tx:
        tx.execute(delete(witness_identity))
    database.close()

    region = await Region.open(region_config(database_url, tmp_path), bare)
    try:
        assert region.witness_service is not None
    finally:
        await region.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda region: (["nonsense"], None),
        lambda region: ([], None),
        lambda region: ([ed25519("w.example", 3, KeyType.ED25519_COSIGNATURE)[0].to_text()], None),
        lambda region: (["small.order+7a0a2b5b+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], None),
        lambda region: (LOG.vkeys, region.origin),
        lambda region: (LOG.vkeys, NAMED_LIKE_US),
        lambda region: ([ed25519(NAMED_LIKE_US, 3)[0].to_text()], "fine.example"),
        lambda region: (
            [NoteKey("log.example", KeyType.ED25519, witness_keys(region)[0].public_key).to_text()],
            None,
        ),
    ],
    ids=[
        "no key",
        "none at all",
        "a witness's key",
        "small order",
        "our log",
        "our witness",
        "key named so",
        "our key",
    ],
)
async def test_logs_that_cannot_be_watched(sqlite_url: str, tmp_path: Path, make: Callable[[Region], Any]) -> None:
    """Nothing is watched that could be taken for ourselves, or under a key that proves nothing."""
    async with watching(sqlite_url, tmp_path) as (region, _):
        vkeys, origin = make(region)
        with pytest.raises(Refusal) as refused:
            await watched_logs.watch(region, vkeys, origin)

        assert refused.value.code is Code.WITNESS_LOG_INVALID
        assert [each["origin"] for each in await watched_logs.listed(region)] == [ORIGIN]


async def test_a_log_is_watched_until_it_is_not(database_url: str, tmp_path: Path) -> None:
    """Listed with what was cosigned; given new keys; then unknown again, though what was cosigned is remembered."""
    async with watching(database_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        [listed] = await watched_logs.listed(region)
        assert (listed["origin"], listed["named_by"], listed["size"]) == (ORIGIN, "operator", 5)

        await watched_logs.watch(region, [key.to_text() for key, _ in STRANGER])
        assert (await witness.add_checkpoint(LOG.request(5, 6))).outcome is Outcome.UNTRUSTED

        await watched_logs.unwatch(region, ORIGIN)
        assert (await witness.add_checkpoint(LOG.request(5, 6))).outcome is Outcome.UNKNOWN_LOG
        with pytest.raises(Refusal) as refused:
            await watched_logs.unwatch(region, ORIGIN)
        assert refused.value.code is Code.WITNESS_LOG_UNKNOWN
        assert last(region).size == 5
