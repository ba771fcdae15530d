"""Ed25519 (RFC 8032 §5.1), the first of the two signatures on a checkpoint (C2SP signed-note 0x01)."""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keys.errors import BadKey, BadSignature

NAME = "Ed25519"
SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 §4
RAW_LENGTH = 32
SIGNATURE_LENGTH = 64


def generate() -> Ed25519PrivateKey:
    """A fresh private key."""
    return Ed25519PrivateKey.generate()


def from_secret(secret: bytes) -> Ed25519PrivateKey:
    """The private key of the 32-byte seed `secret` (RFC 8032 §5.1.5). Raises `BadKey`."""
    if len(secret) != 32:
        raise BadKey("an Ed25519 seed has 32 bytes")
    return Ed25519PrivateKey.from_private_bytes(secret)


def owns(private: object) -> bool:
    """Whether `private` is a private key of this suite."""
    return isinstance(private, Ed25519PrivateKey)


def signing(private: object) -> Callable[[bytes], bytes]:
    """A function that signs one message with `private`; 64 bytes, deterministic."""
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey("not an Ed25519 private key")
    return private.sign


def checking(spki: bytes) -> Callable[[bytes, bytes], None]:
    """A function that checks one (message, signature) under the key `spki` (DER); it raises `BadSignature`."""
    try:
        verify = Ed25519PublicKey.from_public_bytes(spki[len(SPKI_PREFIX) :]).verify
    except ValueError:
        raise BadKey("not an Ed25519 public key") from None

    def check(message: bytes, signature: bytes) -> None:
        if len(signature) != SIGNATURE_LENGTH:
            raise BadSignature("an Ed25519 signature has 64 bytes")
        try:
            verify(signature, message)
        except InvalidSignature:
            raise BadSignature("the Ed25519 signature does not fit") from None

    return check
