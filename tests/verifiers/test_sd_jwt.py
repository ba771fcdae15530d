"""SD-JWT of RFC 9901: published vectors, and every way a presentation can be wrong."""

import datetime as dt
from typing import Any

import orjson
import pytest

from keys.public_key import PublicKey
from tests.vectors import vectors
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.jws import encode_segment, parse_jws
from verifiers.key_binding import check_key_binding_token
from verifiers.policy import Binding
from verifiers.sd_jwt import digest_of, make_disclosure, parse_sd_jwt, resolve, select

TYP = "dc+sd-jwt"
HEADER = {"alg": "ES256", "typ": TYP}
SALT = bytes(16)


def token(payload: dict[str, Any], *disclosures: str) -> str:
    """An SD-JWT of `payload` with a signature nobody looks at here."""
    return "~".join((f"{encode_segment(HEADER)}.{encode_segment(payload)}.{b64u_encode(bytes(64))}", *disclosures, ""))


def claims(text: str) -> dict[str, Any]:
    """The claims that `text` shows."""
    return resolve(parse_sd_jwt(text, typ=TYP, reason=Reason.LICENCE))


def refusal(text: str) -> Reason:
    """The reason for which `text` is refused."""
    with pytest.raises(Malformed) as caught:
        claims(text)
    return caught.value.reason


def raw_disclosure(value: Any) -> tuple[str, str]:
    """A disclosure of any JSON value, and its digest."""
    text = b64u_encode(orjson.dumps(value))
    return text, digest_of(text)


@pytest.mark.parametrize(
    ("disclosure", "digest"), vectors("sd_jwt_rfc_vectors")["rfc9901_disclosure_to_sha256_digest"].items()
)
def test_digests_printed_in_the_specification_are_reproduced(disclosure: str, digest: str) -> None:
    """The digest is over the transmitted text, not over what it decodes to (RFC 9901 §4.2.3)."""
    assert digest_of(disclosure) == digest


def test_the_credential_of_openid4vci_verifies_and_shows_its_nine_claims() -> None:
    """Issuer signature and all disclosures of the example in OpenID4VCI 1.0."""
    vector = vectors("openid4vci_credential")
    sd_jwt = parse_sd_jwt(vector["credential"], typ=TYP, reason=Reason.LICENCE)

    PublicKey.from_jwk(vector["issuer_jwk"]).check(sd_jwt.jws.signing_input, sd_jwt.jws.signature)
    shown = resolve(sd_jwt)
    assert shown["given_name"] == "John"
    assert shown["is_over_65"] is True
    assert len(sd_jwt.disclosures) == 9
    assert "_sd" not in shown


def test_the_presentation_of_openid4vp_verifies_with_its_key_binding() -> None:
    """Issuer signature, hidden claims and holder's proof of the example in OpenID4VP 1.0."""
    vector = vectors("openid4vp_presentation")
    text = vector["presentation"]
    sd_jwt = parse_sd_jwt(text, typ=TYP, reason=Reason.LICENCE)
    PublicKey.from_jwk(vector["issuer_jwk"]).check(sd_jwt.jws.signing_input, sd_jwt.jws.signature)
    shown = resolve(sd_jwt)["ld"]["credentialSubject"]
    binding = sd_jwt.key_binding
    assert binding is not None
    signed_text = text.removesuffix(binding)
    at = dt.datetime.fromtimestamp(1744743394, dt.UTC)
    expected = Binding("https://verifier.example.org", "1234567890")

    check_key_binding_token(binding, signed_text, vector["holder_jwk"], expected, at)

    assert shown == {"givenName": "John"}
    for other in (Binding("https://other.example", "1234567890"), Binding("https://verifier.example.org", "1")):
        with pytest.raises(VerificationError) as caught:
            check_key_binding_token(binding, signed_text, vector["holder_jwk"], other, at)
        assert caught.value.reason is Reason.HOLDER_BINDING
    with pytest.raises(VerificationError):
        check_key_binding_token(binding, signed_text, vector["holder_jwk"], expected, at + dt.timedelta(hours=1))
    with pytest.raises(VerificationError):
        check_key_binding_token(binding, signed_text[:-1], vector["holder_jwk"], expected, at)


