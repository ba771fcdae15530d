"""ML-DSA-44 (FIPS 204, pure, empty context), the second signature on a checkpoint (C2SP 0x06).

It stands beside Ed25519 so that a checkpoint stays good should elliptic curves fall. Signing is hedged:
two signatures over the same bytes differ.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from keys.errors import BadKey, BadSignature

NAME = "ML-DSA-44"
SPKI_PREFIX = bytes.fromhex("30820532300b06096086480165030403110382052100")  # RFC 9881 §4
RAW_LENGTH = 1312
SIGNATURE_LENGTH = 2420


def generate() -> MLDSA44PrivateKey:
    """A fresh private key."""
    return MLDSA44PrivateKey.generate()


def from_secret(secret: bytes) -> MLDSA44PrivateKey:
    """The private key of the 32-byte seed `secret` (FIPS 204, ξ). Raises `BadKey`."""
    if len(secret) != 32:
        raise BadKey("an ML-DSA-44 seed has 32 bytes")
    return MLDSA44PrivateKey.from_seed_bytes(secret)


def owns(private: object) -> bool:
    """Whether `private` is a private key of this suite."""
    return isinstance(private, MLDSA44PrivateKey)


def signing(private: object) -> Callable[[bytes], bytes]:
    """A function that signs one message with `private`; 2420 bytes."""
    if not isinstance(private, MLDSA44PrivateKey):
        raise BadKey("not an ML-DSA-44 private key")
    sign_in_context = private.sign

    def sign(message: bytes) -> bytes:
        return sign_in_context(message)

    return sign


def checking(spki: bytes) -> Callable[[bytes, bytes], None]:
    """A function that checks one (message, signature) under the key `spki` (DER); it raises `BadSignature`."""
    try:
        verify = MLDSA44PublicKey.from_public_bytes(spki[len(SPKI_PREFIX) :]).verify
    except ValueError:
        raise BadKey("not an ML-DSA-44 public key") from None

    def check(message: bytes, signature: bytes) -> None:
        if len(signature) != SIGNATURE_LENGTH:
            raise BadSignature("an ML-DSA-44 signature has 2420 bytes")
        try:
            verify(signature, message)
        except InvalidSignature:
            raise BadSignature("the ML-DSA-44 signature does not fit") from None

    return check
