"""A key store in memory, for tests and demonstrations; it shouts when made."""

import secrets
import warnings
from collections.abc import Sequence

from keys import register
from keys.certificates import LeafSubject
from keys.certification import write_request
from keys.errors import DevelopmentKeyWarning, KeyStoreError, UnknownKey
from keys.local_signer import LocalSigner
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.signer import KeyEntry, KeyState


class MemoryKeyStore:
    """A `KeyStore` that forgets everything when the process ends; it warns with `DevelopmentKeyWarning`."""

    def __init__(self) -> None:
        """An empty store."""
        warnings.warn(
            "for development only: keys are held in memory and lost at exit", DevelopmentKeyWarning, stacklevel=2
        )
        self._entries: register.Entries = ()
        self._private: dict[str, PrivateKey] = {}
        self._secrets: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"MemoryKeyStore({len(self._entries)} keys)"

    def list(self) -> Sequence[KeyEntry]:
        """Every key the store has held, oldest first."""
        return self._entries

    def signer(self, name: str) -> LocalSigner:
        """The signer of the active key `name`. Raises `UnknownKey` or `RetiredKey`."""
        entry = register.active(self._entries, name)
        return LocalSigner(name, entry.certificate, self._private[entry.public_key.kid])

    def create(self, name: str, suite: str) -> PublicKey:
        """Make a key. Raises `AlreadyExists` while one of that name is active or next."""
        private = PrivateKey.generate(suite)
        self._entries = register.created(self._entries, name, private.public_key)
        return self._keep(private)

    def adopt(self, name: str, private: PrivateKey) -> PublicKey:
        """Take in a key made elsewhere, such as one from published test vectors."""
        self._entries = register.created(self._entries, name, private.public_key)
        return self._keep(private)

    def rotate(self, name: str) -> PublicKey:
        """Make the successor of the active key. Raises `AlreadyExists` if one is waiting."""
        private = PrivateKey.generate(register.active(self._entries, name).public_key.suite)
        self._entries = register.rotated(self._entries, name, private.public_key)
        return self._keep(private)

    def promote(self, name: str) -> PublicKey:
        """Let the successor take over and destroy the private half of the old key. Raises `UnknownKey`."""
        self._entries = register.promoted(self._entries, name)
        self._destroy_retired()
        return register.active(self._entries, name).public_key

    def retire(self, name: str) -> PublicKey:
        """End the active key's signing period and destroy its private half."""
        key = register.active(self._entries, name).public_key
        self._entries = register.retired(self._entries, name)
        self._destroy_retired()
        return key

    def request(self, name: str, subject: LeafSubject) -> str:
        """A certificate request (PEM) for the successor if there is one, else for the active key."""
        entry = register.certifiable(self._entries, name)
        return write_request(self._private[entry.public_key.kid], subject)

    def install(self, name: str, certificate: bytes) -> None:
        """Keep the DER certificate of the active key or its successor. Raises `BadCertificate`."""
        self._entries = register.installed(self._entries, name, certificate)

    def secret(self, name: str, length: int = 32, create: bool = True) -> bytes:
        """The symmetric secret `name`, made at random the first time if `create`. Raises `UnknownKey`."""
        register.check_name(name)
        if name not in self._secrets:
            if not create:
                raise UnknownKey(f"no secret {name!r} in this store")
            self._secrets[name] = secrets.token_bytes(length)
        if len(self._secrets[name]) != length:
            raise KeyStoreError(f"the secret {name!r} has another length")
        return self._secrets[name]

    def _keep(self, private: PrivateKey) -> PublicKey:
        self._private[private.public_key.kid] = private
        return private.public_key

    def _destroy_retired(self) -> None:
        for entry in self._entries:
            if entry.state is KeyState.RETIRED:
                self._private.pop(entry.public_key.kid).destroy()
        self._entries = register.destroyed(self._entries)
