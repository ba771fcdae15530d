"""What a trust list says of other regions reads back as it was written, and nothing else reads at all."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.issuer import FOOD, NOW, Issuer
from tests.verifiers.log_world import ed25519, mldsa
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.members import Members
from verifiers.note import KeyType
from verifiers.trust_document import Names, Witness
from verifiers.trust_list import TrustDocument, open_trust_list
from verifiers.trusted_peers import (
    Intervals,
    RuleName,
    TrustedEquivalence,
    TrustedPeer,
    TrustedRule,
    WitnessRule,
    WitnessService,
)

ISSUER = Issuer()
NAMES = Names("示例二省", "Second Example Province")
WITNESS = "second.example/620000/witness"
ONE, TWO = ed25519(WITNESS, 9, KeyType.ED25519_COSIGNATURE)[0], mldsa(WITNESS, 9)[0]
ADDRESS = "https://second.example/witness"
DEMANDED = WitnessRule(1, tuple(Witness(WITNESS, key.to_text(), ADDRESS) for key in (ONE, TWO)))
PEER = TrustedPeer("620000", NAMES, "https://second.example", "ab" * 32, "active", DEMANDED)
LATER = NOW + dt.timedelta(days=2)
EQUIVALENCE = TrustedEquivalence(
    "food-620000", 1, "620000", FOOD, 1, FOOD, 1, NOW, None, RuleName("food", 1), {"scope": "range"}
)
RULE = TrustedRule(RuleName("food", 1), {"===": [{"var": "payload.fields.scope"}, "retail"]}, NAMES)
SERVICE = WitnessService("region.example/610000/witness", (), "https://region.example/witness")


def document(**changes: Any) -> TrustDocument:
    """The example region's list with one peer, one equivalence and its rule."""
    own = ed25519(SERVICE.name, 8, KeyType.ED25519_COSIGNATURE)[0].to_text()
    members: dict[str, Any] = {
        "peers": (PEER,),
        "equivalences": (EQUIVALENCE,),
        "rules": (RULE,),
        "witness": replace(SERVICE, vkeys=(own,)),
        "intervals": Intervals(200, 600, 30),
    }
    return ISSUER.document(**(members | changes))


def read(payload: dict[str, Any]) -> TrustDocument:
    """The document a payload spells."""
    return TrustDocument.read(Members(payload, Reason.TRUST))


def test_a_list_with_peers_reads_back_as_it_was_written() -> None:
    """Every row is a pair of reading and writing, absent parts included."""
    bare = replace(PEER, region="630000", status="suspended", witnesses=None)
    written = document(peers=(bare, PEER), equivalences=(replace(EQUIVALENCE, rule=None, valid_until=LATER),))

    found = read(written.to_json())

    assert found.to_json() == written.to_json()
    assert [peer.region for peer in found.peers] == ["620000", "630000"]
    assert found.peers[0].witnesses == DEMANDED and found.peers[1].witnesses is None
    assert found.intervals == Intervals(200, 600, 30)


def test_an_opened_list_finds_peers_equivalences_and_rules() -> None:
    """Of several versions the newest comes first."""
    second = replace(EQUIVALENCE, version=2, valid_from=LATER)
    token = ISSUER.trust_token(document(equivalences=(EQUIVALENCE, second)))

    trust = open_trust_list(token, root_fingerprint=ISSUER.pin, at=NOW)

    assert trust.peer("620000") == PEER and trust.peer("630000") is None
    assert [each.version for each in trust.equivalences_of("620000", FOOD, 1)] == [2, 1]
    assert trust.equivalences_of("620000", FOOD, 2) == ()
    assert trust.rule("food", 1) == RULE and trust.rule("food", 2) is None


@pytest.mark.parametrize(
    ("valid_until", "at", "expected"),
    [
        (None, NOW, True),
        (None, NOW - dt.timedelta(seconds=1), False),
        (LATER, LATER - dt.timedelta(seconds=1), True),
        (LATER, LATER, False),
    ],
    ids=["first moment", "a second early", "last second", "the end itself"],
)
def test_an_equivalence_counts_from_its_start_until_just_before_its_end(
    valid_until: dt.datetime | None, at: dt.datetime, expected: bool
) -> None:
    """A withdrawal at a time takes effect at that very second."""
    assert replace(EQUIVALENCE, valid_until=valid_until).in_force(at) is expected


PAYLOAD = document().to_json()


def changed(section: str, **changes: Any) -> dict[str, Any]:
    """The payload with its one row of `section` changed; `...` removes a member."""
    row = PAYLOAD[section][0] if isinstance(PAYLOAD[section], list) else PAYLOAD[section]
    row = {name: value for name, value in (row | changes).items() if value is not ...}
    return PAYLOAD | {section: [row] if isinstance(PAYLOAD[section], list) else row}


@pytest.mark.parametrize(
    "payload",
    [
        changed("peers", root="AB" * 32),
        changed("peers", status="friendly"),
        changed("peers", region="62"),
        changed("peers", witnesses={"k": 2, "keys": DEMANDED.to_json()["keys"]}),
        changed("peers", witnesses={"k": 0, "keys": [{"name": "x", "vkey": "x", "url": "https://x.example"}]}),
        changed("peers", base=...),
        changed("equivalences", version=0),
        changed("equivalences", fields={"scope": 1}),
        changed("equivalences", valid_until="tomorrow"),
        changed("equivalences", rule={"id": "food"}),
        changed("rules", logic=[]),
        changed("witness", vkeys=[]),
        changed("witness", name="another.example/witness"),
        changed("intervals", republish_s=0),
        changed("intervals", extra=1),
    ],
    ids=[
        "root in capitals", "unknown status", "short code", "quorum of two among one name", "no verifier key",
        "no address", "version nought", "fields that are no texts", "no time", "rule without version",
        "logic that is no object", "witness without keys", "witness of another name", "never signs again",
        "unknown member",
    ],
)  # fmt: skip
def test_rows_about_other_regions_have_one_form(payload: dict[str, Any]) -> None:
    """Whatever else is there is refused, because a list of a later version says more than we understand."""
    with pytest.raises(Malformed) as caught:
        read(payload)
    assert caught.value.reason is Reason.TRUST


@pytest.mark.parametrize("section", ["peers", "equivalences", "rules"])
def test_two_rows_of_one_name_are_refused(section: str) -> None:
    """Nobody could say which of them counts."""
    twice = document(**{section: getattr(document(), section) * 2})

    with pytest.raises(VerificationError) as caught:
        open_trust_list(ISSUER.trust_token(twice), root_fingerprint=ISSUER.pin, at=NOW)
    assert caught.value.reason is Reason.TRUST
