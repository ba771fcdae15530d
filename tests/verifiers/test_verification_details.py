"""What each finding of a verdict says, where it was found and how old that was; and the last second that counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.issuer import (
    BASE,
    COMPANY,
    DRIVER,
    FOOD,
    MARKET,
    NOW,
    ORIGIN,
    REGION,
    TRANSPORT,
    Issuer,
    judge,
    seed,
)
from tests.verifiers.judged import DAY, GOOD, HOUR, ISSUER, PINNED, TRUST, check, found, given_to
from verifiers.authority import covers
from verifiers.dynamic_code import mint
from verifiers.errors import Reason
from verifiers.licence import Holder
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.trust_document import Position, Revocation
from verifiers.trust_list import TrustList
from verifiers.verdict import Check, Finding, Mark, Outcome, Step, Verdict
from verifiers.verification import verify

SECOND = dt.timedelta(seconds=1)
KEY = f"{MARKET}/licence"


def forged(department: str = MARKET, **changes: Any) -> Verdict:
    """A licence that the department's key signed and the log never saw."""
    return given_to(ISSUER.sign_licence(ISSUER.face(7, **changes), department)[1])


def keyed(**changes: Any) -> TrustList:
    """Our list where it says something else of the department's key."""
    return ISSUER.trust(keys=ISSUER.key_change(KEY, **changes))


def test_each_fault_of_signer_and_scope_is_told() -> None:
    """In English, for people who look closer."""
    grants = TRUST.document.grants
    code = ISSUER.code_payload(GOOD.face)
    told = [
        (given_to(trust=keyed(purpose="statement")), Reason.KEY_PURPOSE, "a key for statement"),
        (
            given_to(trust=keyed(department=TRANSPORT)),
            Reason.KEY_CERTIFICATE,
            "the certificate has expired or is of another key or department",
        ),
        (
            forged(iss=f"{BASE}/d/{TRANSPORT}"),
            Reason.ISSUER_MISMATCH,
            f"{BASE}/d/{TRANSPORT} is not whom the certificate names",
        ),
        (forged(vct=f"{BASE}/types/x/1"), Reason.TYPE_UNKNOWN, f"{BASE}/types/x/1"),
        (forged(vct_integrity="sha256-" + "B" * 43 + "="), Reason.TYPE_INTEGRITY, f"{BASE}/types/{FOOD}/1"),
        (forged(vct=f"{BASE}/types/{DRIVER}/1"), Reason.GRANT_MISSING, f"{MARKET} for {DRIVER}@1"),
        (
            given_to(trust=ISSUER.trust(grants=(replace(grants[0], area="620000"),))),
            Reason.GRANT_AREA,
            f"{MARKET} in {REGION}",
        ),
        (
            given_to(ISSUER.sign_code(replace(code, issuer_number=2))[1]),
            Reason.ISSUER_MISMATCH,
            "the key is not that of issuer 2",
        ),
        (
            given_to(ISSUER.sign_code(replace(code, issuer_number=9))[1]),
            Reason.ISSUER_MISMATCH,
            "the key is not that of issuer 9",
        ),
        (given_to(ISSUER.sign_code(replace(code, type_number=9))[1]), Reason.TYPE_UNKNOWN, "type number 9"),
        (given_to(ISSUER.sign_code(replace(code, type_number=2))[1]), Reason.GRANT_MISSING, f"{MARKET} for {DRIVER}@1"),
    ]
    for verdict, reason, detail in told:
        assert found(verdict, reason).detail == detail
        step = Step.KEY if reason in {Reason.KEY_PURPOSE, Reason.KEY_CERTIFICATE} else Step.ISSUER
        assert check(verdict, step) == Check(step, Mark.FAILED, None, "presented")


def test_a_certificate_counts_to_its_last_second() -> None:
    """And not a second longer."""
    last = NOW + 19_000 * DAY

    assert Reason.KEY_CERTIFICATE not in given_to(at=last).reasons
    assert Reason.KEY_CERTIFICATE in given_to(at=last + SECOND).reasons


