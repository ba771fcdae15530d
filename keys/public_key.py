"""Public keys: suite, bytes, key id; one text form and one JWK form to parse and print; `check` a signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from keys import base64url
from keys.errors import BadKey
from keys.suites import ED25519, ES256, ML_DSA_44, suite, suite_of

# Loading a P-256 point costs about a third of checking a signature, and a region has a few hundred keys.
_CACHE_SIZE = 4096


class _Loaded(NamedTuple):
    check: Callable[[bytes, bytes], None]
    key_id: bytes
    kid: str


@lru_cache(maxsize=_CACHE_SIZE)
def _load(name: str, spki: bytes) -> _Loaded:
    wanted = suite(name)
    if suite_of(spki) is not wanted:
        raise BadKey(f"not a public key of the suite {name}")
    key_id = sha256(spki).digest()
    return _Loaded(wanted.checking(spki), key_id, base64url.encode(key_id[:16]))


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """A public key of one suite; `spki` is its DER SubjectPublicKeyInfo, of which there is exactly one per key.

    Making one checks that it is a key of its suite. Raises `BadKey`.
    """

    suite: str
    spki: bytes
    _loaded: _Loaded = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_loaded", _load(self.suite, self.spki))

    def __reduce__(self) -> tuple[type[PublicKey], tuple[str, bytes]]:
        return PublicKey, (self.suite, self.spki)

    def __repr__(self) -> str:
        return f"PublicKey({self.suite}, kid={self.kid})"

    @property
    def key_id(self) -> bytes:
        """SHA-256 of `spki`, 32 bytes; COSE headers carry its first 8."""
        return self._loaded.key_id

    @property
    def kid(self) -> str:
        """The first 16 bytes of `key_id` as base64url, 22 characters, as in JOSE headers and trust lists."""
        return self._loaded.kid

    @property
    def raw(self) -> bytes:
        """The key without its algorithm: 65 bytes 04‖x‖y (ES256), 32 (Ed25519) or 1312 (ML-DSA-44)."""
        return self.spki[len(suite(self.suite).SPKI_PREFIX) :]

    def check(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` is this key's over `message`; raises `BadSignature` otherwise."""
        self._loaded.check(message, signature)

    @classmethod
    def from_spki(cls, spki: bytes) -> PublicKey:
        """The key in a DER SubjectPublicKeyInfo; its suite follows from its algorithm. Raises `BadKey`."""
        return cls(suite_of(spki).NAME, bytes(spki))

    @classmethod
    def from_raw(cls, name: str, raw: bytes) -> PublicKey:
        """The key of the suite `name` with the bytes of `raw`. Raises `BadKey`."""
        return cls(name, suite(name).SPKI_PREFIX + raw)

    def to_text(self) -> str:
        """The one text form, `ES256:<base64url of spki>`."""
        return f"{self.suite}:{base64url.encode(self.spki)}"

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """The key that prints as `text`. Raises `BadKey`."""
        name, _, encoded = text.partition(":")
        return cls(name, _decoded(encoded))

    def jwk(self) -> dict[str, str]:
        """The key as a JWK (RFC 7517, RFC 8037; AKP for ML-DSA) with `alg` and `kid`."""
        names = {"alg": self.suite, "kid": self.kid}
        if self.suite == ES256:
            x, y = self.raw[1:33], self.raw[33:]
            return {"kty": "EC", "crv": "P-256", "x": base64url.encode(x), "y": base64url.encode(y), **names}
        if self.suite == ED25519:
            return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(self.raw), **names}
        return {"kty": "AKP", "pub": base64url.encode(self.raw), **names}

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> PublicKey:
        """The key in a JWK; `kid`, `use` and other extra members are ignored.

        Raises `BadKey`, also when a private member is present: such a key has leaked and must not be trusted.
        """
        if "d" in jwk or "priv" in jwk:
            raise BadKey("this JWK holds a private key")
        match jwk:
            case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)} if jwk.get("alg", ES256) == ES256:
                coordinates = _decoded(x), _decoded(y)
                if any(len(coordinate) != 32 for coordinate in coordinates):
                    raise BadKey("a P-256 coordinate has 32 bytes")
                return cls.from_raw(ES256, b"\x04" + b"".join(coordinates))
            case {"kty": "OKP", "crv": "Ed25519", "x": str(x)} if jwk.get("alg", ED25519) in (ED25519, "EdDSA"):
                return cls.from_raw(ED25519, _decoded(x))
            case {"kty": "AKP", "alg": "ML-DSA-44", "pub": str(pub)}:
                return cls.from_raw(ML_DSA_44, _decoded(pub))
        raise BadKey("not a JWK of a suite we know")


def _decoded(text: str) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise BadKey(str(error)) from None
