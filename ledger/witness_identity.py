"""Which witness a database belongs to: its keys, its name, and what happens when the two no longer belong together.

A witness that forgets what it cosigned can be led to cosign a fork, so its keys are worth nothing without its database.
`witness_identity` names the keys whose cosignatures this database remembers. Keys without that row (a database that was
lost, or another one's) sign nothing until `renew` has made new ones; issuing goes on meanwhile. Witness state is never
restored from a backup: whoever restores renews (protocol 33).

The name is fixed together with the keys, whatever BASE becomes later: an Ed25519 cosignature does not bind the name, so
no key may ever stand under two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import delete, insert, select

from keys.errors import RetiredKey, UnknownKey
from keys.signer import KeyState, KeyStore, Signer
from ledger.config import RegionConfig
from ledger.database import Database, Reading, Writing
from ledger.errors import Code, Refusal
from ledger.region_keys import WITNESS_KEYS
from ledger.tables.log import head
from ledger.tables.witnessing import witness_identity, witnessed_logs
from verifiers.checkpoint import message, origin_of
from verifiers.note import KeyType, NoteKey, SignatureLine, signature_line

_TYPES: Final = {"Ed25519": KeyType.ED25519_COSIGNATURE, "ML-DSA-44": KeyType.MLDSA44_COSIGNATURE}


@dataclass(frozen=True, slots=True)
class Identity:
    """A witness that may sign: its keys, of types 0x04 and 0x06, and what signs with them.

    `stored` is the row's text, which every statement that stores a cosignature compares.
    """

    keys: tuple[NoteKey, ...]
    signers: tuple[Signer, ...]
    stored: str

    @property
    def name(self) -> str:
        """The name on its cosignatures."""
        return self.keys[0].name

    @property
    def vkeys(self) -> tuple[str, ...]:
        """Its verifier keys (C2SP vkey texts)."""
        return tuple(key.to_text() for key in self.keys)

    async def cosign(self, text: str, timestamp: int) -> tuple[SignatureLine, ...]:
        """Return a line by every key for the checkpoint `text` at `timestamp` (POSIX seconds).

        Raises `Refusal` witness.state_missing where the keys were retired meanwhile.
        """
        try:
            signed = await asyncio.gather(
                *(
                    signer.sign([message(key, text, timestamp)])
                    for key, signer in zip(self.keys, self.signers, strict=True)
                )
            )
        except RetiredKey:
            raise Refusal(Code.WITNESS_STATE_MISSING) from None
        return tuple(signature_line(key, found[0], timestamp) for key, found in zip(self.keys, signed, strict=True))


class WitnessIdentity:
    """The witness of this region, as this process last saw it; none while keys and database do not match."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._current: Identity | None = None

    @property
    def current(self) -> Identity | None:
        """The witness that may sign, if there is one."""
        return self._current

    def refresh(self, tx: Reading) -> bool:
        """Look at what `tx` and the key store say now, and tell whether that is news."""
        stored = _stored(tx)
        before = self._current
        if before is None or stored != before.stored:
            self._current = None if stored is None else _identity(stored, self._store)
        return self._current is not before

    def required(self, tx: Reading) -> Identity:
        """Return the witness that may sign. Raises `Refusal` witness.state_missing where there is none."""
        self.refresh(tx)
        if self._current is None:
            raise Refusal(Code.WITNESS_STATE_MISSING)
        return self._current


def witness_name(config: RegionConfig) -> str:
    """Return the name that a new witness of the region gets."""
    return origin_of(f"{config.base_url}/{config.region}/witness")


def begin(database: Database, store: KeyStore, name: str, at: datetime) -> None:
    """Make the region's first witness called `name`, unless its store ever had witness keys or its database a witness.

    Keys that are there without a row are left alone: nobody knows what they have signed.
    """
    with database.reading() as tx:
        if _stored(tx) is not None or _held(store):
            return
    with database.writing() as tx:
        # One process at a time, so that two that start together do not make two witnesses.
        tx.execute(select(head.c.id).with_for_update()).all()
        if _stored(tx) is None and not _held(store):
            for each, suite in WITNESS_KEYS.items():
                store.create(each, suite)
            # A crash here leaves keys that no database knows: the witness refuses until it is renewed.
            _write(tx, store, name, at)


def renew(database: Database, store: KeyStore, name: str, at: datetime) -> tuple[str, ...]:
    """Retire the witness's keys, make new ones called `name` and forget what the old ones cosigned.

    Returns the new verifier keys. After a crash on the way the witness refuses, and this can be done again.
    """
    with database.writing() as tx:
        # From here on no cosignature is stored, whoever still holds the old keys.
        tx.execute(delete(witness_identity))
        tx.execute(delete(witnessed_logs))
    # A crash from here on leaves keys, old or new, that no database knows.
    states = {(entry.name, entry.state) for entry in store.list()}
    for each, suite in WITNESS_KEYS.items():
        if (each, KeyState.ACTIVE) not in states:
            store.create(each, suite)
            continue
        if (each, KeyState.NEXT) not in states:
            store.rotate(each)
        store.promote(each)
    with database.writing() as tx:
        tx.execute(delete(witness_identity))
        tx.execute(delete(witnessed_logs))
        return _write(tx, store, name, at)


def _write(tx: Writing, store: KeyStore, name: str, at: datetime) -> tuple[str, ...]:
    vkeys = tuple(
        NoteKey(name, _TYPES[key.suite], key).to_text()
        for key in (store.signer(each).public_key for each in WITNESS_KEYS)
    )
    tx.execute(insert(witness_identity).values(id=1, vkeys=orjson.dumps(vkeys).decode(), made_at=at))
    return vkeys


def _stored(tx: Reading) -> str | None:
    found: Any = tx.execute(select(witness_identity.c.vkeys)).scalar_one_or_none()
    return None if found is None else str(found)


def _identity(stored: str, store: KeyStore) -> Identity | None:
    """Return the witness of the row, if the store's keys are the ones it names."""
    keys: Sequence[NoteKey] = [NoteKey.from_text(each) for each in orjson.loads(stored)]
    try:
        signers = tuple(store.signer(each) for each in WITNESS_KEYS)
    except (UnknownKey, RetiredKey):
        return None
    if [key.public_key for key in keys] != [signer.public_key for signer in signers]:
        return None
    return Identity(tuple(keys), signers, stored)


def _held(store: KeyStore) -> bool:
    return any(entry.name in WITNESS_KEYS for entry in store.list())
