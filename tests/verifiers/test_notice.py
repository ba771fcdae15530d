"""Notices between regions: what is signed is what is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import compact, encode_segment
from verifiers.notice import NamedLicence, Notice, open_notice, signing_input

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PublicKey(
    "ES256",
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
)
NOTICE = Notice(
    sender="610000",
    receiver="620000",
    origin="a.example/610000/1",
    entry=7,
    cause="a.example/610000/1:7",
    event="fell",
    effect="suspended",
    licences=(NamedLicence("X/1", "https://a.example/status-lists/0", 5),),
    at=dt.datetime(2026, 11, 21, 4, tzinfo=dt.UTC),
)


def sign(message: bytes) -> str:
    """Sign as the sender's peer key does."""
    r, s = decode_dss_signature(KEY.sign(message, ec.ECDSA(hashes.SHA256())))
    return compact(message, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def opened(text: str, sender: str = "610000", receiver: str = "620000", known: bool = True) -> Notice:
    """Open as the receiver does."""
    keys = {PUBLIC.kid: PUBLIC} if known else {}
    return open_notice(text, sender=sender, receiver=receiver, key_of=keys.get)


licences = st.lists(
    st.builds(NamedLicence, st.text("ABCDEFG/-0123456789甲", min_size=1, max_size=20), st.just("https://a.example/s/1"),
              st.integers(0, 2**30)),
    min_size=1, max_size=5, unique_by=lambda each: each.identifier,
)  # fmt: skip


@given(licences, st.integers(0, 2**40), st.sampled_from(["fell", "restored"]), st.sampled_from(["none", "revoked"]))
def test_a_signed_notice_reads_as_it_was_written(named: Any, entry: int, event: str, effect: str) -> None:
    """Sorted by identifier, whatever the order it was made in."""
    ordered = tuple(sorted(named, key=lambda each: each.identifier))
    notice = dataclasses.replace(NOTICE, licences=tuple(named), entry=entry, event=event, effect=effect)

    read = opened(sign(signing_input(notice, PUBLIC.kid)))

    assert read == dataclasses.replace(notice, licences=ordered)


def test_a_notice_counts_only_from_its_sender_to_its_receiver() -> None:
    """Not turned to another region, not under another key, not from somebody else."""
    text = sign(signing_input(NOTICE, PUBLIC.kid))

    for sender, receiver in (("630000", "620000"), ("610000", "630000")):
        with pytest.raises(Malformed) as refused:
            opened(text, sender, receiver)
        assert refused.value.reason is Reason.NOTICE
    with pytest.raises(SignatureFailed) as unknown:
        opened(text, known=False)
    head, body, _ = text.split(".")
    other = sign(signing_input(dataclasses.replace(NOTICE, entry=8), PUBLIC.kid)).split(".")[2]
    with pytest.raises(SignatureFailed) as forged:
        opened(f"{head}.{body}.{other}")
    assert {unknown.value.reason, forged.value.reason} == {Reason.NOTICE_SIGNATURE}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", 2), ("from", "61"), ("to", ""), ("entry", -1), ("cause", ""), ("cause", "a b"), ("event", "moved"),
        ("effect", "annulled"), ("licences", []), ("at", "yesterday"), ("origin", "a b"), ("more", 1),
        ("licences", [{"identifier": "X", "uri": "ftp://x", "slot": 1}]),
        ("licences", [{"identifier": "X", "uri": "https://x", "slot": 1}] * 2),
    ],
)  # fmt: skip
def test_any_member_that_is_wrong_is_refused(name: str, value: Any) -> None:
    """Signed or not: one form only."""
    header = encode_segment({"alg": "ES256", "kid": PUBLIC.kid, "typ": "elicence-notice+jwt"})
    message = f"{header}.{encode_segment(NOTICE.to_json() | {name: value})}".encode()

    with pytest.raises(VerificationError) as refused:
        opened(sign(message))
    assert refused.value.reason is Reason.NOTICE


def test_another_kind_of_token_is_no_notice() -> None:
    """`typ` keeps what the same key signs apart."""
    header = encode_segment({"alg": "ES256", "kid": PUBLIC.kid, "typ": "elicence-statement+jwt"})
    message = f"{header}.{encode_segment(NOTICE.to_json())}".encode()

    with pytest.raises(Malformed) as refused:
        opened(sign(message))
    assert refused.value.reason is Reason.TOKEN_TYPE


def test_only_keys_of_one_suite_sign_notices() -> None:
    """However good a signature under another is."""
    other = PrivateKey.from_secret("Ed25519", bytes(32))
    message = signing_input(NOTICE, other.public_key.kid)
    text = compact(message, other.sign(message))

    with pytest.raises(SignatureFailed) as refused:
        open_notice(text, sender="610000", receiver="620000", key_of=lambda _: other.public_key)
    assert refused.value.reason is Reason.NOTICE_SIGNATURE


def test_the_header_of_a_notice_has_three_members() -> None:
    """Kind, suite and key id, and nothing besides."""
    head = {"alg": "ES256", "kid": PUBLIC.kid, "typ": "elicence-notice+jwt"}
    body = signing_input(NOTICE, PUBLIC.kid).split(b".")[1].decode()
    assert encode_segment(head).encode() == signing_input(NOTICE, PUBLIC.kid).split(b".")[0]

    for wrong in (head | {"more": 1}, {"alg": "ES256", "typ": head["typ"]}, head | {"kid": 7}):
        with pytest.raises(Malformed) as refused:
            opened(sign(f"{encode_segment(wrong)}.{body}".encode()))
        assert refused.value.reason is Reason.NOTICE
