"""Keeps the private half of the log: seals and opens record parts, hides identifiers, recognises repeated requests.

A stored part says how it is sealed in its first byte, then carries the part's digest, so that the entry can be opened
even when the part itself is gone. Formats and reasons: `docs/formats/record.md`.

::

    facts     0x01 ‖ digest[32] ‖ u16 key number ‖ AES-256-GCM     key = HMAC(facts secret, digest)
    subject   0x02 ‖ digest[32] ‖ AES-256-GCM                      key = random, wrapped apart; deleting it erases
    erased    0x00 ‖ digest[32]
    wrapped   0x01 ‖ u16 key number ‖ AES-256-GCM(data key)        key = HMAC(key-encryption key, digest)
    answer    0x01 ‖ u16 key number ‖ salt[32] ‖ AES-256-GCM       key = HMAC(facts secret, salt)
    inside    salt[32] ‖ u8 packing ‖ part                         packing bit 0: zlib, bit 1: base64url taken off
"""

from __future__ import annotations

import hmac
import os
import unicodedata
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import UnknownKey
from keys.signer import KeyStore
from ledger.errors import Code, Refusal
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed
from verifiers.identity import expand_citizen_number

ERASED: Final = 0
FACTS: Final = 1
SUBJECT: Final = 2
_WRAPPED = 1
_ANSWER = 1

_DIGEST_END = 33
_MAX_PART = 16 * 1024 * 1024
# Below this a part is not worth the time, and one that shrinks by less than an eighth is kept as it is.
_COMPRESS_FROM = 1024
_LEVEL = 1
_ZLIB = 1
_UNWRAPPED = 2
# Every key below is derived from, or drawn for, exactly one plaintext, so the nonce need not differ.
_NONCE = bytes(12)

_FACTS_TAG = b"elicence/record/facts/v1\0"
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
        self._facts = dict(facts)
        self._keks = dict(keks)
        self._blinds = dict(blinds)
        self._body_mac = body_mac
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

    def seal_facts(self, part: bytes) -> bytes:
        """Seal part 0 of a record with the region's secret; gives the blob, whose bytes 1 to 33 are the digest."""
        salt = os.urandom(32)
        digest = sha256(salt + part).digest()
        key = hmac.digest(self._facts[self._facts_now], _FACTS_TAG + digest, "sha256")
        head = bytes((FACTS,)) + digest
        return head + self._facts_now.to_bytes(2, "big") + AESGCM(key).encrypt(_NONCE, salt + _packed(part), head)

    def open_facts(self, blob: bytes) -> bytes:
        """Open what `seal_facts` sealed. Raises `Refusal` with `record.damaged`."""
        if blob[:1] != bytes((FACTS,)):
            raise _damaged("not sealed as facts")
        head, number = blob[:_DIGEST_END], int.from_bytes(blob[_DIGEST_END : _DIGEST_END + 2], "big")
        secret = self._facts.get(number)
        if secret is None:
            raise _damaged("sealed with a secret that is not here")
        key = hmac.digest(secret, _FACTS_TAG + head[1:], "sha256")
        return _opened(key, blob[_DIGEST_END + 2 :], head)

    def seal_subject(self, part: bytes) -> tuple[bytes, bytes]:
        """Seal a personal part with a key of its own; gives the blob and the wrapped key."""
        salt, key = os.urandom(32), os.urandom(32)
        digest = sha256(salt + part).digest()
        head = bytes((SUBJECT,)) + digest
        blob = head + AESGCM(key).encrypt(_NONCE, salt + _packed(part), head)
        return blob, self._wrap(key, digest)

    def open_subject(self, blob: bytes, wrapped: bytes | None) -> bytes:
        """Open what `seal_subject` sealed.

        Raises `Refusal` with `record.erased` if it was erased, `record.damaged` if it or its key was changed.
        """
        if blob[:1] == bytes((ERASED,)) and len(blob) == _DIGEST_END:
            raise Refusal(Code.RECORD_ERASED)
        if blob[:1] != bytes((SUBJECT,)):
            raise _damaged("not sealed as a subject part")
        if wrapped is None:
            raise _damaged("its wrapped key is missing")
        head = blob[:_DIGEST_END]
        return _opened(self._unwrap(wrapped, head[1:]), blob[_DIGEST_END:], head)

    def check_wrapped(self, blob: bytes, wrapped: bytes) -> None:
        """Check that `wrapped` is the key of the part `blob`, without opening it. Raises `Refusal` `record.damaged`."""
        self._unwrap(wrapped, digest_of(blob))

    # --- stored answers ---

    def seal_answer(self, answer: bytes) -> bytes:
        """Seal an answer that is kept for repeated requests."""
        salt = os.urandom(32)
        key = hmac.digest(self._facts[self._facts_now], _ANSWER_TAG + salt, "sha256")
        head = bytes((_ANSWER,)) + self._facts_now.to_bytes(2, "big") + salt
        return head + AESGCM(key).encrypt(_NONCE, salt + _packed(answer), head)

    def open_answer(self, sealed: bytes) -> bytes:
        """Open what `seal_answer` sealed. Raises `Refusal` with `record.damaged`."""
        secret = self._facts.get(int.from_bytes(sealed[1:3], "big"))
        if sealed[:1] != bytes((_ANSWER,)) or secret is None:
            raise _damaged("not an answer of ours")
        head = sealed[:35]
        key = hmac.digest(secret, _ANSWER_TAG + head[3:], "sha256")
        return _unpacked(_decrypted(key, sealed[35:], head)[32:])

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
        return [(n, hmac.digest(self._blinds[n], message, "sha256")) for n in self._blinds_down]

    def body_mac(self, body: bytes) -> bytes:
        """Give the keyed hash by which a repeated body is recognised; `body` is canonical JSON."""
        return hmac.digest(self._body_mac, _BODY_TAG + body, "sha256")

    def idempotency_slot(self, client: str, endpoint: str, key: str) -> bytes:
        """Give the 16 bytes under which a request's answer is found again; the key may hold personal data."""
        names = b"".join(
            len(part).to_bytes(4, "big") + part for part in (client.encode(), endpoint.encode(), key.encode())
        )
        return hmac.digest(self._body_mac, _SLOT_TAG + names, "sha256")[:16]

    def _wrap(self, key: bytes, digest: bytes) -> bytes:
        number = self._kek_now
        wrapping = hmac.digest(self._keks[number], _WRAP_TAG + digest, "sha256")
        head = bytes((_WRAPPED,)) + number.to_bytes(2, "big")
        return head + AESGCM(wrapping).encrypt(_NONCE, key, head)

    def _unwrap(self, wrapped: bytes, digest: bytes) -> bytes:
        kek = self._keks.get(int.from_bytes(wrapped[1:3], "big"))
        if wrapped[:1] != bytes((_WRAPPED,)) or kek is None:
            raise _damaged("wrapped with a key that is not here")
        return _decrypted(hmac.digest(kek, _WRAP_TAG + digest, "sha256"), wrapped[3:], wrapped[:3])


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