def test_an_unknown_key_may_have_come_after_next_update() -> None:
    """Not in its last second; the check says how old the list is."""
    trust = ISSUER.trust(keys=tuple(key for key in TRUST.document.keys if key.purpose != "licence"))
    for at, outcome, age in ((NOW + HOUR, Outcome.INVALID, 3600), (NOW + HOUR + SECOND, Outcome.UNDETERMINED, 3601)):
        verdict = given_to(trust=trust, at=at)
        assert found(verdict, Reason.KEY_UNKNOWN).outcome is outcome
        mark = Mark.FAILED if outcome is Outcome.INVALID else Mark.UNDETERMINED
        assert check(verdict, Step.KEY) == Check(Step.KEY, mark, age, "given")
        assert [one.step for one in verdict.checks if one.mark is Mark.SKIPPED] == [Step.RECEIPT, Step.POSITION]


def test_each_fault_of_the_position_is_told_with_the_log() -> None:
    """Which entry it is, and what would help."""
    here, place = ISSUER.position(), f"entry {GOOD.index}"
    revoked, elsewhere = Revocation(NOW, "compromised", ISSUER.position(1)), replace(here, root=bytes(32))
    grant = TRUST.document.grants[0]
    receipt = ISSUER.receipt(GOOD.index, GOOD.opening)
    told = [
        (keyed(log_from=replace(here, size=GOOD.index + 1)), Reason.KEY_TERM, place),
        (keyed(log_to=ISSUER.position(GOOD.index)), Reason.KEY_TERM, place),
        (keyed(revoked=revoked), Reason.KEY_COMPROMISED, "compromised"),
        (keyed(revoked=replace(revoked, trust_before=None)), Reason.KEY_COMPROMISED, "compromised"),
        (ISSUER.trust(grants=(replace(grant, log_to=ISSUER.position(1)),)), Reason.GRANT_TERM, place),
        (keyed(log_to=elsewhere), Reason.RECEIPT_REFRESH, "a receipt for the pinned tree, or an older one, is needed"),
        (
            ISSUER.trust(grants=(replace(grant, log_to=elsewhere),)),
            Reason.RECEIPT_REFRESH,
            "a receipt for the pinned tree, or an older one, is needed",
        ),
    ]
    for trust, reason, detail in told:
        verdict = given_to(trust=trust, receipt=receipt, status=[ISSUER.status(trust)])
        assert (verdict.reasons, found(verdict, reason).detail) == ((reason,), detail)
        assert check(verdict, Step.POSITION).source == ORIGIN
    begins = keyed(log_from=Position(ORIGIN, GOOD.index, bytes(32)))
    assert given_to(trust=begins, receipt=receipt, status=[ISSUER.status(begins)]).outcome is Outcome.VALID


def test_without_a_receipt_a_position_is_asked_for_only_where_something_has_ended() -> None:
    """A stolen key, or all the grants there are."""
    codes = ISSUER.key_change(f"{MARKET}/code", revoked=Revocation(NOW, "compromised", ISSUER.position()))
    grant = TRUST.document.grants[0]
    ended = replace(grant, log_to=ISSUER.position())
    stolen = given_to(GOOD.code, receipt=None, trust=ISSUER.trust(keys=codes))
    closed = given_to(GOOD.code, receipt=None, trust=ISSUER.trust(grants=(ended,)))
    again = given_to(GOOD.code, receipt=None, trust=ISSUER.trust(grants=(ended, grant)))

    assert found(stolen, Reason.KEY_COMPROMISED) == Finding(Reason.KEY_COMPROMISED, "compromised", Outcome.UNDETERMINED)
    assert found(closed, Reason.RECEIPT_MISSING).detail == "the grant has ended; was it used before?"
    assert again.outcome is Outcome.VALID and check(again, Step.POSITION).mark is Mark.SKIPPED


@pytest.mark.parametrize(
    ("area", "region", "inside"),
    [
        ("610000", "610000", True),
        ("610000", "619999", True),
        ("610000", "620000", False),
        ("610100", "610113", True),
        ("610100", "610000", False),
        ("610010", "610010", True),
        ("61", "610113", True),
        ("6101", "610113", True),
        ("6100", "610113", False),
        ("610113000", "610113", False),
        ("000000", "610113", True),
    ],
)
def test_an_area_of_six_digits_ends_where_its_zeros_begin(area: str, region: str, inside: bool) -> None:
    """Other lengths are taken as they stand."""
    assert covers(area, region) is inside


