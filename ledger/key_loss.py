"""What giving up a key would cost, told before it is done: which documents stand after that, and which fall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from ledger import positions
from ledger.catalogue import RegisteredKey
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.tables.licences import licence_versions
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class Loss:
    """What a compromise since some moment means: entries below the position of `before` stay good.

    `stays` and `falls` count the documents (versions of licences, or their printed codes) that the key has signed.
    """

    key: RegisteredKey
    before: positions.Before
    stays: int
    falls: int

    def to_json(self) -> dict[str, Any]:
        """Give what an operator is shown."""
        return {
            "kid": self.key.kid,
            "purpose": self.key.purpose,
            "department": self.key.department,
            "trust_before": dict(self.before.position),
            "position_at": None if self.before.at is None else format_time(self.before.at),
            "watched": self.before.watched,
            "stays": self.stays,
            "falls": self.falls,
        }


async def foresee(region: Region, kid: str, since: datetime | int) -> Loss:
    """Return what `keys_registry.compromise` would leave and take; changes nothing. Raises `Refusal` key.unknown."""
    key = region.catalogue.keys.get(kid)
    if key is None:
        raise Refusal(Code.KEY_UNKNOWN, None, kid=kid)
    return await region.database.read(lambda tx: _loss(tx, region.origin, key, since))


def key_named(region: Region, department: str | None, purpose: str) -> str:
    """Return the id of the key that signs for a purpose, or else did so last. Raises `Refusal` key.unknown."""
    known = [key for key in region.catalogue.keys.values() if (key.department, key.purpose) == (department, purpose)]
    if not known:
        raise Refusal(Code.KEY_UNKNOWN, None, department=department or "", purpose=purpose)
    return max(known, key=lambda key: (key.closed_idx is None, key.idx)).kid


def _loss(tx: Reading, origin: str, key: RegisteredKey, since: datetime | int) -> Loss:
    before = positions.before(tx, origin, since)
    known = (key.revoked or {}).get("trust_before")
    if known is not None and known["size"] <= before.size:
        # It only moves down, so what was said first goes on to count.
        before = positions.Before(dict(known), *_said(tx, origin, known["size"]))
    table = licence_versions.c
    signed = or_(table.kid_licence == key.kid, table.kid_code == key.kid)
    counts = select(func.count(), func.count().filter(table.idx >= before.size)).where(signed)
    total, falls = tx.execute(counts).one()
    return Loss(key, before, total - falls, falls)


def _said(tx: Reading, origin: str, size: int) -> tuple[datetime | None, bool]:
    found = positions.before(tx, origin, size)
    return (found.at, found.watched) if found.size == size else (None, False)
