"""The closed table of signature suites; a suite is a property of the key, never of the thing being checked.

A suite is a module of its own with the members of `Suite`. A new one (SM2-SM3) is a new module and a new row here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from keys import ed25519, es256, ml_dsa
from keys.errors import BadKey

ES256 = es256.NAME
ED25519 = ed25519.NAME
ML_DSA_44 = ml_dsa.NAME


class Suite(Protocol):
    """What one suite module offers: lengths in bytes, and ways to make, use and check keys."""

    @property
    def NAME(self) -> str: ...  # noqa: N802, D102
    @property
    def SPKI_PREFIX(self) -> bytes: ...  # noqa: N802, D102
    @property
    def RAW_LENGTH(self) -> int: ...  # noqa: N802, D102
    @property
    def SIGNATURE_LENGTH(self) -> int: ...  # noqa: N802, D102

    @property
    def generate(self) -> Callable[[], object]:
        """Makes a fresh private key."""

    @property
    def from_secret(self) -> Callable[[bytes], object]:
        """Makes the private key of a seed or scalar of 32 bytes."""

    @property
    def owns(self) -> Callable[[object], bool]:
        """Tells whether a private key is of this suite."""

    @property
    def signing(self) -> Callable[[object], Callable[[bytes], bytes]]:
        """Makes a function that signs one message."""

    @property
    def checking(self) -> Callable[[bytes], Callable[[bytes, bytes], None]]:
        """Makes a function that checks one (message, signature) or raises `BadSignature`."""


TABLE: Mapping[str, Suite] = MappingProxyType({ES256: es256, ED25519: ed25519, ML_DSA_44: ml_dsa})


def suite(name: str) -> Suite:
    """The suite called `name`. Raises `BadKey` for a name outside the table."""
    found = TABLE.get(name)
    if found is None:
        raise BadKey(f"unknown suite; known are {', '.join(TABLE)}")
    return found


def suite_of(spki: bytes) -> Suite:
    """The suite to which a DER SubjectPublicKeyInfo belongs. Raises `BadKey`."""
    for candidate in TABLE.values():
        prefix = candidate.SPKI_PREFIX
        if len(spki) == len(prefix) + candidate.RAW_LENGTH and spki.startswith(prefix):
            return candidate
    raise BadKey("not the public key of a suite we know")
