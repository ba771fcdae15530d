"""What can go wrong with keys, as one tree, split by what the caller will do about it.

    KeysError
    ├── BadKey              these bytes or this text are no key of a suite we know
    ├── BadSignature        the signature does not fit message and key
    ├── BadCertificate      the certificate (or request) is not one this project accepts
    └── KeyStoreError       a key store cannot do what it was asked
        ├── StoreLocked     opened without a password: public halves only
        ├── WrongPassword   the password does not open this store
        ├── StoreDamaged    the store's files were altered, truncated or swapped
        ├── BadPermissions  others can read or replace the store's files
        ├── AlreadyExists   the store, or the key of that name, is already there
        ├── UnknownKey      no key of that name
        └── RetiredKey      the key's signing period is over

No message here ever holds a private key, a symmetric secret or a password.
"""


class KeysError(Exception):
    """Base of every error this package raises on purpose."""


class BadKey(KeysError):
    """The bytes or the text given are no public or private key of a suite in the closed table."""


class BadSignature(KeysError):
    """The signature does not fit the message under this key."""


class BadCertificate(KeysError):
    """The certificate, certificate request or fingerprint is malformed or does not chain to the root."""


class KeyStoreError(KeysError):
    """A key store cannot do what it was asked."""


class StoreLocked(KeyStoreError):
    """The store was opened without its password, so only public halves can be read."""


class WrongPassword(KeyStoreError):
    """The password does not open this store."""


class StoreDamaged(KeyStoreError):
    """A file of the store was altered, truncated, swapped or lost."""


class BadPermissions(KeyStoreError):
    """Somebody besides the owner could read or replace a file of the store."""


class AlreadyExists(KeyStoreError):
    """There is already a store at this path, or a key of this name that signs."""


class UnknownKey(KeyStoreError):
    """The store has no key of this name."""


class RetiredKey(KeyStoreError):
    """The key's signing period is over; its private half no longer signs."""


class DevelopmentKeyWarning(UserWarning):
    """Keys are held in a way that is good for tests and demonstrations only."""
