"""How deep, how many and how long: the last presentation that is read, and the first that is not, in both ways."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.verifiers.issuer import reason_of
from tests.verifiers.test_sd_jwt import HEADER, SALT, TYP, claims, envelope, raw_disclosure, refusal, token
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason
from verifiers.jws import encode_segment, parse_jws
from verifiers.key_binding import check_key_binding_token
from verifiers.policy import Binding
from verifiers.sd_jwt import (
    digest_of,
    make_disclosure,
    make_disclosures,
    parse_sd_jwt,
    plain_members,
    resolve,
    select,
)

DEEPEST = 16
"""Levels below the token's own object."""

QUICKLY, BY_WALKING = "quickly", "by walking"


def deep(kind: str, levels: int, inside: Any) -> Any:
    """`inside` below so many objects, arrays, or both by turns."""
    for level in range(levels):
        as_object = kind == "objects" or (kind == "both" and level % 2)
        inside = {"a": inside} if as_object else [inside]
    return inside


def shown(payload: dict[str, Any], way: str, *disclosures: str) -> dict[str, Any] | Reason:
    """The claims of a presentation, or why there are none; a disclosed array takes the walk."""
    if way == BY_WALKING:
        more, digest = make_disclosure(SALT, "walk", [])
        payload, disclosures = {**payload, "_sd": [*payload.get("_sd", []), digest]}, (more, *disclosures)
    text = token(payload, *disclosures)
    assert (plain_members(disclosures) is None) is (way == BY_WALKING)
    reason = reason_of(claims, text)
    if reason is not None:
        return reason
    found = claims(text)
    return {name: value for name, value in found.items() if name != "walk"}


@pytest.mark.parametrize("way", [QUICKLY, BY_WALKING])
@pytest.mark.parametrize("kind", ["objects", "arrays", "both"])
def test_open_claims_may_lie_sixteen_levels_deep(kind: str, way: str) -> None:
    """Whatever lies in what."""
    payload = {"a": deep(kind, DEEPEST, 1)}

    assert shown(payload, way) == payload
    assert shown({"a": deep(kind, DEEPEST + 1, 1)}, way) is Reason.DISCLOSURE


@pytest.mark.parametrize("way", [QUICKLY, BY_WALKING])
@pytest.mark.parametrize("kind", ["objects", "arrays", "both"])
def test_a_disclosed_member_may_stand_in_the_deepest_object(kind: str, way: str) -> None:
    """And is found there."""
    text, digest = make_disclosure(SALT, "name", "示例甲")

    found = shown({"a": deep(kind, DEEPEST - 1, {"_sd": [digest], "b": 1})}, way, text)
    assert found == {"a": deep(kind, DEEPEST - 1, {"b": 1, "name": "示例甲"})}
    assert shown({"a": deep(kind, DEEPEST, {"_sd": [digest]})}, way, text) is Reason.DISCLOSURE


@pytest.mark.parametrize("kind", ["objects", "arrays", "both"])
def test_what_is_disclosed_counts_as_deep_as_it_stands(kind: str) -> None:
    """A member's value lies one level below its object, an element's two below the object of its array."""
    for levels, good in ((DEEPEST, True), (DEEPEST + 1, False)):
        value = deep(kind, levels, 1)
        text, digest = make_disclosure(SALT, "a", value)
        assert shown({"_sd": [digest]}, BY_WALKING, text) == ({"a": value} if good else Reason.DISCLOSURE)
        element = deep(kind, levels - 1, 1)
        text, digest = raw_disclosure(["salt", element])
        found = shown({"n": [{"...": digest}]}, BY_WALKING, text)
        assert found == ({"n": [element]} if good else Reason.DISCLOSURE)


def test_what_is_disclosed_in_what_is_disclosed_is_selected_by_its_whole_path() -> None:
    """Member names and positions from the top, through arrays and disclosures."""
    inner, inner_digest = make_disclosure(SALT, "city", "示例市")
    element, element_digest = raw_disclosure(["salt", {"_sd": [inner_digest]}])
    outer, outer_digest = make_disclosure(SALT, "places", ["open", {"...": element_digest}])
    paths: list[Any] = []
    whole = token({"b": {"_sd": [outer_digest]}}, inner, element, outer)

    def near(path: Any) -> bool:
        paths.append(path)
        return len(path) < 4

    part = select(whole, near, typ=TYP, reason=Reason.LICENCE)

    assert paths == [("b", "places", 1, "city"), ("b", "places", 1), ("b", "places")]
    assert claims(part) == {"b": {"places": ["open", {}]}}
    assert claims(whole) == {"b": {"places": ["open", {"city": "示例市"}]}}


def test_a_presentation_has_at_most_five_hundred_and_twelve_disclosures() -> None:
    """Made in one go or one by one, they are the same."""
    members = [(f"m{number}", number) for number in range(513)]
    texts, digests = make_disclosures([SALT] * 513, members)
    assert make_disclosure(SALT, "m7", 7) == (texts[7], digests[7]) and digest_of(texts[7]) == digests[7]
    assert make_disclosures([], []) == ([], [])

    assert claims(token({"_sd": digests[:512]}, *texts[:512])) == dict(members[:512])
    assert refusal(token({"_sd": digests}, *texts)) is Reason.DISCLOSURE


