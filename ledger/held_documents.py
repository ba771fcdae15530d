"""What the ledger holds of a document that somebody shows, found by the hash of its signed bytes.

Questions that come together are asked together: on PostgreSQL one statement on another thread answers all that wait,
so under load waking threads and waiting for the server are shared. Nothing is remembered from one question to the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from ledger.database import Database

TOGETHER: Final = 256
"""Most questions in one statement."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the ledger holds of a presented document: which version of which licence, and how that stands."""

    licence: str
    version: int
    idx: int
    kid: str
    superseded: bool
    state: str
    slot: int


Found = tuple[Held | None, int | None]
"""What is held, if anything, and the number of the newest trust list, if there is one."""

_FIELDS = """
SELECT (SELECT max(seq) FROM trust_lists), v.licence, v.version, v.idx, v.{kid}, v.superseded_idx, l.state, s.value
FROM {asked} LEFT JOIN licence_versions v ON v.{digest} = asked.digest
LEFT JOIN licences l ON l.id = v.licence
LEFT JOIN slot_status s ON s.list_num = v.list_num AND s.slot = v.slot
"""
_ONE = "(SELECT ? AS digest) AS asked"
_MANY = "unnest(%b::bytea[]) WITH ORDINALITY AS asked(digest, place)"


def _statements(asked: str, order: str) -> dict[bool, str]:
    columns = {True: ("kid_code", "code_digest"), False: ("kid_licence", "jws_digest")}
    return {
        is_code: _FIELDS.format(asked=asked, kid=kid, digest=digest) + order
        for is_code, (kid, digest) in columns.items()
    }


_SQLITE = _statements(_ONE, "")
_POSTGRES = _statements(_MANY, "ORDER BY asked.place")

_Waiting = deque[tuple[bytes, "asyncio.Future[Found]"]]


class HeldDocuments:
    """Finds documents in one database; one a process, used from its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[bool, _Waiting] = {True: deque(), False: deque()}
        self._serving: dict[bool, asyncio.Task[None]] = {}

    async def find(self, digest: tuple[bool, bytes] | None) -> Found:
        """Find the document with this digest: whether it is a code, and the hash. Raises `Refusal`."""
        is_code, value = digest or (False, b"")  # no document has an empty hash
        if self._database.is_sqlite:  # a look by key is done sooner than a thread is woken
            return _found(self._database.rows(_SQLITE[is_code], (value,))[0])
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting[is_code].append((value, answer))
        if is_code not in self._serving:
            self._serving[is_code] = asyncio.create_task(self._serve(is_code))
        return await answer

    async def _serve(self, is_code: bool) -> None:
        """Ask for all that wait, one statement after the other, until nobody does."""
        waiting = self._waiting[is_code]
        try:
            while waiting:
                taken = [waiting.popleft() for _ in range(min(len(waiting), TOGETHER))]
                try:
                    values = [value for value, _ in taken]
                    rows = await self._database.rows_elsewhere(_POSTGRES[is_code], (values,))
                except Exception as error:  # noqa: BLE001 - raised where it was asked, for each who asked
                    for _, answer in taken:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), row in zip(taken, rows, strict=True):
                    if not answer.done():  # the caller has gone
                        answer.set_result(_found(row))
        finally:
            del self._serving[is_code]


def _found(row: tuple[object, ...]) -> Found:
    seq, licence, version, idx, kid, superseded, state, slot = row
    if licence is None:
        return None, seq  # type: ignore[return-value] # the columns' types are those of the tables
    return Held(licence, version, idx, kid, superseded is not None, state, slot or 0), seq  # type: ignore[arg-type,return-value] # likewise
