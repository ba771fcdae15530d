"""What receipt and status list must say, at the edge of each bound: steps (10) and (12) of `verify`."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.issuer import LIST_URI, MARKET, NOW, ORIGIN, TRANSPORT, TTL_S, Issued, Issuer, judge, seed
from tests.verifiers.judged import GOOD, HOUR, ISSUER, PINNED, TRUST, check, found, given_to
from verifiers.commitment import code_digest, jws_digest
from verifiers.errors import Reason
from verifiers.policy import Policy, Seen, SeenList
from verifiers.reasons import Note
from verifiers.status_list import AsOf, StatusList
from verifiers.trust_list import TrustList
from verifiers.verdict import Check, Mark, Outcome, Step

SECOND = dt.timedelta(seconds=1)
LATE = NOW + 400 * HOUR
HISTORICAL = Policy(root=ISSUER.pin, historical=True)


def status(trust: TrustList = TRUST, ttl: int | None = TTL_S, **changes: Any) -> StatusList:
    """A status list that ends late; one without a `ttl` is another maker's."""
    opened = ISSUER.status(trust, **({"expires_at": LATE} | changes))
    return replace(opened, ttl=ttl)


def with_grace(grace_s: int) -> TrustList:
    """Our list where each type's status lists may be so old."""
    return ISSUER.trust(types=tuple(replace(kind, grace_s=grace_s) for kind in TRUST.document.types))


# --- the status list -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "grace", "age", "bound"),
    [
        (None, 0, 0, 0),
        (None, 0, 1, None),
        (0, 0, 0, 0),
        (None, 600, 0, 0),
        (None, 600, 1, 600),
        (30, 600, 30, 30),
        (30, 600, 31, 600),
        (30, 600, 600, 600),
        (30, 600, 601, None),
        (900, 600, 900, 900),
        (900, 600, 901, None),
    ],
)
def test_a_status_list_counts_for_its_ttl_or_the_grace_of_the_type(
    ttl: int | None, grace: int, age: int, bound: int | None
) -> None:
    """Whichever is longer, to the very second; the bound is the one that its age is within."""
    trust = with_grace(grace)
    verdict = given_to(trust=trust, status=[status(trust, ttl)], at=NOW + age * SECOND)

    assert verdict.bound_s == bound
    assert verdict.reasons == (() if bound is not None else (Reason.STATUS_STALE,))
    if bound is None:
        allowed = max(ttl or 0, grace)
        assert found(verdict, Reason.STATUS_STALE).detail == f"{age} s old, where {allowed} s are allowed"
    mark = Mark.UNDETERMINED if bound is None else Mark.PASSED
    assert check(verdict, Step.STATUS) == Check(Step.STATUS, mark, age, "given")


def test_a_status_list_counts_to_its_own_end() -> None:
    """The last second is within it, however long the grace is; the past is judged by what it covers."""
    ends = NOW + 5 * SECOND
    lists = [status(expires_at=ends)]

    assert given_to(status=lists, at=ends).outcome is Outcome.VALID
    assert given_to(status=lists, at=ends + SECOND).reasons == (Reason.STATUS_STALE,)
    assert given_to(status=lists, at=ends, policy=HISTORICAL).outcome is Outcome.VALID
    assert given_to(status=lists, at=ends + SECOND, policy=HISTORICAL).reasons == (Reason.STATUS_TIME,)
    assert given_to(status=lists, at=NOW - SECOND, policy=HISTORICAL).reasons == (Reason.STATUS_TIME,)
    assert given_to(status=lists, at=NOW, policy=HISTORICAL).outcome is Outcome.VALID


def test_of_the_past_a_list_of_then_counts_however_old_it_was() -> None:
    """It covers the moment; its age, what was seen since and our clock do not matter."""
    at = NOW + 300 * HOUR
    seen = Seen(lists={LIST_URI: SeenList(ORIGIN, 1000)}, newest=at + 300 * HOUR)
    verdict = given_to(status=[status()], at=at, policy=HISTORICAL, seen=seen)

    assert (verdict.outcome, verdict.bound_s) == (Outcome.VALID, 86_400)
    assert check(verdict, Step.CLOCK) == Check(Step.CLOCK, Mark.SKIPPED)
    none = found(given_to(status=[status()], at=at + 200 * HOUR, policy=HISTORICAL), Reason.STATUS_TIME)
    assert (none.detail, none.outcome) == ("", Outcome.UNDETERMINED)


def test_the_newest_state_of_the_log_decides_and_then_the_newest_list() -> None:
    """Not the order in which lists are given."""
    size = len(ISSUER.entries)
    old = status(values={7: 1}, as_of=AsOf(ORIGIN, size - 1), issued_at=NOW + SECOND)
    new, newer = status(values={7: 2}, as_of=AsOf(ORIGIN, size)), status(issued_at=NOW + SECOND)

    assert given_to(status=[old, new]).reasons == given_to(status=[new, old]).reasons == (Reason.SUSPENDED,)
    for lists in ([new, newer, old], [newer, old, new], [old, new, newer]):
        assert given_to(status=lists, at=NOW + SECOND).outcome is Outcome.VALID


