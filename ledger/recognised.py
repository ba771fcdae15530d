"""The part of the catalogue that speaks of other regions: peers, what of theirs counts as ours, by which rules, and who
watches our log. Immutable like the rest of the catalogue, at one log position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import select

from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.tables import peers as tables
from ledger.tables.witnessing import witness_policies


@dataclass(frozen=True, slots=True)
class Peer:
    """Another region: `root` is the fingerprint of its root, `witnesses` what we demand of its checkpoints (JSON)."""

    region: str
    base: str
    root: str
    names: Mapping[str, str]
    status: str
    witnesses: Mapping[str, Any] | None
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Equivalence:
    """One version of the statement that a peer's licence type counts as one of ours in a stretch of time."""

    id: str
    version: int
    peer: str
    their_type: str
    their_major: int
    our_type: str
    our_major: int
    rule: tuple[str, int] | None
    fields: Mapping[str, str]
    valid_from: datetime
    valid_until: datetime | None
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """One immutable version of conditions: `logic` and `tests` are JSON (docs/formats/rule.md)."""

    id: str
    version: int
    names: Mapping[str, str]
    logic: Any = field(repr=False)
    tests: Any = field(repr=False)
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """Who is to cosign our log, as the text of a C2SP tlog-policy file, since entry `idx`."""

    text: str
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the region says of others: peers by code, equivalences by id (oldest version first), rules by name."""

    peers: Mapping[str, Peer]
    equivalences: Mapping[str, tuple[Equivalence, ...]]
    rules: Mapping[tuple[str, int], Rule]
    witnesses: WatchPolicy | None

    @classmethod
    def load(cls, tx: Reading) -> Recognised:
        """Read it as it stands in `tx`."""
        return cls(_peers(tx), _equivalences(tx), _rules(tx), _witnesses(tx))

    def peer(self, region: str, pointer: str | None = "/peer") -> Peer:
        """Return the peer with this region code, whatever its status. Raises `Refusal` peer.unknown."""
        found = self.peers.get(region)
        if found is None:
            raise Refusal(Code.PEER_UNKNOWN, pointer, region=region)
        return found

    @property
    def followed(self) -> tuple[Peer, ...]:
        """The peers whose logs are followed: all that are not withdrawn, in the order of their codes."""
        return tuple(self.peers[code] for code in sorted(self.peers) if self.peers[code].status != "withdrawn")


def _peers(tx: Reading) -> Mapping[str, Peer]:
    return MappingProxyType(
        {
            row.region: Peer(
                row.region,
                row.base,
                row.root,
                orjson.loads(row.names),
                row.status,
                None if row.witnesses is None else orjson.loads(row.witnesses),
                row.changed_idx,
                bytes(row.secret),
            )
            for row in tx.execute(select(tables.peers))
        }
    )


def _equivalences(tx: Reading) -> Mapping[str, tuple[Equivalence, ...]]:
    table, found = tables.equivalences, dict[str, tuple[Equivalence, ...]]()
    for row in tx.execute(select(table).order_by(table.c.id, table.c.version)):
        each = Equivalence(
            row.id,
            row.version,
            row.peer,
            row.their_type,
            row.their_major,
            row.our_type,
            row.our_major,
            None if row.rule_id is None else (row.rule_id, row.rule_version),
            orjson.loads(row.fields),
            row.valid_from,
            row.valid_until,
            row.idx,
            bytes(row.secret),
        )
        found[row.id] = (*found.get(row.id, ()), each)
    return MappingProxyType(found)


def _rules(tx: Reading) -> Mapping[tuple[str, int], Rule]:
    return MappingProxyType(
        {
            (row.id, row.version): Rule(
                row.id,
                row.version,
                orjson.loads(row.names),
                orjson.loads(row.logic),
                orjson.loads(row.tests),
                row.idx,
                bytes(row.secret),
            )
            for row in tx.execute(select(tables.rules))
        }
    )


def _witnesses(tx: Reading) -> WatchPolicy | None:
    row = tx.execute(select(witness_policies).order_by(witness_policies.c.idx.desc()).limit(1)).one_or_none()
    return None if row is None else WatchPolicy(row.policy, row.idx, bytes(row.secret))
