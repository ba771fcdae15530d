"""Databases that fail when told to, and the end of a process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import event

from ledger.committing import Committer
from ledger.database import Database
from ledger.engines import normal_url
from ledger.queueing import Ticket
from ledger.writer import Writer


class Crash(BaseException):
    """The process ends here: nobody catches this, and whatever it held in memory is gone."""


class Fuse:
    """What the next commits of a database do: `before` fails without effect, `after` takes effect and then fails.

    One entry a commit; `None` lets it pass. `blown` counts the faults that came to pass.
    """

    def __init__(self) -> None:
        self.plan: deque[str | None] = deque()
        self.blown = 0

    def reset(self) -> None:
        """Let every commit pass from now on."""
        self.plan.clear()
        self.blown = 0

    def next(self) -> str | None:
        """What happens to this commit."""
        fault = self.plan.popleft() if self.plan else None
        self.blown += fault is not None
        return fault


class FaultyDatabase(Database):
    """A database on a file whose commits fail as its `fuse` says.

    There is one for each file name, which is opened again after a crash and in the next run: connections are new then,
    but statements that were compiled once need not be compiled again.
    """

    known: dict[str, FaultyDatabase] = {}  # noqa: RUF012 - shared on purpose

    @classmethod
    def open(cls, url: Any) -> FaultyDatabase:
        """Open the database at `url`; nobody else has it open."""
        name = str(url)
        if name not in cls.known:
            cls.known[name] = cls(normal_url(url))
        return cls.known[name]

    def __init__(self, url: Any) -> None:
        super().__init__(url)
        self.fuse = fuse = Fuse()

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                fault = fuse.next() if self.in_transaction else None
                if fault == "before":
                    raise sqlite3.OperationalError("disk I/O error")
                super().commit()
                if fault == "after":
                    raise sqlite3.OperationalError("disk I/O error")

        @event.listens_for(self._writer, "do_connect")
        def _connect(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
            parameters["factory"] = Connection


class InlineWriter(Writer):
    """The writer without its thread: each submission is one batch, committed at once and answered by the loop."""

    def __init__(self, committer: Committer) -> None:
        super().__init__(committer)
        self.ended = False

    def start(self) -> None:
        """Take the loop of the callers."""
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """Give the connection back without waiting for anything."""
        self.ended = True
        self._committer.close()

    async def stop(self) -> None:
        """Take nothing more in."""
        self._queue.close()
        self.end()

    def _submit(self, tickets: list[Ticket], *, bulk: bool) -> None:
        self._waiting += len(tickets)
        self._waiting_bytes += sum(ticket.sealed.weight for ticket in tickets)
        result = self._committer.commit([ticket.sealed for ticket in tickets])
        self._trouble = result.trouble
        self._answer_soon(tickets, result.outcomes, result.size, result.kinds)

    def _answer_soon(self, batch: Sequence[Ticket], *said: Any) -> None:
        asyncio.get_running_loop().call_soon(self._deliver, batch, *said)
