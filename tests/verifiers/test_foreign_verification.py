"""Documents of another region: what makes them count here, and for every fault its own reason.

The rows are those of the tamper table for steps `peer` and `recognition`, and for the usual steps under a peer's list.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.foreign_world import (
    ABROAD,
    DAY,
    GOOD,
    HOME,
    OTHER,
    OUR_FOOD,
    OUR_GRACE_S,
    OURS,
    PINNED,
    REASONS,
    STRANGER,
    equivalence,
    given_abroad,
    home_trust,
    recognising,
    row,
    rule,
    usual_abroad,
    usual_home,
    view,
    witness_rule,
)
from tests.verifiers.issuer import DRIVER, FOOD, MARKET, NOW, TRANSPORT, Issuer, judge
from verifiers import licence as licences
from verifiers.errors import Reason
from verifiers.licence import present
from verifiers.peer_view import PeerView, Watch
from verifiers.policy import Seen, SeenList
from verifiers.reasons import UNDETERMINED, Note
from verifiers.trust_document import Position, Revocation
from verifiers.trusted_peers import TrustedPeer
from verifiers.verdict import NotVerified, Outcome, Step, Verdict
from verifiers.verification import verify

NOBODY_WATCHES = (Note.NOBODY_WATCHED,)


def peered(**changes: Any) -> Verdict:
    """The good licence where our list says something else of the peer."""
    return recognising(peers=(row(**changes),))


def theirs(**changes: Any) -> Verdict:
    """The good licence under another list of theirs."""
    return given_abroad(peers=[view(ABROAD.trust(**changes))])


def forged(face: licences.Face, department: str = MARKET) -> str:
    """A licence by a thief of a key abroad."""
    return ABROAD.sign_licence(face, department)[1]


TAIL, OTHER_TAIL = (one.compact.split("~")[0].rpartition(".")[2] for one in (GOOD, OTHER))

ROWS: dict[Reason, Callable[[], Verdict]] = {
    Reason.PEER_UNKNOWN: lambda: recognising(peers=()),
    Reason.PEER_SUSPENDED: lambda: peered(status="suspended"),
    Reason.PEER_WITHDRAWN: lambda: peered(status="withdrawn"),
    Reason.PEER_LIST_MISSING: lambda: given_abroad(peers=[]),
    Reason.PEER_LIST_EXPIRED: lambda: theirs(expires_at=NOW - dt.timedelta(seconds=1)),
    Reason.PEER_LIST_ROLLBACK: lambda: given_abroad(seen=Seen(trust={f"620000/{ABROAD.pin}": 2})),
    Reason.PEER_LIST_UNLOGGED: lambda: given_abroad(peers=[view(logged=False)]),
    Reason.PEER_FORKED: lambda: given_abroad(peers=[view(watch=Watch.FORKED)]),
    Reason.PEER_ROLLED_BACK: lambda: given_abroad(peers=[view(watch=Watch.ROLLED_BACK)]),
    Reason.PEER_INCONSISTENT: lambda: given_abroad(peers=[view(watch=Watch.INCONSISTENT)]),
    Reason.EQUIVALENCE_MISSING: lambda: recognising(equivalences=()),
    Reason.EQUIVALENCE_NOT_IN_FORCE: lambda: recognising(equivalences=(equivalence(valid_until=NOW),)),
    Reason.RULE: lambda: recognising(rules=(rule({"var": "payload.version"}),)),
    Reason.RULE_REFUSED: lambda: recognising(rules=(rule({">": [{"var": "payload.fields.area_m2"}, 120]}),)),
    Reason.RULE_FIELD: lambda: given_abroad(present(GOOD.compact, [("fields", "premises")])),
}

UNDER_THEIR_LIST: dict[Reason, Callable[[], Verdict]] = {
    Reason.KEY_PURPOSE: lambda: theirs(keys=ABROAD.key_change(f"{MARKET}/licence", purpose="statement")),
    Reason.KEY_CERTIFICATE: lambda: theirs(keys=ABROAD.key_change(f"{MARKET}/licence", department=TRANSPORT)),
    Reason.KEY_TERM: lambda: theirs(keys=ABROAD.key_change(f"{MARKET}/licence", log_from=ABROAD.position())),
    Reason.KEY_COMPROMISED: lambda: compromised(Position.start(ABROAD.origin)),
    Reason.KEY_UNKNOWN: lambda: given_abroad(Issuer(region="620000", base=ABROAD.base).issue().compact),
    Reason.ISSUER_MISMATCH: lambda: given_abroad(forged(ABROAD.face(iss=f"{ABROAD.base}/d/{TRANSPORT}"))),
    Reason.GRANT_MISSING: lambda: given_abroad(forged(ABROAD.face(vct=f"{ABROAD.base}/types/{DRIVER}/1"))),
    Reason.GRANT_AREA: lambda: theirs(grants=(replace(ABROAD.document().grants[0], area="620100"),)),
    Reason.GRANT_TERM: lambda: theirs(grants=(replace(ABROAD.document().grants[0], log_to=ABROAD.position(1)),)),
    Reason.TYPE_UNKNOWN: lambda: given_abroad(forged(ABROAD.face(vct=f"{HOME.base}/types/{FOOD}/1"))),
    Reason.LICENCE_SIGNATURE: lambda: given_abroad(GOOD.compact.replace(TAIL, OTHER_TAIL)),
    Reason.RECEIPT_MISSING: lambda: given_abroad(receipt=None),
    Reason.RECEIPT_OPENING: lambda: given_abroad(receipt=ABROAD.receipt(OTHER.index, OTHER.opening)),
    Reason.LOG_UNKNOWN: lambda: given_abroad(receipt=HOME.receipt(OURS.index, OURS.opening)),
    Reason.STATUS_MISSING: lambda: given_abroad(status=[HOME.status(usual_home())]),
    Reason.STATUS_STALE: lambda: given_abroad(at=NOW + dt.timedelta(seconds=OUR_GRACE_S + 1)),
    Reason.REVOKED: lambda: given_abroad(status=[ABROAD.status(usual_abroad(), values={7: 1})]),
    Reason.SUSPENDED: lambda: given_abroad(status=[ABROAD.status(usual_abroad(), values={7: 2})]),
    Reason.STATUS_ROLLBACK: lambda: given_abroad(
        seen=Seen(lists={f"{ABROAD.pin} {ABROAD.list_uri}": SeenList(ABROAD.origin, 1000)})
    ),
    Reason.EXPIRED: lambda: given_abroad(at=NOW + 3000 * DAY),
    Reason.CLOCK_BEHIND: lambda: given_abroad(at=NOW - dt.timedelta(minutes=6)),
}


def compromised(trust_before: Position | None) -> Verdict:
    """The good licence after the key of its department abroad was stolen."""
    revocation = Revocation(NOW, "compromised", trust_before)
    return theirs(keys=ABROAD.key_change(f"{MARKET}/licence", revoked=revocation))


def test_a_licence_of_a_recognised_region_is_valid_with_receipt_status_and_rule() -> None:
    """And the verdict names the region, what it counts as, by which versions, and on what each step rests."""
    verdict = given_abroad(at=NOW + dt.timedelta(seconds=20))
    document = verdict.to_json("en")
    checks = {check["step"]: check for check in document["checks"]}

    assert (verdict.outcome, verdict.reasons, verdict.notes) == (Outcome.VALID, (), NOBODY_WATCHES)
    assert list(checks) == [step for step in Step if step is not Step.LEDGER]
    assert {check["outcome"] for check in checks.values()} == {"passed"}
    assert checks["peer"] == {"step": "peer", "outcome": "passed", "age_s": 20, "source": "620000 trust list 1"}
    assert checks["key"]["source"] == "620000 trust list 1" and checks["trust_list"]["source"] == "given"
    assert document["region"] == "620000"
    assert document["recognition"] == {
        "by": "610000",
        "peer": "620000",
        "equivalence": {"id": "food-62", "version": 3},
        "rule": {"id": "large-enough", "version": 2},
        "type": {"code": OUR_FOOD, "major": 1},
        "fields": {"range": "预包装食品销售", "site": "示例路1号", "holders": verdict.licence["holders"]},  # type: ignore[index]
    }


@pytest.mark.parametrize("reason", [*ROWS, *UNDER_THEIR_LIST], ids=str)
def test_each_fault_of_a_foreign_document_has_its_own_reason(reason: Reason) -> None:
    """With the outcome of protocol 24, and never valid."""
    verdict = (ROWS | UNDER_THEIR_LIST)[reason]()

    assert reason in verdict.reasons, verdict.reasons
    finding = next(one for one in verdict.findings if one.reason is reason)
    assert finding.outcome is (Outcome.UNDETERMINED if reason in UNDETERMINED else Outcome.INVALID)
    wrong = any(one.outcome is Outcome.INVALID for one in verdict.findings)
    assert verdict.outcome is (Outcome.INVALID if wrong else Outcome.UNDETERMINED)


def test_every_reason_of_other_regions_has_a_row() -> None:
    """Besides `peer.unreachable`, which only a service can find."""
    assert set(ROWS) == REASONS


@pytest.mark.parametrize("reason", ROWS, ids=str)
def test_a_fault_of_recognition_is_the_only_one(reason: Reason) -> None:
    """Each row changes one thing, so it must find one thing."""
    assert ROWS[reason]().reasons == (reason,)


# --- whose document it is --------------------------------------------------------------------------------------------


def test_without_peers_a_foreign_licence_is_of_an_unknown_region_or_lacks_its_list() -> None:
    """What the licence claims of its region only chooses the explanation."""
    assert judge(GOOD.compact, HOME.trust(), policy=PINNED).reasons == (Reason.PEER_UNKNOWN,)
    assert judge(GOOD.compact, usual_home(), policy=PINNED).reasons == (Reason.PEER_LIST_MISSING,)
    assert judge(OURS.compact.replace("~", "", 1), HOME.trust(), policy=PINNED).outcome is Outcome.INVALID


def test_an_unknown_region_may_be_a_new_peer_where_our_list_is_old() -> None:
    """Past `next_update`, undetermined (protocol 24)."""
    old = HOME.trust(next_update=NOW - dt.timedelta(seconds=1))

    verdict = judge(GOOD.compact, old, policy=PINNED)

    assert (verdict.outcome, verdict.reasons) == (Outcome.UNDETERMINED, (Reason.PEER_UNKNOWN,))


def test_a_list_counts_only_under_the_root_that_our_list_names() -> None:
    """Another root with the same region code, with the same or other keys, is no list of that peer."""
    impostor = Issuer(region="620000", base=ABROAD.base)
    issued = impostor.issue(7)
    views = [PeerView(impostor.trust(), Watch.FOLLOWED)]
    inputs: dict[str, Any] = {"status": [impostor.status()], "receipt": impostor.receipt(issued.index, issued.opening)}

    assert given_abroad(issued.compact, peers=views, **inputs).reasons == (Reason.PEER_LIST_MISSING,)
    assert given_abroad(peers=views).reasons == (Reason.PEER_LIST_MISSING,)
    assert given_abroad(issued.compact, peers=[*views, view()], **inputs).reasons == (Reason.PEER_LIST_MISSING,)
    assert given_abroad(peers=[*views, view()]).outcome is Outcome.VALID


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_lists_of_one_peer_the_newer_counts_and_a_doubt_in_either(newest_first: bool) -> None:
    """An older list must not speak for a key that a newer one calls stolen."""
    keys = ABROAD.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    views = [view(ABROAD.trust(seq=2, keys=keys)), view(watch=Watch.FORKED)]

    verdict = given_abroad(peers=views if newest_first else views[::-1])

    assert verdict.reasons == (Reason.KEY_COMPROMISED, Reason.PEER_FORKED)


def test_a_list_that_our_region_does_not_recognise_counts_for_nothing() -> None:
    """However it was come by."""
    issued = STRANGER.issue(7)
    peers = [view(), view(STRANGER.trust())]
    receipt = STRANGER.receipt(issued.index, issued.opening)

    verdict = given_abroad(issued.compact, peers=peers, status=[STRANGER.status()], receipt=receipt)

    assert verdict.reasons == (Reason.PEER_UNKNOWN,) and verdict.licence is None


def test_without_a_pinned_root_of_ours_nothing_foreign_is_valid() -> None:
    """Our list chooses the peers, so it must be ours; and nothing is remembered of theirs."""
    with pytest.raises(NotVerified) as refused:
        verify(GOOD.compact, trust=home_trust(pin=False), peers=[view()], at=NOW)

    assert Reason.ROOT_UNPINNED in refused.value.verdict.reasons
    assert refused.value.seen.trust == {}


def lying_list(**changes: Any) -> PeerView:
    """The list of a third peer that names a key of the second as its own."""
    stolen = [key for key in ABROAD.document().keys if key.department == MARKET]
    own = [key for key in STRANGER.document().keys if key.department != MARKET]
    keys = tuple(replace(key, revoked=Revocation(NOW, "compromised")) for key in stolen)
    return view(STRANGER.trust(keys=(*own, *keys), **changes))


@pytest.mark.parametrize("whose", ["ours", "a third region's"])
@pytest.mark.parametrize("presented", ["licence", "code"])
def test_a_peer_cannot_issue_in_the_name_of_anothers_department(whose: str, presented: str) -> None:
    """Its root certifies what it likes; a name below our address, or a third region's, is none that it can give."""
    base = HOME.base if whose == "ours" else STRANGER.base
    there = Issuer(region=ABROAD.region, base=base)
    licence, theirs = there.issue(7), there.trust()
    rows = (row(there, base=ABROAD.base), row(STRANGER))
    home = home_trust(peers=rows, equivalences=(equivalence(rule=None, fields={}),))
    verdict = given_abroad(
        licence.compact if presented == "licence" else licence.code,
        trust=home,
        receipt=there.receipt(licence.index, licence.opening),
        status=[there.status(theirs)],
        peers=[view(theirs)],
    )

    assert (verdict.reasons, verdict.licence) == ((Reason.ISSUER_MISMATCH,), None)


