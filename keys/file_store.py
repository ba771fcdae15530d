"""A key store in a directory: private halves as PKCS#8 under AES-256-GCM, one file each, and an index of them.

    <store>/            0700
      index             0600  what there is, in which state, with certificates (see keys.store_index)
      lock              0600  held while anything changes; several processes may share a store
      private/<kid>     0600  one sealed private key
      secrets/<hash>    0600  one sealed symmetric secret

The index is the truth and is replaced in one rename, so every change happens wholly or not at all.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from keys import private_files, register
from keys.certificates import LeafSubject
from keys.certification import write_request
from keys.errors import AlreadyExists, BadKey, KeyStoreError, StoreDamaged, StoreLocked, UnknownKey
from keys.local_signer import LocalSigner
from keys.password import STANDARD, Profile
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.signer import KeyEntry, KeyState
from keys.store_index import Index, Seal, format_index, new_index, parse_index, unlock

_SECRET_LENGTH_MIN, _SECRET_LENGTH_MAX = 16, 1024


class FileKeyStore:
    """A `KeyStore` in a directory that only its owner can read; made by `new`, opened by `open`."""

    def __init__(self, path: Path, index: Index, seal: Seal | None) -> None:
        self._path = path
        self._index = index
        self._seal = seal
        self._stamp: tuple[int, int, int] | None = None
        self._private: dict[str, PrivateKey] = {}
        self._secrets: dict[str, bytes] = {}
        self._guard = threading.RLock()

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r}, {'locked' if self.locked else 'open'})"

    @classmethod
    def new(cls, path: str | Path, password: str, profile: Profile = STANDARD) -> FileKeyStore:
        """Make an empty store at `path`, which must not hold one.

        Raises `AlreadyExists`, and `BadPermissions` if the directory is there and open to others.
        """
        path = Path(path)
        private_files.make_directory(path)
        with private_files.locked(path / "lock"):
            if (path / "index").exists():
                raise AlreadyExists(f"there is a key store at {path}")
            for part in ("private", "secrets"):
                private_files.make_directory(path / part)
            index, seal = new_index(password, profile)
            # The index comes last: a crash before it leaves directories that hold nothing, and `new` can run again.
            private_files.write(path / "index", format_index(index, seal))
        return cls(path, index, seal)

    @classmethod
    def open(cls, path: str | Path, password: str | None) -> FileKeyStore:
        """Open the store at `path`; without a password it is locked and only tells what there is.

        Raises `BadPermissions`, `StoreDamaged`, `WrongPassword`, and `KeyStoreError` if there is no store.
        """
        path = Path(path)
        private_files.check_directory(path)
        if not (path / "index").is_symlink() and not (path / "index").exists():
            raise KeyStoreError(f"there is no key store at {path}")
        for part in ("private", "secrets"):
            private_files.check_directory(path / part)
        data = private_files.read(path / "index")
        index = parse_index(data)
        if password is None:
            return cls(path, index, None)
        seal = unlock(index, password)
        return cls(path, parse_index(data, seal), seal)

    @property
    def locked(self) -> bool:
        """Whether the store was opened without its password."""
        return self._seal is None

    def list(self) -> Sequence[KeyEntry]:
        """Every key the store has held, oldest first; needs no password."""
        with self._guard:
            self._refresh()
            return self._index.entries

    def signer(self, name: str) -> LocalSigner:
        """The signer of the active key `name`.

        Raises `UnknownKey`, `RetiredKey`, `StoreLocked`, `StoreDamaged`.
        """
        with self._guard:
            self._refresh()
            entry = register.active(self._index.entries, name)
            return LocalSigner(name, entry.certificate, self._opened(entry))

    def create(self, name: str, suite: str) -> PublicKey:
        """Make a key. Raises `AlreadyExists` while one of that name is active or next, `BadKey` for the suite."""
        with self._changing() as entries:
            private = PrivateKey.generate(suite)
            return self._keep(name, private, register.created(entries, name, private.public_key))

    def request(self, name: str, subject: LeafSubject) -> str:
        """A certificate request (PEM) for the successor if there is one, else for the active key."""
        with self._guard:
            self._refresh()
            return write_request(self._opened(register.certifiable(self._index.entries, name)), subject)

    def rotate(self, name: str) -> PublicKey:
        """Make the successor of the active key; it signs nothing before `promote`. Raises `AlreadyExists`."""
        with self._changing() as entries:
            private = PrivateKey.generate(register.active(entries, name).public_key.suite)
            return self._keep(name, private, register.rotated(entries, name, private.public_key))

    def promote(self, name: str) -> PublicKey:
        """Let the successor take over and destroy the private half of the old key. Raises `UnknownKey`."""
        with self._changing() as entries:
            self._write(register.promoted(entries, name))
            self._destroy_retired()
            return register.active(self._index.entries, name).public_key

    def retire(self, name: str) -> PublicKey:
        """End the active key's signing period and destroy its private half. Raises `UnknownKey`, `RetiredKey`."""
        with self._changing() as entries:
            key = register.active(entries, name).public_key
            self._write(register.retired(entries, name))
            self._destroy_retired()
            return key

    def install(self, name: str, certificate: bytes) -> None:
        """Keep the DER certificate of the active key or its successor. Raises `BadCertificate`."""
        with self._changing() as entries:
            self._write(register.installed(entries, name, certificate))

    def secret(self, name: str, length: int = 32, create: bool = True) -> bytes:
        """The symmetric secret `name` of `length` bytes, made at random the first time if `create`.

        Raises `UnknownKey`, `StoreLocked`, `StoreDamaged`, `KeyStoreError` if it was made with another length.
        """
        register.check_name(name)
        if not _SECRET_LENGTH_MIN <= length <= _SECRET_LENGTH_MAX:
            raise ValueError("a secret has 16 to 1024 bytes")
        with self._guard:
            if name not in self._secrets:
                self._secrets[name] = self._read_secret(name, length if create else None)
            if len(self._secrets[name]) != length:
                raise KeyStoreError(f"the secret {name!r} has another length")
            return self._secrets[name]

    def _read_secret(self, name: str, new_length: int | None) -> bytes:
        self._refresh()
        seal, place = self._unlocked(), f"secret\0{name}".encode()
        file = self._path / "secrets" / sha256(name.encode()).hexdigest()[:32]
        if name not in self._index.secrets:
            if new_length is None:
                raise UnknownKey(f"no secret {name!r} in this store")
            with self._changing() as entries:
                # Another process may have made it while this one waited for the lock.
                if name not in self._index.secrets:
                    private_files.write(file, seal.seal(place, secrets.token_bytes(new_length)))
                    self._write(entries, (*self._index.secrets, name))
        return seal.open(place, private_files.read(file))

    def _unlocked(self) -> Seal:
        if self._seal is None:
            raise StoreLocked("the key store was opened without its password")
        return self._seal

    def _opened(self, entry: KeyEntry) -> PrivateKey:
        seal, kid = self._unlocked(), entry.public_key.kid
        if kid not in self._private:
            der = seal.open(_place(entry.name, kid), private_files.read(self._path / "private" / kid))
            try:
                private = PrivateKey.from_pkcs8(der)
            except BadKey:
                raise StoreDamaged(f"the private half of {entry.name!r} cannot be read") from None
            if private.public_key != entry.public_key:
                raise StoreDamaged(f"the private half of {entry.name!r} belongs to another key")
            self._private[kid] = private
        return self._private[kid]

    @contextmanager
    def _changing(self) -> Iterator[register.Entries]:
        """Hold the store against other threads and processes, see what they wrote, finish what a crash left."""
        self._unlocked()
        with self._guard, private_files.locked(self._path / "lock"):
            self._refresh()
            for directory in (self._path, self._path / "private", self._path / "secrets"):
                private_files.sweep(directory)
            self._destroy_retired()
            yield self._index.entries

    def _keep(self, name: str, private: PrivateKey, entries: register.Entries) -> PublicKey:
        key = private.public_key
        sealed = self._unlocked().seal(_place(name, key.kid), private.pkcs8())
        # A crash after this line leaves a sealed file that no index names: it takes up room and does no harm.
        private_files.write(self._path / "private" / key.kid, sealed)
        self._write(entries)
        self._private[key.kid] = private
        return key

    def _destroy_retired(self) -> None:
        retired = [entry for entry in self._index.entries if entry.state is KeyState.RETIRED]
        if retired:
            # A crash in this loop leaves RETIRED entries, and the next change comes through here again.
            for entry in retired:
                private_files.erase(self._path / "private" / entry.public_key.kid)
            self._write(register.destroyed(self._index.entries))

    def _write(self, entries: register.Entries, secret_names: tuple[str, ...] | None = None) -> None:
        names = self._index.secrets if secret_names is None else secret_names
        index = self._index.changed(entries=entries, secret_names=names)
        private_files.write(self._path / "index", format_index(index, self._unlocked()))
        self._index, self._stamp = index, self._stat()
        self._forget_retired()

    def _refresh(self) -> None:
        """Read the index again if another process has replaced it."""
        stamp = self._stat()
        if stamp != self._stamp:
            index = parse_index(private_files.read(self._path / "index"), self._seal)
            if self._seal is not None and index.check != self._seal.check:
                raise StoreDamaged("the key store was replaced by another one")
            self._index, self._stamp = index, stamp
            self._forget_retired()

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = (self._path / "index").lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _forget_retired(self) -> None:
        """Make signers that were handed out before refuse, also for keys that another process retired."""
        for entry in self._index.entries:
            if entry.state in (KeyState.RETIRED, KeyState.DESTROYED):
                private = self._private.pop(entry.public_key.kid, None)
                if private is not None:
                    private.destroy()


def _place(name: str, kid: str) -> bytes:
    """What a sealed private key is bound to, so that one file cannot be put in another's place."""
    return f"key\0{name}\0{kid}".encode()
