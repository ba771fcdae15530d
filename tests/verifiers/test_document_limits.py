"""Members of every kind of document at their limits: the last value that is read, and the first that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.verifiers.foreign_world import ABROAD, GOOD, HOME, equivalence, home_trust, row, rule
from tests.verifiers.issuer import NOW, Issuer
from tests.verifiers.test_kit import PARTS, manifest
from tests.verifiers.test_notice import NOTICE
from tests.verifiers.test_region_list import DOCUMENT
from tests.verifiers.test_trusted_peers import DEMANDED, PEER
from verifiers import canonical
from verifiers.bundle import LENGTH_MAX, Bundle, format_bundle, parse_bundle
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.kit import KitPart, KitRegion, Manifest
from verifiers.members import Members
from verifiers.notice import NamedLicence, Notice
from verifiers.policy import Binding, Policy, Seen, SeenList
from verifiers.region_list import ListedRegion, RegionList
from verifiers.trust_list import TrustDocument
from verifiers.trusted_peers import (
    Intervals,
    RuleName,
    TrustedEquivalence,
    TrustedPeer,
    TrustedRule,
    WitnessRule,
)

MOST = 2**53 - 1
WATCHED = Issuer(watchers=2, quorum=1)
SEEN = Seen({"610000": 1}, {"https://a.example": SeenList("o", 1)}, NOW, {"610000/ab": 1})

Read = Callable[[Any], Any]


def reader(kind: Any, reason: Reason) -> Read:
    """Reads a row of `kind` as a document does."""

    def read(value: Any) -> Any:
        members = Members(value, reason)
        found = kind.read(members)
        members.done()
        return found

    return read


DOCUMENTS: dict[str, tuple[Reason, Read, dict[str, Any]]] = {
    "bundle": (
        Reason.BUNDLE,
        lambda value: parse_bundle(canonical.encode(value)),
        canonical.decode_object(ABROAD.bundle(GOOD), LENGTH_MAX),
    ),
    "seen": (Reason.CANONICAL, Seen.from_json, SEEN.to_json()),
    "manifest": (Reason.KIT, reader(Manifest, Reason.KIT), manifest(PARTS).to_json()),
    "kit part": (Reason.KIT, reader(KitPart, Reason.KIT), KitPart.of("trust-list/610000", "x").to_json()),
    "kit region": (Reason.KIT, reader(KitRegion, Reason.KIT), manifest(PARTS).regions[0].to_json()),
    "notice": (Reason.NOTICE, reader(Notice, Reason.NOTICE), NOTICE.to_json()),
    "named": (Reason.NOTICE, reader(NamedLicence, Reason.NOTICE), NOTICE.licences[0].to_json()),
    "region list": (Reason.REGION_LIST, reader(RegionList, Reason.REGION_LIST), DOCUMENT.to_json()),
    "region": (Reason.REGION_LIST, reader(ListedRegion, Reason.REGION_LIST), DOCUMENT.regions[0].to_json()),
    "trust list": (Reason.TRUST, reader(TrustDocument, Reason.TRUST), home_trust().document.to_json()),
    "peer": (Reason.TRUST, reader(TrustedPeer, Reason.TRUST), PEER.to_json()),
    "demand": (Reason.TRUST, reader(WitnessRule, Reason.TRUST), DEMANDED.to_json()),
    "intervals": (Reason.TRUST, reader(Intervals, Reason.TRUST), Intervals(200, 60, 30).to_json()),
    "rule name": (Reason.TRUST, reader(RuleName, Reason.TRUST), RuleName("food", 1).to_json()),
    "rule": (Reason.TRUST, reader(TrustedRule, Reason.TRUST), rule().to_json()),
    "equivalence": (Reason.TRUST, reader(TrustedEquivalence, Reason.TRUST), equivalence().to_json()),
}
NAMES = {"en": "x", "zh": "x"}
REGION = KitRegion("620000", manifest(PARTS).regions[0].watch).to_json()
STATE: dict[str, Any] = {"origin": "", "size": 0, "uri": ""}
LOG = HOME.document().logs[0].to_json()
LISTED = DOCUMENT.regions[0].to_json()
HASH, TYPE = b64u_encode(bytes(32)), "1" * 21
URI = "https://" + "x" * 500


def named(count: int) -> list[dict[str, Any]]:
    """So many licences in their order."""
    return [{"identifier": f"{number:09d}", "slot": 0, "uri": "https://a.example"} for number in range(count)]


# What is read, with the last value or values that are and the first that are not.
LIMITS: list[tuple[str, str, list[Any], list[Any]]] = [
    *[(kind, "v", [1], [0, 2, True, "1"]) for kind, (_, _, value) in DOCUMENTS.items() if "v" in value],
    ("bundle", "secret", [HASH], [b64u_encode(bytes(31)), b64u_encode(bytes(33))]),
    ("bundle", "events", [[], ["x"] * 1000], [["x"] * 1001, [1], None]),
    ("bundle", "licence", [None, ""], [1]),
    ("bundle", "exported_at", ["2026-11-21T08:00:00Z"], ["2026-11-21T08:00:00.5Z", None]),
    ("seen", "newest", [None, "2026-11-21T08:00:00Z"], ["now", 1]),
    ("seen", "trust", [[{"region": "610000", "seq": seq}] for seq in (0, MOST)], [[{"region": "610000", "seq": -1}]]),
    ("seen", "trust", [[{"region": "6", "seq": 1}] * 10_000], [[{"region": "6", "seq": 1}] * 10_001]),
    ("seen", "lists", [[STATE] * 10_000], [[STATE] * 10_001, [STATE | {"size": -1}]]),
    ("seen", "kits", [[{"region": "6", "seq": 1}] * 10_000], [[{"region": "6", "seq": 1}] * 10_001]),
    ("manifest", "version", [1, MOST], [0]),
    ("manifest", "trust_seq", [1, MOST], [0]),
    ("manifest", "region", ["000000"], ["61000", "6100000"]),
    ("manifest", "types", [[], [TYPE] * 1024], [[TYPE] * 1025, [TYPE[1:]], [TYPE + "1"]]),
    ("manifest", "regions", [[], [REGION] * 64], [[REGION] * 65]),
    ("kit part", "name", ["trust-list/000000", "status-list/610000/0", "checkpoint/610000/99999"],
     ["trust-list/61000", "status-list/610000/00", "checkpoint/610000/100000", "status-list/610000", "x/610000/0"]),
    ("kit part", "size", [0, MOST], [-1]),
    ("kit part", "sha256", [HASH], [b64u_encode(bytes(33))]),
    ("kit region", "logged", [True, False, None], [0, "true"]),
    ("kit region", "checked_at", [None, "2026-11-21T08:00:00Z"], ["now"]),
    ("kit region", "watch", ["followed", "unwatched", "unreachable", "frozen", "rolled_back", "inconsistent", "forked"],
     ["well", ""]),
    ("notice", "entry", [0, MOST], [-1]),
    ("notice", "cause", ["x" * 700], ["x" * 701, "", "a b"]),
    ("notice", "event", ["fell", "restored"], ["rose"]),
    ("notice", "effect", ["none", "suspended", "revoked"], ["annulled"]),
    ("notice", "licences", [named(1), named(500)], [[], named(501), named(2)[::-1], named(1) * 2]),
    ("notice", "from", ["000000"], ["61000", "61000a"]),
    ("named", "identifier", ["x" * 150, "甲"], ["x" * 151, "", "a\nb"]),
    ("named", "slot", [0, MOST], [-1]),
    ("named", "uri", [URI], [URI + "x"]),
    ("region list", "seq", [1, MOST], [0]),
    ("region list", "prev", [None, HASH], [b64u_encode(bytes(31))]),
    *[("region list", name, [0, 2**37], [-1, 2**37 + 1]) for name in ("iat", "next_update", "exp")],
    ("region list", "regions", [[], [LISTED] * 4096], [[LISTED] * 4097]),
    *[(kind, "root", ["0" * 64], ["0" * 63, "0" * 65, "A" * 64]) for kind in ("region", "peer")],
    *[(kind, "base", [URI, "http://x"], [URI + "x", "ftp://x"]) for kind in ("region", "peer")],
    ("trust list", "seq", [1, MOST], [0]),
    ("trust list", "prev", [None, HASH], [b64u_encode(bytes(31)), ""]),
    *[("trust list", name, [0, 2**37], [-1, 2**37 + 1]) for name in ("iat", "next_update", "exp")],
    ("trust list", "peers", [[], [row().to_json()] * 1000], [[row().to_json()] * 1001]),
    ("trust list", "former", [[], ["x"] * 1024], [["x"] * 1025]),
    ("trust list", "rules", [[rule().to_json()] * 20_000], [[rule().to_json()] * 20_001]),
    ("trust list", "logs", [[], [LOG] * 256], [[LOG] * 257]),
    ("trust list", "intervals", [None], [{}]),
    ("trust list", "witness", [None], [{}]),
    ("trust list", "iss", [URI], [URI + "x"]),
    ("peer", "status", ["active", "suspended", "withdrawn"], ["gone"]),
    ("peer", "witnesses", [None, DEMANDED.to_json()], [1, DEMANDED.to_json() | {"more": 1}]),
    ("demand", "k", [0, 1], [-1, 2]),
    ("demand", "keys", [DEMANDED.to_json()["keys"] * 32], [DEMANDED.to_json()["keys"] * 33]),
    ("intervals", "publish_ms", [1, 3_600_000], [0, 3_600_001]),
    ("intervals", "republish_s", [1, 31_622_400], [0, 31_622_401]),
    ("intervals", "status_ttl_s", [1, 31_622_400], [0, 31_622_401]),
    ("rule name", "version", [1, 999_999], [0, 1_000_000]),
    ("rule name", "id", ["a", "0", "a" * 64, "a_.-Z"], ["", "a" * 65, "-a", "a b"]),
    ("rule", "names", [NAMES], [{"en": "x"}]),
    ("equivalence", "version", [1, 999_999], [0, 1_000_000]),
    ("equivalence", "id", ["a" * 64], ["a" * 65]),
    ("equivalence", "fields", [{}, {f"f{n}": "x" for n in range(256)}],
     [{f"f{n}": "x" for n in range(257)}, {"a": 1}, []]),
    ("equivalence", "ours", [{"major": 1, "type": TYPE}, {"major": 999, "type": TYPE}],
     [{"major": 0, "type": TYPE}, {"major": 1000, "type": TYPE}, {"major": 1, "type": TYPE + "1"}]),
    ("equivalence", "theirs", [{"major": 1, "type": TYPE}, {"major": 999, "type": TYPE}],
     [{"major": 0, "type": TYPE}, {"major": 1000, "type": TYPE}]),
    ("equivalence", "valid_until", [None, "2026-11-21T08:00:00Z"], [1]),
    ("equivalence", "rule", [None, {"id": "a", "version": 1}], [{"id": "a"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad"), LIMITS, ids=[f"{kind} {name} {n}" for n, (kind, name, *_) in enumerate(LIMITS)]
)
def test_a_member_is_read_up_to_its_limit(kind: str, name: str, good: list[Any], bad: list[Any]) -> None:
    """What is beyond is refused, for the reason that is this document's own."""
    reason, read, document = DOCUMENTS[kind]
    for value in good:
        read(document | {name: value})
    for value in bad:
        with pytest.raises(Malformed) as refused:
            read(document | {name: value})
        assert refused.value.reason is reason


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_has_all_its_members_and_no_others(kind: str) -> None:
    """One left out, or one more, and it is of another version."""
    reason, read, document = DOCUMENTS[kind]
    read(document)
    changed = [{name: value for name, value in document.items() if name != gone} for gone in document]
    if kind == "seen":
        changed.remove({name: value for name, value in document.items() if name != "kits"})
    for value in [*changed, document | {"more": 1}]:
        with pytest.raises(VerificationError) as refused:
            read(value)
        assert refused.value.reason is reason


