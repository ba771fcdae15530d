"""Our log is fed to witnesses: what comes back is checked, whoever is slow, silent or lying costs one line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ledger import keys_registry, witness_states, witnessed
from ledger.cosigning import FILE, Cosigner
from ledger.errors import Code, Refusal
from ledger.outside import Answer
from ledger.publishing import LogWentBack
from ledger.region import Region
from ledger.sequencing import read_head
from tests.ledger.witnesses import (
    Road,
    at_rest,
    grow,
    line_of,
    of,
    shown,
    watched_region,
    whole_round,
    witness,
)
from tests.region import OPERATOR, memory_store, region_config
from verifiers.checkpoint import Checkpoint, Grade, open_checkpoint, parse_checkpoint
from verifiers.merkle import EMPTY_ROOT
from verifiers.note import parse_note


async def test_a_quorum_of_witnesses_makes_a_checkpoint_witnessed(database_url: str, tmp_path: Path) -> None:
    """Growth after growth is cosigned by all, with both kinds of keys; proofs lead from one to the next."""
    a, b, c = witness("a", 1), witness("b", 2, quantum=True), witness("c", 3)
    async with watched_region(database_url, tmp_path, a, b, c, quorum=2) as (region, cosigner, _):
        sizes = []
        for _ in range(4):
            await cosigner.step()
            opened = shown(region)
            assert opened is not None
            assert (opened.grade, len(opened.cosignatures)) == (Grade.WITNESSED, 3)
            assert opened.size == region.publisher.size == cosigner.size
            sizes.append(opened.size)
            await grow(region)

        assert sizes == sorted(set(sizes))
        assert a.asked == [0, *sizes[:-1]]
        row = await region.database.read(witnessed.newest)
        assert row is not None
        assert row.note.encode() == region.files.read(FILE)
        assert all(of(cosigner, each).failures == 0 for each in (a, b, c))


async def test_a_slow_witness_delays_nobody(database_url: str, tmp_path: Path) -> None:
    """While one hangs, the others cosign every round; when it comes at last, its line is added."""
    a, b = witness("a", 1), witness("b", 2)
    let_go = asyncio.Event()

    async def slow(body: bytes) -> Answer:
        await let_go.wait()
        return b.honest(body)

    async with watched_region(database_url, tmp_path, a, b, quorum=1, timeout_s=60) as (region, cosigner, _):
        b.instead = slow
        await cosigner.step()
        first = shown(region)
        assert first is not None
        assert [each.witness for each in first.cosignatures] == [a.name]
        await grow(region)
        await cosigner.step()
        assert (cosigner.size, len(b.asked)) == (region.publisher.size, 1)

        let_go.set()
        b.instead = None
        await asyncio.sleep(0.05)
        await cosigner.step()

        late = await region.database.read(lambda tx: witnessed.at_size(tx, first.size))
        assert late is not None
        assert len(open_checkpoint(late.note, region.log_policy).cosignatures) == 2
        await cosigner.step()
        assert len((shown(region) or first).cosignatures) == 2


async def test_who_does_not_answer_is_given_up_after_a_while(database_url: str, tmp_path: Path) -> None:
    """A call that never ends is ended; the next round tries again, and the count of failures starts anew."""
    a, b = witness("a", 1), witness("b", 2)

    async def never(_: bytes) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async with watched_region(database_url, tmp_path, a, b, quorum=2, timeout_s=0.05) as (region, cosigner, road):
        b.instead = never
        await whole_round(cosigner)
        assert of(cosigner, b).error == "no answer in time"
        assert shown(region) is None
        assert cosigner.readiness() == {"ready": True, "detail": "1 of 2 witnesses answer"}
        assert cosigner.figures()["failures"][b.name] >= 1
        b.instead = None
        road.cut.add(b.name)
        await whole_round(cosigner)
        assert of(cosigner, b).error == "not reached: nobody answers there"

        road.cut.clear()
        await whole_round(cosigner)

        opened = shown(region)
        assert opened is not None and opened.grade is Grade.WITNESSED
        assert (of(cosigner, b).failures, cosigner.readiness()) == (0, {"ready": True})
        assert cosigner.figures()["quorum_age_s"] < 60


LIES: dict[str, tuple[Any, str, int]] = {
    "another tree": (lambda w, head: w.cosign(Checkpoint(head.origin, head.size + 1, head.root)), "fails", 1),
    "another log": (lambda w, head: w.cosign(Checkpoint("other.example/log", head.size, head.root)), "fails", 1),
    "no time": (lambda w, head: line_of(w.keys[0], head, 0).to_text().encode(), "without a time", 0),
    "after the year 9999": (lambda w, head: line_of(w.keys[0], head, 2**40).to_text().encode(), "9999", 1),
    "twice": (lambda w, head: w.cosign(head) * 2, "fails", 1),
    "a stranger's line": (lambda _, head: witness("x", 9).cosign(head), "no cosignature", 0),
    "garbage": (lambda _w, _h: b"\x00\xff" * 40, "no text", 0),
    "words": (lambda _w, _h: b"thank you\n", "malformed", 0),
    "nothing": (lambda _w, _h: b"", "malformed", 0),
    "without end": (lambda _w, _h: b"x" * 10**6, "longer", 0),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_a_witness_makes_up_is_not_taken(sqlite_url: str, tmp_path: Path, lie: str) -> None:
    """Only good lines under configured keys count; a failing one is told apart from one that says nothing."""
    a, b = witness("a", 1), witness("b", 2)
    answer, said, bad = LIES[lie]

    async def lying(body: bytes) -> Answer:
        head = parse_checkpoint(parse_note(body.decode().partition("\n\n")[2]).text)
        return Answer(200, answer(b, head))

    async with watched_region(sqlite_url, tmp_path, a, b, quorum=1) as (region, cosigner, _):
        b.instead = lying
        await cosigner.step()

        assert said in of(cosigner, b).error
        assert cosigner.figures()["bad_lines"] == bad
        opened = shown(region)
        assert opened is not None
        assert [each.witness for each in opened.cosignatures] == [a.name]


async def test_a_line_nobody_knows_beside_a_good_one_is_dropped(sqlite_url: str, tmp_path: Path) -> None:
    """Witnesses may sign with keys we have not heard of; those lines are not passed on."""
    a, x = witness("a", 1), witness("x", 9)

    async def chatty(body: bytes) -> Answer:
        head = parse_checkpoint(parse_note(body.decode().partition("\n\n")[2]).text)
        return Answer(200, x.cosign(head) + a.cosign(head))

    async with watched_region(sqlite_url, tmp_path, a) as (region, cosigner, _):
        a.instead = chatty
        await cosigner.step()

        text = (region.files.read(FILE) or b"").decode()
        assert text.count(a.name) == 1
        assert x.name not in text


async def test_a_witness_that_knows_another_size_is_asked_from_there(database_url: str, tmp_path: Path) -> None:
    """What we remember may be wrong, in both directions; one 409 puts it right."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path, a) as (region, cosigner, road):
        await cosigner.step()
        first = cosigner.size
        await grow(region)
        other = Cosigner(region, road)
        state = witness_states.WitnessState(a.name, size=0)
        other._known[a.name] = state
        await region.database.write(lambda tx: witness_states.keep(tx, state))
        a.asked.clear()
        await other.step()
        assert a.asked == [first]

        await grow(region)
        a.size, a.root = 0, EMPTY_ROOT  # it lost its memory, and says so
        await other.step()
        assert other.size == region.publisher.size
        assert a.asked[-2:] == [a.asked[-2], 0]


