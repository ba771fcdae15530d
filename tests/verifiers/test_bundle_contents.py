"""What lies in a bundle counts as far as it belongs together, and as far as a list that the verifier has allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.foreign_world import ABROAD, bundled, home_trust, row, view
from tests.verifiers.issuer import MARKET, NOW, Issued, Issuer, judge, seed
from verifiers.commitment import NO_DOCUMENT, code_digest, jws_digest
from verifiers.errors import Reason
from verifiers.peer_view import PeerView, Watch
from verifiers.policy import Policy
from verifiers.trust_document import Revocation
from verifiers.trusted_peers import Intervals
from verifiers.verdict import Check, Mark, Outcome, Step, Verdict

HOME = Issuer()
FIRST, SECOND = HOME.issue(7), HOME.issue(8)
PINNED = Policy(root=HOME.pin)


def opened(issued: Issued = FIRST, events: Any = (), **changes: Any) -> Verdict:
    """The verdict on a bundle of our own region, for a verifier with nothing but a pin."""
    return judge(HOME.bundle(issued, events, **changes), None, policy=PINNED)


def told(verdict: Verdict) -> list[tuple[Reason, str]]:
    """Reasons and details."""
    return [(one.reason, one.detail) for one in verdict.findings]


def test_the_parts_of_a_bundle_belong_together() -> None:
    """Each that does not is told; the licence itself is judged all the same."""
    assert told(opened()) == []
    for changes, detail in (
        ({"secret": SECOND.secret}, "the secret is not that of this licence"),
        ({"code": SECOND.code}, "the code is not that of this licence"),
    ):
        verdict = opened(**changes)
        assert told(verdict) == [(Reason.BUNDLE_MISMATCH, detail)]
        last = [one for one in verdict.checks if one.step is Step.RECEIPT][-1]
        assert last == Check(Step.RECEIPT, Mark.FAILED, None, "bundle") and verdict.licence is not None


def test_a_receipt_of_the_verifiers_own_must_be_of_the_same_entry() -> None:
    """The one inside may be of another tree of the log."""
    mine = HOME.receipt(FIRST.index, FIRST.opening)
    trust, status = HOME.trust(), [HOME.status()]
    inputs: dict[str, Any] = {"receipt": mine, "policy": PINNED, "status": status}
    smaller = HOME.bundle(FIRST, receipt=HOME.receipt(FIRST.index, FIRST.opening, FIRST.index + 1))
    other = HOME.bundle(FIRST, receipt=HOME.receipt(SECOND.index, SECOND.opening))

    assert judge(smaller, trust, **inputs).outcome is Outcome.VALID
    detail = "the receipt inside is of another entry"
    assert told(judge(other, trust, **inputs)) == [(Reason.BUNDLE_MISMATCH, detail)]
    assert judge(HOME.bundle(FIRST, receipt="x"), trust, **inputs).reasons == (Reason.BUNDLE_MISMATCH,)


def test_a_code_beside_a_licence_is_signed_by_a_key_of_the_list() -> None:
    """Whatever it says."""
    structure = HOME.sign_code(HOME.code_payload(FIRST.face))[0]
    face = HOME.face(9)
    unsigned, compact = HOME.sign_licence(face)
    index, opening = HOME.append(
        "licence.issued", MARKET, jws_digest(unsigned.signing_input), code_digest(structure), seed("nine"), 0
    )
    forged = FIRST.code[:-4] + ("AAAA" if not FIRST.code.endswith("AAAA") else "BAAA")
    issued = Issued(compact, FIRST.code, index, opening, seed("nine"), 9, face)

    assert told(opened(issued)) == []
    detail = "the code is not signed by a key of the trust list"
    assert told(opened(issued, code=forged)) == [(Reason.BUNDLE_MISMATCH, detail)]
    keys = tuple(key for key in HOME.document().keys if key.purpose != "code")
    without = opened(trust_list=HOME.trust_token(HOME.document(keys=keys)))
    assert told(without) == [(Reason.BUNDLE_MISMATCH, detail)]


def event(kind: str, number: int, secret: bytes = FIRST.secret) -> str:
    """The receipt of a later event."""
    index, opening = HOME.append(kind, MARKET, NO_DOCUMENT, NO_DOCUMENT, secret, number)
    return HOME.receipt(index, opening)


@pytest.mark.parametrize(
    ("events", "good"),
    [
        ([("licence.status", 1)], True),
        ([("licence.issued", 1), ("licence.status", 3)], True),
        ([("licence.status", 4096)], True),
        ([("licence.status", 4097)], False),
        ([("licence.status", 3), ("licence.status", 4098)], True),
        ([("licence.status", 0)], False),
        ([("licence.status", 1), ("licence.status", 1)], False),
        ([("licence.status", 2), ("licence.status", 1)], False),
        ([("sealed", 1)], False),
    ],
    ids=str,
)
def test_later_events_are_of_this_licence_and_in_order(events: list[tuple[str, int]], good: bool) -> None:
    """Numbers may be left out, some thousands at a time."""
    verdict = opened(events=[event(kind, number) for kind, number in events])

    detail = "an event of something else, or out of order"
    assert told(verdict) == ([] if good else [(Reason.BUNDLE_EVENTS, detail)])


def test_an_event_that_does_not_hold_is_told_once() -> None:
    """What comes after it is not even looked at."""
    wrong = [event("licence.status", 1, SECOND.secret), "x", event("licence.status", 1)]

    assert opened(events=wrong).reasons == (Reason.BUNDLE_EVENTS,)
    [(reason, detail)] = told(opened(events=["x"]))
    assert reason is Reason.BUNDLE_EVENTS and detail.startswith("does not begin with")


def test_parts_that_do_not_open_are_told_with_the_step_they_are_for() -> None:
    """The trust list inside may be useless where the verifier has one."""
    broken = judge(HOME.bundle(FIRST, trust_list="x"), HOME.trust(), policy=PINNED)
    assert broken.reasons == (Reason.TRUST,) and broken.licence is not None
    [check] = [one for one in broken.checks if one.step is Step.TRUST_LIST and one.mark is Mark.FAILED]
    assert check.source == "bundle"
    status = opened(status_list="x")
    assert status.reasons == (Reason.STATUS, Reason.STATUS_MISSING)
    assert [one.source for one in status.checks if one.step is Step.STATUS] == ["bundle", None]
    nothing = opened(trust_list="x")
    assert nothing.reasons == (Reason.TRUST,) and nothing.licence is None


def test_an_own_list_in_a_bundle_counts_only_where_it_is_newer() -> None:
    """A list of the same number changes nothing, one that takes something back is told."""
    gone = HOME.document(keys=())
    revoked = HOME.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    same = judge(HOME.bundle(FIRST, trust_list=HOME.trust_token(gone)), HOME.trust(), policy=PINNED)
    assert same.outcome is Outcome.VALID
    back = HOME.bundle(FIRST, trust_list=HOME.trust_token(HOME.document(seq=2)))
    verdict = judge(back, HOME.trust(keys=revoked), policy=PINNED)
    kid = HOME.public(f"{MARKET}/licence").kid
    assert (Reason.TRUST_CONTRADICTED, f"keys: the revocation of key {kid} is taken back") in told(verdict)
    assert verdict.reasons == (Reason.KEY_COMPROMISED, Reason.TRUST_CONTRADICTED)


# --- bundles of another region ----------------------------------------------------------------------------------------


def abroad(**changes: Any) -> str:
    """A newer list of theirs."""
    return ABROAD.trust_token(ABROAD.document(**({"seq": 2, "intervals": Intervals(200, 60, 30)} | changes)))


STOLEN = ABROAD.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))


@pytest.mark.parametrize(
    ("known", "changes", "reasons"),
    [
        (None, {}, ()),
        (None, {"trust_list": abroad(keys=STOLEN)}, (Reason.KEY_COMPROMISED,)),
        (view(logged=None), {"trust_list": abroad(keys=STOLEN)}, (Reason.KEY_COMPROMISED,)),
        (view(logged=False), {"trust_list": abroad(keys=STOLEN)}, (Reason.KEY_COMPROMISED,)),
        (view(logged=True), {"trust_list": abroad(keys=STOLEN)}, ()),
        (view(logged=None), {"trust_list": abroad(seq=1, keys=STOLEN)}, ()),
        (view(ABROAD.trust(keys=STOLEN), logged=None), {"trust_list": abroad()},
         (Reason.PEER_INCONSISTENT, Reason.KEY_COMPROMISED)),
        (view(watch=Watch.FORKED, logged=None), {"trust_list": abroad()}, (Reason.PEER_FORKED,)),
    ],
    ids=["unknown", "only this one", "newer", "newer than one unlogged", "followed", "of the same number",
         "taking something back", "of a forked log"],
)  # fmt: skip
def test_a_newer_list_of_a_peer_counts_unless_its_log_is_followed(
    known: PeerView | None, changes: dict[str, Any], reasons: tuple[Reason, ...]
) -> None:
    """Whoever follows it takes only what is in the log, and takes that soon; a doubt stays."""
    verdict = bundled(peers=[] if known is None else [known], **changes)

    assert sorted(verdict.reasons) == sorted(reasons)


def test_a_damaged_list_of_a_peer_leaves_what_is_known_of_it() -> None:
    """And says so under the step of the peer."""
    token = abroad()
    damaged = token[:-8] + ("A" * 8 if not token.endswith("A" * 8) else "B" * 8)
    verdict = bundled(peers=[view()], trust_list=damaged)

    assert verdict.reasons == (Reason.TRUST_SIGNATURE,) and verdict.licence is not None
    assert [one.source for one in verdict.checks if one.step is Step.PEER] == ["bundle", "620000 trust list 1"]


def test_a_list_that_nobody_followed_says_so() -> None:
    """What is new in the bundle is unwatched, whatever was found of the one before."""
    fresh = bundled(peers=[view(logged=None)], trust_list=abroad())
    first = bundled()

    assert "peer.unwatched" in fresh.notes and "peer.unwatched" in first.notes
    assert fresh.outcome is first.outcome is Outcome.VALID
    assert "peer.unwatched" not in bundled(peers=[view()]).notes


def test_a_list_for_another_region_than_its_root_is_known_for_is_not_taken() -> None:
    """Our row says which region the root is."""
    wrong = home_trust(peers=(replace(row(), region="640000"),))

    assert Reason.PEER_LIST_MISSING in bundled(trust=wrong).reasons
