"""What the writer promises to those who append, on both engines."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from ledger import writer as writer_module
from ledger.catalogue import Catalogue
from ledger.clock import ManualClock
from ledger.database import Writing
from ledger.errors import Code, Refusal
from ledger.idempotency import erase_answers
from ledger.largest_seen import LargestSeen
from ledger.proposals import Committed, EventCount, Proposal, Replayed, retrying
from ledger.sealing import seal
from ledger.sequencing import sequence
from ledger.tables.log import entries
from tests.ledger.small_log import SmallLog, draft, head_held, key, note, queued, small_log
from verifiers import entry

AT = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)


async def outcome_of(log: SmallLog, proposal: Proposal) -> Committed | Refusal | Replayed:
    """Append and give the outcome instead of raising it."""
    [outcome] = await log.writer.append_many([proposal])
    return outcome


async def test_entries_follow_one_another(database_url: str) -> None:
    """Indexes start at 0 and have no gap, each entry names the one before, times never fall."""
    async with small_log(database_url) as log:
        committed = [await log.writer.append(note()) for _ in range(3)]
        many = await asyncio.gather(*(log.writer.append(note()) for _ in range(40)))

        assert [each.first for each in committed] == [0, 1, 2]
        assert sorted(each.first for each in many) == list(range(3, 43))
        assert await log.check() == 43
        times = [entry.parse(leaf).at for leaf in await log.leaves()]
        assert times == sorted(times)


async def test_proposal_goes_in_whole(database_url: str) -> None:
    """The drafts of one proposal get indexes in their own order, one after the other."""
    async with small_log(database_url) as log:
        drafts = [draft(kind="licence.issued") for _ in range(3)]

        committed = await log.writer.append(Proposal(drafts))

        assert (committed.first, committed.indexes) == (0, (0, 1, 2))
        assert [entry.parse(leaf).ref for leaf in await log.leaves()] == [each.ref for each in drafts]


async def test_append_many_answers_in_order(database_url: str) -> None:
    """Outcomes stand in the order of the proposals, however many batches they took."""
    async with small_log(database_url) as log:
        things = [f"thing-{number}" for number in range(1500)]

        outcomes = await log.writer.append_many([note(thing) for thing in things])

        refs = {entry.parse(leaf).ref: idx for idx, leaf in enumerate(await log.leaves())}
        assert [refs[draft(thing).ref] for thing in things] == [
            outcome.first for outcome in outcomes if isinstance(outcome, Committed)
        ]
        assert await log.writer.append_many([]) == []


async def test_sealed_entries_are_shuffled_in_their_batch(database_url: str) -> None:
    """Sealed entries of one batch stand in random order, others where they came; a thing's events keep their order."""
    async with small_log(database_url) as log:
        sealed = [f"sealed-{number}" for number in range(40)]
        story = [draft("story", n) for n in range(5)]
        proposals = [note(thing) for thing in sealed] + [Proposal([draft("open", kind="matter")]), Proposal(story)]
        with head_held(database_url):
            first = asyncio.create_task(log.writer.append(note("first")))
            await queued(log, 1)
            await asyncio.sleep(0.05)  # the writer has taken it and waits for the lock
            rest = asyncio.create_task(log.writer.append_many(proposals))
            await queued(log, 1 + len(proposals))
        await first
        outcomes = await rest

        places = [outcome.indexes for outcome in outcomes if isinstance(outcome, Committed)]
        arrived = [indexes[0] for indexes in places[: len(sealed)]]
        assert arrived != sorted(arrived)
        assert places[len(sealed)] == (1 + len(sealed),)
        assert list(places[-1]) == sorted(places[-1])
        assert len({tuple(entry.format_at(entry.parse(leaf).at)) for leaf in (await log.leaves())[1:]}) == 1


async def test_two_sealed_entries_are_shuffled_too(sqlite_url: str) -> None:
    """So neighbours in the log never say which came first."""
    async with small_log(sqlite_url) as log:
        pairs = [await log.writer.append(Proposal([draft(), draft()])) for _ in range(40)]
        assert {first < second for first, second in (pair.indexes for pair in pairs)} == {True, False}


