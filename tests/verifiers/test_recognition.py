"""What a licence of another region counts as here: our signed list decides, its own claims never do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.verifiers.foreign_world import (
    ABROAD,
    DAY,
    HOME,
    OUR_FOOD,
    equivalence,
    given_abroad,
    home_trust,
    row,
    rule,
)
from tests.verifiers.issuer import FOOD, MARKET, NOW, Issued, seed
from verifiers import licence
from verifiers.commitment import NO_DOCUMENT, jws_digest
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason
from verifiers.examination import Examination
from verifiers.jws import encode_segment
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.recognition import check_recognition, mapped
from verifiers.trust_list import TrustList
from verifiers.verdict import Mark, Outcome, Recognition, Step

CONTENT: dict[str, Any] = {
    "identifier": "…",
    "valid_until": "2031-11-20",
    "number": "JY161000000007",
    "holders": [{"kind": "organisation", "name": "示例食品有限公司"}],
    "fields": {"scope": "预包装食品销售", "area_m2": 120},
}

KIND = next(kind for kind in ABROAD.document().types if kind.code == FOOD)


def examined(
    trust: TrustList, content: dict[str, Any] | None = None, at: dt.datetime = NOW
) -> tuple[Recognition | None, Examination]:
    """Take the step alone, for a food licence from abroad that shows `content`."""
    case = Examination(at, Policy(), Seen(), trust)
    return check_recognition(case, trust, row(), KIND, CONTENT if content is None else content), case


def reasons(case: Examination) -> list[Reason]:
    """Return the reasons found."""
    return [finding.reason for finding in case.findings]


def test_a_recognised_licence_counts_as_ours_by_a_named_rule() -> None:
    """The verdict's member names both versions, our type and what is shown under our names."""
    recognition, case = examined(home_trust())

    assert recognition is not None and not case.findings
    assert recognition.to_json() == {
        "by": HOME.region,
        "peer": ABROAD.region,
        "equivalence": {"id": "food-62", "version": 3},
        "rule": {"id": "large-enough", "version": 2},
        "type": {"code": OUR_FOOD, "major": 1},
        "fields": {"range": "预包装食品销售", "holders": CONTENT["holders"]},
    }
    [check] = case.checks
    assert (check.step, check.mark, check.age_s) == (Step.RECOGNITION, Mark.PASSED, 0)


def test_without_conditions_every_licence_of_the_type_counts() -> None:
    """Then no rule is named."""
    recognition, case = examined(home_trust(equivalences=(equivalence(rule=None),), rules=()))

    assert recognition is not None and recognition.rule is None and not case.findings


@pytest.mark.parametrize(
    "changes", [{"peer": "640000"}, {"their_type": OUR_FOOD}, {"their_major": 2}], ids=["peer", "type", "major"]
)
def test_an_equivalence_is_for_one_peer_one_type_and_one_major(changes: dict[str, Any]) -> None:
    """Everything else is not recognised."""
    other = row(region="640000")

    recognition, case = examined(home_trust(peers=(row(), other), equivalences=(equivalence(**changes),)))

    assert recognition is None and reasons(case) == [Reason.EQUIVALENCE_MISSING]


def test_an_equivalence_to_a_type_our_list_does_not_name_recognises_nothing() -> None:
    """Else nothing of ours would say how old a status list may be, and the peer would decide."""
    recognition, case = examined(home_trust(equivalences=(equivalence(our_major=9),)))

    assert recognition is None and reasons(case) == [Reason.EQUIVALENCE_MISSING]
    assert case.counts_as is None


def test_time_is_a_half_open_stretch() -> None:
    """The first second counts, the last one named does not; what was issued when does not matter."""
    begins, ends = NOW - DAY, NOW + DAY
    trust = home_trust(equivalences=(equivalence(valid_from=begins, valid_until=ends),))
    second = dt.timedelta(seconds=1)

    found = {at: reasons(examined(trust, at=at)[1]) for at in (begins - second, begins, ends - second, ends)}

    outside = [Reason.EQUIVALENCE_NOT_IN_FORCE]
    assert list(found.values()) == [outside, [], [], outside]


