"""Whom licences are about: persons and organisations behind random ids, found by a keyed hash of their numbers.

The number itself stands only in the personal part of a record. The part that introduces a subject carries the keyed
hash beside it, so erasing the part erases the way to find it (protocol 5, 34).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.among import rows_among
from ledger.database import Reading, Writing, bulk_insert
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.ids import new_id, new_run
from ledger.tables.subjects import subject_index, subjects
from ledger.vault import Vault
from verifiers.encoding import b64u_decode, b64u_encode

_BY_HMAC = "SELECT hmac, subject FROM subject_index WHERE key_id = ? AND hmac {among}"

Number = tuple[str, str]
"""Kind (GB/T 36903 annex A) and text of an identity number."""


@dataclass(frozen=True, slots=True)
class Known:
    """How a subject stands in the index: `blind` is the newest key's number and hash; `new` if it is not there yet."""

    subject: str
    blind: tuple[int, bytes]
    new: bool

    def introduction(self, kind: str) -> dict[str, Any]:
        """Return what the first personal part about a new subject carries, nothing for a known one."""
        return (
            {"introduces": {"kind": kind, "key": self.blind[0], "hmac": b64u_encode(self.blind[1])}} if self.new else {}
        )


def find(tx: Reading, vault: Vault, id_type: str, number: str) -> str | None:
    """Return the subject with this number, or `None`."""
    hits = _look_up(tx, vault.blinds(id_type, number))
    return next(iter(hits.values()), None)


def resolve(tx: Reading, vault: Vault, numbers: Iterable[Number]) -> dict[Number, Known]:
    """Return the subject of each number, with a fresh id for those nobody introduced yet; one query a batch."""
    wanted = {number: vault.blinds(*number) for number in set(numbers)}
    hits = _look_up(tx, [blind for blinds in wanted.values() for blind in blinds])
    fresh: dict[tuple[int, bytes], str] = {}
    run = new_run()
    result = {}
    for number, blinds in wanted.items():
        known = next((hits[blind] for blind in blinds if blind in hits), None)
        # Two spellings of one number (15 and 18 digits) share a hash, so they share a new subject too.
        subject = known or fresh.setdefault(blinds[0], new_id(run))
        result[number] = Known(subject, blinds[0], known is None)
    return result


@dataclass(frozen=True, slots=True)
class StillNew:
    """Condition of a proposal: nobody has introduced this number meanwhile. Refused as `stale`, to prepare again."""

    key: int
    hmac: bytes

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[StillNew]) -> dict[StillNew, Refusal]:
        """Look all of them up in one query."""
        taken = _look_up(tx, [(each.key, each.hmac) for each in conditions])
        return {each: Refusal(Code.STALE) for each in conditions if (each.key, each.hmac) in taken}


@dataclass(frozen=True, slots=True)
class StillFound:
    """Condition of a proposal: this number still leads to this subject, not erased meanwhile. Refused as `stale`."""

    key: int
    hmac: bytes
    subject: str

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[StillFound]) -> dict[StillFound, Refusal]:
        """Look all of them up in one query."""
        found = _look_up(tx, [(each.key, each.hmac) for each in conditions])
        return {each: Refusal(Code.STALE) for each in conditions if found.get((each.key, each.hmac)) != each.subject}


def introduce(tx: Writing, events: Iterable[Event]) -> None:
    """Project the subjects that personal parts of `events` introduce; erased parts introduce nobody."""
    people, index = [], []
    for event in events:
        for part in event.subjects:
            if part is not None and "introduces" in part.body:
                who = part.body["introduces"]
                people.append((part.subject, who["kind"], event.idx))
                index.append((who["key"], b64u_decode(who["hmac"]), part.subject))
    bulk_insert(tx, subjects, people)
    bulk_insert(tx, subject_index, index)


def _look_up(tx: Reading, blinds: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], str]:
    found: dict[tuple[int, bytes], str] = {}
    by_key: dict[int, dict[bytes, None]] = {}
    for key, hmac in blinds:
        by_key.setdefault(key, {})[hmac] = None
    for key, hmacs in by_key.items():
        found.update({(key, bytes(row[0])): row[1] for row in rows_among(tx, _BY_HMAC, hmacs, key)})
    return found
