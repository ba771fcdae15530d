"""Which logs our witness cosigns: those of peers, under the keys of their followed trust lists, and those an operator
named.

A peer speaks for logs of its own region only: the last part but one of an origin is the region's code. So no peer can
claim another's log and have our witness believe its keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.followed import newest_text
from ledger.recognised import Peer
from ledger.tables.witnessing import watched_logs, witnessed_logs
from ledger.witness_identity import Identity
from verifiers.checkpoint import LogPolicy
from verifiers.errors import Malformed, VerificationError
from verifiers.note import NoteKey
from verifiers.trust_list import TrustList, open_trust_list

if TYPE_CHECKING:
    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class Log:
    """A log we cosign: every one of `keys` must have signed its checkpoints."""

    origin: str
    keys: tuple[NoteKey, ...]


async def watch(region: Region, vkeys: Sequence[str], origin: str | None = None) -> dict[str, Any]:
    """Cosign the log with these verifier keys from now on; without `origin` it is called what its first key is called.

    All of the keys must sign. Naming a log again replaces its keys. Raises `Refusal` witness.log_invalid.
    """
    keys, problem = _read(vkeys)
    if keys and origin is None:
        origin = keys[0].name
    if not problem and (origin == region.origin or not keys or origin is None):
        problem = "it is our own"
    if not problem:
        problem = await region.database.read(lambda tx: _confusing(origin or "", keys, _witness(region, tx)))
    if problem or origin is None:
        raise Refusal(Code.WITNESS_LOG_INVALID, reason=problem)
    row = {
        "origin": origin,
        "vkeys": orjson.dumps([key.to_text() for key in keys]).decode(),
        "added_at": region.clock.now(),
    }

    def store(tx: Writing) -> None:
        inserting = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
        tx.execute(inserting(watched_logs).values(row).on_conflict_do_update(index_elements=["origin"], set_=row))

    await region.database.write(store)
    return {"origin": origin, "vkeys": [key.to_text() for key in keys]}


async def unwatch(region: Region, origin: str) -> None:
    """Cosign this log no longer; what was cosigned stays. Raises `Refusal` witness.log_unknown."""

    def remove(tx: Writing) -> None:
        if tx.execute(delete(watched_logs).where(watched_logs.c.origin == origin)).rowcount != 1:
            raise Refusal(Code.WITNESS_LOG_UNKNOWN)

    await region.database.write(remove)


async def listed(region: Region) -> list[dict[str, Any]]:
    """Return every log we cosign, with the size cosigned last (None for never), as JSON values, by origin."""

    def look(tx: Reading) -> list[dict[str, Any]]:
        found = {row.origin: orjson.loads(row.vkeys) for row in tx.execute(select(watched_logs))}
        logs = {origin: (vkeys, "operator") for origin, vkeys in found.items()}
        for peer in _active(region):
            trust = _trust_list(tx, region, peer)
            for log in () if trust is None else trust.document.logs:
                if _speaks_for(peer, log.origin):
                    logs.setdefault(log.origin, (list(log.keys), peer.region))
        seen = {row.origin: row for row in tx.execute(select(witnessed_logs))}
        return [
            {
                "origin": origin,
                "vkeys": logs[origin][0],
                "named_by": logs[origin][1],
                "size": seen[origin].size if origin in seen else None,
                "cosigned_at": seen[origin].cosigned_at.isoformat() if origin in seen else None,
            }
            for origin in sorted(logs)
        ]

    return await region.database.read(look)


def known_log(tx: Reading, region: Region, origin: str, witness: Identity) -> Log | None:
    """Return the log with this origin if we cosign it. What an operator named goes before what a peer's list says."""
    row = tx.execute(select(watched_logs.c.vkeys).where(watched_logs.c.origin == origin)).one_or_none()
    keys = _of_peer(tx, region, origin) if row is None else _read(orjson.loads(row.vkeys))[0]
    if not keys or origin == region.origin or _confusing(origin, keys, witness):
        return None
    return Log(origin, keys)


def _of_peer(tx: Reading, region: Region, origin: str) -> tuple[NoteKey, ...]:
    for peer in _active(region):
        if _speaks_for(peer, origin):
            trust = _trust_list(tx, region, peer)
            policy = None if trust is None else trust.log_policy(origin)
            return () if policy is None else policy.keys
    return ()


def _active(region: Region) -> list[Peer]:
    return [peer for peer in region.catalogue.recognised.followed if peer.status == "active"]


def _speaks_for(peer: Peer, origin: str) -> bool:
    return origin.split("/")[-2:-1] == [peer.region]


def _trust_list(tx: Reading, region: Region, peer: Peer) -> TrustList | None:
    if region.following is not None:
        known: TrustList | None = region.following.trust_list(peer.region)
        return known
    text = newest_text(tx, peer.region, peer.root, proven=True)
    if text is None:
        return None
    try:
        # Whoever stored it had checked it; its certificate may have ended since, and then nobody speaks for the peer.
        return _opened(text, peer.root, int(region.clock.now().timestamp()) // 60)
    except VerificationError:
        return None


@lru_cache(maxsize=64)
def _opened(text: str, root: str, minute: int) -> TrustList:
    return open_trust_list(text, root_fingerprint=root, at=datetime.fromtimestamp(minute * 60, UTC))


def _witness(region: Region, tx: Reading) -> Identity | None:
    region.witness_identity.refresh(tx)
    return region.witness_identity.current


def _read(vkeys: Sequence[str]) -> tuple[tuple[NoteKey, ...], str]:
    """Return the keys, or why they are none that a log can have."""
    try:
        keys = tuple(NoteKey.from_text(each) for each in vkeys)
        LogPolicy(keys[0].name if keys else "", keys)
    except Malformed as error:
        return (), error.detail
    return keys, ""


def _confusing(origin: str, keys: Sequence[NoteKey], witness: Identity | None) -> str:
    """Tell what would let a line of the log and one of the witness be taken for each other; empty for nothing."""
    if witness is None:
        return ""
    if witness.name in {origin, *(key.name for key in keys)}:
        return "it is named like our witness"
    if {key.public_key for key in keys} & {key.public_key for key in witness.keys}:
        return "it signs with a key of our witness"
    return ""
