"""Batches in the background: taken in chunk by chunk, worked off in turn, resumed after a restart by any process.

A chunk that was under way when the process ended is done again; its rows that were issued are answered from the log,
because each has its own key (`ledger.batch_rows`). Personal data lies sealed, and only until a row is done: what came
of it is kept as the number of its entry, from which the answer is written anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import delete, func, insert, or_, select, update

from ledger import clients
from ledger.actors import Actor
from ledger.batch_rows import CHUNK, BatchRow, passes, work_off
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.ids import new_id
from ledger.issued import Issued, issued_before
from ledger.issuing import Outcome
from ledger.pacing import Pulse
from ledger.tables.batches import batch_chunks, batches
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

LEASE_S: Final = 60
"""A process that says nothing for so long has died, and another takes its batch over."""

KEPT_S: Final = 30 * 86_400
"""How long results can be fetched."""

_ABANDONED_S: Final = 86_400
_AHEAD: Final = 3
_AHEAD_ELSEWHERE: Final = 6
ENDPOINT: Final = "batch"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with the rows of a batch: `kind` and `rule` as `batch_rows.work_off` takes them."""

    kind: str
    rule: str
    key: str | None


async def take_in(region: Region, actor: Actor, order: Order, rows: AsyncIterator[BatchRow]) -> dict[str, Any]:
    """Take in a whole batch, holding one chunk of it at a time, and return its status.

    The same key with the same rows gives the batch that is there. Raises `Refusal` batch.empty,
    idempotency.conflict, or what reading the rows raises; then nothing is kept.
    """
    id_, now = new_id(), int(region.clock.now().timestamp())
    digest, count, number = hashlib.sha256(orjson.dumps([order.kind, order.rule])), 0, 0
    await region.database.write(lambda tx: _open(tx, id_, actor, order, now))
    try:
        chunk: list[BatchRow] = []
        async for row in rows:
            chunk.append(row)
            if len(chunk) == CHUNK:
                await _store(region, id_, number, count, chunk, digest)
                count, number, chunk = count + len(chunk), number + 1, []
        if chunk:
            await _store(region, id_, number, count, chunk, digest)
            count += len(chunk)
        if count == 0:
            raise Refusal(Code.BATCH_EMPTY)
        mac = region.vault.body_mac(digest.digest())
        slot = None if order.key is None else region.vault.idempotency_slot(actor.client, ENDPOINT, order.key)
        known = await region.database.write(lambda tx: _close(tx, id_, slot, mac, count))
    except BaseException:
        await asyncio.shield(region.database.write(lambda tx: _drop(tx, [id_])))
        raise
    return await region.database.read(lambda tx: status(tx, actor, known))


async def _store(region: Region, id_: str, number: int, first: int, rows: Sequence[BatchRow], digest: Any) -> None:
    said = orjson.dumps([_row_json(row) for row in rows], default=str, option=orjson.OPT_SORT_KEYS)
    digest.update(said)
    sealed = await asyncio.to_thread(region.vault.seal_answer, said)
    values = {"batch": id_, "number": number, "first": first, "rows": len(rows), "sent": sealed}
    await region.database.write(lambda tx: tx.execute(insert(batch_chunks).values(values)))


def _row_json(row: BatchRow) -> list[Any]:
    return [row.number, row.ref, row.body, None if row.refusal is None else _refusal_json(row.refusal)]


def _refusal_json(refusal: Refusal) -> list[Any]:
    return [str(refusal.code), refusal.pointer, refusal.facts]


def _refusal(said: list[Any]) -> Refusal:
    return Refusal(Code(said[0]), said[1], **said[2])


def _open(tx: Writing, id_: str, actor: Actor, order: Order, now: int) -> None:
    tx.execute(
        insert(batches).values(
            id=id_,
            slot=None,
            mac=bytes(32),
            client=actor.client,
            department=actor.department,
            officer=actor.operator,
            areas=orjson.dumps(sorted(actor.areas)).decode(),
            kind=order.kind,
            rule=order.rule,
            state="receiving",
            rows=0,
            done=0,
            refused=0,
            created_at=now,
            holder="",
            lease_until=0,
        )
    )


