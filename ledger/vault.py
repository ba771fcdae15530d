"""Keeps the private half of the log: seals and opens record parts, hides identifiers, recognises repeated requests.

A stored part says how it is sealed in its first byte, then carries the part's digest, so that the entry can be opened
even when the part itself is gone. Formats and reasons: `docs/formats/record.md`.

::

    facts     0x01 ‖ digest[32] ‖ u16 key number ‖ AES-256-GCM     key = HMAC(facts secret, digest)
    subject   0x02 ‖ digest[32] ‖ AES-256-GCM                      key from a random data key, wrapped apart
    erased    0x00 ‖ digest[32]
    wrapped   0x01 ‖ u16 key number ‖ AES-256-GCM(data key)        key = HMAC(key-encryption key, digest)
    answer    0x01 ‖ u16 key number ‖ salt[32] ‖ AES-256-GCM       key = HMAC(facts secret, salt)

Inside each is the part as `ledger.packing` makes it small. The salt in a digest is derived, so it is nowhere stored:
that of facts from the region's secret and the part, that of a subject part from its data key, with which it goes.
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import UnknownKey
from keys.signer import KeyStore
from ledger.errors import Code, Refusal
from ledger.packing import Segments, pack, unpack, unpack_payload
from verifiers.identity import expand_citizen_number
from verifiers.keyed_hash import KeyedHash

ERASED: Final = 0
FACTS: Final = 1
SUBJECT: Final = 2
_WRAPPED = 1
_ANSWER = 1

_ERASED_BYTE, _FACTS_BYTE, _SUBJECT_BYTE = bytes((ERASED,)), bytes((FACTS,)), bytes((SUBJECT,))
_DIGEST_END = 33
# Every key below is derived from, or drawn for, exactly one plaintext, so the nonce need not differ.
_NONCE = bytes(12)

_FACTS_TAG = b"elicence/record/facts/v1\0"
_FACTS_SALT_TAG = b"elicence/record/facts-salt/v1\0"
_SUBJECT_TAG = b"elicence/record/subject/v1\0"
_WRAP_TAG = b"elicence/record/wrap/v1\0"
_ANSWER_TAG = b"elicence/answer/v1\0"
_BODY_TAG = b"elicence/body/v1\0"
_SLOT_TAG = b"elicence/idempotency/v1\0"


class Vault:
    """Seals and opens with the region's secrets; newest of each kind for sealing, all of them for opening.

    Secrets are `facts-<n>`, `kek-<n>`, `blind-<n>` and `body-mac` of the region's key store, 32 bytes each, n from 1.
    """

    def __init__(
        self, facts: Mapping[int, bytes], keks: Mapping[int, bytes], blinds: Mapping[int, bytes], body_mac: bytes
    ) -> None:
        self._facts = {number: KeyedHash(secret) for number, secret in facts.items()}
        self._keks = {number: KeyedHash(secret) for number, secret in keks.items()}
        self._blinds = {number: KeyedHash(secret) for number, secret in blinds.items()}
        self._body_mac = KeyedHash(body_mac)
        self._facts_now = max(facts)
        self._kek_now = max(keks)
        self._blinds_down = sorted(blinds, reverse=True)

    @classmethod
    def open(cls, store: KeyStore) -> Vault:
        """Take the secrets from `store`, making the first of each if need be. Raises what the store raises."""
        return cls(
            _numbered(store, "facts"), _numbered(store, "kek"), _numbered(store, "blind"), store.secret("body-mac")
        )

    # --- record parts ---

    def seal_facts(self, part: bytes, segments: Segments | None = None) -> bytes:
        """Seal part 0 of a record with the region's secret; gives the blob, whose bytes 1 to 33 are the digest.

        `segments` are those of the compact JWS `part`, where they are at hand.
        """
        number = self._facts_now
        secret = self._facts[number]
        digest = sha256(_facts_salt(secret, part) + part).digest()
        key = secret.digest(_FACTS_TAG + digest)
        head = _FACTS_BYTE + digest
        return head + number.to_bytes(2, "big") + AESGCM(key).encrypt(_NONCE, pack(part, segments), head)

    def open_facts(self, blob: bytes) -> bytes:
        """Open what `seal_facts` sealed. Raises `Refusal` with `record.damaged`."""
        secret, packed, head = self._packed_facts(blob)
        part = _unpacked(packed)
        return _fitting(_facts_salt(secret, part), part, head)

    def open_payload(self, blob: bytes) -> bytes | None:
        """Open what `seal_facts` sealed, but give only the payload of the statement; `None` where it is packed as none.

        That it was sealed here under this digest is certain, because the digest is in the key; it is not computed
        again. That is enough where what is made of the payload is compared with a digest or signature itself. Raises
        `Refusal` with `record.damaged`.
        """
        _, packed, _ = self._packed_facts(blob)
        try:
            return unpack_payload(packed)
        except ValueError as error:
            raise _damaged(str(error)) from None

    def _packed_facts(self, blob: bytes) -> tuple[KeyedHash, bytes, bytes]:
        """Decrypt a statement; gives the secret it was sealed with, what was sealed, and the head with its digest."""
        if blob[:1] != _FACTS_BYTE:
            raise _damaged("not sealed as facts")
        head, number = blob[:_DIGEST_END], int.from_bytes(blob[_DIGEST_END : _DIGEST_END + 2], "big")
        secret = self._facts.get(number)
        if secret is None:
            raise _damaged("sealed with a secret that is not here")
        key = secret.digest(_FACTS_TAG + head[1:])
        return secret, _authentic(key, blob[_DIGEST_END + 2 :], head), head

    def seal_subject(self, part: bytes) -> tuple[bytes, bytes]:
        """Seal a personal part with a key of its own; gives the blob and the wrapped key."""
        data_key = os.urandom(32)
        salt, key = _subject_keys(data_key)
        digest = sha256(salt + part).digest()
        head = _SUBJECT_BYTE + digest
        return head + AESGCM(key).encrypt(_NONCE, pack(part), head), self._wrap(data_key, digest)

    def open_subject(self, blob: bytes, wrapped: bytes | None) -> bytes:
        """Open what `seal_subject` sealed.

        Raises `Refusal` with `record.erased` if it was erased, `record.damaged` if it or its key was changed.
        """
        if blob[:1] == _ERASED_BYTE and len(blob) == _DIGEST_END:
            raise Refusal(Code.RECORD_ERASED)
        if blob[:1] != _SUBJECT_BYTE:
            raise _damaged("not sealed as a subject part")
        if wrapped is None:
            raise _damaged("its wrapped key is missing")
        head = blob[:_DIGEST_END]
        salt, key = _subject_keys(self._unwrap(wrapped, head[1:]))
        return _fitting(salt, _decrypted(key, blob[_DIGEST_END:], head), head)

    def check_wrapped(self, blob: bytes, wrapped: bytes) -> None:
        """Check that `wrapped` is the key of the part `blob`, without opening it. Raises `Refusal` `record.damaged`."""
        self._unwrap(wrapped, digest_of(blob))

    # --- stored answers ---

    def seal_answer(self, answer: bytes) -> bytes:
        """Seal an answer that is kept for repeated requests."""
        salt = os.urandom(32)
        key = self._facts[self._facts_now].digest(_ANSWER_TAG + salt)
        head = bytes((_ANSWER,)) + self._facts_now.to_bytes(2, "big") + salt
        return head + AESGCM(key).encrypt(_NONCE, pack(answer), head)

    def open_answer(self, sealed: bytes) -> bytes:
        """Open what `seal_answer` sealed. Raises `Refusal` with `record.damaged`."""
        secret = self._facts.get(int.from_bytes(sealed[1:3], "big"))
        if sealed[:1] != bytes((_ANSWER,)) or secret is None:
            raise _damaged("not an answer of ours")
        head = sealed[:35]
        key = secret.digest(_ANSWER_TAG + head[3:])
        return _decrypted(key, sealed[35:], head)

    # --- identifiers and requests ---

    def blind(self, id_type: str, number: str) -> tuple[int, bytes]:
        """Hide an identifier: the newest key's number and HMAC-SHA-256 over id_type ‖ 0x1f ‖ normalised number.

        The number is NFKC, upper case, without outer white space; a 15-digit citizen number counts as its 18-character
        form (protocol rule 34).
        """
        return self.blinds(id_type, number)[0]

    def blinds(self, id_type: str, number: str) -> list[tuple[int, bytes]]:
        """Hide an identifier under every live key, newest first, for looking it up."""
        normal = expand_citizen_number(unicodedata.normalize("NFKC", number).strip().upper())
        message = id_type.encode() + b"\x1f" + normal.encode()
        return [(n, self._blinds[n].digest(message)) for n in self._blinds_down]

    def body_mac(self, body: bytes) -> bytes:
        """Give the keyed hash by which a repeated body is recognised; `body` is canonical JSON."""
        return self._body_mac.digest(_BODY_TAG + body)

    def idempotency_slot(self, client: str, endpoint: str, key: str) -> bytes:
        """Give the 16 bytes under which a request's answer is found again; the key may hold personal data."""
        names = b"".join(
            len(part).to_bytes(4, "big") + part for part in (client.encode(), endpoint.encode(), key.encode())
        )
        return self._body_mac.digest(_SLOT_TAG + names)[:16]

    def _wrap(self, key: bytes, digest: bytes) -> bytes:
        number = self._kek_now
        wrapping = self._keks[number].digest(_WRAP_TAG + digest)
        head = bytes((_WRAPPED,)) + number.to_bytes(2, "big")
        return head + AESGCM(wrapping).encrypt(_NONCE, key, head)

    def _unwrap(self, wrapped: bytes, digest: bytes) -> bytes:
        kek = self._keks.get(int.from_bytes(wrapped[1:3], "big"))
        if wrapped[:1] != bytes((_WRAPPED,)) or kek is None:
            raise _damaged("wrapped with a key that is not here")
        return _authentic(kek.digest(_WRAP_TAG + digest), wrapped[3:], wrapped[:3])


