"""What it takes to prepare and sign documents: a whole region has it, and so has a process beside the serving one."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from keys.signer import Signer
from ledger.catalogue import Catalogue
from ledger.config import RegionConfig
from ledger.database import Database
from ledger.status_slots import Slot
from ledger.vault import Vault


class Slots(Protocol):
    """Where slots come from: the region's own, or those that it lent to a process beside it."""

    async def take(self, valid_until: date | None, count: int = 1) -> list[Slot]:
        """Return `count` slots nobody ever had, in a list for licences that expire with `valid_until`."""
        ...


class Workplace(Protocol):
    """What preparing needs of a region; `ledger.region.Region` is one."""

    @property
    def config(self) -> RegionConfig:
        """What the operator decided."""

    @property
    def origin(self) -> str:
        """The name of the log."""

    @property
    def base_url(self) -> str:
        """The region's address."""

    @property
    def catalogue(self) -> Catalogue:
        """The newest catalogue known here."""

    @property
    def database(self) -> Database:
        """Where to look things up."""

    @property
    def vault(self) -> Vault:
        """What seals records."""

    @property
    def slots(self) -> Slots:
        """Where slots come from."""

    def signer(self, department: str | None, purpose: str) -> Signer:
        """Give the signer of a department's key for `purpose`. Raises `Refusal` key.unknown, key.retired."""
        ...
