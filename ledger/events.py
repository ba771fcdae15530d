"""What happened: an event is one entry of the log together with its opened record, and projectors turn it into rows.

The same projectors run in the writer (inside the committing transaction) and in `rebuild`. They see whole batches, but
where one batch ends and the next begins differs between the two, and `sealed` entries are shuffled inside their
batch; so a projector must give the same rows however the events are sliced, and relies on order only among events of
one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from ledger.database import Writing

NO_DOCUMENT: Final = bytes(32)
"""Stands for the digest of a licence or code where the event has none (protocol rule 4)."""


@dataclass(frozen=True, slots=True)
class SubjectPart:
    """One personal part of a record: the `subject` it is about and its JSON `body` (canonical JSON domain)."""

    subject: str
    body: dict[str, Any]


@dataclass(slots=True)  # not frozen: made for every row
class Draft:
    """An event that is signed but has no place in the log yet.

    `statement` is the compact JWS whose payload is `facts`; it becomes part 0 of the record. `facts` names the `thing`
    the event is about and its number `n` among that thing's events (from 0); `ref` (16 bytes) is their public trace.
    `salt_d`, `jws_digest` and `code_digest` (32 bytes each) commit to the licence document and its static code.
    `segments` are header, payload and signature of the statement before base64url, so that sealing need not undo it.
    """

    kind: str
    by: str
    ref: bytes
    event: str
    facts: dict[str, Any]
    statement: bytes
    subjects: tuple[SubjectPart, ...] = ()
    salt_d: bytes = NO_DOCUMENT
    jws_digest: bytes = NO_DOCUMENT
    code_digest: bytes = NO_DOCUMENT
    segments: tuple[bytes, bytes, bytes] | None = None

    @property
    def thing(self) -> str:
        """The id of the thing this is an event of."""
        return str(self.facts["thing"])

    @property
    def n(self) -> int:
        """How many events of this thing came before."""
        return int(self.facts["n"])


class Event(NamedTuple):
    """An event with its place in the log; a subject part is `None` once it was erased."""

    # A tuple, because a frozen dataclass takes three times as long to make, and the writer makes one an entry.
    idx: int
    at: datetime
    kind: str
    by: str
    ref: bytes
    event: str
    facts: dict[str, Any]
    subjects: tuple[SubjectPart | None, ...]

    def __repr__(self) -> str:
        """Leave out what may be personal."""
        return f"Event(idx={self.idx}, kind={self.kind!r}, by={self.by!r}, event={self.event!r})"

    @property
    def thing(self) -> str:
        """The id of the thing this is an event of."""
        return str(self.facts["thing"])

    @property
    def n(self) -> int:
        """How many events of this thing came before."""
        return int(self.facts["n"])


Projector = Callable[[Writing, Sequence[Event]], None]
"""Turns all events of its names in one batch, in index order, into rows; uses `bulk_insert` or set-based SQL."""

_projectors: dict[str, Projector] = {}


def projector(*names: str) -> Callable[[Projector], Projector]:
    """Register a function as the projector of the events called `names`; each event has exactly one."""

    def register(function: Projector) -> Projector:
        for name in names:
            if name in _projectors:
                raise ValueError(f"event {name!r} has a projector already")
            _projectors[name] = function
        return function

    return register


def project(tx: Writing, events: Sequence[Event]) -> None:
    """Bring all projections up to date with `events`, which are in index order.

    Projectors are called one after the other, in the order in which their first event appears.
    Raises `KeyError` for an event nobody projects: it must not be logged at all.
    """
    by_projector: dict[Projector, list[Event]] = {}
    for event in events:
        by_projector.setdefault(_projectors[event.event], []).append(event)
    for function, theirs in by_projector.items():
        function(tx, theirs)


def replay(tx: Writing, events: Sequence[Event]) -> None:
    """Project `events` strictly in the order of the log, however many projectors take turns.

    Inside one batch of the writer things that affect one another never meet, so `project` may gather what each
    projector has to do. A slice of a replay holds many batches: there a decision may come before the licence of the
    next batch and after that of the last one.
    """
    for function, run in groupby(events, key=lambda event: _projectors[event.event]):
        function(tx, list(run))


def projected_events() -> frozenset[str]:
    """Name every event some projector is registered for."""
    return frozenset(_projectors)
