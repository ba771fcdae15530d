"""A `Signer` over a private key in this process."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from keys.private_key import PrivateKey
from keys.public_key import PublicKey

# Up to this many signatures are made inline: under 1 ms of ES256, less than a trip through a thread is worth.
_INLINE_MAX = 32
# Longer lists are signed in one thread beside the event loop, and not shared out among more: whoever signs gives the
# interpreter lock away at every message, and passing it round between several costs more than the second core gives.


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
        """The signatures over all messages, in their order; long lists in a thread beside the event loop.

        Raises `RetiredKey` once the store has retired the key.
        """
        if len(messages) <= _INLINE_MAX:
            return self._private.sign_all(messages)
        return await asyncio.to_thread(self._private.sign_all, messages)
