"""What the ledger holds of a document that somebody shows, found by the hash of its signed bytes."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ledger.database import Database
from ledger.gathered_reads import GatheredReads


class Held(NamedTuple):
    """What the ledger holds of a presented document: which version of which licence, and how that stands."""

    # A tuple, because a frozen dataclass takes three times as long to make, and every verification makes one.
    licence: str
    version: int
    idx: int
    kid: str
    superseded: bool
    state: str
    slot: int


Found = tuple[Held | None, int | None]
"""What is held, if anything, and the number of the newest trust list, if there is one."""

_FIELDS: Final = """
SELECT {place} (SELECT max(seq) FROM trust_lists),
v.licence, v.version, v.idx, v.{kid}, v.superseded_idx, l.state, s.value
FROM {asked} LEFT JOIN licence_versions v ON v.{digest} = asked.digest
LEFT JOIN licences l ON l.id = v.licence
LEFT JOIN slot_status s ON s.list_num = v.list_num AND s.slot = v.slot
"""
_ONE: Final = {"place": "", "asked": "(SELECT ? AS digest) AS asked"}
_MANY: Final = {"place": "asked.place,", "asked": "unnest(%b::bytea[]) WITH ORDINALITY AS asked(digest, place)"}


class HeldDocuments:
    """Finds documents in one database; one a process, used from its event loop."""

    def __init__(self, database: Database) -> None:
        columns = {True: ("kid_code", "code_digest"), False: ("kid_licence", "jws_digest")}
        self._reads = {
            is_code: GatheredReads(
                database,
                _FIELDS.format(kid=kid, digest=digest, **_ONE),
                _FIELDS.format(kid=kid, digest=digest, **_MANY) + "ORDER BY asked.place",
            )
            for is_code, (kid, digest) in columns.items()
        }

    async def find(self, digest: tuple[bool, bytes] | None) -> Found:
        """Find the document with this digest: whether it is a code, and the hash. Raises `Refusal`."""
        is_code, value = digest or (False, b"")  # no document has an empty hash
        [(seq, *row)] = await self._reads[is_code].find(value)
        return None if row[0] is None else held_of(row), seq


def held_of(row: list[Any]) -> Held:
    """Return what a row says: licence, version, idx, kid, superseded_idx, state, slot's value."""
    licence, version, idx, kid, superseded, state, slot = row
    return Held(licence, version, idx, kid, superseded is not None, state, slot or 0)
