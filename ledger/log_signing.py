"""Signing checkpoints with both of the log's keys: Ed25519 (0x01) and ML-DSA-44 (0x06), plus one line that means
nothing.

Readers must ignore lines of keys they do not know; a random line in a random order finds out early who does not.
"""

import asyncio
import os
import secrets
from typing import Final

from keys.signer import Signer
from verifiers.checkpoint import Checkpoint, LogPolicy, message
from verifiers.note import KeyType, NoteKey, format_note, grease_line, signature_line

_TYPES: Final = {"Ed25519": KeyType.ED25519, "ML-DSA-44": KeyType.MLDSA44_COSIGNATURE}
_order = secrets.SystemRandom()


class LogSigner:
    """The log's signers under its origin: every one of them signs every checkpoint."""

    def __init__(self, origin: str, signers: tuple[Signer, ...]) -> None:
        self.origin = origin
        self._signers = signers
        self.keys = tuple(NoteKey(origin, _TYPES[one.public_key.suite], one.public_key) for one in signers)

    @property
    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys (C2SP vkey texts), all of which a reader must demand."""
        return tuple(key.to_text() for key in self.keys)

    @property
    def policy(self) -> LogPolicy:
        """What a checkpoint of this log must carry to be published; cosignatures come on top (`witness_policies`)."""
        return LogPolicy(self.origin, self.keys)

    async def sign(self, checkpoint: Checkpoint, timestamp: int) -> str:
        """Return the signed note; `timestamp` (POSIX seconds) is when the 0x06 line says this was the largest tree."""
        text = checkpoint.to_text()
        times = [timestamp if key.timed else 0 for key in self.keys]
        signed = await asyncio.gather(
            *(
                signer.sign([message(key, text, time)])
                for signer, key, time in zip(self._signers, self.keys, times, strict=True)
            )
        )
        lines = [signature_line(key, found[0], time) for key, found, time in zip(self.keys, signed, times, strict=True)]
        lines.append(grease_line(os.urandom(76)))
        _order.shuffle(lines)
        return format_note(text, lines)
