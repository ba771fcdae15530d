"""From settings to a running region: the only places that open the key store of a service."""

from api import preparer
from api.outside_http import HttpOutside
from api.settings import Settings
from keys.file_store import FileKeyStore
from keys.signer import KeyStore
from ledger.clock import Clock
from ledger.config import RegionConfig
from ledger.preparers import Preparers
from ledger.region import Region


def region_config(settings: Settings) -> RegionConfig:
    """Return the part of the settings that the ledger takes."""
    return RegionConfig(
        region=settings.region,
        names={"zh": settings.region_name_zh, "en": settings.region_name_en},
        base_url=settings.base_url,
        database_url=settings.database_url,
        tiles=settings.tiles,
        former_base_urls=settings.former_base_urls,
        epoch=settings.epoch,
        publish_interval_ms=settings.publish_interval_ms,
        republish_interval_s=settings.republish_interval_s,
        status_ttl_s=settings.status_ttl_s,
        trust_list_ttl_s=settings.trust_list_ttl_s,
        trust_list_expiry_s=settings.trust_list_expiry_s,
        witness_interval_ms=settings.witness_interval_ms,
        witness_mode=settings.witness_mode,
        follow_interval_ms=settings.follow_interval_ms,
        mirror_entries=settings.mirror_entries,
        recognition_notice_s=settings.recognition_notice_s,
        foreign_effects_per_hour=settings.foreign_effects_per_hour,
    )


def open_store(settings: Settings) -> FileKeyStore:
    """Open the key store with the password of the settings.

    Raises `KeyStoreError`: locked without a password, wrong password, unsafe permissions, damaged.
    """
    password = settings.keystore_password
    return FileKeyStore.open(settings.keystore, None if password is None else password.get_secret_value())


def preparers_of(settings: Settings, region: Region) -> Preparers | None:
    """Return the processes that are to prepare licences for `region`, not started; None where there are to be none."""
    if not settings.preparers:
        return None
    password = settings.keystore_password
    begin = preparer.Begin(
        region.config, region.origin, settings.keystore, None if password is None else password.get_secret_value()
    )
    return Preparers(region, settings.preparers, preparer.launch, begin)


async def open_region(
    settings: Settings, clock: Clock | None = None, *, store: KeyStore | None = None, takes_over: bool = True
) -> Region:
    """Open key store and database and run the region, with its way to other services; closing it closes that too.

    `store` is the key store where it is open already: opening it takes a third of a second on purpose (scrypt).
    `takes_over` as in `Region.open`.
    """
    outside = HttpOutside(timeout_s=settings.peer_timeout_s, ca=settings.peer_ca, proxy=settings.peer_proxy)
    try:
        keys = open_store(settings) if store is None else store
        return await Region.open(region_config(settings), keys, clock=clock, outside=outside, takes_over=takes_over)
    except BaseException:
        await outside.close()
        raise
