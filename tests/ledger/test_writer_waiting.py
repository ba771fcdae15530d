"""What waits for the writer: how much may, who is told to come back, and what its end leaves of them."""

import asyncio
import threading

import pytest

from ledger import writer as writer_module
from ledger.errors import Code, Refusal
from ledger.proposals import Committed, Proposal
from ledger.sealing import seal
from tests.ledger.small_log import draft, head_held, note, queued, small_log


async def test_a_writer_starts_once_and_with_nothing_waiting(database_url: str) -> None:
    """A second thread would be a second writer in the same process."""
    async with small_log(database_url) as log:
        assert log.writer.waiting == 0
        with pytest.raises(RuntimeError):
            log.writer.start()
        await log.writer.append(note())
        assert log.writer.waiting == 0


async def test_full_house_refuses_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too much is waiting the next caller is told to come back; bulk work waits and leaves room for others."""
    monkeypatch.setattr(writer_module, "MAX_WAITING", 40)
    async with small_log(database_url) as log:
        with head_held(database_url):
            bulk = asyncio.create_task(log.writer.append_many([note() for _ in range(600)]))  # noqa: RUF006 (awaited below)
            bulk_too = asyncio.create_task(log.writer.append_many([note() for _ in range(10)]))  # noqa: RUF006 (awaited below)
            await queued(log, 512)
            with pytest.raises(Refusal) as refused:
                await log.writer.append(note())
            assert refused.value.code is Code.WRITER_BUSY and refused.value.facts["retry_after"] >= 1
        assert len(await bulk) == 600 and len(await bulk_too) == 10
        assert isinstance(await log.writer.append(note()), Committed)
        assert await log.check() == 611


async def test_single_requests_that_come_together_are_refused_together(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not wait for room, as bulk work does; once there is some they go in."""
    monkeypatch.setattr(writer_module, "MAX_WAITING", 40)
    async with small_log(database_url) as log:
        with head_held(database_url):
            bulk = asyncio.create_task(log.writer.append_many([note() for _ in range(40)]))  # noqa: RUF006 (awaited below)
            await queued(log, 40)
            found = await log.writer.append_many([note() for _ in range(3)], bulk=False)
            assert [each.code for each in found if isinstance(each, Refusal)] == [Code.WRITER_BUSY] * 3
            assert all(isinstance(each, Refusal) and each.facts["retry_after"] == 1 for each in found)
        await bulk
        again = await log.writer.append_many([note() for _ in range(3)], bulk=False)
        assert all(isinstance(each, Committed) for each in again)
        assert await log.check() == 43


async def test_what_waits_is_bounded_by_what_it_weighs(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large ones fill the house as well as many; bulk work stops at half of it."""
    large = [Proposal([draft(padding=4000)]) for _ in range(6)]
    monkeypatch.setattr(writer_module, "_BULK_CHUNK", 1)
    async with small_log(database_url) as log:
        # Room for nearly three of them, and so for two of bulk work: the second is taken in at less than half.
        monkeypatch.setattr(writer_module, "MAX_WAITING_BYTES", int(2.9 * seal(large[0], log.vault).weight))
        with head_held(database_url):
            bulk = asyncio.create_task(log.writer.append_many(large))
            await queued(log, 2)
            await asyncio.sleep(0.05)
            assert log.writer.waiting == 2
            single = asyncio.create_task(log.writer.append(Proposal([draft(padding=4000)])))
            await queued(log, 3)
            with pytest.raises(Refusal) as refused:
                await log.writer.append(note())
            assert refused.value.code is Code.WRITER_BUSY
        assert len(await bulk) == 6 and isinstance(await single, Committed)
        assert log.writer.waiting == 0 and isinstance(await log.writer.append(note()), Committed)


async def test_single_requests_do_not_queue_behind_bulk_work(database_url: str) -> None:
    """A single request that comes while thousands of rows wait goes into the next batch."""
    async with small_log(database_url) as log:
        with head_held(database_url):
            bulk = asyncio.create_task(log.writer.append_many([note() for _ in range(2000)]))  # noqa: RUF006 (awaited below)
            await queued(log, 1500)
            single = asyncio.create_task(log.writer.append(note()))
            await queued(log, 1501)
        assert (await single).first <= 1024
        await bulk


async def test_stopping_writes_what_is_waiting(database_url: str) -> None:
    """Everything that was taken in is written and answered; what comes later is refused."""
    async with small_log(database_url) as log:
        with head_held(database_url):
            waiting = [asyncio.create_task(log.writer.append(note())) for _ in range(50)]
            await queued(log, 50)
        await log.writer.stop()

        assert all(isinstance(each, Committed) for each in await asyncio.gather(*waiting))
        with pytest.raises(Refusal) as refused:
            await log.writer.append(note())
        assert refused.value.code is Code.WRITER_STOPPED


async def test_stopping_ends_the_thread_and_whoever_waits_for_room(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a writer that is gone."""
    monkeypatch.setattr(writer_module, "MAX_WAITING", 40)
    async with small_log(database_url) as log:
        assert "elicence-writer" in {thread.name for thread in threading.enumerate() if thread.daemon}
        with head_held(database_url):
            bulk = asyncio.create_task(log.writer.append_many([note() for _ in range(40)]))  # noqa: RUF006 (awaited below)
            await queued(log, 40)
            late = asyncio.create_task(log.writer.append_many([note()]))
            await asyncio.sleep(0)
            stopping = asyncio.create_task(log.writer.stop())
            with pytest.raises(Refusal) as refused:
                await asyncio.wait_for(late, 20)
            assert refused.value.code is Code.WRITER_STOPPED
        await stopping
        assert bulk.done() and len(await bulk) == 40
        assert "elicence-writer" not in {thread.name for thread in threading.enumerate()}


async def test_caller_who_left_changes_nothing(database_url: str) -> None:
    """A cancelled caller's entry is written all the same, and nobody else is disturbed."""
    async with small_log(database_url) as log:
        with head_held(database_url):
            gone = asyncio.create_task(log.writer.append(note()))
            stays = asyncio.create_task(log.writer.append(note()))
            await queued(log, 2)
            gone.cancel()
        await stays
        assert await log.check() == 2
