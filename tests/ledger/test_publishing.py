"""The log is published in the right order: a checkpoint never steps back, and any crash heals by doing it again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select

from ledger.public_files import PublicFiles
from ledger.publication import LeaseLost, checkpoint_at, read_publication, swap, take_lease, thin_checkpoints
from ledger.publishing import LogWentBack
from ledger.schema import migrate
from ledger.tables.publishing import checkpoints, publication
from ledger.tile_files import TreeMismatch, frontier_of
from tests.ledger.publishing_rows import NOON, ORIGIN, Crash, LogRows, log_signer, publisher
from verifiers.checkpoint import open_checkpoint
from verifiers.merkle import Frontier

STEPS = ["read", "sign", "swap", "tiles", "checkpoint"]


@pytest.fixture
def rows(database_url: str) -> Iterator[LogRows]:
    """An empty log, once on each engine."""
    rows = LogRows(database_url)
    yield rows
    rows.close()


@pytest.fixture
def files(tmp_path: Path) -> PublicFiles:
    """An empty folder of published files."""
    return PublicFiles(tmp_path / "public")


async def test_new_entries_are_published_with_both_signatures(rows: LogRows, files: PublicFiles) -> None:
    """The served checkpoint opens under a policy that demands every log key, and the tiles lead to its root."""
    signer = log_signer()
    publishing = publisher(rows, files, signer)

    for size in (1, 300, 5000):
        rows.grow(size)
        await publishing.step()

        opened = open_checkpoint(files.checkpoint() or "", signer.policy)
        assert (opened.size, opened.root) == (size, rows.frontier.root())
        assert frontier_of(files, size).root() == opened.root
    assert publishing.size == 5000


async def test_a_line_nobody_knows_stands_among_the_signatures(rows: LogRows, files: PublicFiles) -> None:
    """Readers that do not ignore unknown keys are found out early."""
    rows.grow(3)
    await publisher(rows, files, log_signer()).step()

    assert (files.checkpoint() or "").count("— grease.invalid/") == 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_after_any_step_heals_by_the_same_path(rows: LogRows, files: PublicFiles, step: str) -> None:
    """Whatever a crash leaves behind, the next process publishes the whole log, and nothing smaller than was seen."""
    signer = log_signer()
    rows.grow(300)
    await publisher(rows, files, signer).step()
    rows.grow(700)

    await asyncio.sleep(0.005)
    with pytest.raises(Crash):
        await publisher(rows, files, signer, crash_after=step).step()
    served = open_checkpoint(files.checkpoint() or "", signer.policy).size
    assert served in (300, 700)
    assert frontier_of(files, served).size == served
    rows.grow(701)
    await asyncio.sleep(0.005)
    await publisher(rows, files, signer).step()

    opened = open_checkpoint(files.checkpoint() or "", signer.policy)
    assert (opened.size, opened.root) == (701, rows.frontier.root())


async def test_what_was_swapped_in_is_served_even_if_nothing_follows(rows: LogRows, files: PublicFiles) -> None:
    """A checkpoint counts from the swap on: the next process shows the very same note."""
    signer = log_signer()
    rows.grow(10)
    with pytest.raises(Crash):
        await publisher(rows, files, signer, crash_after="swap").step()
    assert files.checkpoint() is None

    await asyncio.sleep(0.005)
    await publisher(rows, files, signer).step()

    with rows.database.reading() as tx:
        assert files.checkpoint() == read_publication(tx).note


async def test_a_publisher_that_lost_its_lease_changes_nothing(rows: LogRows, files: PublicFiles) -> None:
    """Two publishers at once: the one whose fencing token is stale throws its signature away."""
    signer = log_signer()
    rows.grow(10)
    slow, quick = publisher(rows, files, signer), publisher(rows, files, signer)
    await slow.step()
    rows.grow(20)

    await asyncio.sleep(0.005)
    await quick.step()
    assert (quick.size, quick.token) == (20, 2)
    rows.grow(30)
    slow._lease_until = float("inf")  # it believes that it still holds the lease
    await slow.step()

    assert slow.token is None
    assert slow.size == 20
    await quick.step()
    assert quick.size == 30


async def test_a_command_leaves_publishing_to_the_service_that_runs(rows: LogRows, files: PublicFiles) -> None:
    """Its publisher takes nothing over, serves what the service signed, and publishes once nobody else does."""
    signer = log_signer()
    rows.grow(10)
    service, command = (publisher(rows, files, signer, lease_ms=60_000) for _ in range(2))
    command.takes_over = False
    await service.step()
    rows.grow(20)

    await asyncio.sleep(0.005)
    await command.step()
    assert (command.token, command.size, service.token) == (None, 10, 1)
    await service.step()
    await command.step()
    assert (service.size, command.size) == (20, 20)

    rows.grow(30)
    await service.stop()
    await command.step()
    assert (command.token, command.size) == (2, 30)


def test_a_stale_token_is_refused_by_the_swap_itself(rows: LogRows) -> None:
    """The guard stands in the WHERE: whoever read the row before the lease changed hands changes no row."""
    rows.grow(10)
    with rows.database.writing() as tx:
        assert take_lease(tx, "one", 1000) == 1
        before = read_publication(tx)
        assert take_lease(tx, "two", 1000) is None
        assert take_lease(tx, "two", 1000, force=True) == 2

    with pytest.raises(LeaseLost), rows.database.writing() as tx:
        swap(tx, before, 10, bytes(32), "note", NOON)
    with rows.database.writing() as tx:
        current = read_publication(tx)
        assert (current.size, current.token) == (0, 2)
        with pytest.raises(ValueError, match="size -1 after"):
            swap(tx, current, -1, bytes(32), "note", NOON)


async def test_many_publishers_at_once_never_let_the_checkpoint_step_back(rows: LogRows, files: PublicFiles) -> None:
    """Processes that share database and folder fight for the lease; what readers see only grows."""
    signer = log_signer()
    crowd = [publisher(rows, files, signer) for _ in range(4)]
    seen: list[int] = []

    async def watch() -> None:
        while True:
            note = files.checkpoint()
            if note is not None:
                seen.append(open_checkpoint(note, signer.policy).size)
                assert frontier_of(files, seen[-1]).size == seen[-1]
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    for size in range(50, 700, 50):
        rows.grow(size)
        await asyncio.sleep(0.002)
        await asyncio.gather(*(each.step() for each in crowd))
    await asyncio.gather(*(each.step() for each in crowd))
    watching.cancel()

    assert seen == sorted(seen)
    assert {each.size for each in crowd} == {650}


async def test_a_database_older_than_what_was_published_stops_everything(
    rows: LogRows, files: PublicFiles, tmp_path: Path
) -> None:
    """After an old backup nothing is signed: a smaller tree would be a fork in the eyes of every witness."""
    signer = log_signer()
    rows.grow(100)
    await publisher(rows, files, signer).step()
    note = files.checkpoint()
    migrate(f"sqlite:///{tmp_path / 'restored.db'}")
    restored = LogRows(f"sqlite:///{tmp_path / 'restored.db'}")
    restored.grow(50)

    with pytest.raises(LogWentBack, match="50 entries, but 100"):
        await publisher(restored, files, signer).step()
    restored.close()
    assert files.checkpoint() == note


async def test_a_size_known_to_witnesses_counts_too(rows: LogRows, files: PublicFiles) -> None:
    """Also when database and files were both restored, what others saw is remembered."""
    rows.grow(100)

    with pytest.raises(LogWentBack):
        await publisher(rows, files, log_signer(), seen=101).step()


async def test_a_folder_of_another_log_is_not_written_over(rows: LogRows, files: PublicFiles) -> None:
    """A wrong setting must not mix two logs."""
    rows.grow(5)
    await publisher(rows, files, log_signer("other.example/log")).step()
    with rows.database.writing() as tx:
        tx.execute(delete(publication))
        tx.execute(delete(checkpoints))

    with pytest.raises(LogWentBack, match="another log"):
        await publisher(rows, files, log_signer(ORIGIN)).step()


async def test_an_edited_entry_stops_the_publication(rows: LogRows, files: PublicFiles) -> None:
    """Rows that do not lead to the head's tree are never signed."""
    rows.grow(10)
    with rows.database.writing() as tx:
        rows.write_head(tx, 10, Frontier(2, [bytes(32)]).to_bytes())

    with pytest.raises(TreeMismatch):
        await publisher(rows, files, log_signer()).step()
    assert files.checkpoint() is None


