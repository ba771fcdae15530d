"""What the region's trust list says at one state of the database, built from the catalogue (protocol 13–18a)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from ledger.catalogue import Catalogue, Grant, LicenceType, RegisteredKey
from ledger.database import Reading
from ledger.positions import covering
from ledger.recognised import Equivalence, Peer, Rule
from ledger.status_slots import lists_announced
from ledger.witness_policies import trusted_log
from verifiers import trust_document as rows
from verifiers.encoding import b64u_decode
from verifiers.entry import parse_at
from verifiers.errors import Reason
from verifiers.legal_dates import day_of
from verifiers.members import Members
from verifiers.trust_document import Names, Position
from verifiers.trust_list import TrustDocument
from verifiers.trusted_peers import (
    Intervals,
    RuleName,
    TrustedEquivalence,
    TrustedPeer,
    TrustedRule,
    WitnessRule,
    WitnessService,
)


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What the operator decides about the trust list: who the region is, which logs it has, and how long a list lives.

    `vkeys` are the texts of all keys that must sign the log's checkpoints. `ttl_s` is the freshness wanted
    (`next_update`), `expiry_s` the hard end. `witness` is this region's own, `intervals` what it promises.
    """

    region: str
    names: Names
    base_url: str
    origin: str
    vkeys: tuple[str, ...]
    former: tuple[str, ...] = ()
    ttl_s: int = 3600
    expiry_s: int = 86_400
    witness: WitnessService | None = None
    intervals: Intervals | None = None


class NotPublishedYet(Exception):
    """A key or grant ended at an entry that no checkpoint covers yet, so its last position cannot be named."""


def build_document(
    tx: Reading,
    catalogue: Catalogue,
    policy: TrustPolicy,
    *,
    seq: int,
    prev: bytes | None,
    at: datetime,
    before: TrustDocument | None = None,
) -> TrustDocument:
    """Build version `seq` of the trust list; raises `NotPublishedYet` while an ended key or grant waits
    for its checkpoint.

    What the version `before` it has said of where a key or grant ended is said again, whatever the policy says now.
    """
    issued = at.astimezone(UTC).replace(microsecond=0)
    lists = lists_announced(tx, day_of(issued), policy.base_url)
    return TrustDocument(
        region=policy.region,
        names=policy.names,
        iss=policy.base_url,
        seq=seq,
        prev=prev,
        issued_at=issued,
        next_update=issued + timedelta(seconds=policy.ttl_s),
        expires_at=issued + timedelta(seconds=policy.expiry_s),
        logs=(trusted_log(policy.origin, policy.vkeys, catalogue),),
        departments=tuple(
            rows.Department(each.id, each.num, _names(each.names), each.iss, each.status, each.successor)
            for each in catalogue.departments.values()
        ),
        keys=_keys(tx, catalogue, policy.origin, before),
        grants=_grants(tx, catalogue, policy, before),
        types=tuple(_type(versions) for versions in catalogue.types.values()),
        status_lists=tuple(rows.StatusListName(number, uri) for number, uri in lists.items()),
        former=policy.former,
        peers=tuple(_peer(each) for each in catalogue.recognised.peers.values()),
        equivalences=tuple(
            _equivalence(each) for versions in catalogue.recognised.equivalences.values() for each in versions
        ),
        rules=tuple(_rule(each) for each in catalogue.recognised.rules.values()),
        witness=policy.witness,
        intervals=policy.intervals,
    )


_VERSION: Final = ("seq", "prev", "iat", "next_update", "exp")


