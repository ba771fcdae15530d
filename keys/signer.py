"""The two protocols behind which private keys live: `Signer` signs, `KeyStore` keeps and opens signers by name.

Stores over files, memory, tokens and remote services look alike from above. Names of keys are one or two path
segments of ASCII letters, digits, `.`, `_` and `-`: `list`, `log-ed25519`, `91330106EXAMPLE000/licence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from keys.certificates import LeafSubject
from keys.public_key import PublicKey


class Signer(Protocol):
    """One private key that signs, whatever holds it."""

    @property
    def name(self) -> str:
        """The key's name in its store."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    @property
    def certificate(self) -> bytes | None:
        """The DER certificate installed for this key, if any."""

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        """The signatures over all messages, in their order; one call for many, so a remote signer needs one trip.

        Raises `RetiredKey` when the signing period is over.
        """


class KeyState(StrEnum):
    """Where a key is in its life; it only ever moves downwards."""

    NEXT = "next"  # made by `rotate`; waits for its certificate and for `promote`
    ACTIVE = "active"  # signs
    RETIRED = "retired"  # no longer signs; its private half is about to be destroyed
    DESTROYED = "destroyed"  # the private half is gone; the public half and certificate stay for checking


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What a store tells about a key without opening it; `certificate` is DER."""

    name: str
    public_key: PublicKey
    state: KeyState
    certificate: bytes | None = None


class KeyStore(Protocol):
    """Keeps private keys and symmetric secrets under names; at most one key of a name is active.

    All methods but `Signer.sign` may touch a disk or a token and are not for the event loop's hot path.
    """

    def list(self) -> Sequence[KeyEntry]:
        """Every key the store has held, oldest first."""

    def signer(self, name: str) -> Signer:
        """The signer of the active key `name`. Raises `UnknownKey`, `RetiredKey`, `StoreLocked`, `StoreDamaged`."""

    def create(self, name: str, suite: str) -> PublicKey:
        """Make a key. Raises `AlreadyExists` while one of that name is active or next, `BadKey` for the suite."""

    def rotate(self, name: str) -> PublicKey:
        """Make the successor of the active key; it signs nothing before `promote`. Raises `AlreadyExists`."""

    def promote(self, name: str) -> PublicKey:
        """Let the successor take over and destroy the private half of the old key. Raises `UnknownKey`."""

    def retire(self, name: str) -> PublicKey:
        """End the active key's signing period: it stops signing and its private half is destroyed."""

    def request(self, name: str, subject: LeafSubject) -> str:
        """A PKCS#10 certificate request (PEM) for the successor if there is one, else for the active key."""

    def install(self, name: str, certificate: bytes) -> None:
        """Keep the DER certificate of the active key or its successor. Raises `BadCertificate` for another key's."""

    def secret(self, name: str, length: int = 32, create: bool = True) -> bytes:
        """The symmetric secret `name`, made at random the first time if `create`. Raises `UnknownKey`."""
