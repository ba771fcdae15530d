"""Who signs, with what.

A key belongs to one suite of a closed table: ES256 for licences, codes, statements and lists, Ed25519 and ML-DSA-44
for the log. Anyone may check:

    key = PublicKey.from_text("ES256:MFkw…")
    key.check(message, signature)          # returns, or raises BadSignature

Private halves stay in a `KeyStore`, which hands out a `Signer` by name:

    store = FileKeyStore.open("var/keys", password)      # keys.file_store; keys.memory_store in tests
    signer = store.signer("91330106EXAMPLE000/licence")
    [signature] = await signer.sign([message])           # one call for many messages

The pure half (no file, clock or random number) is `errors`, `base64url`, the suites, `public_key`, `certificates` and
the protocols in `signer`; verifiers need nothing else. `certification` makes what `certificates` checks.
"""

from keys.errors import (
    AlreadyExists,
    BadCertificate,
    BadKey,
    BadPermissions,
    BadSignature,
    DevelopmentKeyWarning,
    KeysError,
    KeyStoreError,
    RetiredKey,
    StoreDamaged,
    StoreLocked,
    UnknownKey,
    WrongPassword,
)
from keys.public_key import PublicKey
from keys.signer import KeyEntry, KeyState, KeyStore, Signer

__all__ = [
    "AlreadyExists",
    "BadCertificate",
    "BadKey",
    "BadPermissions",
    "BadSignature",
    "DevelopmentKeyWarning",
    "KeyEntry",
    "KeyState",
    "KeyStore",
    "KeyStoreError",
    "KeysError",
    "PublicKey",
    "RetiredKey",
    "Signer",
    "StoreDamaged",
    "StoreLocked",
    "UnknownKey",
    "WrongPassword",
]
