"""Good and damaged notes, keys, proofs and tiles, read by tlog-scales and by us: alike, or for a reason listed here."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from tlog_scales.reader import Tile as ScalesTile
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import Checkpoint as ScalesCheckpoint
from tlog_scales.tlog import ConsistencyProof, InclusionProof

from tests.fuzz.mutator import mutants
from tests.interop.differences import compare
from tests.verifiers.log_world import LOG_KEYS, NOON, WITNESSES, Log, sign
from verifiers import checkpoint, merkle, note, tiles
from verifiers.checkpoint import Checkpoint
from verifiers.errors import ProofFailed, Reason

pytestmark = pytest.mark.interop

CASES = 4_000
LOG = Log.of(300)
KEYS = [key for key, _ in (*LOG_KEYS, *WITNESSES)]
READER = tiles.HashReader(300, LOG.read)


def _vkey(data: bytes) -> Any:
    found = note.NoteKey.from_text(data.decode("utf-8", "replace"))
    return found.name, int.from_bytes(found.key_id, "big"), int(found.type), found.public_key.raw


def _their_vkey(data: bytes) -> Any:
    found = Vkey.from_string(data.decode("utf-8", "replace"))
    return found.name, found.key_id, found.sig_type, found.pubkey


def test_verifier_keys_are_read_alike() -> None:
    """They take any number for a key id and any bytes for a key; C2SP signed-note wants both checked."""
    stricter = {
        "not a key name": "they take blanks and control characters in names",
        "not a verifier key": "they take names and ids of any form, in any case",
        "not base64": "they pad and skip as the standard library does",
        "not the canonical encoding": "they pad and skip as the standard library does",
        "a signature type or key": "they look at the key only when they verify with it",
        "an Ed25519 key of small order": "they take keys under which one signature fits many messages",
        "the key id is not that": "they believe the id that is written there",
    }
    seeds = [key.to_text().encode() for key in KEYS[:3]]

    compared = compare([*seeds, *mutants("vkey", seeds, CASES, 4096)], _vkey, _their_vkey, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same >= len(seeds)


def _note(data: bytes) -> Any:
    found = note.parse_note(data)
    head = checkpoint.parse_checkpoint(found.text)
    lines = [(line.name, int.from_bytes(line.key_id, "big"), line.blob) for line in found.lines]
    return head.origin, head.size, head.root, lines


def _their_note(data: bytes) -> Any:
    found = ScalesCheckpoint.from_text(data.decode())
    lines = [(line.name, line.key_id, line.payload) for line in found.signatures]
    return found.origin, found.size, found.root_hash, lines


def test_checkpoints_are_read_alike() -> None:
    """They split at every kind of line end and take numbers as Python does; a signed text has one form."""
    stricter = {
        "no text, empty line": "they do not ask for the empty line, nor for an end of the last",
        "control characters": "they split the text at them",
        "not exactly origin": "they pass over what stands below the root",
        "not an origin": "they take any first line",
        "not a tree size": "they take numbers with signs, blanks, underscores, leading zeros, and of any size",
        "the root is": "they take roots of any length, and stray bits",
        "size 0 with another root": "they do not know the empty tree",
        "a signature line that is none": "they split at any blank, and do not look at names",
        "a signature line without": "they take a signature of no bytes",
        "not base64": "they pad and skip as the standard library does",
        "not the canonical encoding": "they pad and skip as the standard library does",
        "more than 64": "they set no limit",
    }
    short = sign(LOG.head, signers=LOG_KEYS[:1], witnesses=WITNESSES[:1])
    seeds = [short.encode(), sign(Checkpoint("a.example", 7, bytes(32)), signers=LOG_KEYS[:1]).encode()]

    compared = compare([*seeds, *mutants("checkpoint", seeds, CASES, 4096)], _note, _their_note, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same >= len(seeds)


def test_signatures_are_judged_alike() -> None:
    """One key of each type over a note whose text or lines were damaged after signing."""
    chance = random.Random("signatures")
    agreed = 0
    for signer in (LOG_KEYS[0], LOG_KEYS[1], WITNESSES[0], WITNESSES[1]):
        key = signer[0]
        good = checkpoint.sign_checkpoint(LOG.head, [signer], NOON)
        for data in [good.encode(), *mutants(key.to_text(), [good.encode()], 150, 8192), _damaged(good, chance)]:
            try:
                found = note.parse_note(data)
                head = ScalesCheckpoint.from_text(data.decode())
                checkpoint.parse_checkpoint(found.text)
            except Exception:  # noqa: BLE001  # what cannot be read is compared above
                continue
            theirs = {(vkey.name, vkey.key_id) for vkey, _ in VkeySet(Vkey.from_string(key.to_text())).verify(
                head.signatures, head)}  # fmt: skip
            try:
                ours = {(s.key.name, int.from_bytes(s.key.key_id, "big"))
                        for s in note.check_lines(found, [key], checkpoint.message)}  # fmt: skip
            except Exception:  # noqa: BLE001  # ours refuses the note, theirs leaves the line out
                ours = set()
            assert ours == theirs, data
            agreed += 1
    print(f"{agreed} notes judged alike")
    assert agreed > 100


def _damaged(text: str, chance: random.Random) -> bytes:
    """Another root of the same form."""
    head, tail = text.split("\n\n")
    lines = head.split("\n")
    lines[1] = str(chance.randrange(1, 10**6))
    return ("\n".join(lines) + "\n\n" + tail).encode()


Proof = tuple[int, int, tuple[bytes, ...], bytes, bytes]


@cache
def _root(size: int) -> bytes:
    return merkle.root(map(merkle.leaf_hash, LOG.entries[:size]))


def _proofs(kind: str) -> list[Proof]:
    """Good proofs of two sizes, and each with one thing about it changed."""
    chance = random.Random(kind)
    found: list[Proof] = []
    while len(found) < CASES:
        second = chance.randrange(1, 300)
        first = chance.randrange(second if kind == "inclusion" else second + 1)
        if kind == "inclusion":
            hashes = merkle.prove_inclusion(first, second, READER)
            proof: Proof = (first, second, tuple(hashes), merkle.leaf_hash(LOG.entries[first]), _root(second))
        else:
            hashes = merkle.prove_consistency(first, second, READER) if first else []
            proof = (first, second, tuple(hashes), _root(first), _root(second))
        found += [proof, _changed(proof, chance)]
    return found


def _changed(proof: Proof, chance: random.Random) -> Proof:
    first, second, hashes, before, after = proof
    place = chance.randrange(len(hashes) + 1)
    stray = bytes(chance.randrange(256) for _ in range(32))
    return chance.choice(
        [
            (first + chance.choice((-1, 1, 64)), second, hashes, before, after),
            (first, second + chance.choice((-1, 1, 64)), hashes, before, after),
            (first, second, (*hashes[:place], stray, *hashes[place:]), before, after),
            (first, second, hashes[:place] + hashes[place + 1 :], before, after),
            (first, second, tuple(reversed(hashes)), before, after),
            (first, second, hashes, stray, after),
            (first, second, hashes, before, stray),
            (first, second, hashes, after, before),
        ]
    )


def _inclusion(proof: Proof) -> bool:
    index, size, hashes, leaf, root = proof
    if index < 0 or size < 0:  # a caller's own mistake for us
        raise ProofFailed(Reason.PROOF_INCLUSION, "negative")
    merkle.check_inclusion(leaf, index, size, hashes, root)
    return True


def _their_inclusion(proof: Proof) -> bool:
    index, size, hashes, leaf, root = proof
    if index < 0 or size < 0:
        raise ValueError("negative")
    InclusionProof(index, size, list(hashes)).check(leaf, root)
    return True


def _consistency(proof: Proof) -> bool:
    old, new, hashes, before, after = proof
    if old < 0 or new < 0:
        raise ProofFailed(Reason.PROOF_CONSISTENCY, "negative")
    merkle.check_consistency(old, before, new, after, hashes)
    return True


def _their_consistency(proof: Proof) -> bool:
    old, new, hashes, before, after = proof
    if old < 0 or new < 0:
        raise ValueError("negative")
    ConsistencyProof(old, new, list(hashes)).check(before, after)
    return True


def test_inclusion_proofs_are_judged_alike() -> None:
    """No difference at all is allowed: both follow RFC 9162."""
    compared = compare(_proofs("inclusion"), _inclusion, _their_inclusion, {})

    print(compared)
    assert compared.unexplained == []
    assert compared.same > CASES / 3


def test_consistency_proofs_are_judged_alike() -> None:
    """No difference but where nothing is to be proven."""
    compared = compare(_proofs("consistency"), _consistency, _their_consistency, {})

    print(compared)
    assert compared.unexplained == []
    assert compared.same > CASES / 3


def test_tiles_and_bundles_are_read_alike() -> None:
    """They do not know how many entries there should be, so ours is asked for as many as they find."""
    seeds = [tiles.format_bundle(LOG.entries[:3]), tiles.format_bundle([b"", b"x"]), tiles.format_bundle([])]

    def theirs(data: bytes) -> list[bytes]:
        entries: list[bytes] = ScalesTile.from_entries_bytes(data).entries
        return entries

    def ours(data: bytes) -> list[bytes]:
        try:
            width = len(theirs(data))
        except ValueError:
            width = 3
        return tiles.parse_bundle(data, width)

    stricter = {"a bundle cut short": "they take a length of one byte as a whole entry of none"}
    compared = compare([*seeds, *mutants("bundle", seeds, CASES, 4096)], ours, theirs, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same > CASES / 20
