"""What goes between the serving process and its preparers: whole messages, a length before each.

The messages are pickles. That is safe here and nowhere else: they come over a pair of connected sockets that the
serving process made and handed to a child of its own, which runs the same code and holds the same keys; nobody else
can write to either end, and what callers sent is inside them as plain bytes or values already read.

Nothing signed may leave before the commit; this pipe does not leave the service. What the log's tables are not made
from stays behind: the statement and the personal parts are in the sealed blobs, and projectors read few members.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import pickle
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from ledger.actors import Actor
from ledger.bans import NotBanned
from ledger.bases import NumberFree
from ledger.composing import Authorisation
from ledger.errors import Code, Refusal
from ledger.events import Draft, SubjectPart
from ledger.issue_requests import BasisRequest, HolderRequest, IssueRequest
from ledger.issued import Given, Written
from ledger.lineage import BasisSound
from ledger.preparing import Prepared, Ready, Refused, Requests
from ledger.proposals import IdempotencyKey, Proposal
from ledger.sealing import SealedDraft, SealedProposal
from ledger.status_slots import Slot
from ledger.subjects import StillFound, StillNew

LIMIT: Final = 4 * 2**20
"""Bytes read ahead of what was asked for; a message itself may be longer."""

PROJECTED: Final = frozenset({"introduces", "number_mac"})
"""Members of personal parts that become rows."""

_HEAD: Final = 4

_Reduce = Callable[[Any], tuple[Any, ...]]


async def receive(reader: asyncio.StreamReader) -> Any:
    """Read one message. Raises `asyncio.IncompleteReadError` where the other side has gone."""
    size = int.from_bytes(await reader.readexactly(_HEAD), "big")
    return pickle.loads(await reader.readexactly(size))  # noqa: S301 - from our own process: see above


async def send(writer: asyncio.StreamWriter, message: Any) -> None:
    """Write one message. Raises `OSError` where the other side has gone."""
    writer.write(packed(message))
    await writer.drain()


def packed(message: Any) -> bytes:
    """Return a message with its length before it."""
    file = io.BytesIO()
    file.write(bytes(_HEAD))
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(message)
    view = file.getbuffer()
    view[:_HEAD] = (len(view) - _HEAD).to_bytes(_HEAD, "big")
    view.release()
    return file.getvalue()


def _plain(kind: type[Any]) -> _Reduce:
    """Give a value class as a call with its fields: a tenth of what a frozen dataclass costs otherwise."""
    names = tuple(each.name for each in dataclasses.fields(kind))
    if len(names) == 1:
        return lambda value: (kind, (getattr(value, names[0]),))
    fields = attrgetter(*names)
    return lambda value: (kind, fields(value))


def _draft(draft: Draft) -> tuple[Any, ...]:
    return Draft, (draft.kind, draft.by, draft.ref, draft.event, draft.facts, b"", draft.subjects)


def _part(part: SubjectPart) -> tuple[Any, ...]:
    body = part.body
    return SubjectPart, (part.subject, {name: body[name] for name in PROJECTED if name in body})


def _refusal(refusal: Refusal) -> tuple[Any, ...]:
    return _refused, (str(refusal.code), refusal.pointer, refusal.facts)


def _refused(code: str, pointer: str | None, facts: dict[str, Any]) -> Refusal:
    return Refusal(Code(code), pointer, **facts)


_PLAIN: Final = (
    Actor,
    Authorisation,
    BasisRequest,
    BasisSound,
    Given,
    HolderRequest,
    IdempotencyKey,
    IssueRequest,
    NotBanned,
    NumberFree,
    Prepared,
    Proposal,
    Ready,
    Refused,
    Requests,
    SealedDraft,
    SealedProposal,
    Slot,
    StillFound,
    StillNew,
    Written,
)
_REDUCERS: Final[dict[type, _Reduce]] = {kind: _plain(kind) for kind in _PLAIN} | {
    Draft: _draft,
    SubjectPart: _part,
    Refusal: _refusal,
}
