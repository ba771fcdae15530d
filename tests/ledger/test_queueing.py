"""What goes into a batch of the writer, and what waits for the next one: at each bound, and one more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

import pytest

from ledger import queueing, writer
from ledger.queueing import Queue, Ticket
from ledger.sealing import SealedDraft, SealedProposal
from ledger.sequencing import Outcome
from tests.ledger.small_log import note

_MODEL: Final = SealedProposal(note(), (), None, None, frozenset(), frozenset(), 0)
_DRAFT: Final = SealedDraft(note().drafts[0], bytes(32), (), ())


def ticket(*, touches: str = "", reads: str = "", drafts: int = 1, weight: int = 1) -> Ticket:
    """Somebody who waits; each word of `touches` and `reads` is a thing."""
    things = frozenset[str | bytes](touches.split())
    sealed = replace(_MODEL, drafts=(_DRAFT,) * drafts, touches=things, reads=frozenset(reads.split()), weight=weight)
    return Ticket(sealed, _nobody)


def _nobody(_outcome: Outcome) -> None:
    pass


def batches(single: Sequence[Ticket], bulk: Sequence[Ticket] = ()) -> list[list[Ticket]]:
    """What a queue with these tickets gives until it is drained."""
    queue = Queue()
    queue.put(single, bulk=False)
    queue.put(bulk, bulk=True)
    queue.close()
    return list(iter(lambda: queue.take() or [], []))


def sizes(found: Sequence[Sequence[Ticket]]) -> list[int]:
    """How many tickets each batch has."""
    return [len(each) for each in found]


def test_the_bounds_are_those_of_the_documents() -> None:
    """docs/storage.md and docs/protocol.md say them to operators."""
    assert (queueing.BATCH, queueing.BATCH_DRAFTS, queueing.BATCH_BYTES) == (512, 4096, 16 * 1024 * 1024)
    assert (writer.MAX_WAITING, writer.MAX_WAITING_BYTES) == (4096, 64 * 1024 * 1024)


def test_a_batch_takes_512_in_their_order() -> None:
    """And the rest comes next."""
    waiting = [ticket() for _ in range(513)]
    assert batches(waiting) == [waiting[:512], waiting[512:]]
    assert batches([], waiting) == [waiting[:512], waiting[512:]]


def test_bulk_work_has_64_places_when_both_wait() -> None:
    """Single requests go first, and never starve it; places they leave are bulk work's."""
    single, bulk = [ticket() for _ in range(600)], [ticket() for _ in range(100)]
    assert batches(single, bulk) == [single[:448] + bulk[:64], single[448:] + bulk[64:]]
    assert batches(single[:2], bulk) == [single[:2] + bulk]


@pytest.mark.parametrize(
    ("one", "bound"),
    [
        (lambda count: ticket(drafts=count), queueing.BATCH_DRAFTS),
        (lambda count: ticket(weight=count), queueing.BATCH_BYTES),
    ],
    ids=["entries", "bytes"],
)
def test_a_batch_is_bounded(one: Callable[[int], Ticket], bound: int) -> None:
    """By what is in it, to the last one; what is larger alone goes alone."""
    half = bound // 2

    def such(*amounts: int) -> list[Ticket]:
        return [one(each) for each in amounts]

    assert sizes(batches(such(half, half, 1))) == [2, 1]
    assert sizes(batches(such(half, half + 1, 1))) == [1, 2]
    assert sizes(batches(such(1, bound + 1, 1))) == [1, 1, 1]
    assert sizes(batches(such(half), such(half, 1))) == [2, 1]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (ticket(touches="a"), ticket(touches="a b"), False),
        (ticket(touches="a"), ticket(reads="a"), False),
        (ticket(reads="a"), ticket(touches="a"), False),
        (ticket(reads="a"), ticket(reads="a"), True),
        (ticket(touches="a", reads="b"), ticket(touches="c", reads="b"), True),
        (ticket(touches="a"), ticket(touches="b"), True),
    ],
    ids=["both change it", "one reads it", "one read it", "both read it", "they share what is read", "nothing shared"],
)
def test_what_one_changes_the_other_waits_for(first: Ticket, second: Ticket, together: bool) -> None:
    """In either line."""
    assert sizes(batches([first, second])) == sizes(batches([first], [second])) == ([2] if together else [1, 1])


def test_those_who_must_wait_keep_their_turn() -> None:
    """Others pass them; among themselves nobody does, and none waits for what waits itself."""
    first, second, third = (ticket(touches="a") for _ in range(3))
    behind, free = ticket(touches="b", reads="a"), ticket(touches="c")
    assert batches([first, second, third, behind, free]) == [[first, free], [second], [third], [behind]]


def test_a_long_queue_for_one_thing_is_not_walked_to_its_end() -> None:
    """Each batch looks over 1,024 of those who must wait."""
    line, free = [ticket(touches="a") for _ in range(1025)], ticket(touches="b")
    assert batches([*line[:1024], free])[0] == [line[0], free]
    assert batches([*line, free])[0] == line[:1]


def test_a_queue_that_is_closed_is_drained_and_then_empty() -> None:
    """Nothing that was put in is lost."""
    queue, waiting = Queue(), [ticket(touches="a"), ticket(touches="a")]
    closed = [queue.closed]
    assert queue.take(0) is None
    queue.put(waiting, bulk=False)
    queue.close()
    assert [*closed, queue.closed] == [False, True]
    assert [queue.take(), queue.take(), queue.take(), queue.take(0)] == [waiting[:1], waiting[1:], [], []]


@pytest.mark.parametrize("bulk", [False, True])
def test_what_comes_wakes_whoever_waits(bulk: bool) -> None:
    """So does the end."""
    queue, one = Queue(), ticket()
    found: SimpleQueue[list[Ticket] | None] = SimpleQueue()

    def wait() -> None:
        found.put(queue.take())
        found.put(queue.take())

    threading.Thread(target=wait, daemon=True).start()
    queue.put([one], bulk=bulk)
    assert found.get(timeout=20) == [one]
    queue.close()
    assert found.get(timeout=20) == []