def _packed(part: bytes) -> bytes:
    """Give `part` behind a byte that says how it was made smaller."""
    packing, body = 0, _unwrapped(part)
    if body is None:
        body = part
    else:
        packing = _UNWRAPPED
    if len(body) >= _COMPRESS_FROM:
        small = zlib.compress(body, _LEVEL)
        if len(small) * 8 < len(body) * 7:
            packing, body = packing | _ZLIB, small
    return bytes((packing,)) + body


def _unpacked(data: bytes) -> bytes:
    packing, body = data[0], data[1:]
    if packing & _ZLIB:
        inflater = zlib.decompressobj()
        body = inflater.decompress(body, _MAX_PART)
        if not inflater.eof:
            raise _damaged("longer than any part of ours")
    if packing & _UNWRAPPED:
        header, signature = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        start, end = 4 + header, 4 + header + signature
        body = ".".join(map(b64u_encode, (body[4:start], body[end:], body[start:end]))).encode("ascii")
    return body


def _unwrapped(part: bytes) -> bytes | None:
    """Take the base64url off the three segments of a compact JWS, a quarter of its length.

    u16 header length ‖ u16 signature length ‖ header ‖ signature ‖ payload; `None` for anything that would not come
    back byte for byte.
    """
    if part[:1] == b"{" or part.count(b".") != 2:
        return None
    try:
        # What is not the one encoding of its bytes is refused, so what comes back is what was taken apart.
        header, payload, signature = map(b64u_decode, part.decode("ascii").split("."))
    except (UnicodeDecodeError, Malformed):
        return None
    if max(len(header), len(signature)) > 0xFFFF:
        return None
    return len(header).to_bytes(2, "big") + len(signature).to_bytes(2, "big") + header + signature + payload


def _decrypted(key: bytes, ciphertext: bytes, head: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(_NONCE, ciphertext, head)
    except InvalidTag:
        raise _damaged("the ciphertext was changed") from None


def _opened(key: bytes, ciphertext: bytes, head: bytes) -> bytes:
    inside = _decrypted(key, ciphertext, head)
    part = _unpacked(inside[32:])
    if not hmac.compare_digest(sha256(inside[:32] + part).digest(), head[1:]):
        raise _damaged("the part does not fit its digest")
    return part


def _damaged(why: str) -> Refusal:
    return Refusal(Code.RECORD_DAMAGED, why=why)
