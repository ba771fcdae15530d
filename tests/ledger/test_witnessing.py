"""Our witness cosigns what grew, and refuses everything else in the order of the specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.clock import ManualClock
from ledger.witnessing import Outcome
from tests.ledger.watched_log import (
    FORK,
    LOG,
    NAMED_LIKE_US,
    NOW,
    STRANGER,
    WatchedLog,
    last,
    watching,
    witness_keys,
)
from tests.verifiers.log_world import ORIGIN, sign
from verifiers.add_checkpoint import format_request, origin_hash
from verifiers.checkpoint import Checkpoint, Grade, LogPolicy, add_cosignatures, message, open_checkpoint
from verifiers.encoding import b64_encode
from verifiers.merkle import EMPTY_ROOT
from verifiers.note import KeyType, format_note, parse_lines, parse_note, signature_line


async def test_a_log_that_grows_is_cosigned_by_both_keys(database_url: str, tmp_path: Path) -> None:
    """Every line of the answer verifies under the published keys, and makes the checkpoint a witnessed one."""
    clock = ManualClock(NOW)
    async with watching(database_url, tmp_path, clock=clock) as (region, witness):
        keys = witness_keys(region)
        policy = LogPolicy(ORIGIN, tuple(key for key, _ in LOG.keys), 1, keys)
        for old, size in ((0, 1), (1, 2), (2, 7), (7, 8), (8, 100)):
            clock.advance(5)
            result = await witness.add_checkpoint(LOG.request(old, size))
            assert result.outcome is Outcome.COSIGNED

            lines = parse_lines(result.body)
            assert {(line.name, line.key_id) for line in lines} == {(key.name, key.key_id) for key in keys}
            opened = open_checkpoint(add_cosignatures(LOG.note(size), lines), policy)
            assert opened.grade is Grade.WITNESSED and opened.cosigned_at == clock.now()
            for key in keys:  # each by itself
                alone = replace(policy, witnesses=(key,))
                assert open_checkpoint(add_cosignatures(LOG.note(size), lines), alone).grade is Grade.WITNESSED

        assert {key.type for key in keys} == {KeyType.ED25519_COSIGNATURE, KeyType.MLDSA44_COSIGNATURE}
        kept = await witness.latest(origin_hash(ORIGIN))
        assert kept is not None and open_checkpoint(kept, policy).size == 100


async def test_only_checked_lines_are_kept(database_url: str, tmp_path: Path) -> None:
    """Lines of strangers and lines that mean nothing are in the request, and not in what is stored and served."""
    async with watching(database_url, tmp_path) as (region, witness):
        note = parse_note(LOG.note(4))
        odd = parse_note(sign(LOG.head(4), signers=STRANGER)).lines
        await witness.add_checkpoint(format_request(0, [], format_note(note.text, [*odd, *note.lines])))

        kept = parse_note(last(region).note)

        known = {(key.name, key.key_id) for key in (*(key for key, _ in LOG.keys), *witness_keys(region))}
        assert {(line.name, line.key_id) for line in kept.lines} == known and len(kept.lines) == 4


async def test_the_same_checkpoint_again_gets_a_newer_time(database_url: str, tmp_path: Path) -> None:
    """An empty proof from its own size refreshes; within the second the stored lines are given again."""
    clock = ManualClock(NOW)
    async with watching(database_url, tmp_path, clock=clock) as (region, witness):
        first = await witness.add_checkpoint(LOG.request(0, 5))
        again = await witness.add_checkpoint(LOG.request(5, 5))
        clock.advance(60)
        later = await witness.add_checkpoint(LOG.request(5, 5))

        assert again == first
        assert later.outcome is Outcome.COSIGNED and later.body != first.body
        assert last(region).size == 5 and last(region).cosigned_at == clock.now()


async def test_an_empty_log_is_cosigned(database_url: str, tmp_path: Path) -> None:
    """A log may ask before its first entry, and goes on from there."""
    async with watching(database_url, tmp_path) as (region, witness):
        empty = await witness.add_checkpoint(LOG.request(0, 0))
        grown = await witness.add_checkpoint(LOG.request(0, 3))

        assert (empty.outcome, grown.outcome) == (Outcome.COSIGNED, Outcome.COSIGNED)
        assert last(region).size == 3


async def test_a_log_nobody_asked_for_is_never_served(database_url: str, tmp_path: Path) -> None:
    """Before its first checkpoint there is nothing to show."""
    async with watching(database_url, tmp_path) as (_, witness):
        assert await witness.latest(origin_hash(ORIGIN)) is None


REFUSED: dict[str, tuple[Callable[[], bytes], Outcome]] = {
    "not a request": (lambda: b"garbage", Outcome.MALFORMED),
    "old size with a leading zero": (lambda: LOG.request(5, 9).replace(b"old 5", b"old 05"), Outcome.MALFORMED),
    "64 hashes": (
        lambda: LOG.request(5, 9).replace(b"old 5\n", b"old 5\n" + (b"A" * 43 + b"=\n") * 60),
        Outcome.MALFORMED,
    ),
    "too long": (lambda: LOG.request(5, 9) + b"x" * 300_000, Outcome.MALFORMED),
    "no signature lines": (lambda: LOG.request(5, 9).split("—".encode())[0], Outcome.MALFORMED),
    "an extension line": (
        lambda: LOG.request(5, 9).replace(b"=\n\n\xe2", b"=\nextension\n\n\xe2"),
        Outcome.MALFORMED,
    ),
    "signature not canonical": (lambda: _last_letter(LOG.request(5, 9)), Outcome.MALFORMED),
    "old size larger than the checkpoint": (lambda: format_request(10, [], LOG.note(9)), Outcome.MALFORMED),
    "another origin": (lambda: WatchedLog(origin="other.example/log").request(5, 9), Outcome.UNKNOWN_LOG),
    "named like the witness": (lambda: WatchedLog(origin=NAMED_LIKE_US).request(5, 9), Outcome.UNKNOWN_LOG),
    "signed by strangers": (lambda: WatchedLog(keys=STRANGER).request(5, 9), Outcome.UNTRUSTED),
    "one of its keys missing": (lambda: WatchedLog(keys=LOG.keys[:1]).request(5, 9), Outcome.UNTRUSTED),
    "a line of its key over another head": (
        lambda: format_request(
            5, LOG.proof(5, 9), format_note(parse_note(LOG.note(9)).text, parse_note(LOG.note(8)).lines)
        ),
        Outcome.UNTRUSTED,
    ),
    "a stale old size": (lambda: LOG.request(4, 9), Outcome.CONFLICT),
    "old size 0 again": (lambda: LOG.request(0, 9), Outcome.CONFLICT),
    "a smaller checkpoint": (lambda: LOG.request(3, 4), Outcome.CONFLICT),
    "no proof": (lambda: format_request(5, [], LOG.note(9)), Outcome.INCONSISTENT),
    "a wrong proof": (lambda: format_request(5, LOG.proof(4, 9), LOG.note(9)), Outcome.INCONSISTENT),
    "a proof too long": (lambda: format_request(5, [*LOG.proof(5, 9), bytes(32)], LOG.note(9)), Outcome.INCONSISTENT),
    "a fork": (lambda: FORK.request(5, 9), Outcome.INCONSISTENT),
    "another root for its size": (lambda: FORK.request(5, 5), Outcome.INCONSISTENT),
    "a proof between equal sizes": (lambda: format_request(5, [bytes(32)], LOG.note(5)), Outcome.INCONSISTENT),
}


def _last_letter(data: bytes) -> bytes:
    """The same bytes in base64 whose last letter has stray bits."""
    line = next(each for each in data.split(b"\n") if each.startswith("— licence".encode()) and each.endswith(b"="))
    bare = line.rstrip(b"=")
    return data.replace(line, bare[:-1] + bytes([bare[-1] + 1]) + line[len(bare) :])


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_and_nothing_changed(sqlite_url: str, tmp_path: Path, case: str) -> None:
    """One row a check, made against a log cosigned at size 5: its answer, and what is stored stays as it was."""
    async with watching(sqlite_url, tmp_path) as (region, witness):
        await witness.add_checkpoint(LOG.request(0, 5))
        before = last(region)
        make, outcome = REFUSED[case]

        result = await witness.add_checkpoint(make())

        assert result.outcome is outcome, result
        assert result.body.endswith("\n")
        assert result.body == "5\n" or outcome is not Outcome.CONFLICT
        assert (result.origin == ORIGIN) == (outcome not in (Outcome.MALFORMED, Outcome.UNKNOWN_LOG))
        assert last(region) == before


@pytest.mark.parametrize(
    ("size", "root", "proof"), [(0, bytes(32), []), (4, None, [bytes(32)]), (0, EMPTY_ROOT, [bytes(32)])]
)
async def test_a_first_checkpoint_that_cannot_be_is_refused(
    database_url: str, tmp_path: Path, size: int, root: bytes | None, proof: list[bytes]
) -> None:
    """An empty tree has one root, and from nothing to anything there is nothing to prove."""
    head = LOG.head(size) if root is None else Checkpoint(ORIGIN, size, root)
    async with watching(database_url, tmp_path) as (region, witness):
        # the pair does not print such a head, but a log's key can sign it
        text = f"{ORIGIN}\n{head.size}\n{b64_encode(head.root)}\n"
        result = await witness.add_checkpoint(format_request(0, proof, signed_text(text)))

        assert result.outcome is Outcome.INCONSISTENT
        assert last(region) is None


def signed_text(text: str) -> str:
    """The note of any text that looks like a head, signed by all of the log's keys."""
    return format_note(text, [signature_line(key, make(message(key, text, 0))) for key, make in LOG.keys])
