"""The tree is RFC 6962's, every proof proves, and a proof with one thing changed proves nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from verifiers import merkle
from verifiers.errors import Malformed, ProofFailed, Reason, VerificationError

LARGEST = 100
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(LARGEST)]


def slow_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = slow_split(len(leaves))
    return sha256(b"\x01" + slow_root(leaves[:middle]) + slow_root(leaves[middle:])).digest()


def slow_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    middle = slow_split(len(leaves))
    if index < middle:
        return [*slow_path(index, leaves[:middle]), slow_root(leaves[middle:])]
    return [*slow_path(index - middle, leaves[middle:]), slow_root(leaves[:middle])]


def slow_proof(old: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 §2.1.2, word for word."""
    if old == len(leaves):
        return [] if known else [slow_root(leaves)]
    middle = slow_split(len(leaves))
    if old <= middle:
        return [*slow_proof(old, leaves[:middle], known), slow_root(leaves[middle:])]
    return [*slow_proof(old - middle, leaves[middle:], known=False), slow_root(leaves[:middle])]


def slow_split(count: int) -> int:
    """Largest power of two below `count`."""
    middle = 1
    while middle * 2 < count:
        middle *= 2
    return middle


ROOTS = [slow_root(LEAVES[:size]) for size in range(LARGEST + 1)]


def reader(leaves: list[bytes]) -> merkle.ReadHashes:
    """Read node hashes straight from the leaves."""
    return lambda nodes: [slow_root(leaves[n.number << n.level : (n.number + 1) << n.level]) for n in nodes]


def refused(check: Callable[[], None]) -> bool:
    """Whether a check says no in the one way it may."""
    try:
        check()
    except ProofFailed:
        return True
    return False


def corruptions(proof: list[bytes]) -> list[list[bytes]]:
    """Every proof with one hash altered, one missing, one doubled or one put on either end."""
    other = bytes(32)
    changed = [[*proof[:at], bytes([h[0] ^ 1]) + h[1:], *proof[at + 1 :]] for at, h in enumerate(proof)]
    shorter = [proof[:at] + proof[at + 1 :] for at in range(len(proof))]
    return [*changed, *shorter, [other, *proof], [*proof, other], *([proof + proof[-1:]] if proof else [])]


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_inclusion_proof_up_to_size_100(size: int) -> None:
    """Each leaf of each tree is proven by RFC 6962's own path, and by nothing near it."""
    leaves = LEAVES[:size]
    read = reader(leaves)

    for index in range(size):
        proof = merkle.prove_inclusion(index, size, read)
        assert proof == slow_path(index, leaves)
        merkle.check_inclusion(leaves[index], index, size, proof, ROOTS[size])

        for bad in corruptions(proof):
            assert refused(lambda: merkle.check_inclusion(leaves[index], index, size, bad, ROOTS[size]))  # noqa: B023
        assert refused(lambda: merkle.check_inclusion(bytes(32), index, size, proof, ROOTS[size]))  # noqa: B023
        assert refused(lambda: merkle.check_inclusion(leaves[index], index, size, proof, bytes(32)))  # noqa: B023
        for wrong in {index - 1, index + 1, size, index ^ 1, size - 1} - {index}:
            assert refused(lambda: merkle.check_inclusion(leaves[index], wrong, size, proof, ROOTS[size]))  # noqa: B023


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_consistency_proof_up_to_size_100(size: int) -> None:
    """Each older tree is proven a prefix by RFC 6962's own proof, and by nothing near it."""
    leaves = LEAVES[:size]
    read = reader(leaves)

    for old in range(size + 1):
        proof = merkle.prove_consistency(old, size, read)
        assert proof == (slow_proof(old, leaves) if old else [])
        merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], proof)

        for bad in corruptions(proof):
            assert refused(lambda: merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], bad))  # noqa: B023
        assert refused(lambda: merkle.check_consistency(old, bytes(32), size, ROOTS[size], proof))  # noqa: B023
        if old:
            assert refused(lambda: merkle.check_consistency(old, ROOTS[old], size, bytes(32), proof))  # noqa: B023


