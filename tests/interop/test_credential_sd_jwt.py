"""The reference SD-JWT library from PyPI, sd-jwt, judges our licences, and we judge what it issues."""

import json
from typing import Any

import pytest
from jwcrypto.jwk import JWK
from jwcrypto.jws import InvalidJWSSignature
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

from tests.interop.credential_world import LICENCE_KEY, issue, many, private_scalar, region_of_today
from verifiers.encoding import b64_encode, b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import read_json
from verifiers.licence import TYP, parse, present
from verifiers.sd_jwt import parse_sd_jwt, resolve

pytestmark = pytest.mark.interop

REGION = region_of_today()
LICENCES = many(REGION)
PUBLIC = JWK.from_json(json.dumps(REGION.public(LICENCE_KEY).jwk()))


def judged(compact: str) -> dict[str, Any]:
    """The claims that the reference library verifies."""
    claims: dict[str, Any] = SDJWTVerifier(compact, lambda _issuer, _header: PUBLIC).get_verified_payload()
    claims.pop("_sd_alg", None)
    return claims


@pytest.mark.parametrize("place", range(len(LICENCES)))
def test_it_verifies_our_licences_and_reads_the_same_claims(place: int) -> None:
    """With all disclosures, with some and with none."""
    compact = LICENCES[place].compact
    for text in (compact, present(compact, [("holders", 0, "name"), ("number",)]), present(compact, [])):
        assert judged(text) == parse(text).claims


def test_its_holder_makes_a_presentation_that_we_accept() -> None:
    """Choosing disclosures is the same operation on both sides."""
    compact = LICENCES[0].compact
    holder = SDJWTHolder(compact)
    holder.create_presentation({"fields": {"premises": True}})

    theirs, ours = holder.sd_jwt_presentation, present(compact, [("fields", "premises")])
    assert parse(theirs).claims["fields"].keys() == {"scope", "premises"}
    assert theirs == ours


def test_neither_takes_a_changed_signature_or_a_foreign_disclosure() -> None:
    """Nothing of another licence is ever shown as part of this one."""
    ours, other = LICENCES[0].compact, LICENCES[1].compact.split("~")[1]
    token = ours.split("~")[0]
    head, _, tail = token.rpartition(".")
    wrong = ours.replace(token, f"{head}.{b64u_encode(bytes((b64u_decode(tail)[0] ^ 1, *b64u_decode(tail)[1:])))}")

    with pytest.raises(InvalidJWSSignature):
        judged(wrong)
    with pytest.raises(Malformed):
        parse(f"{token}~{other}~")
    assert judged(f"{token}~{other}~") == judged(f"{token}~")  # it drops what we refuse


def test_we_verify_what_it_issues_with_decoys_arrays_and_nesting() -> None:
    """Its serialisation has spaces and its own order of members."""
    scalar = private_scalar(REGION)
    key = JWK.from_json(json.dumps({**REGION.public(LICENCE_KEY).jwk(), "d": b64u_encode(scalar.to_bytes(32))}))
    certificate = b64_encode(REGION.certificate(LICENCE_KEY))
    face = read_json(b64u_decode(issue(REGION, 90).compact.split(".")[1]), Reason.LICENCE)
    claims: dict[Any, Any] = {name: value for name, value in face.items() if not name.startswith("_sd")}
    claims["holders"] = [{"kind": "person", SDObj("name"): "示例甲", "tags": [SDObj("a"), SDObj("b"), "c"]}]
    claims["fields"] = {SDObj("deep"): {SDObj("inner"): "值", "open": True}, "scope": "x"}
    headers = {"typ": TYP, "x5c": [certificate]}

    issued = SDJWTIssuer(claims, key, add_decoy_claims=True, extra_header_parameters=headers).sd_jwt_issuance

    licence = parse(issued)
    REGION.public(LICENCE_KEY).check(licence.signing_input, licence.sd_jwt.jws.signature)
    assert licence.claims["fields"] == {"deep": {"inner": "值", "open": True}, "scope": "x"}
    assert licence.claims["holders"] == [{"kind": "person", "name": "示例甲", "tags": ["a", "b", "c"]}]
    assert resolve(parse_sd_jwt(issued, typ=TYP, reason=Reason.LICENCE)) == judged(issued)
