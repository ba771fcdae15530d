"""Two different people with different keys approve exactly one proposal of one region, in time, or nobody did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from verifiers import approval, canonical
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import compact, encode_segment
from verifiers.legal_dates import format_time

AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
KEYS = {
    name: PrivateKey.from_secret("ES256", bytes([n]) * 32) for n, name in enumerate(("first", "second", "third"), 1)
}
PROPOSAL: dict[str, Any] = {
    "v": 1,
    "act": "peer.admit",
    "origin": "region.example/log/1",
    "region": "620000",
    "expires": format_time(AT + timedelta(days=1)),
}


def approve(
    who: str = "first",
    proposal: dict[str, Any] = PROPOSAL,
    *,
    at: datetime = AT,
    key: PrivateKey | None = None,
) -> str:
    """Sign an approval of `proposal` in the name of `who`, with that person's key or another."""
    signer = key or KEYS[who]
    kid = signer.public_key.kid
    to_sign = approval.signing_input(proposal, approver=who, kid=kid, at=at)
    return compact(to_sign, signer.sign(to_sign))


def key_of(approver: str, kid: str) -> PublicKey | None:
    """Each person's one key."""
    key = KEYS[approver].public_key if approver in KEYS else None
    return key if key is not None and key.kid == kid else None


def check(*texts: str, proposal: dict[str, Any] = PROPOSAL, at: datetime = AT) -> None:
    """Parse and check approvals as a region or its auditor does."""
    approval.check_approvals(proposal, [approval.parse(text) for text in texts], key_of=key_of, at=at)


def test_two_people_with_two_keys_approve_a_proposal() -> None:
    """What was signed comes back, and it counts until the proposal expires."""
    parsed = approval.parse(approve())

    assert (parsed.approver, parsed.act, parsed.origin) == ("first", "peer.admit", "region.example/log/1")
    assert (parsed.at, parsed.proposal) == (AT, approval.digest_of(PROPOSAL))
    check(approve("first"), approve("second"))
    check(approve("second"), approve("first"), at=AT + timedelta(days=1))


def test_what_is_formatted_parses_to_the_same_signing_input() -> None:
    """The pair of format and parse is one form."""
    text = approve()

    parsed = approval.parse(text)

    assert compact(parsed.signing_input, parsed.signature) == text
    again = approval.signing_input(PROPOSAL, approver=parsed.approver, kid=parsed.kid, at=parsed.at)
    assert again == parsed.signing_input


OTHER = PROPOSAL | {"region": "630000"}
ELSEWHERE = PROPOSAL | {"origin": "other.example/log/1"}
RESUME = PROPOSAL | {"act": "peer.resume"}


@pytest.mark.parametrize(
    ("texts", "at", "reason"),
    [
        pytest.param([approve()], AT, Reason.APPROVAL, id="one approval only"),
        pytest.param([], AT, Reason.APPROVAL, id="none"),
        pytest.param([approve(), approve()], AT, Reason.APPROVAL, id="the same approval twice"),
        pytest.param([approve(), approve(at=AT - timedelta(hours=1))], AT, Reason.APPROVAL, id="the same person twice"),
        pytest.param(
            [approve(), approve("second"), approve("third")], AT, Reason.APPROVAL, id="one more than it takes"
        ),
        pytest.param([approve(), approve("second", OTHER)], AT, Reason.APPROVAL, id="another proposal"),
        pytest.param([approve(), approve("second", ELSEWHERE)], AT, Reason.APPROVAL, id="another region's log"),
        pytest.param([approve(), approve("second", RESUME)], AT, Reason.APPROVAL, id="another act"),
        pytest.param(
            [approve(), approve("second", at=AT - timedelta(days=8))], AT, Reason.APPROVAL, id="given too long ago"
        ),
        pytest.param(
            [approve(), approve("second", at=AT + timedelta(hours=1))], AT, Reason.APPROVAL, id="given in the future"
        ),
        pytest.param([approve(), approve("second")], AT + timedelta(days=2), Reason.APPROVAL, id="expired"),
        pytest.param(
            [approve(), approve("second", key=KEYS["first"])],
            AT,
            Reason.APPROVAL_SIGNATURE,
            id="another person's key under one's own name",
        ),
        pytest.param([approve(), approve("fourth", key=KEYS["third"])], AT, Reason.APPROVAL_SIGNATURE, id="a stranger"),
    ],
)
def test_anything_less_is_refused(texts: list[str], at: datetime, reason: Reason) -> None:
    """Every way of not being two people who approved this, here and now."""
    with pytest.raises(VerificationError) as caught:
        check(*texts, at=at)

    assert caught.value.reason is reason


def test_one_key_registered_for_two_people_is_one_key() -> None:
    """Who holds one key twice is one person."""
    texts = [approve("first"), approve("second", key=KEYS["first"])]

    with pytest.raises(VerificationError) as caught:
        approval.check_approvals(
            PROPOSAL,
            [approval.parse(text) for text in texts],
            key_of=lambda _name, _kid: KEYS["first"].public_key,
            at=AT,
        )

    assert "different keys" in caught.value.detail


