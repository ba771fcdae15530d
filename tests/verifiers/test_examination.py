"""One verification under way: what its steps write down, and what is said where they name nothing else."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.verifiers.foreign_world import WATCHED, row, usual_abroad, usual_home, witness_rule
from tests.verifiers.issuer import LIST_URI, NOW, ORIGIN
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.examination import Examination, Ground
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.trust_list import TrustList
from verifiers.verdict import Check, Finding, Mark, Outcome, Step

SECOND = dt.timedelta(seconds=1)


def examination(trust: TrustList | None = None, ground: Ground | None = None) -> Examination:
    """One that has found nothing yet."""
    return Examination(NOW, Policy(), Seen(), trust, ground=ground)


def test_a_step_rests_on_what_was_presented_where_it_names_nothing_else() -> None:
    """Passed and found say so, a step that did not run rests on nothing; age is told where a time is given."""
    case = examination()
    case.passed(Step.SHAPE)
    case.passed(Step.KEY, NOW - SECOND, "given")
    case.skipped(Step.POSITION)
    case.skipped(Step.CLOCK, "clock")
    case.found(Step.STATUS, Reason.REVOKED)
    case.found(Step.RECEIPT, Reason.RECEIPT_MISSING, "none", since=NOW - 2 * SECOND, source=None)
    case.found(Step.KEY, Reason.KEY_UNKNOWN, outcome=Outcome.UNDETERMINED)
    case.refused(Step.ROOT, VerificationError(Reason.ROOT_MISMATCH))
    case.refused(Step.PEER, Malformed(Reason.TRUST, "cut"), "bundle")

    assert case.checks == [
        Check(Step.SHAPE, Mark.PASSED, None, "presented"),
        Check(Step.KEY, Mark.PASSED, 1, "given"),
        Check(Step.POSITION, Mark.SKIPPED, None, None),
        Check(Step.CLOCK, Mark.SKIPPED, None, "clock"),
        Check(Step.STATUS, Mark.FAILED, None, "presented"),
        Check(Step.RECEIPT, Mark.UNDETERMINED, 2, None),
        Check(Step.KEY, Mark.UNDETERMINED, None, "presented"),
        Check(Step.ROOT, Mark.FAILED, None, "presented"),
        Check(Step.PEER, Mark.FAILED, None, "bundle"),
    ]
    assert case.findings == [
        Finding(Reason.REVOKED, "", Outcome.INVALID),
        Finding(Reason.RECEIPT_MISSING, "none", Outcome.UNDETERMINED),
        Finding(Reason.KEY_UNKNOWN, "", Outcome.UNDETERMINED),
        Finding(Reason.ROOT_MISMATCH, "", Outcome.INVALID),
        Finding(Reason.TRUST, "cut", Outcome.INVALID),
    ]


def test_a_verdict_has_the_worst_first_and_checks_in_the_order_of_steps() -> None:
    """Whatever order they were found in; nothing is told that was not found."""
    case = examination()
    case.note(Note.IMPORTED)
    case.note(Note.IMPORTED)
    case.found(Step.STATUS, Reason.STATUS_STALE)
    case.found(Step.KEY, Reason.KEY_TERM)
    case.passed(Step.SHAPE)
    verdict = case.verdict()

    assert (verdict.outcome, verdict.reasons) == (Outcome.INVALID, (Reason.KEY_TERM, Reason.STATUS_STALE))
    assert [check.step for check in verdict.checks] == [Step.SHAPE, Step.KEY, Step.STATUS]
    assert (verdict.at, verdict.notes) == (NOW, (Note.IMPORTED,))
    assert (verdict.bound_s, verdict.licence, verdict.region, verdict.recognition) == (None, None, None, None)


def test_a_verdict_names_the_region_that_the_document_is_judged_by() -> None:
    """The verifier's own where that is not known."""
    assert examination(usual_home()).verdict().region == "610000"
    assert examination(usual_home(), Ground(usual_abroad(), row())).verdict().region == "620000"


@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        (dt.timedelta(0), 0),
        (dt.timedelta(milliseconds=1999), 1),
        (dt.timedelta(days=2, seconds=3), 172_803),
        (dt.timedelta(milliseconds=-1), 0),
        (dt.timedelta(days=-2), 0),
    ],
)
def test_ages_are_whole_seconds_and_never_less_than_none(before: dt.timedelta, seconds: int) -> None:
    """An input from the future has no age."""
    assert examination().age(NOW - before) == seconds
    assert examination().age(None) is None


def test_each_region_vouches_for_the_time_of_its_own_documents() -> None:
    """The newest counts; what another region says is kept apart."""
    own, other = examination(ground=Ground(usual_home())), examination(ground=Ground(usual_abroad(), row()))
    for case in (examination(), own, other):
        for at in (None, NOW, NOW - SECOND, NOW + SECOND, NOW):
            case.vouch(at)
        abroad = case is other
        assert (case.vouched, case.told) == ((None, NOW + SECOND) if abroad else (NOW + SECOND, None))


def test_what_a_branch_finds_is_taken_over_only_if_it_is_chosen() -> None:
    """Findings, checks, notes and all the rest."""
    case = examination(usual_home())
    case.note(Note.IMPORTED)
    trial = case.branch()
    trial.found(Step.KEY, Reason.KEY_TERM)
    trial.note(Note.NAME_CUT)
    trial.content, trial.bound_s = {"number": "7"}, 9

    assert (case.findings, case.checks, case.notes) == ([], [], [Note.IMPORTED])
    case.become(trial)
    assert case == trial and case.bound_s == 9
    assert case.verdict().notes == (Note.IMPORTED, Note.NAME_CUT)


def test_a_log_is_watched_by_whom_we_name_or_else_by_whom_its_region_names() -> None:
    """So many of so many names; of a log that nobody knows, nobody."""
    trust = WATCHED.trust()
    declared, demanded = Ground(trust, row(WATCHED)), Ground(trust, row(WATCHED, witnesses=witness_rule(2)))

    assert (declared.demanded, demanded.demanded) == (None, witness_rule(2))
    assert declared.witnesses(WATCHED.origin) == Ground(trust).witnesses(WATCHED.origin) == (1, 3)
    assert demanded.witnesses(WATCHED.origin) == demanded.witnesses("any.example/log") == (2, 3)
    assert declared.witnesses("any.example/log") == Ground(usual_home()).witnesses(ORIGIN) == (0, 0)


def test_a_list_is_remembered_by_its_address_at_home_and_with_its_root_abroad() -> None:
    """Another region could name any address."""
    trust = usual_abroad()

    assert Ground(trust).list_name(LIST_URI) == LIST_URI
    assert Ground(trust, row()).list_name(LIST_URI) == f"{trust.root_fingerprint} {LIST_URI}"