@pytest.mark.parametrize("kind", [kind for kind in DOCUMENTS if kind != "bundle"])
def test_a_document_prints_as_what_was_read(kind: str) -> None:
    """Reading and writing are a pair."""
    _, read, document = DOCUMENTS[kind]

    assert read(document).to_json() == document


def test_a_bundle_holds_a_licence_a_code_or_both() -> None:
    """But not neither, when it is written as when it is read."""
    document = DOCUMENTS["bundle"][2]
    whole = parse_bundle(canonical.encode(document))

    assert canonical.decode_object(format_bundle(whole), LENGTH_MAX) == document
    assert parse_bundle(format_bundle(whole) + b"\n") == whole
    for part in ({"code": None}, {"licence": None}):
        parse_bundle(canonical.encode(document | part))
    with pytest.raises(Malformed) as refused:
        parse_bundle(canonical.encode(document | {"code": None, "licence": None}))
    assert (refused.value.reason, refused.value.detail) == (Reason.BUNDLE, "neither licence nor code")
    with pytest.raises(ValueError, match="a licence, a code or both"):
        format_bundle(Bundle(None, None, "", bytes(32), "", "", NOW))
    with pytest.raises(Malformed) as refused:
        parse_bundle(format_bundle(whole) + b"\n\n")
    assert refused.value.reason is Reason.BUNDLE


