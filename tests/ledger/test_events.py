"""Which projector sees which events, and what is read back from the log."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ledger import events
from ledger.database import Writing
from ledger.errors import Code, Refusal
from ledger.events import Event, project, projected_events, projector
from ledger.history import events_of, load_event, load_events
from ledger.proposals import Proposal
from ledger.tables.log import record_keys
from tests.ledger.small_log import draft, note, small_log

NO_DATABASE = cast("Writing", None)


@pytest.fixture
def projectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a register of projectors of its own."""
    monkeypatch.setattr(events, "_projectors", {})


def event(idx: int, name: str) -> Event:
    """Make an event that says nothing."""
    return Event(idx, datetime(2026, 11, 21, tzinfo=UTC), "sealed", "region", bytes(16), name, {}, ())


@pytest.mark.usefixtures("projectors")
def test_projector_gets_all_its_events_at_once() -> None:
    """Each projector is called once a batch, in index order, in the order in which their first events appear."""
    seen: list[tuple[str, list[int]]] = []

    @projector("test.b", "test.c")
    def _second(_tx: Writing, theirs: Sequence[Event]) -> None:
        seen.append(("bc", [each.idx for each in theirs]))

    @projector("test.a")
    def _first(_tx: Writing, theirs: Sequence[Event]) -> None:
        seen.append(("a", [each.idx for each in theirs]))

    project(NO_DATABASE, [event(0, "test.a"), event(1, "test.b"), event(2, "test.a"), event(3, "test.c")])

    assert seen == [("a", [0, 2]), ("bc", [1, 3])]
    assert projected_events() == {"test.a", "test.b", "test.c"}


@pytest.mark.usefixtures("projectors")
def test_event_without_projector_is_a_mistake() -> None:
    """What nobody projects must not be logged."""
    with pytest.raises(KeyError):
        project(NO_DATABASE, [event(0, "test.unheard")])


@pytest.mark.usefixtures("projectors")
def test_event_has_one_projector() -> None:
    """Two functions cannot claim the same event."""

    def ignore(_tx: Writing, _events: Sequence[Event]) -> None:
        return

    projector("test.twice")(ignore)

    with pytest.raises(ValueError, match="projector already"):
        projector("test.twice")(ignore)


async def test_events_come_back_as_they_were_drafted(database_url: str) -> None:
    """Facts, subjects and times read from entries and records are those that were written."""
    async with small_log(database_url) as log:
        drafted = draft("thing-1", about=["subject-1", "subject-2"], padding=3000)
        committed = await log.writer.append(Proposal([drafted]))
        await log.writer.append(note("thing-2"))
        await log.writer.append(note("thing-1", 1))

        found = await log.database.read(lambda tx: load_event(tx, log.vault, committed.first))
        everything = await log.database.read(lambda tx: list(load_events(tx, log.vault, 0, 3)))
        history = await log.database.read(lambda tx: events_of(tx, log.vault, "thing-1"))

        assert (found.facts, found.subjects, found.at) == (drafted.facts, drafted.subjects, committed.at)
        assert (found.kind, found.ref, found.event, found.thing, found.n) == (
            "sealed", drafted.ref, "small.noted", "thing-1", 0,
        )  # fmt: skip
        assert [each.idx for each in everything] == [0, 1, 2]
        assert [(each.idx, each.n) for each in history] == [(0, 0), (2, 1)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_lost_wrapped_key_is_named(database_url: str) -> None:
    """A record whose key vanished without erasure is reported with its index and part."""
    async with small_log(database_url) as log:
        await log.writer.append(Proposal([draft(about=["subject-1"])]))
        await log.database.write(lambda tx: tx.execute(record_keys.delete()))

        with pytest.raises(Refusal) as refused:
            await log.database.read(lambda tx: load_event(tx, log.vault, 0))

        facts: dict[str, Any] = refused.value.facts
        assert refused.value.code is Code.RECORD_DAMAGED and (facts["idx"], facts["part"]) == (0, 1)


async def test_unknown_entry_is_refused(database_url: str) -> None:
    """There is no event beyond the end of the log."""
    async with small_log(database_url) as log:
        with pytest.raises(Refusal) as refused:
            await log.database.read(lambda tx: load_event(tx, log.vault, 0))

        assert refused.value.code is Code.RECORD_UNKNOWN