async def test_condition_that_no_longer_holds_is_refused(database_url: str) -> None:
    """An event prepared for a state that has moved on is refused as stale, and prepared again it goes in."""
    async with small_log(database_url) as log:
        await log.writer.append(note("thing"))
        stale = note("thing", 0, conditions=(EventCount("thing", 0),))

        outcome = await outcome_of(log, stale)
        assert isinstance(outcome, Refusal) and outcome.code is Code.STALE

        tries = iter(range(5))

        async def attempt() -> Committed:
            n = next(tries)
            return await log.writer.append(note("thing", n, conditions=(EventCount("thing", n),)))

        assert (await retrying(attempt)).first == 1
        assert await log.check() == 2


async def test_retrying_gives_up_and_passes_other_refusals_on() -> None:
    """Somebody who is too slow five times is told so; a refusal that is not `stale` is not tried again."""
    tried = []

    async def attempt(code: Code) -> Committed:
        tried.append(code)
        raise Refusal(code)

    for code, times in ((Code.STALE, 5), (Code.CONFLICT, 1)):
        tried.clear()
        with pytest.raises(Refusal):
            await retrying(lambda code=code: attempt(code))  # type: ignore[misc]
        assert len(tried) == times


@dataclass(frozen=True, slots=True)
class Unread:
    """No entry of the thing exists: what a reader of the thing relies on."""

    thing: str

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence["Unread"]) -> dict["Unread", Refusal]:
        """Count entries; all conditions of a batch come in one call."""
        size = tx.scalar(select(func.count()).select_from(entries))
        return {each: Refusal(Code.CONFLICT) for each in conditions if size != 1}


async def test_what_one_touches_the_other_waits_for(database_url: str) -> None:
    """A proposal that reads what another touches never shares its batch, so its condition sees the other's effect."""
    async with small_log(database_url) as log:
        with head_held(database_url):
            first = asyncio.create_task(log.writer.append(note("first")))
            await queued(log, 1)
            await asyncio.sleep(0.05)
            touching = note(touches=frozenset({"licence"}))
            reading = note(reads=frozenset({"licence"}), conditions=(Unread("licence"),))
            apart = note(conditions=(Unread("other"),))
            rest = asyncio.create_task(log.writer.append_many([touching, reading, apart]))
            await queued(log, 4)
        await first
        outcomes = await rest

        assert isinstance(outcomes[0], Committed) and isinstance(outcomes[2], Committed)
        assert isinstance(outcomes[1], Refusal) and outcomes[1].code is Code.CONFLICT


async def test_two_that_prepared_the_same_event(database_url: str) -> None:
    """Of many proposals for the same next event of a thing exactly one goes in, the others are stale."""
    async with small_log(database_url) as log:
        outcomes = await log.writer.append_many(
            [note("thing", conditions=(EventCount("thing", 0),)) for _ in range(20)]
        )

        assert sum(isinstance(each, Committed) for each in outcomes) == 1
        assert {each.code for each in outcomes if isinstance(each, Refusal)} == {Code.STALE}
        assert await log.check() == 1


async def test_same_request_gets_the_same_answer(database_url: str) -> None:
    """A repeated key and body give the stored answer and entries; nothing is appended."""
    async with small_log(database_url) as log:
        again = key(log.vault, "k1")
        committed = await log.writer.append(note(idempotency=again, answer=b'{"id":"a"}'))
        several = await log.writer.append(Proposal([draft(), draft()], idempotency=key(log.vault, "k2")))

        with pytest.raises(Replayed) as replayed:
            await log.writer.append(note(idempotency=again, answer=b"another"))
        with pytest.raises(Replayed) as both:
            await log.writer.append(note(idempotency=key(log.vault, "k2")))

        assert (replayed.value.idx, replayed.value.at) == (committed.first, committed.at)
        assert replayed.value.answer == b'{"id":"a"}'
        assert both.value.indexes == several.indexes and both.value.answer is None
        assert await log.check() == 3