def test_a_state_as_new_as_the_one_seen_counts_and_an_older_one_does_not() -> None:
    """By the number of entries, not by the time."""
    size = len(ISSUER.entries)
    given: dict[str, Any] = {"status": [status(as_of=AsOf(ORIGIN, size))]}

    assert given_to(**given, seen=Seen(lists={LIST_URI: SeenList(ORIGIN, size)})).outcome is Outcome.VALID
    older = given_to(**given, seen=Seen(lists={LIST_URI: SeenList(ORIGIN, size + 1)}))
    assert found(older, Reason.STATUS_ROLLBACK).detail == f"{size + 1} entries were seen"
    assert check(older, Step.STATUS) == Check(Step.STATUS, Mark.UNDETERMINED, None, "given")


def test_no_list_for_the_address_is_a_missing_list() -> None:
    """The detail names what is wanted; a list of another root, or without a state of the log, is none."""
    others: list[dict[str, Any]] = [{"root": "ab" * 32}, {"as_of": None}, {"uri": "x"}]
    for lists in ([], *([replace(status(), **other)] for other in others)):
        verdict = given_to(status=lists)
        assert (verdict.reasons, found(verdict, Reason.STATUS_MISSING).detail) == ((Reason.STATUS_MISSING,), LIST_URI)
        assert check(verdict, Step.STATUS).source is None
    unnamed = ISSUER.trust(status_lists=())
    missing = found(given_to(GOOD.code, trust=unnamed, status=[], receipt=None), Reason.STATUS_MISSING)
    assert missing.detail == "no list with the number in the code"


@pytest.mark.parametrize(
    ("value", "reason", "revert"),
    [(1, Reason.REVOKED, False), (2, Reason.SUSPENDED, True), (3, Reason.REFUSED, True)],
)
def test_a_slot_that_is_set_says_which_and_what(value: int, reason: Reason, revert: bool) -> None:
    """With the age of the list; it is no licence to use a stale one besides."""
    fresh = given_to(status=[status(values={7: value})])
    stale = given_to(status=[status(values={7: value})], at=NOW + 25 * HOUR)

    assert found(fresh, reason).detail == f"slot 7 says {value}" and fresh.bound_s is None
    assert (Note.STATUS_MAY_REVERT in fresh.notes) is revert
    assert check(fresh, Step.STATUS) == Check(Step.STATUS, Mark.FAILED, 0, "given")
    assert set(stale.reasons) == {reason, Reason.STATUS_STALE}


# --- the receipt -----------------------------------------------------------------------------------------------------


def test_a_licence_needs_a_receipt_unless_its_type_waives_it_and_a_code_has_none() -> None:
    """Each says so."""
    missing = given_to(receipt=None)
    waived = given_to(receipt=None, trust=(relaxed := waiving()), status=[ISSUER.status(relaxed)])
    printed = given_to(GOOD.code, receipt=None)

    assert missing.reasons == (Reason.RECEIPT_MISSING,)
    assert check(missing, Step.RECEIPT) == Check(Step.RECEIPT, Mark.UNDETERMINED)
    assert waived.outcome is printed.outcome is Outcome.VALID
    assert Note.RECEIPT_WAIVED in waived.notes and Note.CODE_WITHOUT_RECEIPT in printed.notes
    for verdict in (waived, printed):
        assert check(verdict, Step.RECEIPT) == Check(Step.RECEIPT, Mark.SKIPPED)


def waiving() -> TrustList:
    """Our list where no type asks for a receipt."""
    return ISSUER.trust(types=tuple(replace(kind, receipt="optional") for kind in TRUST.document.types))


@pytest.mark.parametrize(
    ("quorum", "by", "grade", "reasons"),
    [
        (1, 0, "published", ()),
        (1, 0, "witnessed", (Reason.RECEIPT_GRADE,)),
        (1, 1, "witnessed", ()),
        (2, 1, "witnessed", (Reason.RECEIPT_GRADE,)),
        (0, 0, "witnessed", ()),
    ],
)
def test_a_witnessed_grade_is_asked_for_where_anybody_watches(
    quorum: int, by: int, grade: Any, reasons: tuple[Reason, ...]
) -> None:
    """One witness is enough to be asked for; where nobody watches there is nothing to reach."""
    region = Issuer(watchers=2 if quorum else 0, quorum=quorum)
    issued = region.issue(7)
    receipt = region.receipt(issued.index, issued.opening, checkpoint=region.checkpoint(by=by))
    policy = Policy(root=region.pin, grade=grade)
    verdict = judge(issued.compact, region.trust(), status=[region.status()], receipt=receipt, policy=policy)

    assert verdict.reasons == reasons