def substance(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list says apart from being this version of it: where that is unchanged no new one is
    needed early.
    """
    return {name: value for name, value in document.items() if name not in _VERSION}


def positions(document: TrustDocument) -> set[int]:
    """Return the log sizes a list names as the end of something: receipts must be able to end in their checkpoints."""
    found = [key.log_to for key in document.keys] + [grant.log_to for grant in document.grants]
    found += [key.revoked.trust_before for key in document.keys if key.revoked is not None]
    return {position.size for position in found if position is not None}


def _keys(tx: Reading, catalogue: Catalogue, origin: str, before: TrustDocument | None) -> tuple[rows.TrustedKey, ...]:
    said = {} if before is None else {key.public_key.kid: key.log_to for key in before.keys}
    listed = (each for each in catalogue.keys.values() if each.purpose in rows.PURPOSES)
    return tuple(_key(tx, each, origin, said.get(each.kid)) for each in listed)


def _key(tx: Reading, key: RegisteredKey, origin: str, end: Position | None) -> rows.TrustedKey:
    return rows.TrustedKey(
        purpose=key.purpose,
        public_key=key.key,
        log_from=_position(key.log_from),
        department=key.department,
        certificate_sha256=None if key.certificate is None else sha256(key.certificate).digest(),
        log_to=None if key.closed_idx is None else end or _covering(tx, key.closed_idx, origin),
        revoked=None if key.revoked is None else _revocation(key.revoked),
    )


def _grants(
    tx: Reading, catalogue: Catalogue, policy: TrustPolicy, before: TrustDocument | None
) -> tuple[rows.TrustedGrant, ...]:
    said: dict[rows.TrustedGrant, list[Position]] = {}
    for old in () if before is None else before.grants:
        if old.log_to is not None:
            said.setdefault(replace(old, log_to=None), []).append(old.log_to)
    found = []
    # Grants have no name in the list: of those that are alike, the ones that ended first were said to end first.
    for each in sorted(catalogue.grants.values(), key=lambda grant: grant.closed_idx or 0):
        row = _grant(each, policy)
        if each.closed_idx is not None:
            ends = sorted(said.get(row, []), key=lambda end: end.size)
            said[row] = ends[1:]
            row = replace(row, log_to=ends[0] if ends else _covering(tx, each.closed_idx, policy.origin))
        found.append(row)
    return tuple(found)


def _grant(grant: Grant, policy: TrustPolicy) -> rows.TrustedGrant:
    return rows.TrustedGrant(
        department=grant.department,
        type=grant.type,
        major=grant.major,
        area=_area(grant.area, policy.region),
        acts=tuple(sorted(grant.acts)),
        log_from=_position(grant.log_from),
    )


def _type(versions: tuple[LicenceType, ...]) -> rows.TrustedType:
    newest = versions[-1].definition
    return rows.TrustedType(
        number=versions[-1].num,
        code=newest.code,
        major=newest.major,
        vct=versions[-1].vct,
        integrity=tuple(each.integrity for each in versions),
        names=_names(newest.names),
        grace_s=newest.grace_s,
        receipt="optional" if newest.receipt == "optional" else "required",
    )


def _peer(peer: Peer) -> TrustedPeer:
    demanded = None if peer.witnesses is None else WitnessRule.read(Members(dict(peer.witnesses), Reason.TRUST))
    return TrustedPeer(peer.region, _names(peer.names), peer.base, peer.root, peer.status, demanded)


def _equivalence(each: Equivalence) -> TrustedEquivalence:
    return TrustedEquivalence(
        id=each.id,
        version=each.version,
        peer=each.peer,
        their_type=each.their_type,
        their_major=each.their_major,
        our_type=each.our_type,
        our_major=each.our_major,
        valid_from=each.valid_from,
        valid_until=each.valid_until,
        rule=None if each.rule is None else RuleName(*each.rule),
        fields=each.fields,
    )


def _rule(rule: Rule) -> TrustedRule:
    return TrustedRule(RuleName(rule.id, rule.version), rule.logic, _names(rule.names))


def _covering(tx: Reading, idx: int, origin: str) -> Position:
    """Return the first published position that contains entry `idx`: all that an ended key or grant did lies before.

    It is a position somebody outside may have seen. The same one is found each time, because its checkpoint is pinned
    when it is first named.
    """
    found = covering(tx, origin, idx)
    if found is None:
        raise NotPublishedYet(f"no checkpoint covers entry {idx}")
    return _position(found)


def _position(document: Mapping[str, Any]) -> Position:
    return Position(document["origin"], document["size"], b64u_decode(document["root"], 32))


def _revocation(document: Mapping[str, Any]) -> rows.Revocation:
    before = document.get("trust_before")
    return rows.Revocation(parse_at(document["at"]), document["reason"], None if before is None else _position(before))


def _names(names: Mapping[str, str]) -> Names:
    return Names(names["zh"], names["en"])


def _area(area: str, region: str) -> str:
    """Return the prefix that an area of our catalogue stands for: pairs of trailing zeros mean everything below."""
    while len(area) > 2 and area.endswith("00"):
        area = area[:-2]
    return region[:2] if area == "00" else area