async def test_what_was_asked_before_is_found_anywhere_in_a_batch(database_url: str) -> None:
    """In one transaction: what goes in beside it is not told of it, and need not be tried again."""
    async with small_log(database_url) as log:
        first, again = await log.writer.append(note()), key(log.vault, "k")
        await log.writer.append(note(idempotency=again, answer=b"a"))
        asked = [note(), note(idempotency=again), note("new"), note(idempotency=key(log.vault, "k", b"other"))]
        batch = [seal(each, log.vault) for each in asked]

        found = await log.database.write(lambda tx: sequence(tx, batch, log.committer._rules))

        new, repeated, other, conflict = found.outcomes
        assert isinstance(new, Committed) and isinstance(other, Committed)
        assert isinstance(repeated, Replayed) and (repeated.indexes, repeated.answer) == ((first.first + 1,), b"a")
        assert isinstance(conflict, Refusal) and conflict.code is Code.IDEMPOTENCY_CONFLICT
        leaves = await log.leaves()
        assert (found.size, found.kinds, found.last) == (4, frozenset({"sealed"}), (3, leaves[3]))
        assert await log.check() == 4


async def test_same_key_with_another_body_is_refused(database_url: str) -> None:
    """A key cannot be used for a second, different request; another client's key is another key."""
    async with small_log(database_url) as log:
        await log.writer.append(note(idempotency=key(log.vault, "k", b"1")))

        outcome = await outcome_of(log, note(idempotency=key(log.vault, "k", b"2")))

        assert isinstance(outcome, Refusal) and outcome.code is Code.IDEMPOTENCY_CONFLICT
        assert isinstance(await outcome_of(log, note(idempotency=key(log.vault, "k'", b"2"))), Committed)


async def test_loser_of_a_race_gets_the_winners_answer(database_url: str) -> None:
    """Of equal requests at the same time one is written and the others are answered with its entry."""
    async with small_log(database_url) as log:
        same = [note(idempotency=key(log.vault, "k"), answer=b"%d" % number) for number in range(30)]

        outcomes = await asyncio.gather(*(log.writer.append(each) for each in same), return_exceptions=True)

        [won] = [each for each in outcomes if isinstance(each, Committed)]
        lost = [each for each in outcomes if isinstance(each, Replayed)]
        assert len(lost) == 29 and {each.idx for each in lost} == {won.first}
        assert len({each.answer for each in lost}) == 1
        assert await log.check() == 1


async def test_erased_answer_is_gone_for_good(database_url: str) -> None:
    """After erasure the same request is told that its answer was erased, for any entry the answer spoke of."""
    async with small_log(database_url) as log:
        one, two = key(log.vault, "1"), key(log.vault, "2")
        await log.writer.append(note(idempotency=one, answer=b"personal"))
        several = await log.writer.append(Proposal([draft(), draft()], idempotency=two, answer=b"personal"))

        assert await log.database.write(lambda tx: erase_answers(tx, [0, several.indexes[1]])) == 2

        for again in (one, two):
            outcome = await outcome_of(log, note(idempotency=again))
            assert isinstance(outcome, Refusal) and outcome.code is Code.ANSWER_ERASED


async def test_replay_comes_before_conditions(database_url: str) -> None:
    """A request that was answered is answered again even though its conditions cannot hold any more."""
    async with small_log(database_url) as log:
        first = note("t", idempotency=key(log.vault, "k"), conditions=(EventCount("t", 0),))
        await log.writer.append(first)

        assert isinstance(await outcome_of(log, first), Replayed)


async def test_authorisation_is_asked_again_when_the_catalogue_moved(database_url: str) -> None:
    """Who was authorised by an older catalogue is authorised again under the lock; by the newest, not once more."""
    async with small_log(database_url) as log:
        asked: list[int] = []

        def refuse(catalogue: Catalogue) -> None:
            asked.append(catalogue.idx)
            raise Refusal(Code.KEY_UNKNOWN)

        await log.writer.append(Proposal([draft(kind="grant")]))
        old = await outcome_of(log, note(catalogue=-1, authorise=refuse))
        new = await outcome_of(log, note(catalogue=0, authorise=refuse))

        assert isinstance(old, Refusal) and old.code is Code.KEY_UNKNOWN
        assert isinstance(new, Committed) and asked == [0]