def test_a_receipt_is_as_old_as_its_cosignatures_or_else_its_entry() -> None:
    """A quorum's time is worth more than the log's own."""
    region = Issuer(watchers=1, quorum=1)
    issued = region.issue(7)

    def age(by: int) -> int | None:
        text = region.receipt(issued.index, issued.opening, checkpoint=region.checkpoint(None, NOW + 5 * SECOND, by))
        given: dict[str, Any] = {"status": [region.status()], "receipt": text, "at": NOW + 9 * SECOND}
        alone = judge(text, region.trust(), at=NOW + 9 * SECOND)
        seen = check(judge(issued.compact, region.trust(), **given), Step.RECEIPT)
        assert (seen.age_s, seen.source) == (check(alone, Step.RECEIPT).age_s, region.origin)
        return seen.age_s

    assert (age(1), age(0)) == (4, 9)


def logged(idx: int, kind: str, by: str = MARKET, imported: Any = None) -> Issued:
    """A licence whose entry in the log says something of its own."""
    face = ISSUER.face(idx, imported=imported)
    unsigned, compact = ISSUER.sign_licence(face)
    structure, text = ISSUER.sign_code(ISSUER.code_payload(face))
    digests = jws_digest(unsigned.signing_input), code_digest(structure)
    index, opening = ISSUER.append(kind, by, *digests, seed("logged", idx), 0)
    return Issued(compact, text, index, opening, seed("logged", idx), idx, face)


@pytest.mark.parametrize(
    ("kind", "by", "detail"),
    [
        ("licence.issued", MARKET, None),
        ("licence.status", MARKET, None),
        ("licence.imported", MARKET, "the entry says imported, the licence does not"),
        ("sealed", MARKET, f"an entry sealed by {MARKET}"),
        ("licence.issued", TRANSPORT, f"an entry licence.issued by {TRANSPORT}"),
        ("licence.issued", "region", "an entry licence.issued by region"),
    ],
)
def test_an_entry_is_one_of_a_document_by_the_department_that_signed(kind: str, by: str, detail: str | None) -> None:
    """Whatever else it is, it is not this licence's."""
    issued = logged(80, kind, by)
    receipt = ISSUER.receipt(issued.index, issued.opening)
    verdict = given_to(issued.compact, receipt=receipt, status=[status()])

    if detail is None:
        assert verdict.outcome is Outcome.VALID and Note.IMPORTED not in verdict.notes
    else:
        assert found(verdict, Reason.RECEIPT_MISMATCH).detail == detail
        assert check(verdict, Step.RECEIPT).source == "receipt"


def test_a_code_of_an_imported_licence_has_no_room_to_say_so() -> None:
    """Its entry says it, and the verdict too."""
    issued = logged(81, "licence.imported")
    receipt = ISSUER.receipt(issued.index, issued.opening)
    verdict = given_to(issued.code, receipt=receipt, status=[status()])

    assert verdict.outcome is Outcome.VALID and Note.IMPORTED in verdict.notes
    swapped = given_to(issued.code, receipt=ISSUER.receipt(GOOD.index, GOOD.opening), status=[status()])
    assert Reason.RECEIPT_OPENING in swapped.reasons


def test_a_log_that_has_ended_has_no_larger_tree_than_its_last() -> None:
    """The pinned one itself counts, a smaller one too; a larger one and another of that size do not."""
    size, log = len(ISSUER.entries), TRUST.document.logs[0]
    here = ISSUER.position(size)
    ends = [here, replace(here, size=size + 1), ISSUER.position(size - 1), replace(here, root=bytes(32))]
    judged = [given_to(trust=ISSUER.trust(logs=(replace(log, to=end),)), receipt=receipt_now()) for end in ends]

    assert [Reason.LOG_UNKNOWN in verdict.reasons for verdict in judged] == [False, False, True, True]
    assert {found(verdict, Reason.LOG_UNKNOWN).detail for verdict in judged[2:]} == {"the log had ended before"}


def receipt_now() -> str:
    """The good licence's receipt in the tree of this moment."""
    return ISSUER.receipt(GOOD.index, GOOD.opening)


def test_an_entry_alone_is_shown_with_its_place() -> None:
    """Under these names: programs take them."""
    verdict = judge(receipt_now(), TRUST, policy=PINNED)

    assert verdict.licence == {
        "entry": {
            "at": "2026-11-21T08:00:00Z",
            "by": MARKET,
            "index": GOOD.index,
            "kind": "licence.issued",
            "origin": ORIGIN,
        }
    }
    assert verdict.outcome is Outcome.VALID
