"""A department's key in other hands, and the log's keys too: what stands and what falls, at home and in another region.

The thief signs as well as the department does. From entry `GOOD` on nothing counts that this key signed.
"""

from __future__ import annotations

import datetime as dt
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from tests.verifiers.foreign_world import PINNED, home_trust, row, view
from tests.verifiers.issuer import MARKET, NOW, Issued, Issuer, judge, seed
from verifiers.commitment import NO_DOCUMENT, Opening, jws_digest
from verifiers.errors import Reason
from verifiers.policy import Policy
from verifiers.reasons import Note
from verifiers.trust_document import Position, Revocation, TrustedLog
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import WitnessRule
from verifiers.verdict import Outcome, Verdict

THEFT = NOW - dt.timedelta(hours=1)
EARLIER = THEFT - dt.timedelta(minutes=30)
GOOD = 3
"""Entries of the log that a quorum had cosigned before the theft."""

KEY = f"{MARKET}/licence"
HERE, ABROAD, DEMANDING = "at home", "at a peer", "at a peer that names the witnesses itself"
EVERYWHERE = (HERE, ABROAD, DEMANDING)
everywhere = pytest.mark.parametrize("where", EVERYWHERE)


@dataclass(frozen=True)
class World:
    """A region with three licences of which the last came after the theft; `quorum` of `watchers` watch its log."""

    issuer: Issuer
    licences: tuple[Issued, ...]

    @property
    def early(self) -> Issued:
        """An honest licence from before."""
        return self.licences[0]

    @property
    def late(self) -> Issued:
        """One that was logged after the theft: the thief had the department's account too."""
        return self.licences[2]

    def trust(self, *, log_to: Position | None = None, **changes: Any) -> TrustList:
        """The region's trust list after the theft was found out."""
        revoked = Revocation(THEFT, "compromised", self.issuer.position(GOOD))
        keys = self.issuer.key_change(KEY, revoked=revoked, log_to=log_to)
        return self.issuer.trust(**({"keys": keys} | changes))

    def judged(self, presented: str, receipt: str | None, where: str, trust: TrustList | None = None) -> Verdict:
        """The verdict on what is presented, wherever that is."""
        theirs = trust or self.trust()
        status = [self.issuer.status(theirs)]
        if where == HERE:
            return judge(presented, theirs, status=status, receipt=receipt, policy=Policy(root=self.issuer.pin))
        log = self.issuer.document().logs[0]
        rule = WitnessRule(log.quorum, log.witnesses) if where == DEMANDING else None
        ours = home_trust(peers=(row(self.issuer, witnesses=rule),))
        return judge(presented, ours, status=status, receipt=receipt, policy=PINNED, peers=[view(theirs)])

    def receipt(self, licence: Issued, size: int, cosigned: dt.datetime = EARLIER, by: int | None = None) -> str:
        """The receipt of a licence in the honest tree of `size` entries, cosigned at that time by so many."""
        note = self.issuer.checkpoint(size, cosigned, by)
        return self.issuer.receipt(licence.index, licence.opening, size, note)

    def forged(self) -> tuple[str, bytes]:
        """A licence that the department never gave, with an old time in it, and the digest of its signed bytes."""
        face = self.issuer.face(9, iat=int((THEFT - dt.timedelta(days=200)).timestamp()), number="JY16100009999")
        unsigned, compact = self.issuer.sign_licence(face)
        return compact, jws_digest(unsigned.signing_input)

    def fork(self, keep: int, extra: int = 0) -> tuple[str, Issuer, int, Opening]:
        """A second log under the same keys: the first `keep` entries, then the forgery, then `extra` more."""
        twin = copy(self.issuer)
        twin.entries = list(self.issuer.entries[:keep])
        compact, digest = self.forged()
        index, opening = twin.append("licence.issued", MARKET, digest, NO_DOCUMENT, seed("forged"), 0)
        for number in range(extra):
            twin.append("licence.issued", MARKET, seed("more", number), NO_DOCUMENT, seed("forged"), number + 1)
        return compact, twin, index, opening


@cache
def world(watchers: int = 3, quorum: int = 2) -> World:
    """The region, made once."""
    issuer = Issuer(region="620000", base="https://abroad.example", watchers=watchers, quorum=quorum)
    return World(issuer, tuple(issuer.issue(idx) for idx in (7, 8, 9)))


def told(verdict: Verdict) -> tuple[Outcome, set[Reason]]:
    """Outcome and reasons."""
    return verdict.outcome, set(verdict.reasons)