async def test_listeners_hear_of_a_commit_before_its_callers(database_url: str) -> None:
    """Whoever is told that something is in the log finds the caches renewed; a listener that fails harms nobody."""
    async with small_log(database_url) as log:
        heard: list[tuple[int, frozenset[str]]] = []

        def fail(_size: int, _kinds: frozenset[str]) -> None:
            raise LookupError

        log.writer.on_commit(fail)
        log.writer.on_commit(lambda size, kinds: heard.append((size, kinds)))
        await log.writer.append(Proposal([draft(kind="type"), draft()]))

        assert heard == [(2, frozenset({"type", "sealed"}))]


async def test_clock_that_fell_behind_stops_the_writer(database_url: str) -> None:
    """A few seconds behind the log count as the log's time; more is refused until the clock has caught up."""
    clock = ManualClock(AT)
    async with small_log(database_url, clock=clock) as log:
        clock.set(AT + timedelta(seconds=60))
        await log.writer.append(note())
        clock.set(AT + timedelta(seconds=56))
        assert (await log.writer.append(note())).at == AT + timedelta(seconds=60)
        clock.set(AT + timedelta(seconds=55))
        assert (await log.writer.append(note())).at == AT + timedelta(seconds=60)
        clock.set(AT + timedelta(seconds=50))

        outcome = await outcome_of(log, note())
        assert isinstance(outcome, Refusal) and outcome.code is Code.CLOCK_BEHIND
        assert outcome.facts["retry_after"] == 10
        assert log.writer.trouble is not None and log.writer.trouble.code is Code.CLOCK_BEHIND

        clock.set(AT + timedelta(seconds=61, microseconds=900_000))
        assert (await log.writer.append(note())).at == AT + timedelta(seconds=61)
        assert log.writer.trouble is None


async def test_clock_that_others_call_ahead_stops_the_writer(sqlite_url: str) -> None:
    """Until they agree again: entries from the future would have to be believed for ever."""
    agreed: list[bool] = [False]
    async with small_log(sqlite_url, ahead=lambda: not agreed[0]) as log:
        outcome = await outcome_of(log, note())
        assert isinstance(outcome, Refusal) and outcome.code is Code.CLOCK_AHEAD
        assert outcome.facts["retry_after"] == 30
        assert log.writer.trouble is not None and log.writer.trouble.code is Code.CLOCK_AHEAD
        agreed[0] = True
        assert (await log.writer.append(note())).first == 0


async def test_log_that_was_larger_is_not_written_to(sqlite_url: str) -> None:
    """What is in other hands cannot be taken back: a second entry in that place would be a fork."""
    seen = LargestSeen()
    async with small_log(sqlite_url, seen=seen) as log:
        await log.writer.append(note())
        seen.saw(1, "a witness")
        await log.writer.append(note())
        seen.saw(3, "a witness")
        outcome = await outcome_of(log, note())
        assert isinstance(outcome, Refusal) and outcome.code is Code.LOG_ROLLED_BACK
        assert log.writer.trouble is not None and log.writer.trouble.code is Code.LOG_ROLLED_BACK
        assert await log.check() == 2


async def test_trouble_lasts_until_a_look_finds_it_gone(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends anything to a service that is not ready, so the writer looks by itself."""
    monkeypatch.setattr(writer_module, "_PROBE_S", 0.01)
    clock = ManualClock(AT)
    async with small_log(sqlite_url, clock=clock) as log:
        clock.set(AT - timedelta(seconds=60))
        assert isinstance(await outcome_of(log, note()), Refusal)
        await asyncio.sleep(0.2)
        assert log.writer.trouble is not None and log.writer.trouble.code is Code.CLOCK_BEHIND
        clock.set(AT)
        async with asyncio.timeout(20):
            while log.writer.trouble is not None:
                await asyncio.sleep(0.01)
