"""Our log is watched: what a quorum cosigned is kept, then shown; whoever is slow, silent or lying costs one line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import keys_registry, positions, witness_policies, witness_states, witnessed
from ledger.audit_report import Artefact
from ledger.auditing import Stored, audit_stored
from ledger.clock import ManualClock
from ledger.cosigning import FILE, Cosigner
from ledger.errors import Code, Refusal
from ledger.outside import Answer
from ledger.publishing import LogWentBack
from ledger.receipts import receipt_of, receipts_of
from ledger.region import Region
from tests.ledger.witnesses import Road, Witness, at_rest, grow, line_of, policy_text, watch, watched_region, witness
from tests.region import OPERATOR, memory_store, region_config
from verifiers.checkpoint import Checkpoint, Grade, SignedCheckpoint, open_checkpoint, parse_checkpoint
from verifiers.encoding import b64u_decode
from verifiers.merkle import EMPTY_ROOT
from verifiers.note import parse_note
from verifiers.receipt import check_receipt

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


def shown(region: Region, path: str = FILE) -> SignedCheckpoint | None:
    """The public file as a verifier with the policy in force opens it."""
    data = region.files.read(path)
    return None if data is None else open_checkpoint(data, region.log_policy)


def of(cosigner: Cosigner, one: Witness) -> witness_states.WitnessState:
    """What is known of a witness."""
    return cosigner._known[one.name]


async def whole_round(cosigner: Cosigner) -> None:
    """One round, and the answers of those too that are not waited for."""
    await cosigner.step()
    await asyncio.gather(*cosigner._asking.values())
    await cosigner._gather([])
    await cosigner._look_around()


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


async def test_without_a_policy_nobody_is_asked(database_url: str, tmp_path: Path) -> None:
    """A region without witnesses publishes as before."""
    async with watched_region(database_url, tmp_path) as (region, cosigner, _):
        await cosigner.step()

        assert (shown(region), cosigner.readiness()) == (None, {"ready": True})
        assert cosigner.figures()["quorum_age_s"] is None
        assert region.log_policy.quorum == 0


async def test_the_trust_list_says_who_watches(database_url: str, tmp_path: Path) -> None:
    """The policy is logged and comes with the next trust list; setting it again changes what is asked for."""
    a, b = witness("a", 1), witness("b", 2, quantum=True)
    async with watched_region(database_url, tmp_path, a, b, quorum=2) as (region, _, _):
        document = await _trust(region)
        watch_of = document["logs"][0]["witnesses"]
        assert watch_of["k"] == 2
        assert [row["name"] for row in watch_of["keys"]] == [a.name, b.name, b.name]
        assert {row["url"] for row in watch_of["keys"]} == {a.url, b.url}

        await watch(region, 1, a)
        await region.trust.settled(10)

        assert [row["name"] for row in (await _trust(region))["logs"][0]["witnesses"]["keys"]] == [a.name]
        assert witness_policies.answer_of(region.catalogue)["quorum"] == 1


async def _trust(region: Region) -> dict[str, Any]:
    from ledger.trust_publishing import LATEST, payload_of

    assert await region.trust.settled(10)
    text = region.files.read(LATEST)
    assert text is not None
    return payload_of(text.decode())


async def test_a_witness_is_added_by_its_key(database_url: str, tmp_path: Path) -> None:
    """Any C2SP witness joins by vkey and URL; its second key joins the first; what makes no sense is refused."""
    a, b = witness("a", 1, quantum=True), witness("b", 2)
    async with watched_region(database_url, tmp_path) as (region, _, _):
        for key, _ in (*a.keys, *b.keys):
            url = a.url if key.name == a.name else b.url
            body = {"vkeys": [key.to_text()], "url": f"{url}/", "quorum": 1}
            answer = await witness_policies.add_witness(region, OPERATOR, body)

        assert answer["witnesses"] == [
            {"name": a.name, "url": a.url, "counts": True},
            {"name": b.name, "url": b.url, "counts": True},
        ]
        policy = witness_policies.policy_of(region.catalogue)
        assert (policy.quorum, policy.keys) == (1, tuple(key for key, _ in (*a.keys, *b.keys)))
        for wrong in (
            {"vkeys": ["x"], "url": a.url},
            {"vkeys": [], "url": a.url},
            {"vkeys": [b.keys[0][0].to_text()], "url": b.url, "quorum": 3},
        ):
            with pytest.raises(Refusal) as caught:
                await witness_policies.add_witness(region, OPERATOR, wrong)
            assert caught.value.code is Code.WITNESS_POLICY_INVALID
        with pytest.raises(Refusal) as unknown:
            await witness_policies.add_witness(region, OPERATOR, {"peer": "990000"})
        assert unknown.value.code is Code.PEER_UNKNOWN


async def test_policies_that_could_not_work_are_refused(database_url: str, tmp_path: Path) -> None:
    """Nobody can be asked without an address, in the name of another log, or under our own name."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path) as (region, _, _):
        own = region.vkeys[1]
        for text in (
            "nonsense\n",
            f"witness a {a.keys[0][0].to_text()}\nquorum a\n",
            f"log {a.keys[0][0].to_text()}\nquorum none\n",
            f"witness a {own} https://a.example\nquorum a\n",
            f"log {line_key('other.example/log')}\n{policy_text(1, a)}",
        ):
            with pytest.raises(Refusal) as caught:
                await witness_policies.set_policy(region, OPERATOR, {"policy": text})
            assert caught.value.code is Code.WITNESS_POLICY_INVALID
        given = f"log {region.vkeys[0]}\n{policy_text(1, a)}"
        assert (await witness_policies.set_policy(region, OPERATOR, {"policy": given}))["quorum"] == 1


