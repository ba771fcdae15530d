"""ES256: ECDSA on P-256 with SHA-256, signatures as raw r‖s (RFC 7518 §3.4), nonces as in RFC 6979.

Deterministic nonces mean that signing the same bytes twice gives the same signature, so a retry can never
leave two different signed documents behind. A high s is accepted when checking: nothing in this project
identifies a document by its signature bytes.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keys.errors import BadKey, BadSignature

NAME = "ES256"
# SubjectPublicKeyInfo up to the uncompressed point: id-ecPublicKey, secp256r1 (RFC 5480). Compressed points
# have another prefix and are refused, so that one key has one key id.
SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
RAW_LENGTH = 65
SIGNATURE_LENGTH = 64

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the group, SP 800-186 §3.2.1.3

_SIGN = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_CHECK = ec.ECDSA(hashes.SHA256())


def generate() -> ec.EllipticCurvePrivateKey:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def from_secret(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The private key whose scalar is the 32 big-endian bytes `secret`. Raises `BadKey`."""
    if len(secret) != 32:
        raise BadKey("an ES256 scalar has 32 bytes")
    try:
        return ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())
    except ValueError:
        raise BadKey("the ES256 scalar is out of range") from None


def owns(private: object) -> bool:
    """Whether `private` is a private key of this suite."""
    return isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1)


def signing(private: object) -> Callable[[bytes], bytes]:
    """A function that signs one message with `private` and returns the 64 bytes r‖s."""
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise BadKey("not an ES256 private key")
    sign_der = private.sign

    def sign(message: bytes) -> bytes:
        der = sign_der(message, _SIGN)
        # SEQUENCE{INTEGER r, INTEGER s}: all lengths fit one byte; an integer has up to 33 bytes (sign byte).
        end_of_r = 4 + der[3]
        return der[4:end_of_r][-32:].rjust(32, b"\0") + der[end_of_r + 2 :][-32:].rjust(32, b"\0")

    return sign


def checking(spki: bytes) -> Callable[[bytes, bytes], None]:
    """A function that checks one (message, raw signature) under the key `spki` (DER).

    Raises `BadKey` for a point off the curve; the function raises `BadSignature`.
    """
    try:
        key = load_der_public_key(spki)
    except ValueError:
        raise BadKey("not a point of P-256") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadKey("not an ES256 public key")
    verify = key.verify
    to_int = int.from_bytes

    def check(message: bytes, signature: bytes) -> None:
        if len(signature) != SIGNATURE_LENGTH:
            raise BadSignature("an ES256 signature has 64 bytes")
        try:
            verify(encode_dss_signature(to_int(signature[:32]), to_int(signature[32:])), message, _CHECK)
        except InvalidSignature:
            raise BadSignature("the ES256 signature does not fit") from None

    return check


def twin(signature: bytes) -> bytes:
    """The other raw signature that holds wherever this one does: (r, n - s), which takes no key to compute."""
    return signature[:32] + (_ORDER - int.from_bytes(signature[32:])).to_bytes(32)