@pytest.mark.parametrize("expires", ["never", None, format_time(AT + timedelta(days=30))])
def test_a_proposal_that_does_not_end_soon_is_no_proposal(expires: str | None) -> None:
    """Nobody can collect approvals to be used years later."""
    proposal = PROPOSAL | {"expires": expires}

    with pytest.raises(VerificationError) as caught:
        check(approve("first", proposal), approve("second", proposal), proposal=proposal)

    assert caught.value.reason is Reason.APPROVAL


@given(st.integers(min_value=0, max_value=len(approve()) - 1), st.sampled_from("Aa09_-.~"))
def test_no_character_of_an_approval_can_be_exchanged(position: int, character: str) -> None:
    """Every byte is signed or is the signature."""
    text = approve("second")
    position = min(position, len(text) - 1)
    changed = text[:position] + character + text[position + 1 :]
    if changed == text:
        return

    with pytest.raises(VerificationError):
        check(approve("first"), changed)


def test_another_spelling_of_the_same_json_is_refused() -> None:
    """An approval has one form, although the signature of another would be as good."""
    payload = {
        "v": 1,
        "act": "peer.admit",
        "approver": "first",
        "at": format_time(AT),
        "origin": PROPOSAL["origin"],
        "proposal": b64u_encode(approval.digest_of(PROPOSAL)),
    }
    key = KEYS["first"]
    good = {"alg": "ES256", "kid": key.public_key.kid, "typ": approval.TYP}
    spaced = b64u_encode(canonical.encode(payload).replace(b',"at"', b', "at"'))
    for header, body in (
        (encode_segment(good), spaced),
        (encode_segment(good | {"jku": "https://elsewhere.example"}), b64u_encode(canonical.encode(payload))),
        (encode_segment(good), b64u_encode(canonical.encode(payload | {"more": 1}))),
        (encode_segment(good | {"typ": "JWT"}), b64u_encode(canonical.encode(payload))),
    ):
        to_sign = f"{header}.{body}".encode()
        with pytest.raises(VerificationError):
            approval.parse(compact(to_sign, key.sign(to_sign)))


@given(st.text(max_size=300))
def test_what_is_no_approval_is_malformed_and_nothing_else(text: str) -> None:
    """Only the family of refusals comes out."""
    with pytest.raises(VerificationError):
        approval.parse(text)


MINUTE, WEEK, SECOND = timedelta(seconds=60), timedelta(days=7), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("given", "good"), [(-WEEK, True), (-WEEK - SECOND, False), (MINUTE, True), (MINUTE + SECOND, False)]
)
def test_an_approval_counts_for_a_week(given: timedelta, good: bool) -> None:
    """And a minute before its time, for clocks that differ."""
    if good:
        approval.check_in_time(AT + given, AT)
        return
    with pytest.raises(VerificationError) as caught:
        approval.check_in_time(AT + given, AT)
    assert caught.value.reason is Reason.APPROVAL


@pytest.mark.parametrize(
    ("expires", "good"),
    [(timedelta(0), True), (-SECOND, False), (WEEK + MINUTE, True), (WEEK + MINUTE + SECOND, False)],
)
def test_a_proposal_lives_for_a_week(expires: timedelta, good: bool) -> None:
    """To the second that it names."""
    proposal = PROPOSAL | {"expires": format_time(AT + expires)}
    if good:
        approval.check_proposal_time(proposal, AT)
        return
    with pytest.raises(VerificationError) as caught:
        approval.check_proposal_time(proposal, AT)
    assert caught.value.reason is Reason.APPROVAL


def test_a_proposal_without_an_end_is_malformed() -> None:
    """As is one that names something else."""
    for proposal in ({}, {"expires": 7}, {"expires": "soon"}):
        with pytest.raises(VerificationError) as caught:
            approval.check_proposal_time(proposal, AT)
        assert caught.value.reason is Reason.APPROVAL


def test_only_keys_of_one_suite_approve() -> None:
    """However good a signature under another is."""
    other = PrivateKey.from_secret("Ed25519", bytes(32))
    parsed = approval.parse(approve(key=other))
    other.public_key.check(parsed.signing_input, parsed.signature)

    with pytest.raises(VerificationError) as caught:
        approval.check_signature(parsed, other.public_key)
    assert caught.value.reason is Reason.APPROVAL_SIGNATURE


@pytest.mark.parametrize(
    ("member", "good", "bad"),
    [
        ("approver", ["a", "0", "a" * 64, "A.b_c-d"], ["", "a" * 65, ".a", "a b"]),
        ("act", ["a.b"], ["a", "a.b.c", "A.b", "a.", ""]),
        ("origin", ["x", "x" * 200], ["", "x" * 201, "a b"]),
        ("v", [1], [0, 2]),
        ("proposal", [b64u_encode(bytes(32))], [b64u_encode(bytes(31)), b64u_encode(bytes(33))]),
        ("at", ["2026-11-21T08:00:00Z"], ["2026-11-21"]),
    ],
)
def test_a_member_of_an_approval_is_read_up_to_its_limit(member: str, good: list[Any], bad: list[Any]) -> None:
    """Whoever signed it."""
    head, body, tail = approve().split(".")
    said = canonical.decode_object(b64u_decode(body))

    def text(value: Any) -> str:
        return f"{head}.{b64u_encode(canonical.encode(said | {member: value}))}.{tail}"

    for value in good:
        approval.parse(text(value))
    for value in bad:
        with pytest.raises(VerificationError) as caught:
            approval.parse(text(value))
        assert caught.value.reason is Reason.APPROVAL