@pytest.mark.parametrize("presented", ["licence", "code"])
@pytest.mark.parametrize("first", [True, False])
def test_a_peer_that_lists_anothers_keys_cannot_spoil_its_documents(presented: str, first: bool) -> None:
    """Neither by calling them compromised nor by coming first; ours are never judged by it."""
    no_rule = equivalence(rule=None, fields={})
    trust = home_trust(peers=(row(), row(STRANGER)), equivalences=(no_rule,))
    peers = [lying_list(), view()] if first else [view(), lying_list()]
    text = {"code": GOOD.code, "licence": GOOD.compact}[presented]

    verdict = given_abroad(text, trust=trust, peers=peers)

    assert (verdict.outcome, verdict.region) == (Outcome.VALID, "620000")


def test_our_own_keys_in_a_peers_list_change_nothing() -> None:
    """Our list comes first."""
    ours = [replace(key, revoked=Revocation(NOW, "compromised")) for key in HOME.document().keys if key.department]
    keys = (*(key for key in ABROAD.document().keys if key.department is None), *ours)
    peers = [view(ABROAD.trust(keys=keys))]
    inputs = {"status": [HOME.status()], "receipt": HOME.receipt(OURS.index, OURS.opening), "peers": peers}

    assert given_abroad(OURS.compact, **inputs).outcome is Outcome.VALID