async def test_a_witness_that_changes_its_mind_is_left_after_three_tries(sqlite_url: str, tmp_path: Path) -> None:
    """Sizes named without end cost three requests a round, and what was learnt is tried next time."""
    a, b = witness("a", 1), witness("b", 2)

    async def turning(_: bytes) -> Answer:
        return Answer(409, f"{len(b.asked)}\n".encode())

    async with watched_region(sqlite_url, tmp_path, a, b) as (_, cosigner, _):
        b.instead = turning
        await cosigner.step()
        assert (len(b.asked), of(cosigner, b).error) == (3, "it named another size 3 times")

        async def stuck(_: bytes) -> Answer:
            return Answer(409, f"{b.asked[-1]}\n".encode())

        b.instead = stuck
        await whole_round(cosigner)
        assert "the size it names itself" in of(cosigner, b).error
        for body in (b"", b"-1\n", b"01\n", b"1\n2\n", b"9" * 30, b"one\n"):

            async def senseless(_: bytes, body: bytes = body) -> Answer:
                return Answer(409, body)

            b.instead = senseless
            await whole_round(cosigner)
            assert of(cosigner, b).error == "it answered 409 without a size"


async def test_one_liar_cannot_stop_the_log(sqlite_url: str, tmp_path: Path) -> None:
    """A size larger than ours, claimed by less than a quorum and not proven, is an error of that witness."""
    a, b = witness("a", 1), witness("b", 2)

    async def boasting(_: bytes) -> Answer:
        return Answer(409, b"1000000\n")

    async with watched_region(sqlite_url, tmp_path, a, b, quorum=2) as (region, cosigner, _):
        b.instead = boasting
        await whole_round(cosigner)

        assert "seen 1000000 entries" in of(cosigner, b).error
        size = await grow(region)
        assert region.publisher.size == size
        assert region.publisher.pulse.fault is None