VALID = (Outcome.VALID, set[Reason]())
REFRESH = (Outcome.UNDETERMINED, {Reason.RECEIPT_REFRESH})


@everywhere
def test_an_honest_licence_from_before_stays_valid(where: str) -> None:
    """Under the tree that the list names, whenever that was cosigned last, and under an older one cosigned in time."""
    there = world()
    for receipt in (
        there.receipt(there.early, GOOD),
        there.receipt(there.early, GOOD, cosigned=NOW),
        there.receipt(there.early, 2),
        there.receipt(there.early, 2, cosigned=THEFT),
    ):
        assert told(there.judged(there.early.compact, receipt, where)) == VALID


@everywhere
def test_a_receipt_that_does_not_show_the_order_is_to_be_refreshed(where: str) -> None:
    """A newer tree tells nothing about before and after, nor an older one that was cosigned when the key was stolen."""
    there = world()
    second = dt.timedelta(seconds=1)
    newest = there.receipt(there.early, len(there.issuer.entries))
    stale = there.receipt(there.early, 2, cosigned=THEFT + second)

    assert told(there.judged(there.early.compact, newest, where)) == REFRESH
    assert told(there.judged(there.early.compact, stale, where)) == REFRESH


@everywhere
def test_the_end_of_a_keys_term_asks_for_no_more_than_the_position_before_it(where: str) -> None:
    """The tree of `trust_before` proves the term as well, whatever cosignatures its note has by now."""
    there = world()
    ended = there.trust(log_to=there.issuer.position())
    again = there.receipt(there.early, GOOD, cosigned=NOW)

    assert told(there.judged(there.early.compact, again, where, ended)) == VALID
    assert told(there.judged(there.early.compact, there.receipt(there.early, 4), where, ended)) == REFRESH


def test_a_position_nobody_watched_counts_where_witnesses_came_later() -> None:
    """The list itself stands in for the tree it names; who demands witnesses of the peer is told there were none."""
    there = world()
    ended = there.trust(log_to=there.issuer.position())
    alone = there.receipt(there.early, GOOD, by=0)

    for where in (HERE, ABROAD):
        found = there.judged(there.early.compact, alone, where, ended)
        assert told(found) == VALID and Note.NOT_WITNESSED in found.notes
    demanded = there.judged(there.early.compact, alone, DEMANDING, ended)
    assert told(demanded) == (Outcome.UNDETERMINED, {Reason.RECEIPT_GRADE})


@everywhere
def test_a_forgery_with_an_old_time_and_no_receipt_proves_nothing(where: str) -> None:
    """Its `iat` lies half a year before the theft."""
    there = world()
    missing = {Reason.RECEIPT_MISSING, Reason.KEY_COMPROMISED}

    assert told(there.judged(there.forged()[0], None, where)) == (Outcome.UNDETERMINED, missing)


@everywhere
def test_a_forgery_stapled_to_an_honest_receipt_is_refused(where: str) -> None:
    """The entry commits to another document."""
    there = world()
    found = there.judged(there.forged()[0], there.receipt(there.early, GOOD), where)

    assert found.outcome is Outcome.INVALID and Reason.RECEIPT_OPENING in found.reasons


@everywhere
@pytest.mark.parametrize("cosigned", [EARLIER, NOW], ids=["dated back", "now"])
def test_what_was_logged_after_the_theft_falls(where: str, cosigned: dt.datetime) -> None:
    """The thief had the account too, and the witnesses cosigned what the log showed them, at whatever time."""
    there = world()
    found = there.judged(there.late.compact, there.receipt(there.late, 4, cosigned), where)

    assert told(found) == (Outcome.INVALID, {Reason.KEY_COMPROMISED})


# --- the log's keys are stolen too -----------------------------------------------------------------------------------


def forked(where: str, there: World, keep: int, cosigned: dt.datetime, by: int, extra: int = 0) -> Verdict:
    """The verdict on a forgery with a receipt from a fork that some witnesses cosigned at some time."""
    compact, twin, index, opening = there.fork(keep, extra)
    return there.judged(compact, twin.receipt(index, opening, None, twin.checkpoint(None, cosigned, by)), where)


@everywhere
@pytest.mark.parametrize("by", [0, 1])
def test_a_fork_that_no_quorum_cosigned_proves_nothing(where: str, by: int) -> None:
    """Below the position whoever has all keys of the log can sign another past; the witnesses saw the true one."""
    found = forked(where, world(), keep=1, cosigned=EARLIER, by=by)

    grade = {Reason.RECEIPT_GRADE} if where == DEMANDING else set[Reason]()
    assert told(found) == (Outcome.UNDETERMINED, {Reason.RECEIPT_REFRESH} | grade)


