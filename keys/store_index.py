"""The index of a file key store: which keys and secrets it holds and in which state, authenticated.

docs/formats/keys.md describes the file. Three questions are kept apart: is the file whole (a plain digest),
is the password right (a check value), was the file changed by somebody without the password (a MAC).
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from keys import base64url
from keys.errors import BadKey, StoreDamaged, WrongPassword
from keys.password import SALT_LENGTH, Profile, derive, profile
from keys.public_key import PublicKey
from keys.signer import KeyEntry, KeyState

_VERSION = 1
_NONCE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Index:
    """What a store holds, without any private bytes; `salt` and `check` belong to the password."""

    profile: Profile
    salt: bytes
    check: bytes
    entries: tuple[KeyEntry, ...] = ()
    secrets: tuple[str, ...] = ()

    def changed(self, *, entries: tuple[KeyEntry, ...], secret_names: tuple[str, ...]) -> Index:
        """The same store with other contents."""
        return replace(self, entries=entries, secrets=secret_names)


class Seal:
    """The keys that come from a store's password: one seals private bytes, one authenticates the index."""

    __slots__ = ("_aead", "_mac_key", "check")

    def __init__(self, master: bytes) -> None:
        """Split `master`, 32 bytes from the password, into one key for each use."""
        self._aead = AESGCM(_expand(master, b"elicence/keystore/seal/v1"))
        self._mac_key = _expand(master, b"elicence/keystore/index/v1")
        self.check = _expand(master, b"elicence/keystore/check/v1")

    def __repr__(self) -> str:
        return "Seal()"

    def seal(self, what: bytes, content: bytes) -> bytes:
        """`content` under AES-256-GCM, bound to its place `what`: a version byte, 12 bytes nonce, ciphertext, tag."""
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        return bytes([_VERSION]) + nonce + self._aead.encrypt(nonce, content, what)

    def open(self, what: bytes, sealed: bytes) -> bytes:
        """The content that was sealed for the place `what`. Raises `StoreDamaged`."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_LENGTH], sealed[1 + _NONCE_LENGTH :]
        try:
            if sealed[:1] != bytes([_VERSION]) or len(nonce) != _NONCE_LENGTH:
                raise StoreDamaged("a sealed file of the store is cut short or of another version")
            return self._aead.decrypt(nonce, ciphertext, what)
        except InvalidTag:
            raise StoreDamaged("a sealed file of the store was altered or swapped") from None

    def mac(self, body: bytes) -> bytes:
        """HMAC-SHA-256 over the body of an index."""
        return hmac.digest(self._mac_key, body, "sha256")


def new_index(password: str, chosen: Profile) -> tuple[Index, Seal]:
    """An empty index under a fresh salt, and the seal that goes with it."""
    salt = secrets.token_bytes(SALT_LENGTH)
    seal = Seal(derive(password, salt, chosen))
    return Index(chosen, salt, seal.check), seal


def unlock(index: Index, password: str) -> Seal:
    """The seal of the store with this `index`. Raises `WrongPassword`."""
    seal = Seal(derive(password, index.salt, index.profile))
    if not hmac.compare_digest(seal.check, index.check):
        raise WrongPassword("the password does not open this key store")
    return seal


def format_index(index: Index, seal: Seal) -> bytes:
    """The bytes of the index file."""
    body = orjson.dumps(
        {
            "v": _VERSION,
            "profile": index.profile.name,
            "salt": base64url.encode(index.salt),
            "check": base64url.encode(index.check),
            "keys": [
                {
                    "name": entry.name,
                    "key": entry.public_key.to_text(),
                    "state": entry.state.value,
                    "certificate": None if entry.certificate is None else base64url.encode(entry.certificate),
                }
                for entry in index.entries
            ],
            "secrets": list(index.secrets),
        },
        option=orjson.OPT_SORT_KEYS,
    )
    return b"\n".join((sha256(body).hexdigest().encode(), seal.mac(body).hex().encode(), body, b""))


def parse_index(data: bytes, seal: Seal | None = None) -> Index:
    """The index in a file's bytes; its MAC is checked if a `seal` is given. Raises `StoreDamaged`."""
    lines = data.split(b"\n")
    if len(lines) != 4 or lines[3] or not hmac.compare_digest(lines[0], sha256(lines[2]).hexdigest().encode()):
        raise StoreDamaged("the index of the key store was altered or cut short")
    if seal is not None and not hmac.compare_digest(lines[1], seal.mac(lines[2]).hex().encode()):
        raise StoreDamaged("the index of the key store was changed by somebody without its password")
    try:
        return _index(orjson.loads(lines[2]))
    except (KeyError, TypeError, ValueError, AttributeError, BadKey):
        raise StoreDamaged("the index of the key store is not of a version we know") from None


def _index(body: dict[str, Any]) -> Index:
    if body["v"] != _VERSION:
        raise ValueError("another version")
    return Index(
        profile(body["profile"]),
        base64url.decode(body["salt"]),
        base64url.decode(body["check"]),
        tuple(
            KeyEntry(
                key["name"],
                PublicKey.from_text(key["key"]),
                KeyState(key["state"]),
                None if key["certificate"] is None else base64url.decode(key["certificate"]),
            )
            for key in body["keys"]
        ),
        tuple(body["secrets"]),
    )


def _expand(master: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=purpose).derive(master)
