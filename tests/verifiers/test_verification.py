"""Verdicts: the table of protocol 24 and 25, and what dates mean."""

import datetime as dt
from dataclasses import replace

import pytest

from tests.verifiers.issuer import FOOD, GRACE_S, LIST_URI, MARKET, NOW, ORIGIN, TRANSPORT, TTL_S, Issuer, judge
from tests.verifiers.judged import DAY, GOOD, HOUR, ISSUER, PINNED, TRUST, given_to
from verifiers.errors import Reason
from verifiers.policy import Policy, Seen, SeenList
from verifiers.reasons import Note
from verifiers.trust_document import Revocation
from verifiers.verdict import Mark, Outcome, Step

# --- protocol 24, 25 -------------------------------------------------------------------------------------------------


def test_with_only_a_trust_list_a_code_is_undetermined_for_want_of_status() -> None:
    """And a licence lacks its receipt as well; with a fresh status list the code is valid."""
    code = given_to(GOOD.code, status=[], receipt=None)

    assert (code.outcome, code.reasons) == (Outcome.UNDETERMINED, (Reason.STATUS_MISSING,))
    assert given_to(GOOD.code, receipt=None).outcome is Outcome.VALID
    assert Reason.RECEIPT_MISSING in given_to(status=[], receipt=None).reasons


def test_a_type_may_opt_out_of_receipts() -> None:
    """Then their absence decides nothing, and the verdict says so."""
    relaxed = Issuer(receipt_rule="optional")
    issued = relaxed.issue(7)

    verdict = judge(issued.compact, relaxed.trust(), status=[relaxed.status()], policy=Policy(root=relaxed.pin))

    assert verdict.outcome is Outcome.VALID and Note.RECEIPT_WAIVED in verdict.notes


@pytest.mark.parametrize(
    ("age", "outcome", "bound"),
    [
        (0, Outcome.VALID, TTL_S),
        (TTL_S, Outcome.VALID, TTL_S),
        (TTL_S + 1, Outcome.VALID, GRACE_S),
        (GRACE_S, Outcome.VALID, GRACE_S),
        (GRACE_S + 1, Outcome.UNDETERMINED, None),
    ],
)
def test_a_status_list_counts_within_its_ttl_or_the_grace_of_the_type(age: int, outcome: Outcome, bound: int) -> None:
    """The bound says how long a withdrawal may stay unseen."""
    at = NOW + dt.timedelta(seconds=age)

    verdict = given_to(at=at)

    assert (verdict.outcome, verdict.bound_s) == (outcome, bound)
    status = next(check for check in verdict.checks if check.step is Step.STATUS)
    assert status.age_s == age


def test_an_expired_status_list_is_stale_even_within_the_grace() -> None:
    """`exp` is hard."""
    early = ISSUER.status(TRUST, expires_at=NOW + HOUR)

    assert given_to(status=[early], at=NOW + 2 * HOUR).reasons == (Reason.STATUS_STALE,)


def test_a_stale_list_that_says_revoked_still_says_so() -> None:
    """Worst wins: what was revoked yesterday is not undetermined today."""
    verdict = given_to(status=[ISSUER.status(TRUST, values={7: 1})], at=NOW + 2 * DAY)

    assert verdict.outcome is Outcome.INVALID
    assert verdict.reasons == (Reason.REVOKED, Reason.STATUS_STALE)


def test_a_bundle_turns_undetermined_by_age() -> None:
    """One exported before a revocation never turns into a lie; a new one says invalid."""
    old = ISSUER.bundle(GOOD)
    new = ISSUER.bundle(GOOD, status_list=ISSUER.status_token(values={7: 1}))

    assert judge(old, None, policy=PINNED).outcome is Outcome.VALID
    assert judge(old, None, policy=PINNED, at=NOW + 2 * DAY).reasons == (Reason.STATUS_STALE,)
    assert judge(new, None, policy=PINNED).reasons == (Reason.REVOKED,)