async def test_a_whole_quorum_that_has_seen_more_stops_the_signing(sqlite_url: str, tmp_path: Path) -> None:
    """Protocol 11: a log never signs less than what was seen of it; nothing is published until somebody has looked."""
    a, b = witness("a", 1), witness("b", 2)

    async def boasting(_: bytes) -> Answer:
        return Answer(409, b"1000000\n")

    async with watched_region(sqlite_url, tmp_path, a, b, quorum=2) as (region, cosigner, _):
        a.instead = b.instead = boasting
        await cosigner.step()

        # What were written now would be a second history, found out by nobody once it is longer than the first.
        with pytest.raises(Refusal) as refused:
            await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert refused.value.code is Code.LOG_ROLLED_BACK
        region.publisher.pulse.wake()
        await asyncio.sleep(0.2)
        assert isinstance(region.publisher.pulse.fault, LogWentBack)
        assert not (await region.readiness())["publisher"]["ready"]


async def test_a_quorum_of_one_that_only_says_more_stops_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Anybody can name a number; our own signature on a larger tree would be something else."""
    a = witness("a", 1)

    async def boasting(_: bytes) -> Answer:
        return Answer(409, b"1000000\n")

    async with watched_region(sqlite_url, tmp_path, a, quorum=1) as (region, cosigner, _):
        a.instead = boasting
        await cosigner.step()

        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await region.publisher.published((await region.database.read(read_head)).size - 1)
        assert region.publisher.pulse.fault is None


async def test_our_own_signature_on_more_than_we_have_stops_the_signing(database_url: str, tmp_path: Path) -> None:
    """A restored backup is found out before anything is signed: one witness that shows what we signed is enough."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, a, b, quorum=2) as (region, _, road):
        signer = region.publisher._signer
        forgotten = await signer.sign(Checkpoint(region.origin, 1000, bytes(32)), 0)
        a.size, a.shown = 1000, forgotten
        again = Cosigner(region, road)

        await again.look_back()

        with pytest.raises(Refusal) as refused:
            await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert refused.value.code is Code.LOG_ROLLED_BACK
        with pytest.raises(LogWentBack):
            await region.publisher.step()


class Crash(Exception):
    """Stands for the process ending at this point."""


@pytest.mark.parametrize("step", ["stored", "shown"])
async def test_a_crash_between_storing_and_showing_heals(database_url: str, tmp_path: Path, step: str) -> None:
    """What a quorum cosigned is stored before it is shown, so the next process shows that very note."""
    a = witness("a", 1)

    def crash(done: str) -> None:
        if done == step:
            raise Crash(done)

    async with watched_region(database_url, tmp_path, a) as (region, _, road):
        crashing = Cosigner(region, road, step_done=crash)
        region.publisher.before_first = None  # the publisher must not run into the crash in our place
        with pytest.raises(Crash):
            await crashing.step()
        row = await region.database.read(witnessed.newest)
        assert row is not None
        assert region.files.read(FILE) == (None if step == "stored" else row.note.encode())

        follower = Cosigner(region, Road())
        await follower._look_around()

        assert region.files.read(FILE) == row.note.encode()
        assert follower.size == row.size


async def test_a_process_that_does_not_lead_asks_nobody_and_shows_the_same(postgres_url: str, tmp_path: Path) -> None:
    """Two processes on one database: one feeds the witnesses, both serve the row, and both know whose clock is off."""
    a = witness("a", 1)
    store = memory_store()
    async with watched_region(postgres_url, tmp_path / "one", a, store=store) as (region, cosigner, road):
        other = await Region.open(region_config(postgres_url, tmp_path / "two"), store, outside=road)
        try:
            assert other.cosigner is not None
            await cosigner.step()
            asked = len(a.asked)
            async with asyncio.timeout(10):
                await other.publisher.published(region.publisher.size - 1)
                await other.cosigner.step()

            assert (len(a.asked), other.publisher.token) == (asked, None)
            assert other.files.read(FILE) == region.files.read(FILE)
            assert other.cosigner.size == cosigner.size
        finally:
            await other.close()


async def test_the_log_grows_while_it_is_being_fed(database_url: str, tmp_path: Path) -> None:
    """With pulses running and entries coming in, every witnessed checkpoint is larger than the one before."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, a, b, quorum=2, witness_interval_ms=20) as (region, cosigner, _):
        cosigner.pulse.start()
        seen = []
        for _ in range(8):
            await keys_registry.rotate(region, OPERATOR, None, "peer")
            seen.append(cosigner.size)
        size = await at_rest(region)
        async with asyncio.timeout(20):
            note = await cosigner.witnessed(size - 1)

        assert seen == sorted(seen)
        assert open_checkpoint(note, region.log_policy).grade is Grade.WITNESSED
        assert cosigner.pulse.fault is None
