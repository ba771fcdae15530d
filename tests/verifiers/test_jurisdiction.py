"""Whose list a document is judged by: what is said where there is none, of which region, and what then does not run."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from tests.verifiers.foreign_world import (
    ABROAD,
    GOOD,
    HOME,
    OUR_FOOD,
    PINNED,
    STRANGER,
    equivalence,
    given_abroad,
    home_trust,
    recognising,
    row,
    rule,
    usual_home,
    view,
)
from tests.verifiers.issuer import FOOD, MARKET, NOW, Issuer, judge
from tests.verifiers.judged import found
from verifiers.errors import Reason
from verifiers.jurisdiction import named_for_another, newest_views
from verifiers.peer_view import Watch
from verifiers.policy import Seen
from verifiers.trust_document import Revocation
from verifiers.verdict import Check, Finding, Mark, Outcome, Step, Verdict

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
NOT_RUN = [Step.KEY, Step.RECEIPT, Step.POSITION, Step.STATUS, Step.RECOGNITION]


def peer_check(verdict: Verdict) -> Check:
    """The first check of the step `peer`."""
    return next(each for each in verdict.checks if each.step is Step.PEER)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("active", Reason.PEER_LIST_MISSING), ("suspended", Reason.PEER_SUSPENDED), ("withdrawn", Reason.PEER_WITHDRAWN)],
)
def test_without_the_regions_list_the_rest_does_not_run(state: str, reason: Reason) -> None:
    """How the region stands is said, and which one it is."""
    home = home_trust(peers=(row(status=state),))
    verdict = judge(GOOD.compact, home, policy=PINNED, at=NOW + SECOND)

    assert (verdict.reasons, found(verdict, reason).detail) == ((reason,), "of 620000")
    mark = Mark.FAILED if reason is Reason.PEER_WITHDRAWN else Mark.UNDETERMINED
    assert peer_check(verdict) == Check(Step.PEER, mark, 1, "given")
    assert [each.step for each in verdict.checks if each.mark is Mark.SKIPPED] == NOT_RUN


def test_of_a_region_that_we_do_not_know_its_area_is_told() -> None:
    """Undetermined where our list is past its `next_update`, and not in its last second."""
    for at, outcome in ((NOW + HOUR, Outcome.INVALID), (NOW + HOUR + SECOND, Outcome.UNDETERMINED)):
        verdict = judge(GOOD.compact, HOME.trust(), policy=PINNED, at=at)
        assert found(verdict, Reason.PEER_UNKNOWN) == Finding(Reason.PEER_UNKNOWN, "issued in 620000", outcome)
        assert peer_check(verdict).source == "given"


def test_a_list_under_another_root_is_told_apart_from_none() -> None:
    """Whether our list knows the region or not."""
    impostor = Issuer(region="620000", base=ABROAD.base)
    compact = impostor.issue(7).compact
    detail = "the list given for 620000 is of another root"

    known = given_abroad(compact, peers=[view(impostor.trust())])
    unknown = given_abroad(compact, trust=home_trust(peers=()), peers=[view(impostor.trust())])
    assert found(known, Reason.PEER_LIST_MISSING).detail == found(unknown, Reason.PEER_UNKNOWN).detail == detail


def test_a_code_is_of_the_region_that_its_link_names() -> None:
    """However our list spells the address; where it names no region that we know, our list speaks."""
    for base in (ABROAD.base, f"{ABROAD.base}/", ABROAD.base.replace("abroad", "ABROAD")):
        verdict = judge(GOOD.code, home_trust(peers=(row(base=base),)), policy=PINNED)
        assert found(verdict, Reason.PEER_LIST_MISSING).detail == "of 620000"
    longer = home_trust(peers=(row(base=f"{ABROAD.base}/X"),))
    assert judge(GOOD.code, longer, policy=PINNED).reasons[0] is Reason.KEY_UNKNOWN
    assert judge(STRANGER.issue(7).code, usual_home(), policy=PINNED).reasons[0] is Reason.KEY_UNKNOWN


def test_the_other_regions_list_counts_to_its_last_second_and_never_goes_back() -> None:
    """With its own age and name beside each."""
    ends = NOW + 30 * dt.timedelta(days=1)
    late = given_abroad(at=ends + SECOND)
    assert Reason.PEER_LIST_EXPIRED not in given_abroad(at=ends).reasons
    assert found(late, Reason.PEER_LIST_EXPIRED).detail == ""
    name = f"620000/{ABROAD.pin}"
    assert given_abroad(seen=Seen(trust={name: 1})).outcome is Outcome.VALID
    older = given_abroad(seen=Seen(trust={name: 2}))
    assert found(older, Reason.PEER_LIST_ROLLBACK).detail == "list 1 after list 2 had been seen"
    assert peer_check(older) == Check(Step.PEER, Mark.UNDETERMINED, 0, "620000 trust list 1")


@pytest.mark.parametrize("newest_first", [True, False])
def test_two_lists_that_contradict_each_other_leave_the_older_one_in_doubt(newest_first: bool) -> None:
    """Whoever stole a list key signs higher numbers; a newer one that only adds is simply newer."""
    keys = ABROAD.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    older, newer = view(ABROAD.trust(keys=keys)), view(ABROAD.trust(seq=2))
    views = [newer, older] if newest_first else [older, newer]

    [kept] = newest_views(views)
    assert (kept.trust.document.seq, kept.watch) == (1, Watch.INCONSISTENT)
    assert given_abroad(peers=views).reasons == (Reason.KEY_COMPROMISED, Reason.PEER_INCONSISTENT)
    plain = [view(), view(ABROAD.trust(seq=2, keys=keys), watch=Watch.FROZEN)]
    [best] = newest_views(plain if newest_first else plain[::-1])
    assert (best.trust.document.seq, best.watch) == (2, Watch.FROZEN)


@pytest.mark.parametrize("watch", [Watch.FORKED, Watch.ROLLED_BACK, Watch.INCONSISTENT])
def test_a_doubt_in_either_of_two_views_stays(watch: Watch) -> None:
    """Newer or older; of different roots each stands by itself."""
    for views in ([view(), view(ABROAD.trust(seq=2), watch=watch)], [view(watch=watch), view(ABROAD.trust(seq=2))]):
        [best] = newest_views(views)
        assert (best.trust.document.seq, best.watch) == (2, watch)
    assert len(newest_views([view(), view(STRANGER.trust())])) == 2 and newest_views([]) == ()


@pytest.mark.parametrize(
    ("iss", "base", "another"),
    [
        (f"{HOME.base}/d/x", ABROAD.base, True),
        (f"{HOME.base}.example/d/x", ABROAD.base, False),
        (f"{STRANGER.base}/d/x", ABROAD.base, True),
        (f"{ABROAD.base}/d/x", ABROAD.base, False),
        (f"{ABROAD.base}/d/x", f"{ABROAD.base}/", False),
        (f"{HOME.base}/abroad/d/x", f"{HOME.base}/abroad", False),
        (f"{HOME.base}/d/x", f"{HOME.base}/X", True),
        ("https://former.example/d/x", ABROAD.base, True),
        ("https://nobody.example/d/x", ABROAD.base, False),
    ],
)
def test_a_name_below_anothers_address_is_not_the_peers_to_give(iss: str, base: str, another: bool) -> None:
    """Ours, our former one's or a third region's, unless it lies below the peer's own."""
    peer = row(base=base)
    own = home_trust(peers=(peer, row(STRANGER, base=f"{STRANGER.base}/")), former=("https://former.example",))

    assert named_for_another(own, next(one for one in own.document.peers if one == peer), iss) is another


