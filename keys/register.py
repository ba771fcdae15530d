"""The life of the keys in a store, as pure functions from one list of entries to the next.

    create → ACTIVE ──────────────── retire ─→ RETIRED ─ private half destroyed ─→ DESTROYED
    rotate → NEXT ─ promote → ACTIVE, and the one before goes the same way

A store applies one function, writes the result down, and only then forgets a private half: a crash in between
leaves a RETIRED entry, which `destroyed` finishes on the next change.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from keys.certificates import certified_key
from keys.errors import AlreadyExists, BadCertificate, KeyStoreError, RetiredKey, UnknownKey
from keys.public_key import PublicKey
from keys.signer import KeyEntry, KeyState

Entries = tuple[KeyEntry, ...]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")


def check_name(name: str) -> None:
    """Return if `name` may name a key or a secret. Raises `KeyStoreError`."""
    if not _NAME.fullmatch(name):
        raise KeyStoreError("a key's name is one or two segments of letters, digits, '.', '_' and '-'")


def find(entries: Sequence[KeyEntry], name: str, state: KeyState) -> KeyEntry | None:
    """The youngest key `name` in `state`, if there is one."""
    return next((entry for entry in reversed(entries) if entry.name == name and entry.state is state), None)


def active(entries: Sequence[KeyEntry], name: str) -> KeyEntry:
    """The key that signs under `name`. Raises `RetiredKey` if there was one, `UnknownKey` if there never was."""
    found = find(entries, name, KeyState.ACTIVE)
    if found is None:
        if any(entry.name == name for entry in entries):
            raise RetiredKey(f"the key {name!r} is retired or not yet promoted")
        raise UnknownKey(f"no key {name!r} in this store")
    return found


def certifiable(entries: Sequence[KeyEntry], name: str) -> KeyEntry:
    """The key a request is for: the successor if there is one, else the active key. Raises as `active`."""
    return find(entries, name, KeyState.NEXT) or active(entries, name)


def created(entries: Entries, name: str, key: PublicKey) -> Entries:
    """With a new active key `name`. Raises `AlreadyExists` while another is active or next."""
    check_name(name)
    if any(find(entries, name, state) for state in (KeyState.ACTIVE, KeyState.NEXT)):
        raise AlreadyExists(f"the store has a key {name!r}; rotate it to replace it")
    return (*entries, KeyEntry(name, key, KeyState.ACTIVE))


def rotated(entries: Entries, name: str, key: PublicKey) -> Entries:
    """With `key` as the successor of the active key. Raises `AlreadyExists` if one is waiting."""
    active(entries, name)
    if find(entries, name, KeyState.NEXT):
        raise AlreadyExists(f"a successor of {name!r} is already waiting")
    return (*entries, KeyEntry(name, key, KeyState.NEXT))


def promoted(entries: Entries, name: str) -> Entries:
    """With the successor active and the key before it retired. Raises `UnknownKey` if no successor waits."""
    successor = find(entries, name, KeyState.NEXT)
    if successor is None:
        raise UnknownKey(f"no successor of {name!r} is waiting")
    before = find(entries, name, KeyState.ACTIVE)
    if before is not None:
        entries = _replaced(entries, before, replace(before, state=KeyState.RETIRED))
    return _replaced(entries, successor, replace(successor, state=KeyState.ACTIVE))


def retired(entries: Entries, name: str) -> Entries:
    """With the active key retired. Raises as `active`."""
    found = active(entries, name)
    return _replaced(entries, found, replace(found, state=KeyState.RETIRED))


def destroyed(entries: Entries) -> Entries:
    """With every retired key marked as destroyed, once its private half is gone."""
    return tuple(
        replace(entry, state=KeyState.DESTROYED) if entry.state is KeyState.RETIRED else entry for entry in entries
    )


def installed(entries: Entries, name: str, certificate: bytes) -> Entries:
    """With the DER `certificate` kept beside its key. Raises `BadCertificate` if it is for another key."""
    key = certified_key(certificate)
    for state in (KeyState.NEXT, KeyState.ACTIVE):
        entry = find(entries, name, state)
        if entry is not None and entry.public_key == key:
            return _replaced(entries, entry, replace(entry, certificate=certificate))
    active(entries, name)  # tells an unknown or retired key apart from a wrong certificate
    raise BadCertificate(f"the certificate is for another key than {name!r}")


def _replaced(entries: Entries, old: KeyEntry, new: KeyEntry) -> Entries:
    return tuple(new if entry is old else entry for entry in entries)
