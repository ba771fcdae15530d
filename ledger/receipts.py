"""Receipts, composed when asked for: from the entry, the head of its record, and the published tiles. None is stored.

The proof ends in the newest checkpoint that a quorum of witnesses cosigned, where a policy asks for one and it covers
the entry; else in the newest this process serves; or in an older one that a trust list names, because what a retired or
compromised key signed counts only under the tree in which its term ended (protocol 12, 16).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from ledger import positions, witnessed
from ledger.catalogue import Catalogue
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.public_files import served_size
from ledger.publication import checkpoint_at
from ledger.tables.licences import licence_versions, licences
from ledger.tables.log import entries, records
from ledger.tile_files import hash_reader
from ledger.vault import Vault, digest_of
from ledger.witness_policies import policy_of
from verifiers import commitment, receipt, statement
from verifiers.commitment import NO_DOCUMENT, Opening
from verifiers.encoding import b64u_decode
from verifiers.merkle import prove_inclusion

if TYPE_CHECKING:
    from ledger.region import Region

TOGETHER: Final = 128
"""Most receipts composed at once: the first of them waits for the last."""

_DIGEST_END = 33
_AT_ONCE = 500  # indexes in one statement


async def receipts_of(region: Region, indexes: Sequence[int], *, size: int | None = None) -> list[str]:
    """Return the receipts of entries that are published, in the order asked, all under one checkpoint.

    `size` asks for the checkpoint of exactly that tree. Raises `Refusal` record.unknown for an entry there is not,
    receipt.pending for one that no checkpoint covers yet, checkpoint.unknown for a size that was never published or
    is no longer kept.
    """
    last = max(indexes, default=-1)
    openings, note = await region.database.read(
        lambda tx: (
            openings_of(tx, region.vault, indexes),
            _ending(tx, region, last) if size is None else _exactly(tx, region, size),
        )
    )
    if note is None:
        raise Refusal(Code.RECEIPT_PENDING if size is None else Code.CHECKPOINT_UNKNOWN, size=size or 0)
    # A tree that another process published may have no tiles here yet.
    here = min(served_size(note), region.publisher.size)
    if last >= here or served_size(note) > here:
        raise Refusal(Code.RECEIPT_PENDING, retry_after=1, idx=max(indexes, default=0), published=here)
    return await asyncio.to_thread(_compose, region, list(zip(indexes, openings, strict=True)), note)


async def receipt_of(region: Region, idx: int, *, size: int | None = None, wait: bool = False) -> str:
    """Return the receipt of one entry; `wait` waits until a checkpoint that may be shown covers it.

    Raises what `receipts_of` raises.
    """
    if wait and size is None:
        if region.withholds and region.cosigner is not None:
            await region.cosigner.witnessed(idx)
        else:
            await region.publisher.published(idx)
        if not policy_of(region.catalogue).quorum:  # else an entry's own place decides which checkpoint covers it best
            return await region.receipts.ask(idx)
    [text] = await receipts_of(region, [idx], size=size)
    return text


async def shown_size(region: Region) -> int:
    """Return how many entries are under a checkpoint that may be shown."""
    return await region.database.read(witnessed.newest_size) if region.withholds else region.publisher.size


def _ending(tx: Reading, region: Region, last: int) -> str | None:
    """Return the note in which receipts of entries up to `last` end."""
    found = witnessed.newest(tx) if policy_of(region.catalogue).quorum else None
    if found is not None and found.size <= region.publisher.size and (last < found.size or region.withholds):
        return found.note
    return None if region.withholds else region.publisher.note


def _exactly(tx: Reading, region: Region, size: int) -> str | None:
    """Return the note of the tree of `size` entries, with the cosignatures it has."""
    found = witnessed.at_size(tx, size)
    if found is not None:
        return found.note
    if region.withholds and size > witnessed.newest_size(tx):
        return None
    return checkpoint_at(tx, size)


def counting_size(tx: Reading, catalogue: Catalogue, origin: str, idx: int) -> int | None:
    """Return the tree under which the document of entry `idx` counts, where that is not just any (protocol 16).

    A key whose term has ended is good for what the tree of its last position contains, a compromised one for what the
    tree of `trust_before` contains; where every grant for the type has ended the last one's tree counts. `None` where
    the newest tree does, and for an entry that holds no document.
    """
    table = licence_versions.c
    query = select(table.kid_licence, table.kid_code, licences.c.issuer, licences.c.type, licences.c.major)
    row = tx.execute(query.join(licences, licences.c.id == table.licence).where(table.idx == idx)).one_or_none()
    if row is None:
        return None
    ends: list[int | None] = []
    for key in (catalogue.keys.get(row.kid_licence), catalogue.keys.get(row.kid_code)):
        if key is not None and key.closed_idx is not None:
            ends.append(_end(tx, origin, key.closed_idx))
        if key is not None and key.revoked is not None and "trust_before" in key.revoked:
            ends.append(int(key.revoked["trust_before"]["size"]))
    scope = (row.issuer, row.type, row.major)
    held = [each for each in catalogue.grants.values() if (each.department, each.type, each.major) == scope]
    closed = [each.closed_idx for each in held if each.closed_idx is not None]
    if held and len(closed) == len(held):
        ends.append(_end(tx, origin, max(closed)))
    return min((size for size in ends if size is not None and idx < size), default=None)


def _end(tx: Reading, origin: str, closed_idx: int) -> int | None:
    covering = positions.covering(tx, origin, closed_idx)
    return None if covering is None else int(covering["size"])


def openings_of(tx: Reading, vault: Vault, indexes: Sequence[int]) -> list[Opening]:
    """Return what opens entries to the documents they commit to; works for erased records too, by their digests.

    Raises `Refusal` record.unknown.
    """
    leaves: dict[int, bytes] = {}
    facts: dict[int, bytes] = {}
    heads: dict[int, list[bytes]] = {}
    for start in range(0, len(indexes), _AT_ONCE):
        asked = indexes[start : start + _AT_ONCE]
        theirs = records.c.idx.in_(asked)
        leaves |= {row.idx: bytes(row.bytes) for row in tx.execute(select(entries).where(entries.c.idx.in_(asked)))}
        said = select(records.c.idx, records.c.blob).where(theirs, records.c.part == 0)
        facts |= {row.idx: bytes(row.blob) for row in tx.execute(said)}
        # Only the digests of the personal parts are needed, so only those are read.
        head = select(records.c.idx, func.substr(records.c.blob, 1, _DIGEST_END)).where(theirs)
        for idx, first in tx.execute(head.order_by(records.c.idx, records.c.part)):
            heads.setdefault(idx, []).append(bytes(first))
    for idx in indexes:
        if idx not in leaves:
            raise Refusal(Code.RECORD_UNKNOWN, idx=idx)
    return [_opening(vault, leaves[idx], facts[idx], heads[idx]) for idx in indexes]


def _opening(vault: Vault, leaf: bytes, facts: bytes, heads: Sequence[bytes]) -> Opening:
    digests = [digest_of(head) for head in heads]
    said = statement.parse(vault.open_facts(facts)).payload
    salt_d, jws, code = (_digest(said.get(name)) for name in ("salt_d", "jws", "code"))
    return Opening(salt_d, jws, code, commitment.record_hash(digests), leaf)


def _compose(region: Region, asked: list[tuple[int, Opening]], note: str) -> list[str]:
    size = served_size(note)
    read = hash_reader(region.files, size)
    return [receipt.compose(opening, idx, prove_inclusion(idx, size, read), note) for idx, opening in asked]


def _digest(text: str | None) -> bytes:
    return NO_DOCUMENT if text is None else b64u_decode(text, 32)