def line_key(name: str) -> str:
    """The vkey of some other log."""
    from tests.verifiers.log_world import ed25519

    return ed25519(name, 77)[0].to_text()


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

        await keys_registry.rotate(region, OPERATOR, None, "peer")  # issuing goes on
        region.publisher.pulse.wake()
        await asyncio.sleep(0.2)
        assert isinstance(region.publisher.pulse.fault, LogWentBack)
        assert not (await region.readiness())["publisher"]["ready"]


async def test_our_own_signature_on_more_than_we_have_stops_the_signing(database_url: str, tmp_path: Path) -> None:
    """A restored backup is found out before anything is signed: one witness that shows what we signed is enough."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, a, b, quorum=2) as (region, _, road):
        signer = region.publisher._signer
        forgotten = await signer.sign(Checkpoint(region.origin, 1000, bytes(32)), 0)
        a.size, a.shown = 1000, forgotten
        again = Cosigner(region, road)

        await again.look_back()

        await keys_registry.rotate(region, OPERATOR, None, "peer")
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
        with pytest.raises(Crash):
            await Cosigner(region, road, step_done=crash).step()
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


async def test_open_mode_shows_checkpoints_before_they_are_cosigned(database_url: str, tmp_path: Path) -> None:
    """With every witness down the log goes on as published, receipts too; what was witnessed stays as it is."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path, a) as (region, cosigner, road):
        await cosigner.step()
        before = cosigner.size
        covered = check_receipt(await receipt_of(region, 0), region.log_policy)
        assert covered.checkpoint.grade is Grade.WITNESSED
        road.cut.add(a.name)
        size = await grow(region)
        await cosigner.step()
        await cosigner.step()

        published, kept = shown(region, "checkpoint"), shown(region)
        assert published is not None and kept is not None
        assert (published.size, published.grade, kept.size) == (size, Grade.PUBLISHED, before)
        newest = check_receipt(await receipt_of(region, size - 1, wait=True), region.log_policy)
        assert newest.checkpoint.grade is Grade.PUBLISHED
        still = check_receipt(await receipt_of(region, 0), region.log_policy)
        assert (still.checkpoint.size, still.checkpoint.grade) == (before, Grade.WITNESSED)
        ready = (await region.readiness())["witnesses"]
        assert ready == {"ready": True, "detail": "0 of 1 witnesses answer"}


