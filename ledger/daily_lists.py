"""The signed list of what was logged in a department's name on one day (protocol 32).

A department compares it with its own records, so the misuse of a key that is hosted here is seen the day after. The
list names entries and what they are events of; it holds nothing personal. It is a compact JWS (`typ:
elicence-daily-list+jwt`) under the region's statement key. See docs/formats/daily-list.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from keys.errors import BadSignature
from keys.public_key import PublicKey
from ledger.database import Reading
from ledger.history import load_event
from ledger.sequencing import read_head
from ledger.tables.log import entries
from ledger.vault import Vault
from verifiers.encoding import b64u_encode
from verifiers.entry import format_at, parse
from verifiers.errors import Reason, SignatureFailed
from verifiers.jws import compact, encode_segment, parse_jws
from verifiers.legal_dates import day_begins
from verifiers.merkle import leaf_hash

if TYPE_CHECKING:
    from ledger.region import Region

TYP: Final = "elicence-daily-list+jwt"
LENGTH_MAX: Final = 2**26
_SLICE: Final = 4096


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a daily list: its index, time, kind, leaf hash, and the event and thing its record names."""

    idx: int
    at: datetime
    kind: str
    hash: bytes
    event: str
    thing: str

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in the list."""
        return {
            "idx": self.idx,
            "at": format_at(self.at),
            "kind": self.kind,
            "hash": b64u_encode(self.hash),
            "event": self.event,
            "thing": self.thing,
        }


async def daily_list(region: Region, department: str, day: date) -> str:
    """Return the signed list of the entries made in a department's name on `day` (calendar of China), by index.

    Raises `Refusal` department.unknown.
    """
    region.catalogue.department(department)
    rows = await region.database.read(lambda tx: entries_of(tx, region.vault, department, day))
    signer = region.signer(None, "statement")
    header = encode_segment({"alg": "ES256", "kid": signer.public_key.kid, "typ": TYP})
    payload = encode_segment(
        {
            "v": 1,
            "origin": region.origin,
            "department": department,
            "day": day.isoformat(),
            "entries": [row.to_json() for row in rows],
            "iat": int(region.clock.now().timestamp()),
        }
    )
    message = f"{header}.{payload}".encode("ascii")
    [signature] = await signer.sign([message])
    return compact(message, signature)


def open_daily_list(text: str, key: PublicKey) -> dict[str, Any]:
    """Return the payload of a list signed by the region's statement key; raises `Malformed` or `SignatureFailed`."""
    jws = parse_jws(text, typ=TYP, reason=Reason.STATEMENT, limit=LENGTH_MAX)
    try:
        key.check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.STATEMENT_SIGNATURE, "not signed by the region") from None
    return jws.payload


def entries_of(tx: Reading, vault: Vault, department: str, day: date) -> list[Listed]:
    """Return the entries of a department on one day; finds the day by bisection, because times never run backwards."""
    begins = datetime.fromtimestamp(day_begins(day), UTC)
    ends = datetime.fromtimestamp(day_begins(day + timedelta(days=1)), UTC)
    first, last = _first_from(tx, begins), _first_from(tx, ends)
    found = []
    for start in range(first, last, _SLICE):
        chosen = select(entries).where(entries.c.idx.between(start, min(start + _SLICE, last) - 1))
        for row in tx.execute(chosen.order_by(entries.c.idx)):
            data = bytes(row.bytes)
            leaf = parse(data)
            if leaf.by == department:
                event = load_event(tx, vault, row.idx)
                found.append(Listed(row.idx, leaf.at, leaf.kind, leaf_hash(data), event.event, event.thing))
    return found


def _first_from(tx: Reading, at: datetime) -> int:
    low, high = 0, read_head(tx).size
    while low < high:
        middle = (low + high) // 2
        data = tx.execute(select(entries.c.bytes).where(entries.c.idx == middle)).scalar_one()
        if parse(bytes(data)).at < at:
            low = middle + 1
        else:
            high = middle
    return low
