"""Rows of a batch: each a request of its own with a key of its own, worked off many at a time.

The `client_ref` of a row is unique for its client for ever. Whoever sends a row again, in whichever batch, gets what it
got before; that is what makes a batch resumable after anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from ledger import importing, issuing
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.importing import ImportRequest, parse_import
from ledger.issue_requests import IssueRequest, parse_issue
from ledger.issued import Given, Issued, Written
from ledger.issuing import Outcome
from ledger.preparing import Source
from ledger.proposals import IdempotencyKey
from ledger.vault import Vault
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

KINDS: Final = ("issue", "import")

CHUNK: Final = issuing.CHUNK
"""Rows that are worked off together."""

ENDPOINT: Final = "batch row"
"""The same for every way in, so that a row is known again whichever way it comes."""

PASSING: Final = frozenset({Code.WRITER_BUSY, Code.DATABASE_UNAVAILABLE, Code.COMMIT_UNKNOWN, Code.STALE})
"""Refusals that say nothing about the row: the same row may well be accepted a moment later."""

_PAUSES_S: Final = (0.1, 0.4, 1.6)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row as it was sent: its line number from 1, its `client_ref`, its members, or why it cannot be read."""

    number: int
    ref: str | None
    body: Any = field(repr=False)
    refusal: Refusal | None = None


def key_of(vault: Vault, client: str, kind: str, row: BatchRow) -> IdempotencyKey:
    """Return what makes a row the same row again."""
    said = orjson.dumps([kind, row.body], option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(client, ENDPOINT, row.ref or "", vault.body_mac(said))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to issue, as a source for `ledger.issuing`; where `numbers_only`, only their entries are asked for."""

    rows: tuple[BatchRow, ...]
    numbers_only: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, positions: Sequence[int]) -> Rows:
        """Return those at `positions` alone."""
        return Rows(tuple(self.rows[position] for position in positions), self.numbers_only)

    def request(self, position: int, client: str, vault: Vault) -> IssueRequest:
        """Read one of them. Raises its `Refusal`."""
        row = self.rows[position]
        if row.refusal is not None:
            raise row.refusal
        return parse_issue(row.body, key_of(vault, client, "issue", row))

    def shown(self, position: int, given: Given) -> Given | Written:  # noqa: ARG002 - as in `Source`
        """Return `given`, or nothing but room for the number."""
        return Written(b"", b"") if self.numbers_only else given


async def issue_patiently(region: Region, actor: Actor, source: Source) -> list[Outcome]:
    """Issue a licence for each row of a chunk, and return the outcomes in the same order.

    What passes by itself is tried a few times more; nothing is raised for what a row says or for what happens to the
    database meanwhile.
    """
    outcomes = await _issue(region, actor, source)
    for pause in _PAUSES_S:
        again = [position for position, outcome in enumerate(outcomes) if passes(outcome)]
        if not again:
            break
        await asyncio.sleep(pause)
        answers = await _issue(region, actor, source.pick(again))
        for position, answer in zip(again, answers, strict=True):
            outcomes[position] = answer
    return outcomes


async def _issue(region: Region, actor: Actor, source: Source) -> list[Outcome]:
    try:
        return await issuing.issue_from(region, actor, source)
    except Refusal as refusal:  # the database has gone, or the writer stops: true of every row
        return [refusal] * len(source)


async def work_off(
    region: Region, actor: Actor, kind: str, rule: str, rows: Sequence[BatchRow], *, numbers_only: bool = False
) -> list[Outcome]:
    """Issue or import each row (`kind` of `KINDS`), and return the outcomes in the same order.

    `rule` is for imports. Issuing is patient as `issue_patiently`, and so is importing. With `numbers_only` an issued
    row is answered by its entry alone.
    """
    if kind == "issue":
        return await issue_patiently(region, actor, Rows(tuple(rows), numbers_only))
    outcomes = await _import(region, actor, rule, rows)
    for pause in _PAUSES_S:
        again = [position for position, outcome in enumerate(outcomes) if passes(outcome)]
        if not again:
            break
        await asyncio.sleep(pause)
        answers = await _import(region, actor, rule, [rows[position] for position in again])
        for position, answer in zip(again, answers, strict=True):
            outcomes[position] = answer
    return outcomes


def passes(outcome: Outcome) -> bool:
    """Tell whether an outcome is a refusal that says nothing about the row."""
    return isinstance(outcome, Refusal) and outcome.code in PASSING


async def _import(region: Region, actor: Actor, rule: str, rows: Sequence[BatchRow]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    imports: list[ImportRequest] = []
    sound: list[int] = []
    today = day_of(region.clock.now())
    for position, row in enumerate(rows):
        try:
            if row.refusal is not None:
                raise row.refusal
            imports.append(parse_import(row.body, today, key_of(region.vault, actor.client, "import", row)))
            sound.append(position)
        except Refusal as refusal:
            outcomes[position] = refusal
        if position % 64 == 63:
            await asyncio.sleep(0)  # single requests get their turn
    answers: list[Issued | Refusal]
    try:
        answers = await importing.import_licences(region, actor, imports, rule=rule)
    except Refusal as refusal:  # the database has gone, or the writer stops: true of every row
        answers = [refusal] * len(sound)
    outcomes.update(zip(sound, answers, strict=True))
    return [outcomes[position] for position in range(len(rows))]