def test_the_version_in_force_decides() -> None:
    """A newer one that has not begun leaves the older one in force."""
    older = equivalence(version=1, rule=None, valid_until=NOW + DAY)
    newer = equivalence(version=2, valid_from=NOW + DAY)
    trust = home_trust(equivalences=(older, newer))

    versions = [examined(trust, at=at)[0] for at in (NOW, NOW + DAY)]

    assert [one and one.equivalence[1] for one in versions] == [1, 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"fields": {"area_m2": 99}}, Reason.RULE_REFUSED),
        ({"fields": {}}, Reason.RULE_FIELD),
        ({}, Reason.RULE_FIELD),
        ({"fields": {"area_m2": "120"}}, Reason.RULE),
    ],
    ids=["no", "not shown", "nothing shown", "another type"],
)
def test_the_rule_must_say_yes(content: dict[str, Any], reason: Reason) -> None:
    """No, cannot tell, and does not fit are three reasons; each detail names rule and version."""
    recognition, case = examined(home_trust(), {"number": "1", **content})

    assert recognition is None and reasons(case) == [reason]
    assert case.findings[0].detail.startswith("rule large-enough version 2")
    assert case.findings[0].outcome is (Outcome.UNDETERMINED if reason is Reason.RULE_FIELD else Outcome.INVALID)


@pytest.mark.parametrize("rules", [(), (rule({"or": [True, True]}),)], ids=["absent", "of another language"])
def test_a_rule_that_is_not_there_or_not_one_recognises_nothing(rules: tuple[Any, ...]) -> None:
    """A list that names a rule we cannot judge is never read as one without conditions."""
    recognition, case = examined(home_trust(rules=rules))

    assert recognition is None and reasons(case) == [Reason.RULE]


def test_a_licence_that_does_not_hold_up_is_not_put_to_the_rule() -> None:
    """Its other findings decide; an equivalence that is missing is still said."""
    case = Examination(NOW, Policy(), Seen(), home_trust())

    assert check_recognition(case, home_trust(), row(), KIND, None) is None
    assert [(check.step, check.mark) for check in case.checks] == [(Step.RECOGNITION, Mark.SKIPPED)]


def test_fields_are_mapped_as_far_as_they_are_shown() -> None:
    """`number`, `object` and `holders` mean the licence's own members, all other names its face."""
    content = {"number": "7", "fields": {"scope": "A", "number": "8", "floor": 0, "chain": False}}
    fields = {"range": "scope", "number": "number", "object": "object", "level": "floor", "chain": "chain", "x": "y"}

    assert mapped(fields, content) == {"range": "A", "number": "7", "level": 0, "chain": False}
    assert mapped(fields, {"name": "示例甲"}) == {}


def claiming(idx: int, **claims: Any) -> Issued:
    """Issue a licence abroad whose signed claims hold more than ours ever do."""
    face, key = ABROAD.face(idx), f"{MARKET}/licence"
    unsigned, compact = ABROAD.sign_licence(face)
    payload = licence.parse(compact).sd_jwt.jws.payload | claims
    header = licence.header_segment(ABROAD.certificate(key))
    signing_input = f"{header}.{encode_segment(payload)}".encode()
    signature = b64u_encode(ABROAD.sign(key, signing_input))
    secret = seed("claiming", idx)
    index, opening = ABROAD.append("licence.issued", MARKET, jws_digest(signing_input), NO_DOCUMENT, secret, 0)
    text = "~".join([f"{signing_input.decode()}.{signature}", *unsigned.disclosures, ""])
    return Issued(text, "", index, opening, secret, idx, face)


@pytest.mark.parametrize("name", ["aka_vcts", "extends"])
def test_what_a_licence_claims_to_equal_decides_nothing(name: str) -> None:
    """It is shown with a note; without an equivalence of ours it stays invalid, and with one it changes nothing."""
    ours = f"{HOME.base}/types/{OUR_FOOD}/1"
    issued = claiming(40 if name == "extends" else 41, **{name: [ours] if name == "aka_vcts" else ours})
    given = {"receipt": ABROAD.receipt(issued.index, issued.opening), "status": [ABROAD.status()]}

    without = given_abroad(issued.compact, trust=home_trust(equivalences=()), **given)
    within = given_abroad(issued.compact, trust=home_trust(), **given)

    assert (without.outcome, without.reasons) == (Outcome.INVALID, (Reason.EQUIVALENCE_MISSING,))
    assert without.recognition is None
    assert within.outcome is Outcome.VALID and within.recognition is not None
    for verdict in (without, within):
        assert Note.CLAIMED_EQUIVALENCE in verdict.notes
        assert verdict.licence is not None and name in verdict.licence["claimed_types"]


def test_a_rule_cannot_see_what_a_licence_claims_to_equal() -> None:
    """Not even by mistake: such a rule finds nothing there."""
    asks = {"!": [{"!": [{"var": "payload.claimed_types"}]}]}
    content = CONTENT | {"claimed_types": {"aka_vcts": ["https://region.example/types/x/1"]}}

    recognition, case = examined(home_trust(rules=(rule(asks),)), content)

    assert recognition is None and reasons(case) == [Reason.RULE_REFUSED]
    assert case.notes == [Note.CLAIMED_EQUIVALENCE]
