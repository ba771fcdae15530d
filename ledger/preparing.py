"""Preparing licences: from requests to proposals, signed and sealed, that wait for nothing but their place in the log.

The same function runs in the serving process and in those beside it (`ledger.preparers`). It writes nothing and decides
nothing for good: what it relied on is stated in each proposal, and asked again under the head lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ledger import subjects
from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.composing import Authorisation, Checked, check_request, document_of, look_up, proposal_of, take_slots
from ledger.documents import Issuer, draft_documents
from ledger.errors import Code, Refusal
from ledger.ids import new_run
from ledger.issue_requests import IssueRequest
from ledger.issued import Given, Written, given_of
from ledger.proposals import IdempotencyKey
from ledger.recording import acted
from ledger.sealing import SealedProposal, seal
from ledger.vault import Vault
from ledger.workplace import Workplace
from verifiers.legal_dates import day_of

_YIELD_EVERY: Final = 32
"""Rows between two looks at the event loop: about a millisecond of work."""

SMALL: Final = 64
"""Requests up to which they are some single requests that came together; those go before the rows of a batch."""

Again = tuple[bytes, bytes]
"""The slot under which an answer is kept, and the keyed hash of the body it was given for."""


class Source(Protocol):
    """Requests in the form in which they came; what is not read yet is read where it is prepared."""

    def __len__(self) -> int:
        """How many there are."""

    def pick(self, positions: Sequence[int]) -> Source:
        """Return those at `positions` alone."""
        ...

    def request(self, position: int, client: str, vault: Vault) -> IssueRequest:
        """Read one of them. Raises `Refusal` where it cannot be read."""
        ...

    def shown(self, position: int, given: Given) -> Given | Written:
        """Return what its caller will be given, written out already where that is how it is sent."""
        ...


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that were read before."""

    requests: tuple[IssueRequest, ...]

    def __len__(self) -> int:
        return len(self.requests)

    def pick(self, positions: Sequence[int]) -> Requests:
        """Return those at `positions` alone."""
        return Requests(tuple(self.requests[position] for position in positions))

    def request(self, position: int, client: str, vault: Vault) -> IssueRequest:  # noqa: ARG002 - as in `Source`
        """Return one of them."""
        return self.requests[position]

    def shown(self, position: int, given: Given) -> Given:  # noqa: ARG002 - as in `Source`
        """Return `given`."""
        return given


@dataclass(frozen=True, slots=True)
class Refused:
    """The request at `position` is refused; `again` finds what it was answered before, if it ever was."""

    position: int
    refusal: Refusal
    again: Again | None


@dataclass(slots=True)  # not frozen: made for every row
class Ready:
    """The request at `position` waits for its place in the log; `shown` is for its caller once it has one."""

    position: int
    sealed: SealedProposal
    shown: Given | Written


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of preparing: each request is in one of the two."""

    refused: tuple[Refused, ...]
    ready: tuple[Ready, ...]


async def prepare(place: Workplace, actor: Actor, source: Source, now: datetime) -> Prepared:
    """Read, check, look up, build, sign and seal each request of `source` in the actor's department.

    Raises `Refusal` where nothing can be prepared at all: the database has gone.
    """
    catalogue, today = place.catalogue, day_of(now)
    refused: list[Refused] = []
    requests: dict[int, IssueRequest] = {}
    for position in range(len(source)):
        try:
            requests[position] = source.request(position, actor.client, place.vault)
        except Refusal as refusal:
            refused.append(Refused(position, refusal, None))
        await _breathe(position)

    def refuse(position: int, refusal: Refusal) -> None:
        refused.append(Refused(position, refusal, again_of(requests[position].idempotency, place.vault)))

    try:
        issuer = Issuer.of(catalogue, actor.department, place.config.region)
    except Refusal as refusal:
        for position in requests:
            refuse(position, refusal)
        return Prepared(tuple(refused), ())
    checked: dict[int, Checked] = {}
    for position, request in requests.items():
        try:
            checked[position] = check_request(catalogue, actor, request, today)
        except Refusal as refusal:
            refuse(position, refusal)
    if not checked:
        return Prepared(tuple(refused), ())
    asked = list(checked.values())
    known, facts = await place.database.read(lambda tx: look_up(tx, place.vault, asked), cheap=True)
    for position, each in list(checked.items()):
        try:
            facts.check(each.request.rests_on, each.request.submission, today.isoformat())
        except Refusal as refusal:
            refuse(position, refusal)
            del checked[position]
    try:
        ready = await _sealed(place, actor, source, Grounds(catalogue, issuer, known, now), checked)
    except Refusal as refusal:
        if refusal.code is not Code.STALE:
            raise
        for position in checked:
            refuse(position, refusal)
        ready = ()
    return Prepared(tuple(refused), ready)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What licences prepared together are built from."""

    catalogue: Catalogue
    issuer: Issuer
    known: dict[subjects.Number, subjects.Known]
    now: datetime


async def _sealed(
    place: Workplace, actor: Actor, source: Source, grounds: Grounds, checked: Mapping[int, Checked]
) -> tuple[Ready, ...]:
    issuer, today = grounds.issuer, day_of(grounds.now)
    slots = await take_slots(place, [each.valid_until for each in checked.values()])
    introduced: set[str] = set()
    run = new_run()
    documents = [
        document_of(each, issuer, grounds.known, slot, today, acted(each.request.actor or actor), introduced, run)
        for each, slot in zip(checked.values(), slots, strict=True)
    ]
    signed = await draft_documents(place, issuer, documents, int(grounds.now.timestamp()))
    rules: dict[tuple[str, int, str], Authorisation] = {}
    ready = []
    for (position, each), mine in zip(checked.items(), signed, strict=True):
        definition = each.type.definition
        key = (definition.code, definition.major, each.area)
        rule = rules.get(key) or rules.setdefault(key, Authorisation.of(issuer, definition, each.area, "issue"))
        proposal = proposal_of(each, mine, grounds.known, grounds.catalogue, rule, today)
        ready.append(Ready(position, seal(proposal, place.vault), source.shown(position, given_of(mine))))
        await _breathe(len(ready))
    return tuple(ready)


async def _breathe(position: int) -> None:
    """Let single requests have their turn between the rows of a batch."""
    if position % _YIELD_EVERY == _YIELD_EVERY - 1:
        await asyncio.sleep(0)


def again_of(key: IdempotencyKey | None, vault: Vault) -> Again | None:
    """Return what finds the answer that the same request was given before."""
    return None if key is None else (vault.idempotency_slot(key.client, key.endpoint, key.key), key.mac)
