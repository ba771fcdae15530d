"""Checkpoints that were already checked, kept while what they were checked against stays the same.

Thousands of receipts share one checkpoint, and checking one costs more than checking a licence. The cache is an object
that the caller makes and passes to `verify`; it is bounded, and forgets a region's checkpoints when that region's trust
list, or what we demand of its witnesses, changes.
"""

from hashlib import sha256

from verifiers.checkpoint import LogPolicy, SignedCheckpoint, open_checkpoint
from verifiers.errors import Reason, VerificationError
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import WitnessRule

_ROOTS_MAX = 4096


class CheckpointCache:
    """At most `limit` opened checkpoints by region root and SHA-256 of their note; one cache serves one thread."""

    __slots__ = ("_against", "_entries", "_limit")

    def __init__(self, limit: int = 1024) -> None:
        if limit < 0:
            raise ValueError("a cache holds 0 entries or more")
        self._limit = limit
        self._entries: dict[tuple[str, bytes], SignedCheckpoint] = {}
        self._against: dict[str, tuple[bytes, WitnessRule | None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, text: str, trust: TrustList, demanded: WitnessRule | None = None) -> SignedCheckpoint:
        """The checkpoint in the note `text`, checked against the log keys in `trust`.

        Who must have cosigned is what `demanded` says, or else what `trust` does. Raises `VerificationError` with
        `log.unknown`, `note.…`, `checkpoint.…`, or `vkey.malformed` for log keys that are also those of a witness.
        """
        root, against = trust.root_fingerprint, (trust.digest, demanded)
        if self._against.get(root) != against:
            self._forget(root)
            self._against[root] = against
        name = root, sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._entries.get(name)
        if known is not None:
            return known
        checkpoint = open_checkpoint(text, _policy(trust, text.partition("\n")[0], demanded))
        if self._limit:
            while len(self._entries) >= self._limit:
                del self._entries[next(iter(self._entries))]
            self._entries[name] = checkpoint
        return checkpoint

    def _forget(self, root: str) -> None:
        """Drop what was checked against an earlier list of this root; all there is where too many roots were met."""
        if root in self._against:
            for name in [name for name in self._entries if name[0] == root]:
                del self._entries[name]
        elif len(self._against) >= _ROOTS_MAX:
            self._entries.clear()
            self._against.clear()


def _policy(trust: TrustList, origin: str, demanded: WitnessRule | None) -> LogPolicy:
    declared = trust.log_policy(origin)
    if declared is None:
        raise VerificationError(Reason.LOG_UNKNOWN, "the trust list names no log of this origin", "receipt")
    if demanded is None:
        return declared
    return LogPolicy(origin, declared.keys, demanded.quorum, demanded.note_keys())