async def test_closed_mode_shows_nothing_before_a_quorum_has_cosigned(database_url: str, tmp_path: Path) -> None:
    """The public checkpoint is a witnessed one; whoever waits for a receipt waits for the quorum."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(database_url, tmp_path, witness_mode="closed") as (region, cosigner, road):
        road.witnesses.update({one.url: one for one in (a, b)})
        await watch(region, 2, a, b)
        before = shown(region, "checkpoint")
        await at_rest(region)
        unwitnessed = shown(region, "checkpoint")
        assert before is not None and unwitnessed is not None
        assert unwitnessed.size < region.publisher.size
        last = region.publisher.size - 1
        with pytest.raises(Refusal) as pending:
            await receipts_of(region, [last])
        assert pending.value.code is Code.RECEIPT_PENDING
        waiting = asyncio.create_task(receipt_of(region, last, wait=True))

        road.cut.add(b.name)
        await cosigner.step()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert (await region.readiness())["witnesses"] == {"ready": False, "detail": "1 of 2 witnesses answer"}
        road.cut.clear()
        await whole_round(cosigner)

        async with asyncio.timeout(10):
            opened = check_receipt(await waiting, region.log_policy)
        assert opened.checkpoint.grade is Grade.WITNESSED
        public = shown(region, "checkpoint")
        assert public is not None
        assert (public.grade, public.size) == (Grade.WITNESSED, cosigner.size)
        await grow(region)
        assert (shown(region, "checkpoint") or public).size == public.size


async def test_positions_are_what_a_quorum_cosigned(database_url: str, tmp_path: Path) -> None:
    """Protocol 16: a time maps to the largest size cosigned at or before it, and terms end in witnessed trees."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(database_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        start = region.publisher.size
        at_noon = await region.database.read(lambda tx: positions.at_or_before(tx, region.origin, NOON))
        assert at_noon["size"] == start  # nobody has cosigned yet: our own word stands in
        clock.advance(60)
        await cosigner.step()
        first = cosigner.size
        clock.advance(60)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)

        def read(tx: Any) -> tuple[Any, ...]:
            return (
                positions.latest(tx, region.origin)["size"],
                positions.at_or_before(tx, region.origin, clock.now())["size"],
                positions.at_or_before(tx, region.origin, NOON)["size"],
                positions.covering(tx, region.origin, first),
            )

        latest, now, noon, covering = await region.database.read(read)
        assert (latest, now, noon) == (first, first, start)
        assert covering is None  # the witnesses answer, so the tree that ends the old key's term will be theirs

        await cosigner.step()
        await at_rest(region)
        found = await region.database.read(lambda tx: positions.covering(tx, region.origin, first))
        row = await region.database.read(witnessed.newest)
        assert found is not None and row is not None
        kept = await region.database.read(lambda tx: witnessed.at_size(tx, found["size"]))
        assert kept is not None and b64u_decode(found["root"]) == kept.root
        document = await _trust(region)
        assert _ends(document) == [found["size"]]
        opened = check_receipt(await receipt_of(region, 0, size=found["size"]), region.log_policy)
        assert opened.checkpoint.grade is Grade.WITNESSED


async def test_terms_end_without_witnesses_when_these_are_silent(sqlite_url: str, tmp_path: Path) -> None:
    """A compromised key must not live on because nobody cosigns; the position once named stays what it was."""
    a = witness("a", 1)
    async with watched_region(sqlite_url, tmp_path, a) as (region, cosigner, road):
        await cosigner.step()
        road.cut.add(a.name)
        await grow(region)
        await cosigner.step()
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        before = _ends(await _trust(region))
        assert len(before) == 1

        road.cut.clear()
        await whole_round(cosigner)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)
        await cosigner.step()

        after = _ends(await _trust(region))
        assert len(after) == 2 and after[0] == before[0]
        kept = await region.database.read(lambda tx: witnessed.at_size(tx, after[1]))
        assert kept is not None