def test_a_disclosed_claim_stands_where_its_digest_stood() -> None:
    """Hidden ones and decoys leave nothing behind."""
    shown, digest = make_disclosure(SALT, "name", "示例甲")
    _, hidden = make_disclosure(SALT, "id", "1")
    decoy = b64u_encode(bytes(32))

    assert claims(token({"a": 1, "_sd": [digest, hidden, decoy], "_sd_alg": "sha-256"}, shown)) == {
        "a": 1,
        "name": "示例甲",
    }


def test_array_elements_are_disclosed_one_by_one() -> None:
    """An undisclosed element is dropped (RFC 9901 §7.1)."""
    first, first_digest = raw_disclosure(["salt", "FR"])
    _, second_digest = raw_disclosure(["salt", "DE"])

    shown = claims(token({"n": [{"...": first_digest}, {"...": second_digest}, "CN"]}, first))

    assert shown == {"n": ["FR", "CN"]}


def test_a_child_needs_its_parent() -> None:
    """A disclosure below an undisclosed one is unreferenced."""
    child, child_digest = make_disclosure(SALT, "city", "示例市")
    parent, parent_digest = make_disclosure(SALT, "address", {"_sd": [child_digest]})
    payload = {"_sd": [parent_digest]}

    assert claims(token(payload, parent, child)) == {"address": {"city": "示例市"}}
    assert claims(token(payload, parent)) == {"address": {}}
    assert refusal(token(payload, child)) is Reason.DISCLOSURE_UNREFERENCED


def test_select_keeps_what_is_asked_for() -> None:
    """A presentation of fewer claims verifies like the whole."""
    name, name_digest = make_disclosure(SALT, "name", "示例甲")
    number, number_digest = make_disclosure(SALT, "id", "1")
    whole = token({"h": [{"_sd": sorted([name_digest, number_digest])}]}, name, number)

    part = select(whole, lambda path: path == ("h", 0, "name"), typ=TYP, reason=Reason.LICENCE)

    assert claims(part) == {"h": [{"name": "示例甲"}]}


def wrong_presentations() -> dict[str, tuple[str, Reason]]:
    """Presentations that RFC 9901 §7.1 tells a verifier to refuse."""
    text, digest = make_disclosure(SALT, "name", "x")
    element, element_digest = raw_disclosure(["salt", "x"])
    reserved, reserved_digest = make_disclosure(SALT, "_sd", ["x"])
    dots, dots_digest = make_disclosure(SALT, "...", "x")
    four, four_digest = raw_disclosure(["salt", "name", "x", 1])
    salted, salted_digest = raw_disclosure([1, "name", "x"])
    twice = b64u_encode(b'["salt","name",{"a":1,"a":2}]')
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"d": deep}
    return {
        "unreferenced": (token({"a": 1}, text), Reason.DISCLOSURE_UNREFERENCED),
        "given twice": (token({"_sd": [digest]}, text, text), Reason.DISCLOSURE_DUPLICATE),
        "digest twice": (token({"_sd": [digest, digest]}, text), Reason.DISCLOSURE_DUPLICATE),
        "digest in two places": (token({"_sd": [digest], "b": {"_sd": [digest]}}, text), Reason.DISCLOSURE_DUPLICATE),
        "name taken": (token({"name": 1, "_sd": [digest]}, text), Reason.DISCLOSURE),
        "name _sd": (token({"_sd": [reserved_digest]}, reserved), Reason.DISCLOSURE),
        "name ...": (token({"_sd": [dots_digest]}, dots), Reason.DISCLOSURE),
        "element as member": (token({"_sd": [element_digest]}, element), Reason.DISCLOSURE),
        "member as element": (token({"b": [{"...": digest}]}, text), Reason.DISCLOSURE),
        "four parts": (token({"_sd": [four_digest]}, four), Reason.DISCLOSURE),
        "salt a number": (token({"_sd": [salted_digest]}, salted), Reason.DISCLOSURE),
        "duplicate member": (token({"_sd": [digest_of(twice)]}, twice), Reason.DISCLOSURE),
        "_sd no array": (token({"_sd": digest}, text), Reason.DISCLOSURE),
        "_sd of numbers": (token({"_sd": [1]}), Reason.DISCLOSURE),
        "... beside others": (token({"b": [{"...": digest, "c": 1}]}), Reason.DISCLOSURE),
        "... in an object": (token({"...": digest}), Reason.DISCLOSURE),
        "other hash": (token({"_sd_alg": "sha-512", "_sd": [digest]}, text), Reason.DISCLOSURE),
        "too deep": (token(deep), Reason.DISCLOSURE),
        "empty": (token({"a": 1}, ""), Reason.DISCLOSURE),
        "too many": (token({"a": 1}, *(["x"] * 600)), Reason.DISCLOSURE),
        "no base64": (token({"_sd": [digest_of("!")]}, "!"), Reason.DISCLOSURE),
        "no json": (token({"_sd": [digest_of("AAAA")]}, "AAAA"), Reason.DISCLOSURE),
        "not ASCII": (token({"a": 1}, "é"), Reason.DISCLOSURE),
        "no tilde": (token({"a": 1}).rstrip("~"), Reason.LICENCE),
        "too long": ("a" * 2_200_000 + "~", Reason.LICENCE),
    }