def test_what_recognises_nothing_is_told() -> None:
    """Which equivalence, which rule, in which version."""
    other = equivalence(our_major=9)
    told = [
        (recognising(equivalences=()), Reason.EQUIVALENCE_MISSING, f"{FOOD}@1 of 620000"),
        (
            recognising(equivalences=(other,)),
            Reason.EQUIVALENCE_MISSING,
            f"food-62 version 3 names {OUR_FOOD}@9, which our trust list does not",
        ),
        (
            recognising(equivalences=(equivalence(valid_until=NOW),)),
            Reason.EQUIVALENCE_NOT_IN_FORCE,
            f"food-62 version 3 from {NOW - dt.timedelta(days=1)} until {NOW}",
        ),
        (recognising(rules=()), Reason.RULE, "rule large-enough version 2 is not in the trust list"),
        (
            recognising(rules=(rule({">": [{"var": "payload.fields.area_m2"}, 120]}),)),
            Reason.RULE_REFUSED,
            "rule large-enough version 2",
        ),
        (
            given_abroad(GOOD.code, receipt=None),
            Reason.RULE_FIELD,
            "rule large-enough version 2: payload.fields.area_m2 is not printed in a code",
        ),
    ]
    for verdict, reason, detail in told:
        assert (verdict.reasons, found(verdict, reason).detail) == ((reason,), detail)
        [check] = [each for each in verdict.checks if each.step is Step.RECOGNITION]
        assert (check.age_s, check.source) == (0, "given")


def test_a_rule_may_ask_a_code_for_what_is_printed_and_for_the_time() -> None:
    """Nothing of that is left out for want of room."""
    logic = {"and": [{"===": [{"var": "payload.version"}, 1]}, {"!": [{"!": [{"var": "external.validationClock"}]}]}]}
    home = home_trust(rules=(rule(logic),), equivalences=(equivalence(fields={}),))

    assert given_abroad(GOOD.code, trust=home, receipt=None).outcome is Outcome.VALID


def test_a_name_that_is_not_the_peers_is_told() -> None:
    """With the region that gave it."""
    there = Issuer(region=ABROAD.region, base=HOME.base)
    licence, theirs = there.issue(7), there.trust()
    home = home_trust(peers=(replace(row(there), base=ABROAD.base),), equivalences=(equivalence(rule=None, fields={}),))
    receipt, status = there.receipt(licence.index, licence.opening), [there.status(theirs)]
    verdict = given_abroad(licence.compact, trust=home, receipt=receipt, status=status, peers=[view(theirs)])

    detail = f"620000 speaks for itself only, not as {HOME.base}/d/{MARKET}"
    assert found(verdict, Reason.ISSUER_MISMATCH).detail == detail
