"""Printed codes, bundles and receipts of another region."""

import pytest

from tests.verifiers.foreign_world import (
    ABROAD,
    GOOD,
    HOME,
    OTHER,
    OUR_FOOD,
    PINNED,
    bundled,
    equivalence,
    given_abroad,
    home_trust,
    row,
    rule,
    usual_home,
    view,
)
from tests.verifiers.issuer import MARKET, NOW, judge
from verifiers.errors import Reason
from verifiers.peer_view import Watch
from verifiers.policy import Seen
from verifiers.reasons import Note
from verifiers.trust_document import Revocation
from verifiers.verdict import Outcome


def test_a_printed_code_from_abroad_is_judged_by_its_own_regions_numbers() -> None:
    """Type, issuer and list are small numbers of their list; a rule can only ask for what is printed."""
    printed = rule({"===": [{"var": "payload.several_holders"}, False]})

    verdict = given_abroad(GOOD.code, receipt=None, trust=home_trust(rules=(printed,)))

    assert (verdict.outcome, verdict.region) == (Outcome.VALID, "620000")
    assert Note.CODE_WITHOUT_RECEIPT in verdict.notes
    assert verdict.recognition is not None and verdict.recognition.type == (OUR_FOOD, 1)
    assert given_abroad(GOOD.code, receipt=None).reasons == (Reason.RULE_FIELD,)


def test_a_rule_does_not_take_what_a_code_leaves_out_for_absent() -> None:
    """A licence that must not bear a field shows whether it does; its code shows no field at all."""
    without = home_trust(rules=(rule({"!": [{"var": "payload.fields.penalty"}]}),))

    assert given_abroad(trust=without).outcome is Outcome.VALID
    assert given_abroad(GOOD.code, receipt=None, trust=without).reasons == (Reason.RULE_FIELD,)


def test_the_link_of_a_code_selects_nothing_and_only_explains() -> None:
    """With another host the verdict is the same; where no list knows the key it says whose list is missing."""
    printed = home_trust(equivalences=(equivalence(rule=None, fields={}),))
    elsewhere = GOOD.code.replace("ABROAD.EXAMPLE", "LEDGER.EXAMPLE")

    assert given_abroad(elsewhere, receipt=None, trust=printed).outcome is Outcome.VALID
    assert given_abroad(GOOD.code, receipt=None, peers=[]).reasons == (Reason.PEER_LIST_MISSING,)
    assert Reason.KEY_UNKNOWN in given_abroad(elsewhere, receipt=None, peers=[]).reasons


def test_a_bundle_from_abroad_brings_its_list_which_counts_under_the_root_we_know() -> None:
    """Nobody followed it, and the verdict says so; nothing in the bundle selects a root."""
    verdict = bundled()

    assert (verdict.outcome, verdict.region) == (Outcome.VALID, "620000")
    assert verdict.notes == (Note.PEER_UNWATCHED, Note.NOBODY_WATCHED)
    assert Reason.ROOT_MISMATCH in bundled(trust=HOME.trust()).reasons
    assert bundled(trust=home_trust(peers=(row(status="suspended"),))).reasons == (Reason.PEER_SUSPENDED,)


def test_a_bundles_list_that_takes_a_revocation_back_is_refused() -> None:
    """A thief of the list key signs a higher number; what the list before had settled stays settled."""
    keys = ABROAD.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    token = ABROAD.trust_token(ABROAD.document(seq=3))
    for kept in (view(ABROAD.trust(seq=2, keys=keys), Watch.UNWATCHED, logged=None), view(ABROAD.trust(keys=keys))):
        found = bundled(peers=[kept], trust_list=token)
        assert (found.outcome, set(found.reasons)) == (
            Outcome.INVALID,
            {Reason.KEY_COMPROMISED, Reason.PEER_INCONSISTENT},
        )
    two = [view(ABROAD.trust(seq=2, keys=keys)), view(ABROAD.trust(seq=3))]
    assert {Reason.KEY_COMPROMISED, Reason.PEER_INCONSISTENT} == set(bundled(peers=two).reasons)


def test_a_bundles_list_replaces_ours_of_that_peer_only_where_it_is_newer() -> None:
    """A key found stolen since falls with it; a log in doubt stays so; one that is followed needs no bundle."""
    keys = ABROAD.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    newer = view(ABROAD.trust(seq=2, keys=keys), Watch.UNWATCHED, logged=None)
    token = ABROAD.trust_token(ABROAD.document(seq=3))

    assert bundled(peers=[newer]).reasons == (Reason.KEY_COMPROMISED,)
    early = view(ABROAD.trust(seq=2, types=()), Watch.UNWATCHED, logged=None)
    assert bundled(peers=[early]).outcome is Outcome.INVALID
    assert bundled(peers=[early], trust_list=token).outcome is Outcome.VALID
    doubted = bundled(peers=[view(watch=Watch.FORKED, logged=None)], trust_list=token)
    assert doubted.reasons == (Reason.PEER_FORKED,)
    followed = view(ABROAD.trust(seq=2, types=()))
    assert bundled(peers=[followed], trust_list=token).outcome is Outcome.INVALID


def test_a_bundle_with_a_list_older_than_one_seen_is_undetermined() -> None:
    """Where the verifier has no list of that peer itself but remembers a newer one."""
    seen = Seen(trust={f"620000/{ABROAD.pin}": 2})

    verdict = judge(ABROAD.bundle(GOOD), usual_home(), policy=PINNED, seen=seen)

    assert verdict.reasons == (Reason.PEER_LIST_ROLLBACK,)


def test_parts_of_a_bundle_from_abroad_must_belong_together() -> None:
    """Its secret, code and receipt are compared under the list of its region."""
    assert bundled(secret=bytes(32)).reasons == (Reason.BUNDLE_MISMATCH,)
    assert bundled(code=OTHER.code).reasons == (Reason.BUNDLE_MISMATCH,)
    assert Reason.TRUST_SIGNATURE in bundled(trust_list=ABROAD.trust_token()[:-4] + "AAAA").reasons


def test_a_receipt_from_abroad_alone_shows_its_entry() -> None:
    """Under the log keys of that region's list."""
    verdict = given_abroad(ABROAD.receipt(GOOD.index, GOOD.opening), receipt=None)

    assert (verdict.outcome, verdict.region) == (Outcome.VALID, "620000")
    assert verdict.licence is not None and verdict.licence["entry"]["origin"] == ABROAD.origin


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_no_byte_of_a_peers_list_in_a_bundle_can_be_changed() -> None:
    """Every flip is refused, or the list is taken for none of the peer's: never valid."""
    token = ABROAD.trust_token()
    for place in range(0, len(token), 11):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        verdict = bundled(trust_list=changed)

        assert verdict.outcome is Outcome.INVALID, place
