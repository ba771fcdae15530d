"""Rows of a trust list at their limits: the last value that counts, the first that does not, in both readers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.verifiers.issuer import NOW, Issuer
from tests.verifiers.test_usual_rows import ODD, PAYLOAD, READERS
from verifiers import usual_rows
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.members import Members
from verifiers.trust_document import Department, Position, Revocation, TrustedGrant, TrustedKey, TrustedLog, Witness

ISSUER = Issuer(watchers=2, quorum=1)
END = ISSUER.position().to_json()
CODE = "1" * 18
DIGEST = "sha256-" + "A" * 43 + "="
MOST = 2**53 - 1

AT_THE_LIMIT: list[tuple[str, str, Any]] = [
    ("departments", "num", 0),
    ("departments", "num", 65_535),
    ("departments", "status", "closed"),
    ("departments", "status", "merged"),
    ("departments", "iss", "http://" + "x" * 500),
    ("keys", "log_from", {**END, "size": 0}),
    ("keys", "log_from", {**END, "size": MOST}),
    ("keys", "log_from", {**END, "origin": "x" * 200}),
    *[("keys", "purpose", word) for word in ("licence", "code", "statement", "status", "list", "peer")],
    ("grants", "major", 1),
    ("grants", "major", 999),
    ("grants", "acts", ["issue"]),
    ("grants", "acts", ["annul", "change", "issue", "penalty", "read", "scan", "seal", "suspend"]),
    ("grants", "acts", ["issue"] * 16),
    *[("grants", "area", "6" * length) for length in (2, 4, 6, 9, 12)],
    ("types", "num", 0),
    ("types", "num", 65_535),
    ("types", "major", 1),
    ("types", "major", 999),
    ("types", "grace_s", 0),
    ("types", "grace_s", 31_622_400),
    ("types", "integrity", []),
    ("types", "integrity", [DIGEST] * 1000),
    ("types", "receipt", "required"),
    ("types", "receipt", "optional"),
    ("status_lists", "num", 0),
    ("status_lists", "num", 65_535),
]
PAST_IT: list[tuple[str, str, Any]] = [
    ("departments", "num", -1),
    ("departments", "num", 65_536),
    ("departments", "num", True),
    ("departments", "status", "gone"),
    ("departments", "id", CODE + "1"),
    ("departments", "iss", "http://" + "x" * 501),
    ("departments", "names", {"en": "x"}),
    ("departments", "names", {"en": "x", "zh": "x", "fr": "x"}),
    ("keys", "log_from", {**END, "size": -1}),
    ("keys", "log_from", {**END, "size": MOST + 1}),
    ("keys", "log_from", {**END, "origin": "x" * 201}),
    ("keys", "log_from", {**END, "root": b64u_encode(bytes(31))}),
    ("keys", "log_from", {**END, "more": 1}),
    ("keys", "cert_sha256", b64u_encode(bytes(33))),
    ("keys", "purpose", "all"),
    ("keys", "department", CODE + "1"),
    ("grants", "major", 0),
    ("grants", "major", 1000),
    ("grants", "acts", ["issue"] * 17),
    ("grants", "acts", ["issue", "rule"]),
    *[("grants", "area", "6" * length) for length in (1, 3, 5, 7, 8, 10, 11, 13)],
    ("grants", "department", "1" * 17),
    ("grants", "type", "1" * 20),
    ("types", "num", -1),
    ("types", "num", 65_536),
    ("types", "major", 0),
    ("types", "major", 1000),
    ("types", "grace_s", -1),
    ("types", "grace_s", 31_622_401),
    ("types", "integrity", [DIGEST] * 1001),
    ("types", "integrity", [DIGEST[:-1]]),
    ("types", "receipt", "maybe"),
    ("types", "code", "1" * 22),
    ("types", "vct", "ftp://x"),
    ("status_lists", "num", -1),
    ("status_lists", "num", 65_536),
    ("status_lists", "uri", "x"),
]
ROWS = {
    name: next((row for row in rows if "department" in row), rows[0])
    for name, rows in ((name, PAYLOAD[name]) for name in READERS)
}


def plainly(kind: str, row: Any) -> Any:
    """What the plain reader makes of a row."""
    members = Members(row, Reason.TRUST)
    found = READERS[kind][1].read(members)
    members.done()
    return found


@pytest.mark.parametrize(("kind", "name", "value"), AT_THE_LIMIT)
def test_the_last_value_that_may_stand_in_a_row_is_read_in_both_ways(kind: str, name: str, value: Any) -> None:
    """To the same object, which prints as what was read."""
    row = ROWS[kind] | {name: value}
    quick = usual_rows.tried(READERS[kind][0])(row)

    assert quick is not None
    assert quick == plainly(kind, row)
    assert quick.to_json() == row


@pytest.mark.parametrize(("kind", "name", "value"), PAST_IT)
def test_the_first_value_that_may_not_is_refused_in_both_ways(kind: str, name: str, value: Any) -> None:
    """The quick reader leaves it to the plain one, which refuses it as a fault of the list."""
    row = ROWS[kind] | {name: value}

    assert usual_rows.tried(READERS[kind][0])(row) is None
    with pytest.raises(Malformed) as refused:
        plainly(kind, row)
    assert refused.value.reason is Reason.TRUST


@pytest.mark.parametrize("kind", sorted(READERS))
def test_no_odd_member_is_read_quickly_as_anything_but_what_it_says(kind: str) -> None:
    """Every member of a row, with every odd value in its place, and taken away."""
    names = sorted({*ROWS[kind], "log_to", "revoked", "successor", "department", "more"})
    rows = [ROWS[kind] | {name: copy.deepcopy(value)} for name in names for value in ODD]
    rows += [{known: value for known, value in ROWS[kind].items() if known != name} for name in ROWS[kind]]
    for row in rows:
        quick = usual_rows.tried(READERS[kind][0])(row)
        if quick is not None:
            assert quick == plainly(kind, row) and quick.to_json() == row


@pytest.mark.parametrize(
    ("number", "row"),
    [
        (0, {"acts": ["issue", "change"]}),
        (1, {"acts": []}),
        (2, {"log_to": None}),
    ],
    ids=["out of order", "none", "no end"],
)
def test_a_grant_that_is_not_as_usual_is_left_to_the_plain_reader(number: int, row: dict[str, Any]) -> None:
    """Which takes what prints in another way, and refuses what is none."""
    changed = ROWS["grants"] | row

    assert usual_rows.tried(usual_rows.usual_grant)(changed) is None
    if number < 2:
        assert plainly("grants", changed).acts == tuple(row["acts"])
    else:
        with pytest.raises(Malformed):
            plainly("grants", changed)


def test_a_grant_that_has_ended_is_read_quickly_too() -> None:
    """With its end; regions keep such rows for ever."""
    row = ROWS["grants"] | {"log_to": END}
    quick = usual_rows.tried(usual_rows.usual_grant)(row)

    assert quick == TrustedGrant.read(Members(row, Reason.TRUST)) and quick.log_to == ISSUER.position()
    assert usual_rows.tried(usual_rows.usual_grant)(ROWS["grants"] | {"log_to": {**END, "size": -1}}) is None


def test_a_key_of_the_region_has_no_department() -> None:
    """One with an end or without a certificate is not as usual, and one with another's id is none."""
    own = next(row for row in PAYLOAD["keys"] if "department" not in row)
    key = usual_rows.tried(usual_rows.usual_key)(own)

    assert key is not None and key.department is None
    for odd in (own | {"log_to": END}, {name: value for name, value in own.items() if name != "cert_sha256"}):
        assert usual_rows.tried(usual_rows.usual_key)(odd) is None
        assert TrustedKey.read(Members(odd, Reason.TRUST)).purpose == own["purpose"]
    other = ROWS["keys"] | {"kid": own["kid"]}
    assert usual_rows.tried(usual_rows.usual_key)(other) is None
    with pytest.raises(Malformed):
        plainly("keys", other)


