"""From a store's password to its sealing key: scrypt (RFC 7914) under named parameter profiles.

A profile is chosen when a store is made and its name is kept with the store; loose numbers in a file could be
set so low that guessing is cheap, or so high that opening never ends.
"""

import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keys.errors import DevelopmentKeyWarning, KeyStoreError, StoreDamaged

SALT_LENGTH = 16
KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Profile:
    """One set of scrypt parameters: `n` is the cost (memory is 128·n·r bytes), `r` block size, `p` parallelism."""

    name: str
    n: int
    r: int
    p: int


STANDARD = Profile("scrypt-2026", n=2**17, r=8, p=1)
"""128 MiB and about a third of a second on a 2026 server core, once each time a store is opened."""

TESTING_ONLY = Profile("TESTING_ONLY", n=2**4, r=8, p=1)
"""Guessable at millions of passwords a second; it warns with `DevelopmentKeyWarning` at every use."""

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in (STANDARD, TESTING_ONLY)})


def profile(name: str) -> Profile:
    """The profile called `name`. Raises `StoreDamaged`, since the name comes from a store's file."""
    found = PROFILES.get(name)
    if found is None:
        raise StoreDamaged("the store names a password profile that this version does not know")
    return found


def derive(password: str, salt: bytes, chosen: Profile) -> bytes:
    """The 32-byte key of `password` under `chosen`.

    The password is normalised (NFKC), so the same characters typed on another keyboard give the same key.
    Raises `KeyStoreError` for an empty password.
    """
    if not password:
        raise KeyStoreError("the password of a key store must not be empty")
    if chosen is TESTING_ONLY:
        warnings.warn("for development only: the key store's password is cheap to guess", DevelopmentKeyWarning, 3)
    try:
        normal = unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        raise KeyStoreError("the password holds characters that are no text") from None
    return Scrypt(salt=salt, length=KEY_LENGTH, n=chosen.n, r=chosen.r, p=chosen.p).derive(normal)
