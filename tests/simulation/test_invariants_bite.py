"""Each invariant can fail: the code is broken on purpose, and the simulation sees it within some schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ledger import followed_status, receipts, witness_states, witnessing
from ledger.committing import Committer, _result
from ledger.following_faults import forked
from ledger.mirroring import LogFollower
from ledger.peer_following import PeerFollower
from ledger.public_files import PublicFiles
from ledger.witness_feeding import WitnessFeeding
from tests.simulation.invariants import (
    EVERY_STEP,
    Invariant,
    acknowledged_entries_stay,
    honest_licences_are_not_called_revoked,
    issuing_goes_on,
    liars_alone_are_accused,
    no_two_forks_reach_a_quorum,
    one_history_is_accepted,
    published_heads_fit_the_log,
    receipts_stay_good,
    weak_quorums_are_called_weak,
    withdrawn_is_not_valid_for_long,
    witnesses_never_go_back,
)
from tests.simulation.schedules import focused, run
from tests.simulation.template import template
from verifiers import evidence
from verifiers.examination import Ground
from verifiers.merkle import prove_inclusion
from verifiers.status_list import StatusList

TRIES = 40
"""Schedules within which what is broken must be seen."""

LYING, HONEST = (3, 1, 2), (3, 0, 2)


async def _take_anything(self: LogFollower, _base: str, policy: Any, checkpoint: Any) -> bool:
    await self._keep(checkpoint, self._signed_at(checkpoint, policy))
    return True


async def _no_comparison(*_: Any) -> bool:
    return False


async def _nothing(*_: Any) -> None:
    return None


def _any_slot(self: StatusList, _idx: int) -> int:
    return 0 if self.packed.count(0) == len(self.packed) else 2


async def _accuse(self: LogFollower, _base: str, older: Any) -> None:
    raise forked(self.row.note, older.text, "an older checkpoint is shown")


def _commit_of_faith(_self: Committer, unknown: Any) -> Any:
    return _result(unknown.sequenced)


def _wrong_path(*asked: Any) -> list[bytes]:
    return [bytes(32) for _ in PROVE(*asked)]


PROVE = prove_inclusion
WRITE = PublicFiles.write_checkpoint


def _wrong_head(self: PublicFiles, note: str) -> bool:
    lines = note.split("\n")
    lines[1] = str(int(lines[1]) + 1)
    return WRITE(self, "\n".join(lines))


def _rows_for_witnesses(self: Ground, origin: str) -> tuple[int, int]:
    log = self.trust.log(origin)
    return (0, 0) if log is None else (log.quorum, len(log.witnesses))


@dataclass(frozen=True)
class Mutation:
    """Code broken on purpose: what is put in whose place, the invariant that sees it, and moves that bring it out."""

    name: str
    invariant: Invariant
    places: tuple[tuple[Any, str, Callable[..., Any]], ...]
    moves: Sequence[str]
    shape: tuple[int, int, int] = LYING
    heals: bool = False


SPLITTING = ("split", "everybody looks", "all work", "lie")
MUTATIONS = (
    Mutation(
        "a follower takes whatever is signed",
        one_history_is_accepted,
        ((LogFollower, "take", _take_anything), (LogFollower, "compare_heard", _no_comparison)),
        ("split", "everybody looks", "lie", "lie", "work"),
    ),
    Mutation(
        "a witness compares nothing",
        witnesses_never_go_back,
        ((witnessing, "_judged", lambda *_: None),),
        SPLITTING,
    ),
    Mutation(
        "witnesses cosign both histories",
        no_two_forks_reach_a_quorum,
        ((witnessing, "_judged", lambda *_: None),),
        ("split", "all work", "lie"),
    ),
    Mutation(
        "each key of a witness counts as one",
        weak_quorums_are_called_weak,
        ((Ground, "witnesses", _rows_for_witnesses),),
        ("verify", "work"),
    ),
    Mutation(
        "a verifier forgets how old a status list is",
        withdrawn_is_not_valid_for_long,
        ((evidence, "_allowed", lambda *_: 10**6),),
        ("withdraw and tell", "advance", "advance", "verify", "verify"),
    ),
    Mutation(
        "a verifier looks at other slots of the list",
        honest_licences_are_not_called_revoked,
        ((StatusList, "get", _any_slot),),
        ("withdraw and tell", "everybody looks", "verify", "verify"),
    ),
    Mutation(
        "a receipt is composed of the wrong hashes",
        receipts_stay_good,
        ((receipts, "prove_inclusion", _wrong_path),),
        ("issue", "work", "receipt", "receipt"),
        HONEST,
    ),
    Mutation(
        "a commit of unknown outcome is taken for good",
        acknowledged_entries_stay,
        ((Committer, "_resolve", _commit_of_faith),),
        ("database", "issue"),
        HONEST,
    ),
    Mutation(
        "a clock is called ahead whenever anybody says so",
        issuing_goes_on,
        ((witness_states, "clock_is_ahead", lambda *_: True),),
        ("work", "issue"),
        HONEST,
    ),
    Mutation(
        "a head is served that was not signed",
        published_heads_fit_the_log,
        ((PublicFiles, "write_checkpoint", _wrong_head),),
        ("issue", "work"),
        HONEST,
    ),
    Mutation(
        "an older answer is called a fork",
        liars_alone_are_accused,
        ((LogFollower, "_compare", _accuse),),
        ("issue", "work", "everybody looks", "harm"),
        HONEST,
    ),
)


@pytest.fixture(autouse=True)
def _sound_beginning() -> None:
    """Make what schedules begin with while nothing is broken yet."""
    template(LYING[0], LYING[2])


def _first_fault(mutation: Mutation, invariants: Sequence[Invariant]) -> str | None:
    for seed in range(TRIES):
        fault = run(focused(seed, mutation.moves, mutation.shape, heals=mutation.heals), invariants).fault
        if fault is not None:
            return fault
    return None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name.replace(" ", "-"))
def test_what_is_broken_is_seen(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The invariant made for it fails, judged alone."""
    for owner, name, instead in mutation.places:
        monkeypatch.setattr(owner, name, instead)

    fault = _first_fault(mutation, (mutation.invariant,))

    assert fault is not None
    assert fault.startswith(mutation.invariant.__name__), fault


def test_a_split_that_nobody_asks_about_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers that never compare what others were shown do not find it within the stated time of healing."""
    monkeypatch.setattr(PeerFollower, "hear", _nothing)
    monkeypatch.setattr(WitnessFeeding, "after_look", _nothing)
    mutation = Mutation("", one_history_is_accepted, (), ("split", "issue"), heals=True)

    fault = _first_fault(mutation, EVERY_STEP)

    assert fault is not None and fault.startswith("splits_are_found")


def test_a_follower_that_stays_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no newer status list differs from the fold over the peer's acts."""
    monkeypatch.setattr(followed_status, "_newer", lambda *_: False)
    mutation = Mutation("", one_history_is_accepted, (), ("withdraw and tell", "everybody looks"), HONEST, heals=True)

    fault = _first_fault(mutation, EVERY_STEP)

    assert fault is not None and fault.startswith("followers_equal_the_reference")


def test_every_invariant_is_seen_to_fail() -> None:
    """There is a mutation for each."""
    assert {each.invariant for each in MUTATIONS} == set(EVERY_STEP)
