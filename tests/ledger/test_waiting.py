"""Waiting for the log to come so far: who is told, and that nobody is kept who gave up."""

import asyncio
import contextlib

import pytest

from ledger.waiting import Waiting


async def test_those_are_told_whose_entry_is_covered() -> None:
    """A checkpoint of ten entries answers for the tenth and not for the eleventh."""
    waiting = Waiting()
    tenth, eleventh = (asyncio.create_task(waiting.wait(idx)) for idx in (9, 10))
    await asyncio.sleep(0)
    waiting.tell(10, "note")
    assert await tenth == "note"
    assert (eleventh.done(), len(waiting)) == (False, 1)
    waiting.end()
    with pytest.raises(asyncio.CancelledError):
        await eleventh


async def test_who_gives_up_is_not_kept() -> None:
    """While nothing is published for hours, those who call and go away cost nothing."""
    waiting = Waiting()
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await waiting.wait(1)
    assert len(waiting) == 0