def test_a_bundle_selects_no_root() -> None:
    """Without a pin it is undetermined; under another pin it is refused."""
    bundle = ISSUER.bundle(GOOD)

    assert judge(bundle, None).reasons == (Reason.ROOT_UNPINNED,)
    assert Reason.ROOT_MISMATCH in judge(bundle, None, policy=Policy(root="0" * 64)).reasons


def test_the_verifiers_own_newer_trust_list_wins_over_the_bundles() -> None:
    """A key found compromised since the bundle was made falls with it."""
    keys = ISSUER.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    newer = ISSUER.trust(seq=2, keys=keys)

    assert judge(ISSUER.bundle(GOOD), newer, policy=PINNED).reasons == (Reason.KEY_COMPROMISED,)


def test_a_bundles_newer_trust_list_wins_over_the_verifiers_own() -> None:
    """A verifier that has not looked for a while learns of the compromise from the bundle."""
    keys = ISSUER.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    token = ISSUER.trust_token(ISSUER.document(seq=2, keys=keys))
    own = ISSUER.trust()

    assert judge(ISSUER.bundle(GOOD), own, policy=PINNED).outcome is Outcome.VALID
    found = judge(ISSUER.bundle(GOOD, trust_list=token), own, policy=PINNED)
    assert found.reasons == (Reason.KEY_COMPROMISED,)


def test_a_bundles_newer_trust_list_may_not_take_a_revocation_back() -> None:
    """Versions contradict each other only where a key was stolen; neither makes the licence valid."""
    keys = ISSUER.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    token = ISSUER.trust_token(ISSUER.document(seq=2))

    found = judge(ISSUER.bundle(GOOD, trust_list=token), ISSUER.trust(keys=keys), policy=PINNED)
    assert found.outcome is Outcome.INVALID and Reason.TRUST_CONTRADICTED in found.reasons


def test_a_bundle_may_carry_only_a_code() -> None:
    """Then the code is judged, with the receipt that commits to it."""
    verdict = judge(ISSUER.bundle(GOOD, licence=None), None, policy=PINNED)

    assert verdict.outcome is Outcome.VALID
    assert Note.CODE_WITHOUT_RECEIPT not in verdict.notes
    assert next(check for check in verdict.checks if check.step is Step.RECEIPT).mark is Mark.PASSED


def test_later_events_of_a_licence_ride_in_its_bundle() -> None:
    """Each is proven to be in the log and to belong to this licence, in order."""
    region = Issuer()
    issued = region.issue(7)
    events = [region.append("licence.status", MARKET, bytes(32), bytes(32), issued.secret, n) for n in (1, 2)]
    texts = [region.receipt(index, opening) for index, opening in events]
    policy = Policy(root=region.pin)

    assert judge(region.bundle(issued, texts), None, policy=policy).outcome is Outcome.VALID
    assert judge(region.bundle(issued, texts[::-1]), None, policy=policy).reasons == (Reason.BUNDLE_EVENTS,)


def test_an_unknown_key_is_undetermined_only_under_a_list_past_its_next_update() -> None:
    """A fresh list knows all keys; an old one may not have heard of a new one."""
    stranger = Issuer().issue(7).compact

    fresh, old = given_to(stranger), given_to(stranger, at=NOW + 2 * HOUR)

    assert fresh.outcome is Outcome.INVALID and Reason.KEY_UNKNOWN in fresh.reasons
    assert old.outcome is Outcome.UNDETERMINED and Reason.KEY_UNKNOWN in old.reasons


def test_a_trust_list_past_its_exp_settles_nothing() -> None:
    """Past `next_update` it still does."""
    old = ISSUER.trust(expires_at=NOW + HOUR)

    assert given_to(trust=old, at=NOW + HOUR).outcome is Outcome.VALID
    assert given_to(trust=old, at=NOW + HOUR + dt.timedelta(seconds=1)).reasons == (Reason.TRUST_EXPIRED,)