def same(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts say the same in every respect."""
    return one.to_json() == other.to_json()


OWN_DOCUMENTS = {
    "licence": OURS.compact,
    "code": OURS.code,
    "cut": OURS.compact[:-9],
    "forged": OURS.compact.replace("~", "A~", 1),
    "bundle": HOME.bundle(OURS).decode(),
    "receipt": HOME.receipt(OURS.index, OURS.opening),
    "nonsense": "x",
    "unknown key": Issuer().issue(7).compact,
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(OWN_DOCUMENTS)),
    st.sampled_from(list(Watch)),
    st.sampled_from(["active", "suspended", "withdrawn"]),
    st.integers(-400, 100_000),
    st.booleans(),
    st.sampled_from([None, 0, 1, 2]),
)
def test_peers_change_no_verdict_on_our_own_documents(
    presented: str, watch: Watch, state: str, seconds: int, receipt: bool, value: int | None
) -> None:
    """Whatever peers there are and however they fare."""
    trust = home_trust(peers=(row(status=state),))
    inputs: dict[str, Any] = {
        "at": NOW + dt.timedelta(seconds=seconds),
        "status": [] if value is None else [HOME.status(trust, values={7: value})],
        "receipt": HOME.receipt(OURS.index, OURS.opening) if receipt else None,
        "policy": PINNED,
    }
    alone = judge(OWN_DOCUMENTS[presented], trust, **inputs)
    inputs["status"] = [*inputs["status"], ABROAD.status(usual_abroad())]

    assert same(judge(OWN_DOCUMENTS[presented], trust, peers=[view(watch=watch), lying_list()], **inputs), alone)


ROW_CHANGES: dict[str, Callable[[], TrustedPeer]] = {
    "region": lambda: row(region="620001"),
    "root": lambda: row(root=STRANGER.pin),
    "status": lambda: row(status="withdrawn"),
    "witnesses": lambda: row(witnesses=witness_rule(2)),
}


@pytest.mark.parametrize("member", ROW_CHANGES)
def test_every_member_of_our_row_about_a_peer_counts(member: str) -> None:
    """Its names and address decide nothing, all else does."""
    assert recognising(peers=(ROW_CHANGES[member](),)).outcome is not Outcome.VALID
    assert recognising(peers=(row(base="https://other.example"),)).outcome is Outcome.VALID


@pytest.mark.parametrize("place", range(0, 64, 7))
def test_one_digit_of_the_peers_root_makes_it_another_region(place: int) -> None:
    """Nothing of that list counts then."""
    digits = ABROAD.pin
    changed = digits[:place] + ("0" if digits[place] != "0" else "1") + digits[place + 1 :]

    assert recognising(peers=(row(root=changed),)).reasons == (Reason.PEER_LIST_MISSING,)