@pytest.mark.parametrize("name", wrong_presentations())
def test_a_wrong_presentation_is_refused(name: str) -> None:
    """Each with the reason of what is wrong."""
    text, reason = wrong_presentations()[name]

    assert refusal(text) is reason


def envelope(body: bytes, header: dict[str, Any] | None = None, signature: bytes = bytes(64)) -> str:
    """A compact JWS around `body`."""
    return f"{encode_segment(header or HEADER)}.{b64u_encode(body)}.{b64u_encode(signature)}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.b", Reason.LICENCE),
        ("a.b.c.d", Reason.LICENCE),
        (envelope(b"{}", {"alg": "ES256", "typ": "JWT"}), Reason.TOKEN_TYPE),
        (envelope(b"{}", {"alg": "none", "typ": TYP}, b""), Reason.LICENCE),
        (envelope(b"{}", {"alg": "HS256", "typ": TYP}), Reason.LICENCE),
        (envelope(b"{}", {**HEADER, "crit": []}), Reason.LICENCE),
        (envelope(b"{}", {**HEADER, "x": "x" * 20_000}), Reason.LICENCE),
        (envelope(b"{}", signature=bytes(63)), Reason.LICENCE),
        (envelope(b"[]"), Reason.LICENCE),
        (envelope(b'{"a":NaN}'), Reason.LICENCE),
        (envelope(b'{"a": 1, "a": 1}'), Reason.LICENCE),
        (envelope(rb'{"a":"\u0000"}'), Reason.LICENCE),
        (envelope(b"[" * 5000), Reason.LICENCE),
        (envelope(b'{"a":"\xff"}'), Reason.LICENCE),
        (envelope(b"{}").replace(".e30.", ".e3=."), Reason.LICENCE),
        (envelope(b"{}").replace(".e30.", ".e31."), Reason.LICENCE),
        ("é" + envelope(b"{}"), Reason.LICENCE),
        (envelope(b"{}") + "a" * 100_000, Reason.LICENCE),
    ],
)
def test_a_wrong_envelope_is_refused(text: str, reason: Reason) -> None:
    """Segments, kind, algorithm, critical headers, JSON and base64 are taken in one form only."""
    with pytest.raises(Malformed) as caught:
        parse_jws(text, typ=TYP, reason=Reason.LICENCE, limit=100_000)

    assert caught.value.reason is reason


def test_white_space_of_another_serialiser_is_accepted() -> None:
    """Other people's tokens need not be canonical, only unambiguous."""
    text = envelope(b'{ "b": 1.5, "a": [] }')

    assert parse_jws(text, typ=TYP, reason=Reason.LICENCE, limit=1000).payload == {"b": 1.5, "a": []}
