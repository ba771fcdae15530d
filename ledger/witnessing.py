"""Our witness (C2SP tlog-witness): it cosigns checkpoints of the logs it knows, each larger than the one before.

What it cosigned last stands in `witnessed_logs`, and one statement both compares and replaces it: the size, the root
and the time it started from, and the keys this database belongs to. So whatever other processes do meanwhile, size and
time never go back, and nothing is sent that was not stored. Signing holds no lock; a signature that loses the race is
thrown away unseen. Only lines that were checked are stored, the log's and our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ledger import misbehaviour
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.tables.witnessing import witness_identity, witnessed_logs
from ledger.watched_logs import Log, known_log
from ledger.witness_identity import Identity
from verifiers.add_checkpoint import AddCheckpoint, origin_hash, parse_request
from verifiers.checkpoint import Checkpoint, message, parse_checkpoint
from verifiers.errors import Malformed, ProofFailed, Reason, SignatureFailed
from verifiers.merkle import EMPTY_ROOT, check_consistency
from verifiers.note import Note, SignatureLine, check_lines, format_note, parse_note

if TYPE_CHECKING:
    from ledger.region import Region

EQUIVOCATION: Final = "equivocation"
"""Two heads of one size with two roots, both signed by the log."""
INCONSISTENT: Final = misbehaviour.UNPROVEN
"""A larger head, signed by the log, with a proof that does not lead there from the one before. Whoever sent it may have
broken the proof, so this alone convicts nobody."""

_ATTEMPTS: Final = 5


class Outcome(StrEnum):
    """How a request ends, apart from what keeps the witness from working at all (a `Refusal`)."""

    COSIGNED = "cosigned"
    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown_log"
    UNTRUSTED = "untrusted"
    CONFLICT = "conflict"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request: signature lines, the size cosigned last for a conflict, else a sentence.

    `origin` is the log's, None unless we know it; `misbehaviour` is the kind of what the log was seen to do, if any.
    """

    outcome: Outcome
    body: str
    origin: str | None = None
    misbehaviour: str | None = None


@dataclass(frozen=True, slots=True)
class _Last:
    """What was cosigned last; size 0 and time 0 where nothing ever was."""

    size: int
    root: bytes
    at: int
    note: str


_NEVER: Final = _Last(0, EMPTY_ROOT, 0, "")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request whose signatures were checked: `signed` are the log's lines, one by each of its keys."""

    request: AddCheckpoint
    text: str
    head: Checkpoint
    signed: tuple[SignatureLine, ...]


