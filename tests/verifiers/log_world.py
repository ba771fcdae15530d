"""A small log in memory with its keys and witnesses, for tests that change one thing about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from keys.public_key import PublicKey
from verifiers import checkpoint, commitment, entry, merkle, receipt, tiles
from verifiers.checkpoint import Checkpoint, LogPolicy
from verifiers.commitment import Opening
from verifiers.note import KeyType, NoteKey, grease_line, parse_note
from verifiers.tiles import Tile

ORIGIN = "licence.example/log/1"
BY = "91350211M000100Y43"
START = datetime(2026, 11, 21, 8, tzinfo=UTC)
NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())

Signing = tuple[NoteKey, Callable[[bytes], bytes]]


def ed25519(name: str, seed: int, kind: KeyType = KeyType.ED25519) -> Signing:
    """An Ed25519 note key and the function that signs with it."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return NoteKey(name, kind, PublicKey.from_raw("Ed25519", private.public_key().public_bytes_raw())), private.sign


def mldsa(name: str, seed: int) -> Signing:
    """An ML-DSA-44 note key and the function that signs with it."""
    private = MLDSA44PrivateKey.from_seed_bytes(bytes([seed]) * 32)
    public = PublicKey.from_raw("ML-DSA-44", private.public_key().public_bytes_raw())
    return NoteKey(name, KeyType.MLDSA44_COSIGNATURE, public), private.sign


LOG_KEYS = (ed25519(ORIGIN, 1), mldsa(ORIGIN, 2))
WITNESSES = (
    ed25519("witness.example/a", 3, KeyType.ED25519_COSIGNATURE),
    mldsa("witness.example/b", 4),
    ed25519("witness.example/c", 5, KeyType.ED25519_COSIGNATURE),
)
POLICY = LogPolicy(ORIGIN, tuple(key for key, _ in LOG_KEYS), 2, tuple(key for key, _ in WITNESSES))


def sign(
    head: Checkpoint, *, signers: Sequence[Signing] = LOG_KEYS, witnesses: Sequence[Signing] = (), at: int = NOON
) -> str:
    """`head` signed by the log at no time, cosigned by `witnesses` a minute apart from `at` on, and greased."""
    text = checkpoint.sign_checkpoint(head, signers)
    for minute, witness in enumerate(witnesses):
        cosigned = parse_note(checkpoint.sign_checkpoint(head, [witness], at + 60 * minute))
        text = checkpoint.add_cosignatures(text, cosigned.lines)
    return checkpoint.add_cosignatures(text, [grease_line(bytes(range(76)))])


@dataclass
class Log:
    """Entries that open to numbered documents, with their tiles."""

    entries: list[bytes] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    files: dict[Tile, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, size: int) -> Log:
        """A log of `size` entries."""
        log, prev = cls(), entry.FIRST_PREV
        for number in range(size):
            salt, jws, hrec = bytes([number % 256]) * 32, commitment.jws_digest(b"%d" % number), bytes(32)
            commit = commitment.commit(commitment.doc_hash(salt, jws), hrec)
            kind = "licence.issued" if number else "log.opened"
            data = entry.encode(entry.Leaf(kind, START, BY, number.to_bytes(16, "big"), commit, prev))
            prev = merkle.leaf_hash(data)
            log.entries.append(data)
            log.openings.append(Opening(salt, jws, commitment.NO_DOCUMENT, hrec, data))
        log.files = tiles.grow(0, {}, log.entries)
        return log

    @property
    def head(self) -> Checkpoint:
        """The tree head over all entries."""
        return Checkpoint(ORIGIN, len(self.entries), merkle.root(map(merkle.leaf_hash, self.entries)))

    def read(self, wanted: Sequence[Tile]) -> Mapping[Tile, bytes]:
        """The contents of tiles."""
        return {tile: self.files[tile] for tile in wanted}

    def receipt(self, index: int, note: str) -> str:
        """The receipt of one entry under a signed checkpoint over all of them."""
        size = len(self.entries)
        hashes = merkle.prove_inclusion(index, size, tiles.HashReader(size, self.read))
        return receipt.compose(self.openings[index], index, hashes, note)
