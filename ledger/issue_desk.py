"""Requests for one licence each that come at the same moment are prepared, signed and appended together.

Nobody waits for others on purpose: a request that finds the desk idle is taken at once. Those that come while a
department's turns are under way form the next one, so that under load the cost of looking up, signing and committing
is shared, and the answer of each is still its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ledger import issuing
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.issue_requests import IssueRequest
from ledger.issued import Issued

if TYPE_CHECKING:
    from ledger.region import Region

TURNS: Final = 2
"""Turns of a department under way: while one is being written the next is being signed, one more at each preparer."""

TOGETHER_ELSEWHERE: Final = 32
"""Most requests of a turn that is prepared elsewhere: two halves at two preparers come back sooner than a whole."""

MAX_WAITING: Final = 4096
"""Requests waiting in the whole desk before callers are asked to come back."""

_Waiting = tuple[IssueRequest, "asyncio.Future[Issued | Refusal]"]


@dataclass(slots=True)
class _Department:
    """What waits for one department, and how many of its turns are under way."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    turns: int = 0


class IssueDesk:
    """Takes single requests; one a process, used from its event loop."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._departments: dict[str, _Department] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def issue(self, actor: Actor, request: IssueRequest) -> Issued | Refusal:
        """Issue one licence in the actor's department and return the outcome.

        A caller that goes away does not stop what it asked for. Raises `Refusal` writer.busy at once when too much is
        waiting.
        """
        if self._waiting >= MAX_WAITING:
            raise Refusal(Code.WRITER_BUSY, retry_after=1)
        answer: asyncio.Future[Issued | Refusal] = asyncio.get_running_loop().create_future()
        department = self._departments.setdefault(actor.department, _Department())
        department.waiting.append((replace(request, actor=actor), answer))
        self._waiting += 1
        if department.turns < TURNS + self._elsewhere:
            department.turns += 1
            task = asyncio.create_task(self._serve(actor, department))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    @property
    def _elsewhere(self) -> int:
        preparers = self._region.preparers
        return 0 if preparers is None else preparers.ready

    async def _serve(self, actor: Actor, department: _Department) -> None:
        """Take turns until nobody waits; `actor` lends its department only, each request brings its own."""
        try:
            while department.waiting:
                most = TOGETHER_ELSEWHERE if self._elsewhere else issuing.TOGETHER
                count = min(len(department.waiting), most)
                await self._turn(actor, [department.waiting.popleft() for _ in range(count)])
        finally:
            department.turns -= 1
            if not department.turns and not department.waiting:
                self._departments.pop(actor.department, None)

    async def _turn(self, actor: Actor, taken: list[_Waiting]) -> None:
        try:
            outcomes = await issuing.issue(self._region, actor, [request for request, _ in taken])
        except Refusal as refusal:  # the database has gone, or the writer stops: true of every request
            outcomes = [refusal] * len(taken)
        except Exception as error:  # noqa: BLE001 - a mistake of ours is raised where it was asked, for each who asked
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
            return
        finally:
            self._waiting -= len(taken)
        for (_, answer), outcome in zip(taken, outcomes, strict=True):
            if not answer.done():  # the caller has gone
                answer.set_result(outcome)