class Witness:
    """The witness of a region. Any number of them, in any number of processes, may work on one database."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def add_checkpoint(self, body: bytes) -> Result:
        """Check a request in the order of the specification, and cosign the checkpoint if all of it holds.

        Raises `Refusal` witness.state_missing, witness.clock (ours is behind what we cosigned), or for the database.
        """
        try:
            request = parse_request(body)
            note = parse_note(request.note_text)
            head = parse_checkpoint(note.text, any_root=True)
        except Malformed as error:
            return Result(Outcome.MALFORMED, f"{error.detail}\n")
        if request.old > head.size:
            return Result(Outcome.MALFORMED, "the old size is larger than the checkpoint\n")
        log = await self._region.database.read(lambda tx: self._known(tx, head.origin), cheap=True)
        if log is None:
            return Result(Outcome.UNKNOWN_LOG, "this witness does not know the log\n")
        try:
            signed = _checked(note, log)
        except SignatureFailed as error:
            return Result(Outcome.UNTRUSTED, f"{error.detail}\n", log.origin)
        return await self._answer(_Asked(request, note.text, head, signed))

    async def latest(self, hashed: str) -> str | None:
        """Return the newest checkpoint cosigned for the log whose origin has this SHA-256 (hex), None for none.

        Raises `Refusal` witness.state_missing.
        """

        def look(tx: Reading) -> str | None:
            self._region.witness_identity.required(tx)
            found = tx.execute(select(witnessed_logs.c.note).where(witnessed_logs.c.origin_hash == hashed))
            return found.scalar_one_or_none()

        return await self._region.database.read(look, cheap=True)

    async def _answer(self, asked: _Asked) -> Result:
        for _ in range(_ATTEMPTS):
            result = await self._try(asked)
            if result is not None:
                return result
        raise Refusal(Code.WRITER_BUSY, retry_after=1)

    async def _try(self, asked: _Asked) -> Result | None:
        """Give the answer, or None where another one changed what it rests on meanwhile."""
        origin = asked.head.origin
        identity, last = await self._region.database.read(lambda tx: self._state(tx, origin), cheap=True)
        refused = _judged(asked, last)
        if refused is not None:
            await self._keep(asked, last, refused)
            return refused
        now = int(self._region.clock.now().timestamp())
        if now < last.at:
            raise Refusal(Code.WITNESS_CLOCK, retry_after=last.at - now)
        if now == last.at and asked.head == Checkpoint(origin, last.size, last.root):
            # Asked again within the second: the very lines that are stored, and nothing is written.
            return Result(Outcome.COSIGNED, _ours(last.note, identity), origin)
        lines = await identity.cosign(asked.text, now)
        # A crash here loses signatures that nobody saw. The statement below is what makes them count.
        if not await self._region.database.write(lambda tx: self._swapped(tx, asked, identity, last, lines, now)):
            return None
        return Result(Outcome.COSIGNED, "".join(line.to_text() for line in lines), origin)

    def _known(self, tx: Reading, origin: str) -> Log | None:
        return known_log(tx, self._region, origin, self._region.witness_identity.required(tx))

    def _state(self, tx: Reading, origin: str) -> tuple[Identity, _Last]:
        identity = self._region.witness_identity.required(tx)
        row = tx.execute(select(witnessed_logs).where(witnessed_logs.c.origin == origin)).one_or_none()
        if row is None:
            return identity, _NEVER
        return identity, _Last(row.size, bytes(row.root), int(row.cosigned_at.timestamp()), row.note)

    def _swapped(
        self, tx: Writing, asked: _Asked, identity: Identity, last: _Last, lines: Sequence[SignatureLine], now: int
    ) -> bool:
        """Store what was signed if nothing has changed since `last` was read; tell whether it was stored."""
        origin, table = asked.head.origin, witnessed_logs
        at = datetime.fromtimestamp(now, UTC)
        row: dict[str, Any] = {
            "size": asked.head.size,
            "root": asked.head.root,
            "note": format_note(asked.text, (*asked.signed, *lines)),
            "cosigned_at": at,
        }
        ours = exists(select(witness_identity.c.id).where(witness_identity.c.vkeys == identity.stored))
        if last is _NEVER:
            row = {"origin": origin, "origin_hash": origin_hash(origin), **row}
            values = [literal(value, table.c[name].type) for name, value in row.items()]
            inserting = sqlite_insert if tx.dialect.name == "sqlite" else postgresql_insert
            first = inserting(table).from_select(list(row), select(*values).where(ours), include_defaults=False)
            return tx.execute(first.on_conflict_do_nothing().returning(table.c.size)).first() is not None
        unchanged = (table.c.origin == origin) & (table.c.size == last.size) & (table.c.root == last.root)
        swap = update(table).where(unchanged, table.c.cosigned_at <= at, ours).values(row)
        return tx.execute(swap).rowcount == 1

    async def _keep(self, asked: _Asked, last: _Last, refused: Result) -> None:
        if refused.misbehaviour is None:
            return
        kind, origin = refused.misbehaviour, asked.head.origin
        before = parse_note(last.note)
        about = before.text, asked.text
        if await self._region.database.read(lambda tx: misbehaviour.known(tx, origin, kind, about), cheap=True):
            return  # nobody makes us write by sending the same again
        evidence = {"cosigned": last.note, "given": format_note(asked.text, asked.signed)}
        detail = f"size {asked.head.size} after size {last.size} was cosigned: {refused.body.rstrip()}"
        at = self._region.clock.now()
        await self._region.database.write(lambda tx: misbehaviour.keep(tx, origin, kind, detail, evidence, about, at))


def _checked(note: Note, log: Log) -> tuple[SignatureLine, ...]:
    """Return the log's lines, each checked and none missing. Raises `SignatureFailed`."""
    signed = {signature.key for signature in check_lines(note, log.keys, message)}
    if signed != set(log.keys):
        missing = next(key for key in log.keys if key not in signed)
        raise SignatureFailed(Reason.CHECKPOINT_UNSIGNED, f"{missing.name} ({missing.type:#04x}) has not signed")
    names = {(key.name, key.key_id) for key in log.keys}
    return tuple(line for line in note.lines if (line.name, line.key_id) in names)


def _judged(asked: _Asked, last: _Last) -> Result | None:
    """Return why the checkpoint is not cosigned after `last`, None if it is."""
    head, request = asked.head, asked.request
    forked = head.size == last.size and head.root != last.root
    # A second root for one size convicts the log, whatever old size came with it.
    seen = EQUIVOCATION if forked and last is not _NEVER else None
    if request.old != last.size:
        return Result(Outcome.CONFLICT, f"{last.size}\n", head.origin, seen)
    if forked and last is not _NEVER:
        return Result(Outcome.INCONSISTENT, "another root was cosigned for this size\n", head.origin, seen)
    try:
        check_consistency(last.size, last.root, head.size, head.root, request.proof)
    except ProofFailed as error:
        grew = INCONSISTENT if request.proof and last.size else None
        return Result(Outcome.INCONSISTENT, f"{error.detail}\n", head.origin, grew)
    return None


def _ours(note: str, identity: Identity) -> str:
    names = {(key.name, key.key_id) for key in identity.keys}
    return "".join(line.to_text() for line in parse_note(note).lines if (line.name, line.key_id) in names)