@pytest.mark.parametrize(
    ("liars", "noted"), [(0, False), (1, True), (2, True)], ids=["none", "as many as it bears", "more"]
)
def test_more_liars_than_a_quorum_bears_only_let_a_split_be_seen(liars: int, noted: bool) -> None:
    """Two of three prevent one while none of them lies (protocol 29)."""
    region = Issuer(watchers=3, quorum=2)
    issued = region.issue(7)
    receipt = region.receipt(issued.index, issued.opening, checkpoint=region.checkpoint())
    policy = Policy(root=region.pin, liars=liars)
    verdict = judge(issued.compact, region.trust(), status=[region.status()], receipt=receipt, policy=policy)

    assert verdict.notes == ((Note.DETECT_ONLY,) if noted else ())


# --- root, trust list, dates, clock ----------------------------------------------------------------------------------


def test_a_trust_list_counts_to_its_last_second_and_never_goes_back() -> None:
    """Its number may be that of the one seen, not a lower one."""
    ends, status = NOW + 30 * DAY, [ISSUER.status(TRUST, expires_at=NOW + 60 * DAY)]
    last, late = (given_to(at=at, status=status) for at in (ends, ends + SECOND))
    seen = [given_to(seen=Seen(trust={f"{REGION}/{ISSUER.pin}": number})) for number in (1, 2)]

    assert Reason.TRUST_EXPIRED not in last.reasons and Reason.TRUST_EXPIRED in late.reasons
    assert check(late, Step.TRUST_LIST) == Check(Step.TRUST_LIST, Mark.UNDETERMINED, 2_592_001, "given")
    assert seen[0].outcome is Outcome.VALID
    assert found(seen[1], Reason.TRUST_ROLLBACK).detail == "list 1 after list 2 had been seen"
    assert check(seen[1], Step.TRUST_LIST) == Check(Step.TRUST_LIST, Mark.UNDETERMINED, 0, "given")


def test_without_a_list_or_a_pin_nothing_is_settled() -> None:
    """Each is said by itself."""
    assert given_to(trust=None).reasons == (Reason.TRUST_MISSING,)
    neither = given_to(trust=None, policy=Policy())
    assert neither.reasons == (Reason.ROOT_UNPINNED, Reason.TRUST_MISSING) and neither.region is None
    assert {one.source for one in neither.checks if one.step in {Step.ROOT, Step.TRUST_LIST}} == {None}
    unpinned = ISSUER.trust(pin=False)
    loose = given_to(trust=unpinned, policy=Policy(), status=[ISSUER.status(unpinned)])
    assert check(loose, Step.ROOT) == Check(Step.ROOT, Mark.UNDETERMINED, None, "given")
    other = given_to(policy=Policy(root="ab" * 32))
    assert other.reasons == (Reason.ROOT_MISMATCH,)
    assert check(other, Step.ROOT) == Check(Step.ROOT, Mark.FAILED, None, "given")


def test_a_clock_may_be_five_minutes_behind() -> None:
    """Behind what the region or the signer says, or what was seen; the finding says when that was."""
    minutes = 300 * SECOND
    last, late = given_to(at=NOW - minutes), given_to(at=NOW - minutes - SECOND)

    assert Reason.CLOCK_BEHIND not in last.reasons and check(last, Step.CLOCK).mark is Mark.PASSED
    assert found(late, Reason.CLOCK_BEHIND).detail == "inputs are of 2026-11-21T08:00:00+00:00"
    assert check(late, Step.CLOCK) == Check(Step.CLOCK, Mark.UNDETERMINED, None, "clock")
    for ahead, reasons in ((minutes, ()), (minutes + SECOND, (Reason.CLOCK_BEHIND,))):
        assert given_to(seen=Seen(newest=NOW + ahead)).reasons == reasons
    strict = replace(PINNED, clock_tolerance_s=0)
    assert given_to(policy=strict).outcome is Outcome.VALID
    assert given_to(policy=strict, seen=Seen(newest=NOW + SECOND)).reasons == (Reason.CLOCK_BEHIND,)