def _close(tx: Writing, id_: str, slot: bytes | None, mac: bytes, rows: int) -> str:
    """Let a batch that is all here wait for its turn, unless it was sent before; return the one that counts."""
    if slot is not None:
        known = tx.execute(select(batches.c.id, batches.c.mac).where(batches.c.slot == slot)).one_or_none()
        if known is not None:
            if not secrets.compare_digest(bytes(known.mac), mac):
                raise Refusal(Code.IDEMPOTENCY_CONFLICT)
            _drop(tx, [id_])
            return str(known.id)
    tx.execute(update(batches).where(batches.c.id == id_).values(slot=slot, mac=mac, rows=rows, state="waiting"))
    return id_


def _drop(tx: Writing, ids: Sequence[str]) -> None:
    tx.execute(delete(batch_chunks).where(batch_chunks.c.batch.in_(ids)))
    tx.execute(delete(batches).where(batches.c.id.in_(ids)))


def status(tx: Reading, actor: Actor, id_: str) -> dict[str, Any]:
    """Return how far a batch of the actor's department is. Raises `Refusal` batch.unknown."""
    row = _load(tx, actor, id_)
    finished = None if row.finished_at is None else format_time(datetime.fromtimestamp(row.finished_at, UTC))
    return {
        "id": row.id,
        "kind": row.kind,
        "rule": row.rule,
        "state": row.state,
        "rows": row.rows,
        "done": row.done,
        "accepted": row.done - row.refused,
        "refused": row.refused,
        "created_at": format_time(datetime.fromtimestamp(row.created_at, UTC)),
        "finished_at": finished,
    }


def _load(tx: Reading, actor: Actor, id_: str) -> Any:
    mine = (batches.c.id == id_, batches.c.department == actor.department)
    row = tx.execute(select(batches).where(*mine)).one_or_none()
    if row is None:
        raise Refusal(Code.BATCH_UNKNOWN)
    return row


async def results(
    region: Region, actor: Actor, id_: str, position: int, limit: int
) -> tuple[list[tuple[int, str | None, Issued | Refusal]], str, bool]:
    """Return up to `limit` outcomes from `position` on as (line, client_ref, outcome), the state, and whether all came.

    Outcomes come in the order of the rows, as far as they are known. Raises `Refusal` batch.unknown.
    """

    def read(tx: Reading) -> tuple[Any, list[Any]]:
        batch = _load(tx, actor, id_)
        table = batch_chunks.c
        wanted = (table.batch == id_, table.first + table.rows > position, table.first < position + limit)
        return batch, list(tx.execute(select(batch_chunks).where(*wanted).order_by(table.number)))

    batch, chunks = await region.database.read(read)
    found: list[tuple[int, str | None, Issued | Refusal]] = []
    for chunk in chunks:
        if chunk.outcome is None:
            break
        said = orjson.loads(region.vault.open_answer(bytes(chunk.outcome)))
        for number, ref, entry, refusal in said[max(0, position - chunk.first) : position + limit - chunk.first]:
            found.append((number, ref, _refusal(refusal) if refusal else await issued_before(region, entry)))
    return found, batch.state, batch.state == "done" and position + len(found) >= batch.rows