def test_a_clock_that_is_behind_makes_ages_meaningless() -> None:
    """Five minutes are forgiven."""
    assert given_to(at=NOW - dt.timedelta(minutes=5)).outcome is Outcome.VALID
    assert given_to(at=NOW - dt.timedelta(minutes=5, seconds=1)).reasons == (Reason.CLOCK_BEHIND,)
    assert given_to(seen=Seen(newest=NOW + HOUR)).reasons == (Reason.CLOCK_BEHIND,)


def test_a_time_in_the_past_needs_a_status_list_of_then() -> None:
    """iat ≤ T ≤ exp; the newest of those counts, and neither clock nor memory is judged."""
    then = NOW + HOUR
    past = replace(PINNED, historical=True)
    of_then = ISSUER.status(TRUST, issued_at=NOW, expires_at=NOW + 2 * HOUR)
    of_now = ISSUER.status(TRUST, issued_at=NOW + 3 * HOUR, values={7: 1})
    seen = Seen(newest=NOW + DAY, lists={LIST_URI: SeenList(ORIGIN, 100)})

    assert given_to(at=then, policy=past, status=[of_now], seen=seen).reasons == (Reason.STATUS_TIME,)
    assert given_to(at=then, policy=past, status=[of_then, of_now], seen=seen).outcome is Outcome.VALID
    assert given_to(at=NOW + 4 * HOUR, policy=past, status=[of_then, of_now]).reasons == (Reason.REVOKED,)


# --- dates -----------------------------------------------------------------------------------------------------------


def test_the_last_day_counts_to_its_end_in_china() -> None:
    """`valid_until` 2031-11-20 ends at 16:00 UTC."""
    end = dt.datetime(2031, 11, 20, 15, 59, 59, tzinfo=dt.UTC)

    assert Reason.EXPIRED not in given_to(at=end).reasons
    assert Reason.EXPIRED in given_to(at=end + dt.timedelta(seconds=1)).reasons


def test_a_licence_of_tomorrow_is_not_yet_valid() -> None:
    """Its own reason, apart from expired."""
    issued = ISSUER.issue(50, valid_from=dt.date(2026, 11, 22))
    receipt = ISSUER.receipt(issued.index, issued.opening)

    assert given_to(issued.compact, receipt=receipt).reasons == (Reason.NOT_YET_VALID,)
    assert given_to(issued.code, receipt=None).reasons == (Reason.NOT_YET_VALID,)
    assert given_to(issued.compact, receipt=receipt, at=NOW + 8 * HOUR).outcome is Outcome.VALID


def test_what_was_granted_before_is_granted_to_nothing_else() -> None:
    """An open trust list remembers who was found entitled to what: not for another area, type, name or list."""
    issuer = Issuer(receipt_rule="optional")
    good = issuer.issue(1)
    others = {
        Reason.GRANT_AREA: issuer.issue(2, region="620000"),
        Reason.ISSUER_MISMATCH: issuer.issue(3, iss=f"{issuer.base}/d/{TRANSPORT}"),
        Reason.TYPE_UNKNOWN: issuer.issue(4, vct=f"{issuer.base}/types/{FOOD}/2"),
        Reason.TYPE_INTEGRITY: issuer.issue(5, vct_integrity="sha256-" + "B" * 43 + "="),
    }
    trust = issuer.trust()
    status = [issuer.status(trust)]
    for _ in range(2):
        assert judge(good.compact, trust, status=status).outcome is Outcome.VALID
        for reason, other in others.items():
            assert judge(other.compact, trust, status=status).reasons[0] is reason
    changed = tuple(replace(grant, acts=("change",)) for grant in issuer.document().grants)
    later = issuer.trust(seq=2, grants=changed)
    assert judge(good.compact, later, status=status).reasons[0] is Reason.GRANT_MISSING
