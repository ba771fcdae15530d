"""Text and JWK forms of public keys are canonical or refused."""

from typing import Any

import pytest

from keys import base64url
from keys.errors import BadKey
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.suites import ED25519, ES256, ML_DSA_44

KEYS = {name: PrivateKey.generate(name).public_key for name in (ES256, ED25519, ML_DSA_44)}


@pytest.mark.parametrize("text", ["", "=", "AA=", "AA==", "AB", "A", "A A", "AA\n", "+_", "é", "AAA/"])
def test_base64url_that_does_not_print_back_is_refused(text: str) -> None:
    """One value has one text."""
    if text == "":
        assert base64url.decode(text) == b""
        return
    with pytest.raises(ValueError):
        base64url.decode(text)


@pytest.mark.parametrize("name", KEYS)
def test_texts_that_are_no_key_are_refused(name: str) -> None:
    """A changed character, a missing suite or stray white space is no key."""
    text = KEYS[name].to_text()

    for bad in ("", name, f"{name}:", text + "=", f" {text}", f"{text}\n", text[:-4], text.lower(), text.split(":")[1]):
        with pytest.raises(BadKey):
            PublicKey.from_text(bad)


@pytest.mark.parametrize("name", KEYS)
def test_a_jwk_with_a_private_member_is_refused(name: str) -> None:
    """Who pastes a private key has leaked it; we do not take it as a public one."""
    for member in ("d", "priv"):
        with pytest.raises(BadKey, match="private"):
            PublicKey.from_jwk({**KEYS[name].jwk(), member: "AAAA"})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (ES256, {"crv": "P-384"}),
        (ES256, {"alg": "ES384"}),
        (ES256, {"x": "AA"}),
        (ES256, {"y": 7}),
        (ES256, {"y": base64url.encode(bytes(32))}),
        (ED25519, {"crv": "X25519"}),
        (ED25519, {"x": "AA"}),
        (ED25519, {"alg": "ES256"}),
        (ML_DSA_44, {"alg": "ML-DSA-65"}),
        (ML_DSA_44, {"pub": "AA"}),
        (ML_DSA_44, {"kty": "oct"}),
    ],
)
def test_a_jwk_that_does_not_fit_a_suite_is_refused(name: str, change: dict[str, Any]) -> None:
    """Type, curve, algorithm and lengths must all agree."""
    with pytest.raises(BadKey):
        PublicKey.from_jwk({**KEYS[name].jwk(), **change})


def test_a_jwk_needs_no_alg_where_its_curve_says_all() -> None:
    """Members we do not need may be missing or extra."""
    jwk = KEYS[ES256].jwk()
    bare = {member: jwk[member] for member in ("kty", "crv", "x", "y")}

    assert PublicKey.from_jwk({**bare, "use": "sig"}) == KEYS[ES256]


def test_a_public_key_prints_its_suite_and_kid() -> None:
    """A log line names a key without a kilobyte of base64."""
    key = KEYS[ML_DSA_44]

    assert repr(key) == f"PublicKey(ML-DSA-44, kid={key.kid})"