# --- what a verifier remembers ----------------------------------------------------------------------------------------


def test_what_was_seen_is_written_under_these_names() -> None:
    """In the order of their names, so that two that say the same are the same text."""
    seen = Seen({"b/cd": 2, "a": 1}, {"y": SeenList("o", 1), "x": SeenList("p", 2)}, NOW, {"a/ef": 3})

    assert seen.to_json() == {
        "kits": [{"region": "a", "root": "ef", "seq": 3}],
        "lists": [{"origin": "p", "size": 2, "uri": "x"}, {"origin": "o", "size": 1, "uri": "y"}],
        "newest": "2026-11-21T08:00:00Z",
        "trust": [{"region": "a", "seq": 1}, {"region": "b", "root": "cd", "seq": 2}],
        "v": 1,
    }
    assert Seen().to_json() == {"lists": [], "newest": None, "trust": [], "v": 1}
    assert Seen.from_json(seen.to_json()) == seen


FULL = Seen({"a/r": 5}, {"u": SeenList("o", 7)}, NOW, {"a/r": 3})


@pytest.mark.parametrize("seen", [Seen(), FULL, *[Seen(**{each: getattr(FULL, each)}) for each in
                                                  ("trust", "lists", "newest", "kits")]], ids=range(6))  # fmt: skip
