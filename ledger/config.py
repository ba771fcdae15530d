"""What the operator of a region decides, as plain values; `api.settings` reads them from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verifiers.checkpoint import origin_of


@dataclass(frozen=True, slots=True)
class RegionConfig:
    """One region. `region` is its GB/T 2260 code, `names` its name in `zh` and `en`, `base_url` without a final slash.

    `tiles` is the folder of published files. Intervals are in the unit their name ends in. `epoch` is the last part of
    the log's origin; it and the base address count only when the log is opened for the first time.
    """

    region: str
    names: Mapping[str, str]
    base_url: str
    database_url: str = field(repr=False)
    tiles: Path
    former_base_urls: tuple[str, ...] = ()
    epoch: str = "1"
    publish_interval_ms: int = 200
    republish_interval_s: int = 600
    status_ttl_s: int = 30
    trust_list_ttl_s: int = 3600
    trust_list_expiry_s: int = 86_400
    witness_interval_ms: int = 2000
    witness_mode: str = "open"
    follow_interval_ms: int = 1000
    mirror_entries: bool = True
    recognition_notice_s: int = 172_800
    foreign_effects_per_hour: int = 100

    @property
    def new_origin(self) -> str:
        """The name a log of this region gets: its base address without scheme, region, epoch. Fixed once opened."""
        return origin_of(f"{self.base_url}/{self.region}/{self.epoch}")
