"""A `Signer` over a private key in this process."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from keys.private_key import PrivateKey
from keys.public_key import PublicKey

# Up to this many signatures are made inline: under 1 ms of ES256, less than a trip through a thread is worth.
_INLINE_MAX = 32
# The interpreter lock is released while a key signs: two threads sign half as fast again, a long list at a time.
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """Signs with a key that its store holds in memory; `certificate` is the DER leaf, if one is installed."""

    name: str
    certificate: bytes | None
    _private: PrivateKey = field(repr=False)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._private.public_key

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        """The signatures over all messages, in their order; long lists are shared out among threads.

        Raises `RetiredKey` once the store has retired the key.
        """
        if len(messages) <= _INLINE_MAX:
            return self._private.sign_all(messages)
        share = -(-len(messages) // _THREADS)
        shares = [messages[start : start + share] for start in range(0, len(messages), share)]
        signed = await asyncio.gather(*(asyncio.to_thread(self._private.sign_all, part) for part in shares))
        return [signature for part in signed for signature in part]