def _ends(document: dict[str, Any]) -> list[int]:
    return sorted(key["log_to"]["size"] for key in document["keys"] if "log_to" in key)


async def test_thinning_keeps_what_a_trust_list_names(database_url: str, tmp_path: Path) -> None:
    """Of witnessed checkpoints the last of each minute stays after a while, and every pinned one for ever."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(database_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        sizes = []
        for _ in range(3):
            await cosigner.step()
            sizes.append(cosigner.size)
            await grow(region)
            clock.advance(1)
        await keys_registry.rotate(region, OPERATOR, None, "peer")
        await asyncio.sleep(0.1)
        await cosigner.step()
        [named] = _ends(await _trust(region))
        clock.advance(1)
        await cosigner.step()
        sizes += sorted({named, cosigner.size})
        later = clock.now() + timedelta(hours=1)

        await region.database.write(lambda tx: witnessed.thin(tx, later))

        def still(tx: Any) -> list[int]:
            return [size for size in sizes if witnessed.at_size(tx, size) is not None]

        kept = await region.database.read(still)
        assert kept == [size for size in sizes if size in (named, sizes[-1])]


def ahead(cosigner: Cosigner) -> bool:
    """Whether our clock is ahead of what the witnesses say."""
    return cosigner.clock_ahead


async def test_a_clock_that_is_ahead_of_the_witnesses_stops_the_writer(database_url: str, tmp_path: Path) -> None:
    """Protocol 7: more than a minute ahead of most of them nothing is written, until a fresh answer says otherwise."""
    ours, theirs = ManualClock(NOON), ManualClock(NOON)
    a, b, c = (witness(letter, seed, clock=theirs) for seed, letter in enumerate("abc", 1))
    async with watched_region(database_url, tmp_path, a, b, c, quorum=2, clock=ours) as (region, cosigner, _):
        await cosigner.step()
        assert not ahead(cosigner)
        ours.advance(90)
        await grow(region)

        await cosigner.step()

        assert ahead(cosigner)
        with pytest.raises(Refusal) as stopped:
            await keys_registry.rotate(region, OPERATOR, None, "peer")
        assert stopped.value.code is Code.CLOCK_AHEAD
        assert not (await region.readiness())["witnesses"]["ready"]
        a.instead = b.instead = c.instead = silent
        await whole_round(cosigner)
        assert ahead(cosigner)  # silence says nothing
        a.instead = b.instead = c.instead = None
        theirs.advance(85)
        await whole_round(cosigner)
        assert not ahead(cosigner)
        await asyncio.sleep(1.2)  # the writer looks once a second
        await keys_registry.rotate(region, OPERATOR, None, "peer")


async def silent(_: bytes) -> Answer:
    """Answer nothing useful."""
    return Answer(503, b"")


async def test_one_wrong_clock_among_three_does_not_stop_us(sqlite_url: str, tmp_path: Path) -> None:
    """The median decides: a witness that lives in the past is outvoted."""
    ours = ManualClock(NOON)
    a, b = witness("a", 1, clock=ours), witness("b", 2, clock=ours)
    c = witness("c", 3, clock=ManualClock(NOON - timedelta(days=1)))
    async with watched_region(sqlite_url, tmp_path, a, b, c, quorum=2, clock=ours) as (region, cosigner, _):
        await cosigner.step()

        assert of(cosigner, c).skew_s > 60
        assert not ahead(cosigner)
        await grow(region)


async def test_a_republished_checkpoint_is_cosigned_again(sqlite_url: str, tmp_path: Path) -> None:
    """A log that does not grow still shows that it is alive: same tree, newer times, first time kept in the row."""
    clock = ManualClock(NOON)
    a = witness("a", 1, clock=clock)
    async with watched_region(sqlite_url, tmp_path, a, clock=clock) as (region, cosigner, _):
        await cosigner.step()
        first = await region.database.read(witnessed.newest)
        before = region.publisher.note
        clock.advance(700)
        region.publisher.pulse.wake()
        async with asyncio.timeout(10):
            while region.publisher.note == before:
                await asyncio.sleep(0.02)
        await cosigner.step()

        again = await region.database.read(witnessed.newest)
        assert first is not None and again is not None
        opened = shown(region)
        assert opened is not None and opened.cosigned_at == clock.now()
        if again.size == first.size:
            assert again.cosigned_at == first.cosigned_at


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


async def test_the_audit_checks_what_was_cosigned(sqlite_url: str, tmp_path: Path) -> None:
    """Every witnessed checkpoint is opened under the policies there were; an edited row or file is named."""
    a, b = witness("a", 1), witness("b", 2)
    async with watched_region(sqlite_url, tmp_path, a, b, quorum=2) as (region, cosigner, _):
        await cosigner.step()
        first = cosigner.size
        await watch(region, 1, a)
        await at_rest(region)
        await cosigner.step()
        report = await asyncio.to_thread(audit_stored, Stored.of(region))
        assert (report.passed, report.counts["witnessed checkpoints"]) == (True, 2), report.findings

        row = await region.database.read(lambda tx: witnessed.at_size(tx, first))
        assert row is not None
        uncosigned = region.publisher.note or ""
        await region.database.write(lambda tx: witnessed.store(tx, replace(row, note=uncosigned)))
        region.files.write([(FILE, b"something else\n")])
        found = (await asyncio.to_thread(audit_stored, Stored.of(region))).findings

        assert [(each.artefact, each.where) for each in found] == [
            (Artefact.CHECKPOINT, f"witnessed checkpoint {first}"),
            (Artefact.CHECKPOINT, FILE),
        ]


async def test_the_audit_names_entries_older_than_a_cosignature_without_them(sqlite_url: str, tmp_path: Path) -> None:
    """Protocol 7: an entry added after witnesses saw the log without it cannot bear a time of before."""
    ours = ManualClock(NOON)
    a = witness("a", 1, clock=ManualClock(NOON + timedelta(hours=1)))
    async with watched_region(sqlite_url, tmp_path, a, clock=ours) as (region, cosigner, _):
        await cosigner.step()
        seen = cosigner.size
        size = await grow(region)

        found = (await asyncio.to_thread(audit_stored, Stored.of(region))).findings

        assert [each.where for each in found] == [f"entry {idx}" for idx in range(seen, size)]
        assert all("witness saw the log without it" in each.detail for each in found)


async def test_a_closed_region_passes_its_audit(sqlite_url: str, tmp_path: Path) -> None:
    """What is shown is the witnessed checkpoint, and the audit knows that."""
    a = witness("a", 1)
    async with watched_region(sqlite_url, tmp_path, a, witness_mode="closed") as (region, cosigner, _):
        await cosigner.step()
        await grow(region)
        await cosigner.step()
        await grow(region)

        report = await asyncio.to_thread(audit_stored, Stored.of(region))

        assert report.passed, report.findings


async def test_operators_see_how_far_each_witness_is(sqlite_url: str, tmp_path: Path) -> None:
    """Size, age and error by witness, and the newest tree that a quorum has cosigned."""
    clock = ManualClock(NOON)
    a, b = witness("a", 1, clock=clock), witness("b", 2, clock=clock)
    async with watched_region(sqlite_url, tmp_path, a, b, clock=clock) as (region, cosigner, road):
        road.cut.add(b.name)
        await cosigner.step()
        clock.advance(30)

        told = await region.database.read(lambda tx: witness_states.status(tx, clock.now()))

        assert told == {
            "quorum": 1,
            "witnesses": [
                {"name": a.name, "url": a.url, "counts": True, "size": cosigner.size, "age_s": 30, "failures": 0,
                 "error": None},
                {"name": b.name, "url": b.url, "counts": True, "size": 0, "age_s": None, "failures": 1,
                 "error": "not reached: nobody answers there"},
            ],
            "witnessed": {"size": cosigner.size, "cosigned_at": "2026-11-21T04:00:00Z"},
        }  # fmt: skip