LOG = ISSUER.document().to_json()["logs"][0]


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"origin": "x" * 200}, True),
        ({"origin": "x" * 201}, False),
        ({"from": 0}, True),
        ({"from": -1}, False),
        ({"to": END}, True),
        ({"witnesses": LOG["witnesses"] | {"k": 0}}, True),
        ({"witnesses": LOG["witnesses"] | {"k": 2}}, True),
        ({"witnesses": LOG["witnesses"] | {"k": 3}}, False),
        ({"witnesses": LOG["witnesses"] | {"k": -1}}, False),
        ({"keys": []}, False),
        ({"keys": LOG["keys"][:1]}, True),
        ({"keys": LOG["keys"] * 5}, False),
    ],
    ids=range(12),  # the keys are others in every run
)
def test_a_log_has_keys_and_no_larger_quorum_than_witnesses(change: dict[str, Any], good: bool) -> None:
    """Everything in its row is as it says, or the list is malformed."""
    row = LOG | change
    if good:
        assert TrustedLog.read(Members(row, Reason.TRUST)).to_json() == row
        return
    with pytest.raises(Malformed) as refused:
        TrustedLog.read(Members(row, Reason.TRUST))
    assert refused.value.reason is Reason.TRUST


def test_a_row_prints_only_the_optional_members_it_has() -> None:
    """What is not there is absent, not null."""
    active = Department.read(Members(ROWS["departments"], Reason.TRUST))
    merged = ROWS["departments"] | {"status": "merged", "successor": CODE}
    fell = {"at": "2026-11-21T08:00:00Z", "reason": "a" * 64}

    assert active.to_json() == ROWS["departments"] and (active.status, active.successor) == ("active", None)
    assert Department.read(Members(merged, Reason.TRUST)).to_json() == merged
    assert Revocation(NOW, "a" * 64).to_json() == fell
    assert Revocation.read(Members(fell, Reason.TRUST)) == Revocation(NOW, "a" * 64)
    with pytest.raises(Malformed):
        Revocation.read(Members(fell | {"reason": "a" * 65}, Reason.TRUST))
    assert set(Witness("n", "v", "https://w.example").to_json()) == {"name", "url", "vkey"}
    assert (TrustedLog("o", ("k",)).from_size, TrustedLog("o", ("k",)).quorum) == (0, 0)
    assert Position.start("o").size == 0