def digest_of(blob: bytes) -> bytes:
    """Give the 32-byte digest that a stored part carries, erased or not."""
    return blob[1:_DIGEST_END]


def erased(blob: bytes) -> bytes:
    """Give what is left of a stored part once it is erased: its digest, so that the record keeps its hash."""
    return bytes((ERASED,)) + blob[1:_DIGEST_END]


def is_erased(blob: bytes) -> bool:
    """Tell whether a stored part has been erased."""
    return blob[:1] == bytes((ERASED,))


def _numbered(store: KeyStore, name: str) -> dict[int, bytes]:
    secrets = {1: store.secret(f"{name}-1")}
    while True:
        number = len(secrets) + 1
        try:
            secrets[number] = store.secret(f"{name}-{number}", create=False)
        except UnknownKey:
            return secrets


def _facts_salt(secret: KeyedHash, part: bytes) -> bytes:
    """Give the salt of a statement: nobody without the secret can tell it from 32 random bytes."""
    return secret.digest(_FACTS_SALT_TAG + sha256(part).digest())


def _subject_keys(data_key: bytes) -> tuple[bytes, bytes]:
    """Give salt and encryption key of a personal part: both go when its data key is deleted."""
    derived = hmac.digest(data_key, _SUBJECT_TAG, "sha512")
    return derived[:32], derived[32:]


def _authentic(key: bytes, ciphertext: bytes, head: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(_NONCE, ciphertext, head)
    except InvalidTag:
        raise _damaged("the ciphertext was changed") from None


def _decrypted(key: bytes, ciphertext: bytes, head: bytes) -> bytes:
    return _unpacked(_authentic(key, ciphertext, head))


def _unpacked(packed: bytes) -> bytes:
    try:
        return unpack(packed)
    except ValueError as error:
        raise _damaged(str(error)) from None


def _fitting(salt: bytes, part: bytes, head: bytes) -> bytes:
    if not hmac.compare_digest(sha256(salt + part).digest(), head[1:]):
        raise _damaged("the part does not fit its digest")
    return part


def _damaged(why: str) -> Refusal:
    return Refusal(Code.RECORD_DAMAGED, why=why)