def test_frontier_agrees_with_the_slow_tree_at_every_size() -> None:
    """Appending one by one gives RFC 6962's root each time, and the bytes of a frontier restore it."""
    frontier = merkle.Frontier()

    for size, leaf in enumerate(LEAVES):
        assert (frontier.size, frontier.root()) == (size, ROOTS[size])
        assert merkle.Frontier.from_bytes(frontier.to_bytes()).hashes == frontier.hashes
        nodes = merkle.root_nodes(size)
        assert tuple(reader(LEAVES)(nodes)) == frontier.hashes
        assert merkle.root_from(size, frontier.hashes) == ROOTS[size]
        frontier.append(leaf)
    assert frontier.root() == merkle.root(LEAVES) == ROOTS[LARGEST]


def test_copy_of_a_frontier_is_independent() -> None:
    """Trying out a batch leaves the original where it was."""
    frontier = merkle.Frontier()
    frontier.append(LEAVES[0])
    trial = frontier.copy()
    trial.append(LEAVES[1])

    assert (frontier.size, trial.size) == (1, 2) and frontier.root() == ROOTS[1]


@given(st.binary(max_size=120))
def test_frontier_bytes_are_canonical_or_refused(data: bytes) -> None:
    """No two byte strings restore the same frontier."""
    try:
        frontier = merkle.Frontier.from_bytes(data)
    except Malformed:
        return
    assert frontier.to_bytes() == data


def test_hashes_of_rfc_6962() -> None:
    """Leaf hashes and roots of the eight leaves every implementation tests with."""
    eight = vectors("tlog")["rfc6962_8_leaves"]
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in eight["leaves_hex"]]

    assert [value.hex() for value in hashes] == eight["leaf_hashes_hex"]
    assert [merkle.root(hashes[:size]).hex() for size in range(9)] == eight["roots_by_size_hex"]


def test_roots_three_implementations_agree_on() -> None:
    """Leaves `entry-0`, `entry-1` … up to 70,000 of them."""
    roots = {int(size): value for size, value in vectors("tlog")["entry_n_roots_b64"]["roots"].items()}
    frontier, found = merkle.Frontier(), {}

    for number in range(max(roots) + 1):
        if number in roots:
            found[number] = base64.b64encode(frontier.root()).decode()
        frontier.append(merkle.leaf_hash(b"entry-%d" % number))

    assert found == roots


@given(
    st.binary(max_size=33) | st.just(LEAVES[0]),
    st.integers(),
    st.integers(),
    st.lists(st.binary(min_size=32, max_size=32) | st.binary(max_size=33), max_size=70),
)
def test_garbage_is_refused_and_never_crashes(leaf: bytes, index: int, size: int, proof: list[bytes]) -> None:
    """Numbers of any size and sign and hashes of any length only ever fail verification."""
    with pytest.raises(VerificationError) as inclusion:
        merkle.check_inclusion(leaf, index, size, proof, ROOTS[7])
    with pytest.raises(VerificationError) as consistency:
        merkle.check_consistency(index, leaf, size, ROOTS[7], proof)

    assert inclusion.value.reason is Reason.PROOF_INCLUSION
    assert consistency.value.reason is Reason.PROOF_CONSISTENCY


def test_two_roots_of_one_size_are_inconsistent() -> None:
    """A log that shows two trees of one size has forked, with or without a proof."""
    for proof in ([], [bytes(32)]):
        with pytest.raises(ProofFailed):
            merkle.check_consistency(5, ROOTS[5], 5, ROOTS[6], proof)


def test_roots_that_are_not_hashes_are_refused() -> None:
    """A root of another length is refused even where no proof is needed."""
    with pytest.raises(ProofFailed):
        merkle.check_consistency(1, b"", 1, b"", [])
    with pytest.raises(ProofFailed):
        merkle.check_inclusion(b"", 0, 1, [], b"")


def test_asking_for_what_cannot_be_is_the_callers_mistake() -> None:
    """Leaves beyond the tree, sizes below zero and the wrong number of hashes are `ValueError`."""
    for ask in (
        lambda: merkle.inclusion_nodes(5, 5),
        lambda: merkle.inclusion_nodes(-1, 5),
        lambda: merkle.consistency_nodes(6, 5),
        lambda: merkle.root_nodes(-1),
        lambda: merkle.inclusion_proof(0, 4, [bytes(32)]),
        lambda: merkle.root_from(3, [bytes(32)]),
        lambda: merkle.Frontier(3, [bytes(32)]),
    ):
        with pytest.raises(ValueError, match=r"."):
            ask()


