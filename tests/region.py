"""A whole region for tests: real database, real keys in memory, real publishing into a folder; gone after the test."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from keys.errors import DevelopmentKeyWarning
from keys.memory_store import MemoryKeyStore
from ledger.actors import Actor
from ledger.clock import Clock
from ledger.config import RegionConfig
from ledger.region import Region

REGION_CODE = "610000"
BASE_URL = "https://region.example"

OPERATOR = Actor(client="operator", department="", scopes=frozenset({"operate"}), operator="示例操作员")
"""Who sets a region up."""


def memory_store() -> MemoryKeyStore:
    """Make an empty key store that does not outlive the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DevelopmentKeyWarning)
        return MemoryKeyStore()


def region_config(database_url: str, folder: Path, **changes: Any) -> RegionConfig:
    """Make the configuration of an example region whose published files go below `folder`."""
    config = RegionConfig(
        region=REGION_CODE,
        names={"zh": "示例省", "en": "Example Province"},
        base_url=BASE_URL,
        database_url=database_url,
        tiles=folder / "public",
        publish_interval_ms=20,
    )
    return replace(config, **changes)


@asynccontextmanager
async def region_on(
    database_url: str, folder: Path, *, clock: Clock | None = None, store: MemoryKeyStore | None = None, **changes: Any
) -> AsyncIterator[Region]:
    """Open a new region on a migrated database, run it for the block, and close it.

    `changes` replace members of its configuration.
    """
    store = store or memory_store()
    region = await Region.create(region_config(database_url, folder, **changes), store, clock=clock)
    try:
        yield region
    finally:
        await region.close()
