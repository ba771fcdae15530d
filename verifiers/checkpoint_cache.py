"""Checkpoints that were already checked, kept while the trust list they were checked against stays the same.

Thousands of receipts share one checkpoint, and checking one costs more than checking a licence. The cache is an object
that the caller makes and passes to `verify`; it is bounded and forgets everything when the trust list changes.
"""

from hashlib import sha256

from verifiers.checkpoint import SignedCheckpoint, open_checkpoint
from verifiers.errors import Reason, VerificationError
from verifiers.trust_list import TrustList


class CheckpointCache:
    """At most `limit` opened checkpoints by the SHA-256 of their note; one cache serves one thread."""

    __slots__ = ("_entries", "_limit", "_trust")

    def __init__(self, limit: int = 1024) -> None:
        if limit < 0:
            raise ValueError("a cache holds 0 entries or more")
        self._limit = limit
        self._entries: dict[bytes, SignedCheckpoint] = {}
        self._trust = b""

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, text: str, trust: TrustList) -> SignedCheckpoint:
        """The checkpoint in the note `text`, checked against the policy that `trust` has for its log.

        Raises `VerificationError` with `log.unknown`, `note.…` or `checkpoint.…`.
        """
        if trust.digest != self._trust:
            self._entries.clear()
            self._trust = trust.digest
        name = sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._entries.get(name)
        if known is not None:
            return known
        origin = text.partition("\n")[0]
        policy = trust.log_policy(origin)
        if policy is None:
            raise VerificationError(Reason.LOG_UNKNOWN, "the trust list names no log of this origin", "receipt")
        checkpoint = open_checkpoint(text, policy)
        if self._limit:
            while len(self._entries) >= self._limit:
                del self._entries[next(iter(self._entries))]
            self._entries[name] = checkpoint
        return checkpoint