def test_largest_tree_needs_few_hashes() -> None:
    """A proof in a tree of 2**63 - 1 leaves stays within `MAX_PROOF` and asks for few nodes."""
    size = merkle.MAX_SIZE

    assert len(merkle.inclusion_proof(0, size, [bytes(32)] * len(merkle.inclusion_nodes(0, size)))) <= merkle.MAX_PROOF
    assert len(merkle.consistency_nodes(size - 1, size)) <= 2 * merkle.MAX_PROOF


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_many_leaves_at_once_are_as_many_one_by_one(first: int, second: int) -> None:
    """`extend` gives the frontier that as many calls of `append` give."""
    start, end = sorted((first, second))
    together, singly = merkle.Frontier(), merkle.Frontier()
    together.extend(LEAVES[:start])
    together.extend(LEAVES[start:end])
    for leaf in LEAVES[:end]:
        singly.append(leaf)

    assert together.to_bytes() == singly.to_bytes()
    assert together.root() == slow_root(LEAVES[:end])


BEYOND = 2**63


def test_sizes_end_below_two_to_the_sixty_third() -> None:
    """The last one counts, for frontiers, ranges and proofs; one more is refused."""
    last = BEYOND - 1

    assert last == merkle.MAX_SIZE and len(merkle.root_nodes(last)) == 63
    assert merkle.Frontier(last, [bytes(32)] * 63).size == last
    assert merkle.Frontier.from_bytes(merkle.Frontier(last, [bytes(32)] * 63).to_bytes()).size == last
    assert merkle.inclusion_nodes(last - 1, last) and merkle.consistency_nodes(1, last)
    wrong: list[Callable[[], object]] = [
        lambda: merkle.root_nodes(BEYOND),
        lambda: merkle.root_nodes(-1),
        lambda: merkle.Frontier(BEYOND, [bytes(32)]),
        lambda: merkle.Frontier(3, [bytes(32)]),
        lambda: merkle.inclusion_nodes(0, BEYOND),
        lambda: merkle.inclusion_nodes(5, 5),
        lambda: merkle.inclusion_nodes(-1, 5),
        lambda: merkle.consistency_nodes(1, BEYOND),
        lambda: merkle.consistency_nodes(-1, 5),
        lambda: merkle.consistency_nodes(6, 5),
    ]
    for ask in wrong:
        with pytest.raises(ValueError):
            ask()
    with pytest.raises(Malformed) as caught:
        merkle.Frontier.from_bytes(BEYOND.to_bytes(8, "big") + bytes(32))
    assert caught.value.reason is Reason.TILE
    for data in (b"", bytes(7), bytes(9), bytes(8) + bytes(32)):
        with pytest.raises(Malformed):
            merkle.Frontier.from_bytes(data)


def test_proofs_of_trees_that_cannot_be_fail() -> None:
    """As those of what is shown, not as our own mistakes."""
    one, empty = merkle.leaf_hash(b""), merkle.EMPTY_ROOT
    merkle.check_inclusion(one, 0, 1, [], one)
    merkle.check_consistency(0, empty, BEYOND - 1, one, [])
    merkle.check_consistency(1, one, 1, one, [])
    merkle.check_consistency(0, empty, 0, empty, [])
    wrong: list[Callable[[], object]] = [
        lambda: merkle.check_inclusion(one, 0, BEYOND, [one] * 63, one),
        lambda: merkle.check_inclusion(one, 1, 1, [], one),
        lambda: merkle.check_inclusion(one, -1, 1, [], one),
        lambda: merkle.check_inclusion(one, 0, 1, [one], one),
        lambda: merkle.check_inclusion(one[:31], 0, 1, [], one[:31]),
        lambda: merkle.check_consistency(0, empty, BEYOND, one, []),
        lambda: merkle.check_consistency(2, one, 1, one, []),
        lambda: merkle.check_consistency(-1, one, 1, one, []),
        lambda: merkle.check_consistency(0, one, 1, one, []),
        lambda: merkle.check_consistency(0, empty, 0, one, []),
        lambda: merkle.check_consistency(0, empty, 1, one, [one]),
        lambda: merkle.check_consistency(1, one, 1, one, [one]),
        lambda: merkle.check_consistency(1, one, 1, empty, []),
        lambda: merkle.check_consistency(1, one, 2, one, []),
        lambda: merkle.check_consistency(3, one, 4, one, []),
    ]
    for check in wrong:
        with pytest.raises(ProofFailed):
            check()
