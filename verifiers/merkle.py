"""The RFC 6962 hash tree: leaf and node hashes, roots, inclusion and consistency proofs, and the compact range.

Storage never sees the recursion and the mathematics never sees storage: each proof comes as a pair, one function that
says which complete subtrees it needs (`inclusion_nodes`, `consistency_nodes`, `root_nodes`) and one that computes the
proof from their hashes (`inclusion_proof`, `consistency_proof`, `root_from`). `tiles.HashReader` fetches them in one
call. Proof formats are those of RFC 9162 §2.1.3 and §2.1.4, which are RFC 6962's. See `docs/formats/merkle.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from verifiers.errors import Malformed, ProofFailed, Reason

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
"""Largest tree size we accept; the wire formats carry sizes as signed or unsigned 64-bit numbers."""

MAX_PROOF = 64
"""No tree of at most `MAX_SIZE` leaves needs more hashes in a proof (consistency: at most one more than its height)."""

EMPTY_ROOT = sha256(b"").digest()


class Node(NamedTuple):
    """A complete subtree: `level` 0 is a leaf hash, `number` counts subtrees of that level from the left."""

    level: int
    number: int


ReadHashes = Callable[[Sequence[Node]], Sequence[bytes]]
"""Gives the hashes of the nodes asked for, in order; asked once per proof."""


def leaf_hash(entry: bytes) -> bytes:
    """Give SHA-256(0x00 ‖ entry), 32 bytes (RFC 6962 §2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give SHA-256(0x01 ‖ left ‖ right), 32 bytes (RFC 6962 §2.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The compact range of a growing tree: the roots of its complete subtrees, largest first, one per set bit of size.

    Appending is one leaf hash in and on average one node hash of work; the whole tree is never held.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._size = size
        self._hashes = list(hashes)
        if not 0 <= size <= MAX_SIZE or len(self._hashes) != size.bit_count():
            message = "a frontier has one hash per set bit of its size"
            raise ValueError(message)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Take one more leaf hash (32 bytes)."""
        size, hashes = self._size, self._hashes
        self._size = size + 1
        while size & 1:
            leaf = sha256(b"\x01" + hashes.pop() + leaf).digest()
            size >>= 1
        hashes.append(leaf)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Take more leaf hashes (32 bytes each), in order."""
        size, hashes = self._size, self._hashes
        push, pop = hashes.append, hashes.pop
        for leaf in leaves:
            node, low = leaf, size
            while low & 1:
                node = sha256(b"\x01" + pop() + node).digest()
                low >>= 1
            push(node)
            size += 1
        self._size = size

    def root(self) -> bytes:
        """Give the tree's root, `EMPTY_ROOT` for an empty one."""
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT

    def copy(self) -> Frontier:
        """Give an independent copy, for trying out a batch."""
        return Frontier(self._size, self._hashes)

    def to_bytes(self) -> bytes:
        """Give size (8 bytes, big-endian) ‖ hashes, largest subtree first."""
        return self._size.to_bytes(8, "big") + b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Read what `to_bytes` wrote. Raises `Malformed` when the length does not fit the size."""
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_SIZE * size.bit_count() or size > MAX_SIZE:
            raise Malformed(Reason.TILE, "a frontier whose length does not fit its size")
        return cls(size, (data[at : at + HASH_SIZE] for at in range(8, len(data), HASH_SIZE)))


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Give the root over all `leaf_hashes` (RFC 6962 §2.1)."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier.append(leaf)
    return frontier.root()


# --- which hashes a proof needs, and the proof made from them -----------------------------------------------------


def root_nodes(size: int) -> list[Node]:
    """List the complete subtrees that make up the tree of `size` leaves; the same a `Frontier` holds."""
    _require_size(size)
    return _cover(0, size)


def root_from(size: int, hashes: Sequence[bytes]) -> bytes:
    """Compute the root from the hashes of `root_nodes(size)`."""
    if size == 0:
        return EMPTY_ROOT
    return _folded([(0, size)], hashes)[0]


def inclusion_nodes(index: int, size: int) -> list[Node]:
    """List the subtree hashes needed to prove leaf `index` in the tree of `size` leaves."""
    return [node for start, end in _inclusion_ranges(index, size) for node in _cover(start, end)]


def inclusion_proof(index: int, size: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Compute the audit path, leaf sibling first, from the hashes of `inclusion_nodes(index, size)`."""
    return _folded(_inclusion_ranges(index, size), hashes)


def consistency_nodes(old: int, new: int) -> list[Node]:
    """List the subtree hashes needed to prove that the tree of `old` leaves is a prefix of the one of `new`."""
    return [node for start, end in _consistency_ranges(old, new) for node in _cover(start, end)]


def consistency_proof(old: int, new: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Compute the consistency proof from the hashes of `consistency_nodes(old, new)`; empty for `old` 0 or `new`."""
    return _folded(_consistency_ranges(old, new), hashes)


def prove_inclusion(index: int, size: int, read_hashes: ReadHashes) -> list[bytes]:
    """Give the audit path of leaf `index` in the tree of `size` leaves, asking `read_hashes` once."""
    return inclusion_proof(index, size, read_hashes(inclusion_nodes(index, size)))


def prove_consistency(old: int, new: int, read_hashes: ReadHashes) -> list[bytes]:
    """Give the consistency proof between sizes `old` and `new`, asking `read_hashes` at most once."""
    nodes = consistency_nodes(old, new)
    return consistency_proof(old, new, read_hashes(nodes)) if nodes else []


# --- checking ------------------------------------------------------------------------------------------------------


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], tree_root: bytes) -> None:
    """Check that the leaf hash `leaf` is number `index` of the tree of `size` leaves with root `tree_root`.

    Raises `ProofFailed` otherwise, also on hashes that are not 32 bytes (RFC 9162 §2.1.3.2).
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofFailed(Reason.PROOF_INCLUSION, f"no leaf {index} in a tree of {size}")
    _require_hashes(Reason.PROOF_INCLUSION, leaf, tree_root, *proof)
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofFailed(Reason.PROOF_INCLUSION, "the proof is too long")
        if node & 1 or node == last:
            value = sha256(b"\x01" + sibling + value).digest()
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            value = sha256(b"\x01" + value + sibling).digest()
        node >>= 1
        last >>= 1
    if last:
        raise ProofFailed(Reason.PROOF_INCLUSION, "the proof is too short")
    if value != tree_root:
        raise ProofFailed(Reason.PROOF_INCLUSION, "the proof leads to another root")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (`old`, `old_root`) is a prefix of the tree (`new`, `new_root`).

    Raises `ProofFailed` otherwise (RFC 9162 §2.1.4.2). From size 0, and between equal sizes, the proof is empty; the
    root of size 0 must be `EMPTY_ROOT`.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofFailed(Reason.PROOF_CONSISTENCY, f"size {new} does not extend size {old}")
    _require_hashes(Reason.PROOF_CONSISTENCY, old_root, new_root, *proof)
    for size, value in ((old, old_root), (new, new_root)):
        if size == 0 and value != EMPTY_ROOT:
            raise ProofFailed(Reason.PROOF_CONSISTENCY, "size 0 with another root than that of the empty tree")
    if old in (0, new):
        if proof:
            raise ProofFailed(Reason.PROOF_CONSISTENCY, "the proof must be empty")
        if old == new and old_root != new_root:
            raise ProofFailed(Reason.PROOF_CONSISTENCY, "two roots for one size")
        return
    _walk_consistency(old, old_root, new, new_root, proof)


def _walk_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofFailed(Reason.PROOF_CONSISTENCY, "the proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    first = second = path[0]
    for value in path[1:]:
        if last == 0:
            raise ProofFailed(Reason.PROOF_CONSISTENCY, "the proof is too long")
        if node & 1 or node == last:
            first, second = node_hash(value, first), node_hash(value, second)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            second = node_hash(second, value)
        node >>= 1
        last >>= 1
    if last:
        raise ProofFailed(Reason.PROOF_CONSISTENCY, "the proof is too short")
    if first != old_root or second != new_root:
        raise ProofFailed(Reason.PROOF_CONSISTENCY, "the proof leads to other roots")


# --- ranges of leaves ----------------------------------------------------------------------------------------------


def _inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Walk PATH(index, D[size]) of RFC 6962 §2.1.1 from the top; gives the siblings, lowest first."""
    _require_size(size)
    if not 0 <= index < size:
        message = f"no leaf {index} in a tree of {size}"
        raise ValueError(message)
    start, end, ranges = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    ranges.reverse()
    return ranges


def _consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Walk SUBPROOF(old, D[new], true) of RFC 6962 §2.1.2 from the top; gives the ranges in proof order."""
    _require_size(new)
    if not 0 <= old <= new:
        message = f"size {new} does not extend size {old}"
        raise ValueError(message)
    if old in (0, new):
        return []
    start, end, ranges = 0, new, []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the verifier knows the old root itself only when the walk never turned right
        ranges.append((start, old))
    ranges.reverse()
    return ranges


def _split(count: int) -> int:
    """Give the largest power of two below `count`, `count` ≥ 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _cover(start: int, end: int) -> list[Node]:
    """Cut the leaves of one subtree into complete subtrees, left to right."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def _folded(ranges: Iterable[tuple[int, int]], hashes: Sequence[bytes]) -> list[bytes]:
    """Give the root of each range from the hashes of its cover, all laid end to end in `hashes`."""
    counts = [(end - start).bit_count() for start, end in ranges]
    if len(hashes) != sum(counts):
        message = f"{len(hashes)} hashes where {sum(counts)} were asked for"
        raise ValueError(message)
    roots, at = [], 0
    for count in counts:
        roots.append(_fold(hashes[at : at + count]))
        at += count
    return roots


def _fold(hashes: Sequence[bytes]) -> bytes:
    value = hashes[-1]
    for left in reversed(hashes[:-1]):
        value = node_hash(left, value)
    return value


def _require_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        message = f"not a tree size: {size}"
        raise ValueError(message)


def _require_hashes(reason: Reason, *hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofFailed(reason, "a hash that is not 32 bytes")