def test_seeing_one_thing_forgets_nothing_else(seen: Seen) -> None:
    """And never goes back."""
    later = NOW.replace(year=2027)
    parts = (seen.trust, seen.lists, seen.newest, seen.kits)

    assert seen.with_trust("b", "s", 4) == Seen({**parts[0], "b/s": 4}, *parts[1:])
    assert seen.with_list("v", "o", 1) == Seen(parts[0], {**parts[1], "v": SeenList("o", 1)}, *parts[2:])
    assert seen.with_time(later) == Seen(*parts[:2], later, parts[3])
    assert seen.with_kit("b", "s", 1) == Seen(*parts[:3], {**parts[3], "b/s": 1})
    assert seen.with_trust("b", "s", -1).trust["b/s"] == 0


def test_what_is_older_than_seen_changes_nothing() -> None:
    """A list's state does: an older log may follow another."""
    assert FULL.with_trust("a", "r", 5) is FULL.with_trust("a", "r", 4) is FULL.with_kit("a", "r", 3) is FULL
    assert FULL.with_time(NOW) is FULL.with_list("u", "o", 7) is FULL
    assert FULL.with_trust("a", "r", 6).trust == {"a/r": 6} and FULL.with_kit("a", "r", 4).kits == {"a/r": 4}
    assert FULL.with_list("u", "o", 6).lists["u"].size == 6 and FULL.with_list("u", "p", 7).lists["u"].origin == "p"
    assert (FULL.highest("a", "r"), FULL.highest("a", "s"), Seen().highest("a", "r")) == (5, 0, 0)


def test_a_verifier_that_says_nothing_asks_for_little() -> None:
    """Five minutes for clocks and proofs, no witnesses, no pin."""
    policy = Policy()

    assert (policy.root, policy.grade, policy.liars, policy.binding) == (None, "published", 0, None)
    assert (policy.historical, policy.clock_tolerance_s, Binding("us", "1").age_max_s) == (False, 300, 300)
