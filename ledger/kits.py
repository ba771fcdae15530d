"""Offline kits: what this region serves, and what it has verified of its peers, in one signed file.

Made from what is stored, so an operator's command makes one beside the running service. What is put in was verified
when it was stored; it is opened once more, as a window will open it, before the kit is given out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from keys.certificates import fingerprint
from ledger import trust_publishing
from ledger.cosigning import FILE as WITNESSED
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.followed import Followed, StoredList, read_followed, read_lists
from ledger.recognised import Peer
from ledger.status_slots import lists_in_use
from ledger.status_tokens import path_of
from ledger.tables.peers import followed_status
from verifiers.jws import compact
from verifiers.kit import Kit, KitPart, KitRegion, Manifest, format_kit, open_kit, signing_input
from verifiers.peer_view import Watch
from verifiers.trust_list import open_trust_list

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class Made:
    """A kit as it was written (`data`), and as whoever pinned this region's root opens it."""

    data: bytes
    kit: Kit


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of one peer."""

    peer: Peer
    log: Followed | None
    lists: Sequence[StoredList]
    status: Sequence[str]


async def make_kit(region: Region, regions: Sequence[str] | None = None, types: Sequence[str] = ()) -> Made:
    """Make the kit for windows that accept licences of this region and of the peers `regions`.

    Without `regions` these are all active peers, or with `types` (our type codes) those of which something counts as
    one of these. Raises `Refusal` with peer.unknown, type.unknown, trust_list.unknown or status_list.unknown where the
    region's own are not published yet.
    """
    at = region.clock.now()
    for code in types:
        region.catalogue.type(code, pointer=None)
    chosen = _chosen(region, regions, types, at)
    own, lists, known = await region.database.read(lambda tx: _stored(tx, region, chosen))
    parts = _own_parts(region, own, lists)
    for each in known:
        parts |= _peer_parts(each)
    root = fingerprint(region.root_certificate)
    trust = open_trust_list(own, root_fingerprint=root, at=at)
    manifest = Manifest(
        region=region.config.region,
        version=int(at.timestamp()),
        made_at=at.replace(microsecond=0),
        trust_seq=trust.document.seq,
        regions=tuple(_region(each) for each in known),
        types=tuple(sorted(set(types))),
        parts=tuple(KitPart.of(name, text) for name, text in parts.items()),
    )
    signer = region.signer(None, "statement")
    to_sign = signing_input(manifest, signer.public_key.kid)
    (signature,) = await signer.sign([to_sign])
    data = format_kit(compact(to_sign, signature), parts)
    return Made(data, open_kit(data, root, at))


def _chosen(region: Region, regions: Sequence[str] | None, types: Sequence[str], at: datetime) -> list[Peer]:
    recognised = region.catalogue.recognised
    if regions is not None:
        others = sorted({code for code in regions if code != region.config.region})
        return [recognised.peer(code, None) for code in others]
    active = [peer for peer in recognised.followed if peer.status == "active"]
    if not types:
        return active
    accepted = {
        version.peer
        for versions in recognised.equivalences.values()
        for version in versions
        if version.our_type in types and (version.valid_until is None or at < version.valid_until)
    }
    return [peer for peer in active if peer.region in accepted]


def _stored(tx: Reading, region: Region, peers: Sequence[Peer]) -> tuple[str, Mapping[int, str], list[_Known]]:
    trust_list = region.files.read(trust_publishing.LATEST)
    if trust_list is None:
        raise Refusal(Code.TRUST_LIST_UNKNOWN)
    logs, table = read_followed(tx), followed_status
    known = []
    for peer in peers:
        tokens = select(table.c.token).where(table.c.region == peer.region).order_by(table.c.uri)
        lists = read_lists(tx, peer.region, peer.root)
        known.append(_Known(peer, logs.get(peer.region), lists, tx.execute(tokens).scalars().all()))
    return trust_list.decode("ascii"), lists_in_use(tx), known


def _own_parts(region: Region, trust_list: str, lists: Mapping[int, str]) -> dict[str, str]:
    code = region.config.region
    parts = {f"trust-list/{code}": trust_list}
    for place, number in enumerate(sorted(lists)):
        token = region.files.read(path_of(number))
        if token is None:
            raise Refusal(Code.STATUS_LIST_UNKNOWN, list=number)
        parts[f"status-list/{code}/{place}"] = token.decode("ascii")
    witnessed = region.files.read(WITNESSED)
    note = region.files.checkpoint() if witnessed is None else witnessed.decode("utf-8")
    return parts if note is None else parts | {f"checkpoint/{code}/0": note}


def _peer_parts(known: _Known) -> dict[str, str]:
    code = known.peer.region
    newest = _newest(known)
    if newest is None:
        return {}
    parts = {f"trust-list/{code}": newest.text}
    parts |= {f"status-list/{code}/{place}": token for place, token in enumerate(known.status)}
    return parts if known.log is None or not known.log.note else parts | {f"checkpoint/{code}/0": known.log.note}


def _newest(known: _Known) -> StoredList | None:
    """The newest version that is proven to be logged; one that is not, only where none is."""
    logged = [each for each in known.lists if each.logged_idx is not None]
    return next(iter(logged or known.lists), None)


def _region(known: _Known) -> KitRegion:
    newest, log = _newest(known), known.log
    logged = True if newest is not None and newest.logged_idx is not None else None
    if log is None:
        return KitRegion(known.peer.region, Watch.UNREACHABLE, None, logged)
    return KitRegion(known.peer.region, log.state, log.good_at, logged)