def test_the_dates_that_are_not_met_are_told() -> None:
    """As they stand on the licence; days begin in China."""
    face = ISSUER.face(7)
    begins = dt.datetime(2026, 11, 20, 16, tzinfo=dt.UTC)
    early, late = given_to(at=begins - SECOND), given_to(at=NOW + 3000 * DAY)

    assert found(early, Reason.NOT_YET_VALID).detail == f"valid from {face.valid_from}"
    assert Reason.NOT_YET_VALID not in given_to(at=begins).reasons
    assert found(late, Reason.EXPIRED).detail == f"valid until {face.valid_until}"
    assert check(late, Step.VALIDITY) == Check(Step.VALIDITY, Mark.FAILED, None, "presented")


def test_a_time_without_a_zone_is_the_callers_mistake() -> None:
    """Nothing is judged at a time that could be any."""
    with pytest.raises(ValueError, match="zone"):
        verify(GOOD.compact, trust=TRUST, at=NOW.replace(tzinfo=None))


# --- what was presented ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 125 + "/C/", Reason.DYNAMIC),
        ("x" * 126 + "/C/", Reason.PRESENTED),
        ("", Reason.PRESENTED),
        ("#", Reason.CODE),
        ("~", Reason.LICENCE),
        ("{", Reason.BUNDLE),
        (" \n{", Reason.BUNDLE),
        ("c2sp.org/tlog-proof@v1", Reason.RECEIPT),
    ],
)
def test_what_a_text_is_shows_in_how_it_begins(text: str, reason: Reason) -> None:
    """Or in the marks that only one kind has."""
    assert given_to(text, receipt=None).reasons == given_to(text.encode(), receipt=None).reasons == (reason,)


def test_a_dynamic_code_can_only_be_checked_online() -> None:
    """The key that it was made with never leaves the service."""
    verdict = given_to(mint(BASE, bytes(10), bytes(32), NOW))

    assert verdict.reasons == (Reason.DYNAMIC_OFFLINE,)
    assert [one.step for one in verdict.checks] == [Step.SHAPE, Step.CLOCK]


def test_a_fault_in_a_disclosure_hides_what_is_shown_and_no_other_fault() -> None:
    """The rest is judged as if nothing were disclosed; where the token itself is none, that is said too."""
    wrong = given_to(f"{GOOD.compact}x~")
    revoked = given_to(f"{GOOD.compact}x~", status=[ISSUER.status(TRUST, values={7: 1})])
    both = given_to("x~~")

    assert wrong.reasons == (Reason.DISCLOSURE_UNREFERENCED,) and wrong.licence is None
    assert [one.mark for one in wrong.checks if one.step is not Step.DISCLOSURES] == [Mark.PASSED] * 11
    assert check(wrong, Step.DISCLOSURES) == Check(Step.DISCLOSURES, Mark.FAILED, None, "presented")
    assert set(revoked.reasons) == {Reason.DISCLOSURE_UNREFERENCED, Reason.REVOKED}
    assert both.reasons == (Reason.DISCLOSURE, Reason.LICENCE)


def test_white_space_around_a_document_is_dropped() -> None:
    """As scanners and editors add it."""
    for text in (GOOD.compact, GOOD.code, ISSUER.bundle(GOOD).decode()):
        assert given_to(f" {text}\n").outcome is Outcome.VALID


def test_a_code_shows_what_is_printed_and_the_identifier_it_stands_for() -> None:
    """Under these names; a name that was cut says so."""
    holder = Holder("organisation", "示例" * 10, "001", COMPANY, seed("long"))
    long = ISSUER.issue(90, holders=(holder,))
    cut, whole = (given_to(one.code, receipt=None, status=[ISSUER.status()]) for one in (long, GOOD))

    assert (Note.NAME_CUT in cut.notes, Note.NAME_CUT in whole.notes) == (True, False)
    assert whole.licence == {
        "identifier": GOOD.face.identifier,
        "issuer": cut.licence["issuer"] if cut.licence else None,
        "name": "示例食品有限公司",
        "name_cut": False,
        "serial": "2026000007",
        "several_holders": False,
        "type": cut.licence["type"] if cut.licence else None,
        "valid_from": "2026-11-21",
        "valid_until": "2031-11-20",
        "version": 1,
    }
    assert cut.licence is not None and (cut.licence["name"], cut.licence["name_cut"]) == ("示例" * 6, True)
    endless = ISSUER.issue(91, valid_until=None)
    shown = given_to(endless.code, receipt=None, status=[ISSUER.status()]).licence
    assert shown is not None and shown["valid_until"] is None
