"""A statement is signed by a department, belongs to one entry of one log, and has one byte form."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from verifiers import entry, statement
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, OpeningFailed, Reason, SignatureFailed, VerificationError

ORIGIN = "licence.example/log/1"
PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
KEY = PublicKey.from_spki(
    PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
LEAF = entry.Leaf(
    "licence.issued", datetime(2026, 11, 21, tzinfo=UTC), "91350211M000100Y43", b"r" * 16, bytes(32), bytes(32)
)
PAYLOAD = statement.payload(
    origin=ORIGIN, ref=LEAF.ref, kind=LEAF.kind, by=LEAF.by, event="issued", facts={"licence": "示例", "version": 1}
)


def sign(payload: dict[str, object] = PAYLOAD, kid: str = KEY.kid) -> bytes:
    """A statement over `payload` by the test key."""
    to_sign = statement.signing_input(kid, payload)
    r, s = decode_dss_signature(PRIVATE.sign(to_sign, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return statement.assemble(to_sign, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def key_of(kid: str) -> PublicKey | None:
    """The one statement key there is."""
    return KEY if kid == KEY.kid else None


def test_a_signed_statement_opens() -> None:
    """What was signed comes back, the fixed members apart from the facts."""
    opened = statement.open_statement(sign(), origin=ORIGIN, leaf=LEAF, key_of=key_of)

    assert (opened.kid, opened.event, opened.ref) == (KEY.kid, "issued", LEAF.ref)
    assert opened.facts == {"licence": "示例", "version": 1}
    assert opened.payload == PAYLOAD
    assert statement.assemble(opened.signing_input, opened.signature) == sign()


@pytest.mark.parametrize(
    ("origin", "leaf"),
    [
        ("other.example/log/1", LEAF),
        (ORIGIN, dataclasses.replace(LEAF, ref=bytes(16))),
        (ORIGIN, dataclasses.replace(LEAF, kind="licence.imported")),
        (ORIGIN, dataclasses.replace(LEAF, by="region")),
    ],
)
def test_a_statement_cannot_be_moved(origin: str, leaf: entry.Leaf) -> None:
    """Another log, reference, kind or department is a mismatch, although the signature is right."""
    with pytest.raises(OpeningFailed) as caught:
        statement.open_statement(sign(), origin=origin, leaf=leaf, key_of=key_of)

    assert caught.value.reason is Reason.STATEMENT_MISMATCH


def test_unknown_keys_and_wrong_signatures_are_told_apart() -> None:
    """A key nobody listed is one thing, a signature that does not fit another."""
    forged = sign(PAYLOAD | {"version": 2}).rpartition(b".")[0] + b"." + sign().rpartition(b".")[2]

    with pytest.raises(SignatureFailed) as unknown:
        statement.open_statement(sign(kid=b64u_encode(bytes(16))), origin=ORIGIN, leaf=LEAF, key_of=key_of)
    with pytest.raises(SignatureFailed) as wrong:
        statement.open_statement(forged, origin=ORIGIN, leaf=LEAF, key_of=key_of)

    assert unknown.value.reason is Reason.STATEMENT_KEY
    assert wrong.value.reason is Reason.STATEMENT_SIGNATURE


def test_every_flipped_bit_is_refused() -> None:
    """No byte of a statement is unauthenticated."""
    data = sign()

    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(VerificationError):
                statement.open_statement(changed, origin=ORIGIN, leaf=LEAF, key_of=key_of)


def test_other_kinds_of_token_are_refused() -> None:
    """A signed object of another `typ`, algorithm or with more in its header is no statement."""
    _, body, signature = sign().split(b".")
    for old, new in (
        (b"elicence-statement+jwt", b"dc+sd-jwt"),
        (b"ES256", b"none"),
        (b'{"alg"', b'{"a":1,"alg"'),
        (b'"kid"', b'"kie"'),
    ):
        header = b64u_decode(sign().split(b".")[0].decode()).replace(old, new)
        with pytest.raises(Malformed) as caught:
            statement.parse(b".".join((b64u_encode(header).encode(), body, signature)))
        assert caught.value.reason is Reason.STATEMENT


@pytest.mark.parametrize("name", ["v", "origin", "ref", "kind", "by", "event"])
def test_the_fixed_members_are_required(name: str) -> None:
    """A statement without one of them, or with one of another type, is malformed."""
    missing = {key: value for key, value in PAYLOAD.items() if key != name}
    for payload in (missing, PAYLOAD | {name: 7}, PAYLOAD | {name: ""}):
        with pytest.raises(Malformed) as caught:
            statement.parse(sign(payload))
        assert caught.value.reason is Reason.STATEMENT


def test_facts_do_not_overwrite_the_fixed_members() -> None:
    """Naming a fact `by` is a programmer's error."""
    with pytest.raises(ValueError, match="by"):
        statement.payload(origin=ORIGIN, ref=bytes(16), kind="seal", by="region", event="e", facts={"by": "x"})


def test_limits() -> None:
    """Longer than the limit is refused before it is read."""
    with pytest.raises(Malformed, match="longer"):
        statement.parse(sign(), limit=100)
    whole = sign()
    assert statement.parse(whole, limit=len(whole)).kind
    with pytest.raises(Malformed):
        statement.parse(whole, limit=len(whole) - 1)
    with pytest.raises(ValueError, match="64"):
        statement.assemble(b"a.b", b"short")


@given(st.binary(max_size=60) | st.text("eyJ.=_-", max_size=40).map(str.encode))
def test_garbage_is_refused(data: bytes) -> None:
    """Nothing but `Malformed` comes of bytes that are no statement."""
    with pytest.raises(Malformed):
        statement.parse(data)


def test_the_header_of_a_statement_names_suite_key_and_kind() -> None:
    """And nothing else, in canonical JSON."""
    assert statement.header_of("K") == b'{"alg":"ES256","kid":"K","typ":"' + statement.TYP.encode() + b'"}'


def test_only_keys_of_one_suite_sign_statements() -> None:
    """However good a signature under another is."""
    other = PrivateKey.from_secret("Ed25519", bytes(32))
    to_sign = statement.signing_input(other.public_key.kid, PAYLOAD)
    parsed = statement.parse(statement.assemble(to_sign, other.sign(to_sign)))

    with pytest.raises(SignatureFailed) as refused:
        statement.check_signature(parsed, lambda _: other.public_key)
    assert refused.value.reason is Reason.STATEMENT_KEY


def test_a_statement_has_a_length_that_its_reader_may_lower() -> None:
    """The last byte is read, one more is not."""
    data = sign()

    assert statement.parse(data, len(data)).payload == PAYLOAD
    with pytest.raises(Malformed):
        statement.parse(data, len(data) - 1)
    assert statement.MAX_BYTES == 8 * 1024 * 1024


@pytest.mark.parametrize("name", ["origin", "ref", "kind", "by", "event"])
def test_what_every_statement_says_is_a_text_that_says_something(name: str) -> None:
    """Missing, empty or no text, and it is none."""
    rest = {known: value for known, value in PAYLOAD.items() if known != name}
    for wrong in (rest, rest | {name: ""}, rest | {name: 7}):
        with pytest.raises(Malformed) as refused:
            statement.parse(sign(wrong))
        assert refused.value.reason is Reason.STATEMENT