async def test_a_missing_entry_stops_the_publication(rows: LogRows, files: PublicFiles) -> None:
    """A head that counts more than there is leads nowhere."""
    rows.grow(10)
    with rows.database.writing() as tx:
        rows.write_head(tx, 11, rows.frontier.to_bytes())

    with pytest.raises(TreeMismatch, match="missing"):
        await publisher(rows, files, log_signer()).step()


async def test_waiters_hear_of_their_entry_once_it_is_served(rows: LogRows, files: PublicFiles) -> None:
    """`published` answers when the checkpoint file covers the entry, in any process."""
    publishing = publisher(rows, files, log_signer())
    rows.grow(10)
    publishing.pulse.start()

    note = await asyncio.wait_for(publishing.published(9), 5)
    waiting = asyncio.create_task(publishing.published(10))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    rows.grow(11)
    publishing.pulse.wake()
    later = await asyncio.wait_for(waiting, 5)
    await publishing.stop()

    assert (note.split("\n")[1], later.split("\n")[1]) == ("10", "11")
    assert publishing.token is None


async def test_without_growth_the_checkpoint_is_signed_again_when_it_gets_old(
    rows: LogRows, files: PublicFiles
) -> None:
    """Witnesses and monitors see that the log is alive; nothing is added to the kept checkpoints."""
    signer = log_signer()
    publishing = publisher(rows, files, signer)
    rows.grow(10)
    await publishing.step()
    first = files.checkpoint()
    await publishing.step()
    assert files.checkpoint() == first

    publishing._clock.advance(601)  # type: ignore[attr-defined]  # the test's clock is a manual one
    await publishing.step()

    assert files.checkpoint() != first
    with rows.database.reading() as tx:
        assert tx.execute(select(func.count()).select_from(checkpoints)).scalar_one() == 1
        assert checkpoint_at(tx, 10) == first
        assert checkpoint_at(tx, 9) is None


def test_old_checkpoints_are_thinned_to_one_a_minute_and_pinned_ones_stay(rows: LogRows) -> None:
    """What a trust list names must stay available; of the rest the last of each minute is enough."""
    started = int(NOON.timestamp()) // 60 * 60
    kept = [
        {
            "size": second + 1,
            "root": bytes(32),
            "note": "",
            "signed_at": NOON.fromtimestamp(started + second, NOON.tzinfo),
            "pinned": second == 7,
        }
        for second in range(120)
    ]
    with rows.database.writing() as tx:
        tx.execute(insert(checkpoints), kept)
        assert thin_checkpoints(tx, NOON.fromtimestamp(started + 119 + 600, NOON.tzinfo)) == 117
        left = tx.execute(select(checkpoints.c.size).order_by(checkpoints.c.size)).scalars().all()

    assert list(left) == [8, 60, 120]


async def test_ten_thousand_new_entries_are_published_in_one_step(rows: LogRows, files: PublicFiles) -> None:
    """However far the writer has run ahead, the next checkpoint covers all of it."""
    publishing = publisher(rows, files, log_signer())
    rows.grow(1000)
    await publishing.step()
    rows.grow(11_000)

    await publishing.step()

    assert publishing.size == 11_000