def test_a_disclosure_and_a_presentation_have_a_length() -> None:
    """A quarter of a million characters, and two million."""
    text, _ = make_disclosure(SALT, "photo", "x")
    longest = text.ljust(262_144, "A")
    read = {one: parse_sd_jwt(token({}, one), typ=TYP, reason=Reason.LICENCE) for one in (longest,)}

    assert read[longest].disclosures == (longest,)
    assert refusal(token({}, longest + "A")) is Reason.DISCLOSURE
    whole = token({}, *[longest] * 7)
    filled = whole[:-1] + "~" + "A" * (2_097_152 - len(whole) - 1) + "~"
    assert len(filled) == 2_097_152 and reason_of(parse, filled) is None
    assert reason_of(parse, filled[:-1] + "A~") is Reason.LICENCE


def parse(text: str) -> Any:
    """A licence's presentation, parsed and not resolved."""
    return parse_sd_jwt(text, typ=TYP, reason=Reason.LICENCE)


def test_the_hash_is_named_or_left_out() -> None:
    """And is not shown in either way."""
    text, digest = make_disclosure(SALT, "name", "x")
    for way in (QUICKLY, BY_WALKING):
        for payload in ({"_sd": [digest]}, {"_sd": [digest], "_sd_alg": "sha-256"}):
            assert shown(payload, way, text) == {"name": "x"}
        assert shown({"_sd": [digest], "_sd_alg": "sha-1"}, way, text) is Reason.DISCLOSURE
        assert shown({"_sd": [], "a": 1}, way) == {"a": 1}


def test_what_follows_the_last_tilde_is_a_key_binding() -> None:
    """Nothing is none."""
    text = token({"a": 1})

    assert parse(text).key_binding is None and parse(text + "x.y.z").key_binding == "x.y.z"
    assert resolve(parse(text + "x.y.z")) == {"a": 1}


def test_an_envelope_has_a_length_and_its_header_too() -> None:
    """The last character of either is read, one more is not."""
    bare = len(encode_segment({**HEADER, "x": ""}))
    fill = next(n for n in range(20_000) if len(encode_segment({**HEADER, "x": "x" * n})) >= 16_384)
    assert bare < 16_384 == len(encode_segment({**HEADER, "x": "x" * fill}))
    for more, reason in ((0, None), (1, Reason.LICENCE)):
        text = envelope(b"{}", {**HEADER, "x": "x" * (fill + more)})
        assert reason_of(partial(parse_jws, typ=TYP, reason=Reason.LICENCE, limit=99_999), text) is reason
    text = envelope(b"{}")
    for limit, reason in ((len(text), None), (len(text) - 1, Reason.LICENCE)):
        assert reason_of(partial(parse_jws, typ=TYP, reason=Reason.LICENCE, limit=limit), text) is reason
    assert reason_of(parse, envelope(b"{}", signature=bytes(65)) + "~") is Reason.LICENCE


HOLDER = ec.derive_private_key(9, ec.SECP256R1())
POINT = HOLDER.public_key().public_numbers()
JWK: dict[str, object] = {
    "kty": "EC",
    "crv": "P-256",
    "x": b64u_encode(POINT.x.to_bytes(32, "big")),
    "y": b64u_encode(POINT.y.to_bytes(32, "big")),
}
AT = dt.datetime(2026, 11, 21, 8, tzinfo=dt.UTC)


def bound(**changes: Any) -> Reason | None:
    """Why the holder's proof is not taken; `...` leaves a claim out."""
    digest = digest_of("a.b.c~")
    said = {"aud": "us", "iat": int(AT.timestamp()), "nonce": "1", "sd_hash": digest} | changes
    payload = {name: value for name, value in said.items() if value is not ...}
    signing_input = f"{encode_segment({'alg': 'ES256', 'typ': 'kb+jwt'})}.{encode_segment(payload)}"
    r, s = decode_dss_signature(HOLDER.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    proof = f"{signing_input}.{b64u_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    return reason_of(lambda one: check_key_binding_token(one, "a.b.c~", JWK, Binding("us", "1"), AT), proof)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"iat": int(AT.timestamp()) - 300}, True),
        ({"iat": int(AT.timestamp()) + 300}, True),
        ({"iat": int(AT.timestamp()) - 301}, False),
        ({"iat": int(AT.timestamp()) + 301}, False),
        ({"iat": str(int(AT.timestamp()))}, False),
        ({"iat": ...}, False),
        ({"aud": "them"}, False),
        ({"aud": ...}, False),
        ({"nonce": "2"}, False),
        ({"nonce": ...}, False),
        ({"sd_hash": digest_of("a.b.c~d~")}, False),
        ({"sd_hash": ...}, False),
        ({"more": "x" * 5_000}, True),
        ({"more": "x" * 9_000}, False),
    ],
    ids=str,
)
def test_a_holders_proof_is_for_us_now_and_for_this(changes: dict[str, Any], good: bool) -> None:
    """Five minutes either way, where the verifier says nothing else."""
    assert bound(**changes) is (None if good else Reason.HOLDER_BINDING)