class BatchRunner:
    """Works off what is waiting, one batch at a time and a few chunks ahead; one a process."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._me = new_id()
        self._ending = False
        self.pulse = Pulse("batches", self.step, pause_s=0.05, idle_s=2.0)

    async def stop(self) -> None:
        """End after the chunks under way; whoever starts next goes on from there."""
        self._ending = True
        await self.pulse.stop()

    async def step(self) -> None:
        """Work off every batch that waits or whose process has died, the oldest first; forget what is too old."""
        now = int(self._region.clock.now().timestamp())
        await self._region.database.write(lambda tx: _forget(tx, now))
        while not self._ending:
            batch = await self._region.database.write(self._take)
            if batch is None:
                return
            await self._run(batch)

    def _take(self, tx: Writing) -> Any:
        now = int(self._region.clock.now().timestamp())
        free = or_(batches.c.lease_until < now, batches.c.holder == self._me)
        query = select(batches).where(batches.c.state.in_(("waiting", "running")), free)
        row = tx.execute(query.order_by(batches.c.created_at, batches.c.id).limit(1).with_for_update()).one_or_none()
        if row is not None:
            mine = {"state": "running", "holder": self._me, "lease_until": now + LEASE_S}
            tx.execute(update(batches).where(batches.c.id == row.id).values(mine))
        return row

    async def _run(self, batch: Any) -> None:
        under_way: deque[asyncio.Task[None]] = deque()
        left = await self._region.database.read(lambda tx: _open_chunks(tx, batch.id))
        try:
            for number in left:
                if self._ending:
                    break
                under_way.append(asyncio.create_task(self._work(batch, number)))
                if len(under_way) >= (_AHEAD if self._region.preparers is None else _AHEAD_ELSEWHERE):
                    await under_way.popleft()
        finally:
            failures = [each for each in await asyncio.gather(*under_way, return_exceptions=True) if each is not None]
        if failures:
            raise failures[0]
        if not self._ending:
            await self._region.database.write(lambda tx: self._finish(tx, batch.id))

    async def _work(self, batch: Any, number: int) -> None:
        """Work off one chunk. Raises a passing refusal, so that the chunk is done again later."""
        region = self._region
        rows = await region.database.read(lambda tx: _rows_of(tx, region, batch.id, number))
        if not rows:
            return
        actor = Actor(
            client=batch.client,
            department=batch.department,
            scopes=frozenset({"issue"}),
            operator=batch.officer,
            areas=frozenset(orjson.loads(batch.areas)),
        )
        if await region.database.read(lambda tx: _shut_out(tx, batch.client)):
            outcomes: list[Outcome] = [Refusal(Code.CLIENT_DISABLED)] * len(rows)
        else:
            outcomes = await work_off(region, actor, batch.kind, batch.rule, rows, numbers_only=True)
        waiting = [each for each in outcomes if passes(each) or _must_wait(each)]
        if waiting and isinstance(waiting[0], Refusal):
            raise waiting[0]
        said = [
            [row.number, row.ref, *((None, _refusal_json(each)) if isinstance(each, Refusal) else (each.entry, None))]
            for row, each in zip(rows, outcomes, strict=True)
        ]
        sealed = await asyncio.to_thread(region.vault.seal_answer, orjson.dumps(said, default=str))
        refused = sum(isinstance(each, Refusal) for each in outcomes)
        await region.database.write(lambda tx: self._done(tx, batch.id, number, sealed, refused))

    def _done(self, tx: Writing, id_: str, number: int, sealed: bytes, refused: int) -> None:
        this = (batch_chunks.c.batch == id_, batch_chunks.c.number == number, batch_chunks.c.outcome.is_(None))
        rows = tx.execute(select(batch_chunks.c.rows).where(*this)).scalar_one_or_none()
        if rows is None:
            return  # another process was given this batch meanwhile and had the same answers
        tx.execute(update(batch_chunks).where(*this).values(sent=None, outcome=sealed))
        counted = {"done": batches.c.done + rows, "refused": batches.c.refused + refused}
        until = int(self._region.clock.now().timestamp()) + LEASE_S
        tx.execute(update(batches).where(batches.c.id == id_).values(**counted, holder=self._me, lease_until=until))

    def _finish(self, tx: Writing, id_: str) -> None:
        if not _open_chunks(tx, id_):
            ended = {"state": "done", "holder": "", "finished_at": int(self._region.clock.now().timestamp())}
            tx.execute(update(batches).where(batches.c.id == id_).values(ended))


def _open_chunks(tx: Reading, id_: str) -> list[int]:
    table = batch_chunks.c
    query = select(table.number).where(table.batch == id_, table.outcome.is_(None)).order_by(table.number)
    return list(tx.execute(query).scalars())


def _rows_of(tx: Reading, region: Region, id_: str, number: int) -> list[BatchRow]:
    this = (batch_chunks.c.batch == id_, batch_chunks.c.number == number)
    sent = tx.execute(select(batch_chunks.c.sent).where(*this)).scalar_one_or_none()
    if sent is None:
        return []
    return [
        BatchRow(line, ref, body, None if refusal is None else _refusal(refusal))
        for line, ref, body, refusal in orjson.loads(region.vault.open_answer(bytes(sent)))
    ]


def _shut_out(tx: Reading, client: str) -> bool:
    known = clients.find(tx, client)
    return known is None or known.disabled


def _must_wait(outcome: Outcome) -> bool:
    """A full disk or a stopping writer is no answer to a row: the batch goes on when there is room again."""
    return isinstance(outcome, Refusal) and outcome.code in (Code.STORAGE_FULL, Code.WRITER_STOPPED)


def _forget(tx: Writing, now: int) -> None:
    """Drop results that were kept long enough, and batches whose sender never got to the end."""
    old = or_(
        batches.c.finished_at < now - KEPT_S,
        (batches.c.state == "receiving") & (batches.c.created_at < now - _ABANDONED_S),
    )
    if tx.execute(select(func.count()).select_from(batches).where(old)).scalar_one():
        _drop(tx, list(tx.execute(select(batches.c.id).where(old)).scalars()))
