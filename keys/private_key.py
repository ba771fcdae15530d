"""Private halves, held by key stores only: they sign, they can be sealed and destroyed, they never print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from cryptography.hazmat.primitives import serialization

from keys.errors import BadKey, RetiredKey
from keys.public_key import PublicKey
from keys.suites import TABLE, suite


class PrivateKey:
    """A private key of one suite, with the public half beside it.

    It belongs to the store that made or opened it; everything above a store sees a `Signer`.
    """

    __slots__ = ("_held", "_sign", "public_key")

    def __init__(self, name: str, held: Any) -> None:
        """Wrap `held`, a private key object of the suite `name`. Raises `BadKey`."""
        chosen = suite(name)
        if not chosen.owns(held):
            raise BadKey(f"not a private key of the suite {name}")
        der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_key = PublicKey(name, held.public_key().public_bytes(der, spki))
        self._held: Any = held
        self._sign: Callable[[bytes], bytes] = chosen.signing(held)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public_key.suite}, kid={self.public_key.kid})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its store")

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """A fresh key of the suite `name`. Raises `BadKey` for an unknown suite."""
        return cls(name, suite(name).generate())

    @classmethod
    def from_secret(cls, name: str, secret: bytes) -> PrivateKey:
        """The key of the suite `name` that grows from the 32 bytes `secret`. Raises `BadKey`."""
        return cls(name, suite(name).from_secret(secret))

    @classmethod
    def from_pkcs8(cls, der: bytes) -> PrivateKey:
        """The key in an unencrypted PKCS#8 DER (RFC 5958). Raises `BadKey`."""
        try:
            held = serialization.load_der_private_key(der, password=None)
        except (ValueError, TypeError):
            raise BadKey("not a private key in PKCS#8") from None
        for name, candidate in TABLE.items():
            if candidate.owns(held):
                return cls(name, held)
        raise BadKey("not the private key of a suite we know")

    def pkcs8(self) -> bytes:
        """The key as unencrypted PKCS#8 DER, for the store that seals it. Raises `RetiredKey` once destroyed."""
        der: bytes = self.held.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return der

    @property
    def held(self) -> Any:
        """The key object of `cryptography`, for writing certificate requests. Raises `RetiredKey` once destroyed."""
        if self._held is None:
            raise RetiredKey(f"key {self.public_key.kid} is retired")
        return self._held

    def sign(self, message: bytes) -> bytes:
        """The signature over one message. Raises `RetiredKey` once destroyed."""
        return self._sign(message)

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        """The signatures over all messages, in their order. Raises `RetiredKey` once destroyed."""
        return list(map(self._sign, messages))

    def destroy(self) -> None:
        """Forget the private half; every signer that was handed out for it refuses from now on."""
        kid = self.public_key.kid

        def refuse(_message: bytes) -> NoReturn:
            raise RetiredKey(f"key {kid} is retired")

        self._held = None
        self._sign = refuse
