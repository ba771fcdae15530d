"""A region from its first entry on."""

from pathlib import Path

import pytest

from ledger import keys_registry, region_keys
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.region import Region
from tests.region import OPERATOR, memory_store, region_config, region_on
from verifiers import entry


async def test_first_entry_names_the_log(database_url: str, tmp_path: Path) -> None:
    """Entry 0 is `log.opened` with origin, region and root; the region's own keys come right after it."""
    async with region_on(database_url, tmp_path) as region:
        opened, key = await region.database.read(lambda tx: [load_event(tx, region.vault, idx) for idx in (0, 1)])

        assert (opened.kind, opened.event, opened.by) == ("log.opened", "log.opened", entry.REGION)
        assert opened.facts["origin"] == region.origin == "region.example/610000/1"
        assert opened.facts["region"] == "610000"
        assert key.kind == "key"
        assert {purpose for _, purpose in region.catalogue._active_keys} == {"statement", "list", "status", "peer"}


async def test_region_opens_again_as_it_was(database_url: str, tmp_path: Path) -> None:
    """A region that is closed and opened has the same log, keys and catalogue."""
    store = memory_store()
    async with region_on(database_url, tmp_path, store=store) as region:
        before = region.origin, region.vkeys, region.root_certificate, dict(region.catalogue.keys)

    again = await Region.open(region_config(database_url, tmp_path), store)
    try:
        assert (again.origin, again.vkeys, again.root_certificate, dict(again.catalogue.keys)) == before
    finally:
        await again.close()


async def test_a_region_older_than_calls_between_regions_gets_its_key(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registering `peer` makes the key where there never was one, once, and it rotates like the others."""
    store = memory_store()
    with monkeypatch.context() as earlier:
        earlier.setattr("ledger.region.OWN", ("list", "status"))
        earlier.delitem(region_keys._SUITES, region_keys.PEER)
        await (await Region.create(region_config(sqlite_url, tmp_path), store)).close()
    region = await Region.open(region_config(sqlite_url, tmp_path), store)
    try:
        with pytest.raises(Refusal) as refused:
            region.signer(None, "peer")
        assert refused.value.code is Code.KEY_UNKNOWN
        first = await keys_registry.register(region, OPERATOR, None, "peer")
        assert region.signer(None, "peer").public_key.kid == first["kid"]
        with pytest.raises(Refusal):
            await keys_registry.register(region, OPERATOR, None, "peer")
        taken = await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert taken["retired"] == first["kid"] != region.signer(None, "peer").public_key.kid == taken["kid"]
    finally:
        await region.close()


async def test_log_is_opened_once(database_url: str, tmp_path: Path) -> None:
    """Creating a region where there is one is refused and leaves it alone."""
    store = memory_store()
    async with region_on(database_url, tmp_path, store=store):
        with pytest.raises(Refusal) as refused:
            await Region.create(region_config(database_url, tmp_path), store)

        assert refused.value.code is Code.LOG_EXISTS


async def test_database_without_schema_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    """A region neither creates nor opens on a database that was not migrated."""
    store = memory_store()
    for start in (Region.create, Region.open):
        with pytest.raises(Refusal) as refused:
            await start(region_config(empty_database_url, tmp_path), store)

        assert refused.value.code is Code.SCHEMA_OUTDATED


async def test_database_without_log_is_refused(database_url: str, tmp_path: Path) -> None:
    """Opening does not create."""
    with pytest.raises(Refusal) as refused:
        await Region.open(region_config(database_url, tmp_path), memory_store())

    assert refused.value.code is Code.LOG_MISSING
