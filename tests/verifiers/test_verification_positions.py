"""Verdicts by position in the log: keys and grants that begin, end or were compromised (protocol 16)."""

import datetime as dt
from dataclasses import replace

import pytest

from tests.verifiers.issuer import MARKET, NOW, ORIGIN, REGION, Issuer, judge
from tests.verifiers.judged import GOOD, HOUR, ISSUER, TRUST, given_to
from verifiers.authority import covers
from verifiers.errors import Reason
from verifiers.policy import Policy
from verifiers.reasons import Note
from verifiers.trust_document import Position, Revocation
from verifiers.verdict import Outcome, Verdict

# --- positions (protocol 16) -----------------------------------------------------------------------------------------


def compromised(quorum: int, size_of_receipt: int, limit: int, cosigned: dt.datetime, at: dt.datetime) -> Verdict:
    """Entry 1 under a key compromised at `at` with `trust_before` of `limit` entries."""
    region = Issuer(watchers=3 if quorum else 0, quorum=quorum)
    issued = region.issue(7)
    for idx in range(8, 14):
        region.issue(idx)
    checkpoint = region.checkpoint(size_of_receipt, cosigned)
    receipt = region.receipt(issued.index, issued.opening, size_of_receipt, checkpoint)
    revocation = Revocation(at, "compromised", region.position(limit))
    trust = region.trust(keys=region.key_change(f"{MARKET}/licence", revoked=revocation))
    return judge(issued.compact, trust, status=[region.status(trust)], receipt=receipt, policy=Policy(root=region.pin))


@pytest.mark.parametrize("quorum", [0, 2])
def test_what_is_proven_in_exactly_the_pinned_tree_stays_good(quorum: int) -> None:
    """Whenever that tree was cosigned."""
    assert compromised(quorum, 5, 5, NOW, NOW - HOUR).outcome is Outcome.VALID


@pytest.mark.parametrize("quorum", [0, 2])
def test_what_was_logged_after_is_invalid(quorum: int) -> None:
    """Entry 1 of a tree whose first entry alone stays good."""
    verdict = compromised(quorum, 5, 1, NOW, NOW)

    assert (verdict.outcome, verdict.reasons) == (Outcome.INVALID, (Reason.KEY_COMPROMISED,))


@pytest.mark.parametrize("quorum", [0, 2])
def test_a_receipt_over_a_larger_tree_must_be_refreshed(quorum: int) -> None:
    """A larger tree does not prove what the pinned one held."""
    verdict = compromised(quorum, 7, 5, NOW, NOW)

    assert (verdict.outcome, verdict.reasons) == (Outcome.UNDETERMINED, (Reason.RECEIPT_REFRESH,))


def test_an_older_tree_counts_if_a_quorum_saw_it_before_the_compromise() -> None:
    """A cosignature after it proves nothing; where nobody watches, the published tree stands in."""
    assert compromised(2, 3, 5, NOW - HOUR, NOW).outcome is Outcome.VALID
    assert compromised(2, 3, 5, NOW, NOW - HOUR).reasons == (Reason.RECEIPT_REFRESH,)
    unwatched = compromised(0, 3, 5, NOW, NOW - HOUR)
    assert unwatched.outcome is Outcome.VALID and Note.NOBODY_WATCHED in unwatched.notes


def test_a_key_is_good_from_its_start_to_its_end_in_the_log() -> None:
    """Outside that term it signed nothing that counts."""
    name = f"{MARKET}/licence"
    before = TRUST.document
    late = replace(before, keys=ISSUER.key_change(name, log_from=Position(ORIGIN, GOOD.index + 1, bytes(32))))
    ended = replace(before, keys=ISSUER.key_change(name, log_to=ISSUER.position(GOOD.index)))
    held = replace(before, keys=ISSUER.key_change(name, log_to=ISSUER.position()))
    verdicts = [given_to(trust=ISSUER.trust(keys=document.keys)) for document in (late, ended, held)]

    assert [verdict.reasons for verdict in verdicts] == [(Reason.KEY_TERM,), (Reason.KEY_TERM,), ()]


def test_a_grant_that_was_given_back_and_given_again_counts_twice() -> None:
    """One of the grants must cover the entry's place."""
    first = TRUST.document.grants[0]
    early = replace(first, log_to=ISSUER.position(GOOD.index))
    late = replace(first, log_from=ISSUER.position(GOOD.index))

    assert given_to(trust=ISSUER.trust(grants=(early, late))).outcome is Outcome.VALID
    assert given_to(trust=ISSUER.trust(grants=(early,))).reasons == (Reason.GRANT_TERM,)


def test_a_code_under_an_ended_grant_is_undetermined() -> None:
    """It carries no receipt, so nothing tells when it was signed."""
    ended = replace(TRUST.document.grants[0], log_to=ISSUER.position())
    verdict = given_to(GOOD.code, receipt=None, trust=ISSUER.trust(grants=(ended,)))

    assert (verdict.outcome, verdict.reasons) == (Outcome.UNDETERMINED, (Reason.RECEIPT_MISSING,))


def test_a_log_that_has_ended_has_no_larger_tree() -> None:
    """Its last checkpoint is pinned in the trust list."""
    log = TRUST.document.logs[0]
    size = GOOD.index + 1
    ended = ISSUER.trust(logs=(replace(log, to=ISSUER.position(size)),))
    forked = ISSUER.trust(logs=(replace(log, to=Position(ORIGIN, size, bytes(32))),))
    ISSUER.issue(60)
    small, large = (ISSUER.receipt(GOOD.index, GOOD.opening, size) for size in (size, size + 1))
    status = ISSUER.status(TRUST)

    assert given_to(trust=ended, receipt=small, status=[status]).outcome is Outcome.VALID
    assert given_to(trust=ended, receipt=large, status=[status]).reasons == (Reason.LOG_UNKNOWN,)
    assert given_to(trust=forked, receipt=small, status=[status]).reasons == (Reason.LOG_UNKNOWN,)


def test_an_area_covers_what_lies_in_it() -> None:
    """GB/T 2260: pairs of zeros stand for everything below."""
    assert covers("610000", "610113") and covers("610100", "610113") and covers("61", REGION)
    assert not covers("610100", "610200") and not covers("610113", "610100") and not covers("620000", "610113")