@everywhere
def test_a_fork_that_late_witnesses_cosigned_after_the_theft_proves_nothing(where: str) -> None:
    """A quorum that had not seen the log for long may cosign a short fork, but not at a time before the theft."""
    assert told(forked(where, world(), keep=1, cosigned=NOW, by=2)) == REFRESH


@everywhere
def test_another_tree_of_the_size_of_the_position_proves_nothing(where: str) -> None:
    """Size alone is no proof: the root must be the one that the list names."""
    assert told(forked(where, world(), keep=1, cosigned=EARLIER, by=3, extra=1)) == REFRESH


@everywhere
def test_a_fork_beyond_the_position_falls(where: str) -> None:
    """The place of the entry decides, whatever tree it is in."""
    found = forked(where, world(), keep=GOOD, cosigned=EARLIER, by=3)

    assert told(found) == (Outcome.INVALID, {Reason.KEY_COMPROMISED})


@everywhere
def test_one_of_the_logs_two_keys_signs_no_fork(where: str) -> None:
    """A thief of the Ed25519 key alone leaves out the other line: a stripped checkpoint is a failure."""
    compact, twin, index, opening = world().fork(1)
    lines = twin.checkpoint(None, EARLIER, 0).splitlines(keepends=True)
    receipt = twin.receipt(index, opening, None, "".join(lines[:-1]))

    found = world().judged(compact, receipt, where)

    assert found.outcome is Outcome.INVALID and Reason.CHECKPOINT_UNSIGNED in found.reasons


@pytest.mark.parametrize("where", [HERE, ABROAD])
def test_where_nobody_watched_the_verdict_says_so(where: str) -> None:
    """Nothing but witnesses tells a fork below the position from the truth: that is what the note is for."""
    there = world(0, 0)
    honest = there.judged(there.early.compact, there.receipt(there.early, 2), where)
    fork = forked(where, there, keep=1, cosigned=EARLIER, by=0)

    assert told(honest) == told(fork) == VALID
    assert Note.NOBODY_WATCHED in honest.notes and Note.NOBODY_WATCHED in fork.notes


def test_a_peer_that_names_witnesses_itself_is_not_fooled_by_a_log_that_names_none() -> None:
    """What the list of the robbed region says of its witnesses does not count there."""
    there = world()
    unwatched = there.trust(logs=(replace(there.issuer.document().logs[0], quorum=0, witnesses=()),))
    compact, twin, index, opening = there.fork(1)
    receipt = twin.receipt(index, opening, None, twin.checkpoint(None, EARLIER, 0))

    found = there.judged(compact, receipt, DEMANDING, unwatched)

    assert told(found) == (Outcome.UNDETERMINED, {Reason.RECEIPT_GRADE, Reason.RECEIPT_REFRESH})


# --- the position lies in a later log --------------------------------------------------------------------------------


def later_log(there: World, ended: int) -> TrustList:
    """The trust list after the log has ended at `ended` entries and another began, in which the position lies."""
    first = replace(there.issuer.document().logs[0], to=there.issuer.position(ended))
    keys = tuple(replace(key, name="abroad.example/log/2").to_text() for key in there.issuer.log_keys)
    second = TrustedLog("abroad.example/log/2", keys, quorum=first.quorum, witnesses=first.witnesses)
    good = Position(second.origin, 5, bytes(32))
    changed = there.issuer.key_change(KEY, revoked=Revocation(THEFT, "compromised", good), log_to=replace(good, size=9))
    return there.trust(logs=(first, second), keys=changed)


@everywhere
def test_in_an_ended_log_only_its_end_or_what_was_cosigned_in_time_counts(where: str) -> None:
    """The old log's keys may be stolen as well: its pinned end, or a quorum from before, tells truth from fork."""
    there = world()
    trust = later_log(there, 4)

    for receipt in (there.receipt(there.early, 4, by=0), there.receipt(there.early, 2, EARLIER)):
        found = there.judged(there.early.compact, receipt, where, trust)
        assert set(found.reasons) <= {Reason.RECEIPT_GRADE} and Reason.KEY_COMPROMISED not in found.reasons
    late = there.receipt(there.early, 2, cosigned=NOW)
    assert told(there.judged(there.early.compact, late, where, trust)) == REFRESH
    compact, twin, index, opening = there.fork(1)
    receipt = twin.receipt(index, opening, None, twin.checkpoint(None, EARLIER, 0))
    assert Reason.RECEIPT_REFRESH in there.judged(compact, receipt, where, trust).reasons
