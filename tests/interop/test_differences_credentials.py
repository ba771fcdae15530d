"""Composed and damaged SD-JWTs and status lists, read by other people's libraries and by us: alike, or as listed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from jwcrypto.jwk import JWK
from sd_jwt.verifier import SDJWTVerifier
from token_status_list import BitArray

from keys.errors import BadSignature
from keys.private_key import PrivateKey
from tests.fuzz.mutator import mutants
from tests.fuzz.target import json_bytes
from tests.interop.differences import compare
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Reason, SignatureFailed
from verifiers.jws import compact, encode_segment
from verifiers.licence import TYP
from verifiers.sd_jwt import digest_of, join, parse_sd_jwt, resolve
from verifiers.status_list import compress, inflate, pack

pytestmark = pytest.mark.interop

CASES = 2_500
KEY = PrivateKey.from_secret("ES256", bytes([3]) * 32)
PUBLIC = JWK.from_json(json.dumps(KEY.public_key.jwk()))
HEADER = encode_segment({"alg": "ES256", "typ": TYP})
VALUES: tuple[Any, ...] = ("示例", 7, True, None, "", [], {}, ["a", 1], {"in": {"side": 2}}, "_sd", "...", "\u2028")
NAMES = ("a", "b", "c", "scope", "甲", "_sd_alg", "iss")


def _ours(text: str) -> Any:
    found = parse_sd_jwt(text, typ=TYP, reason=Reason.LICENCE)
    claims = resolve(found)
    try:
        KEY.public_key.check(found.jws.signing_input, found.jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.LICENCE_SIGNATURE, "the signature") from None
    return claims


def _theirs(text: str) -> Any:
    claims = SDJWTVerifier(text, lambda _issuer, _header: PUBLIC).get_verified_payload()
    claims.pop("_sd_alg", None)
    return claims


class _Maker:
    """Makes a token whose claims are shown, hidden, nested, in arrays, decoys, now and then against the rules."""

    def __init__(self, chance: random.Random, wrong: bool) -> None:
        self.chance = chance
        self.wrong = wrong
        self.texts: list[str] = []

    def text(self) -> str:
        """Give the presentation, showing most of the disclosures."""
        payload = {"iss": "https://a.example", "_sd_alg": "sha-256"} | self.members(3)
        if self.wrong and self.chance.random() < 0.1:
            payload["_sd_alg"] = self.chance.choice(["sha-512", 1, None])
        signing_input = f"{HEADER}.{b64u_encode(json_bytes(payload))}".encode("ascii")
        shown = [text for text in self.texts if self.chance.random() < 0.8]
        if self.wrong:
            shown = self.confused(shown)
        return join(compact(signing_input, KEY.sign(signing_input)), tuple(shown))

    def members(self, depth: int) -> dict[str, Any]:
        """Some members, of which some are hidden."""
        found: dict[str, Any] = {}
        digests = []
        for name in self.chance.sample(NAMES[:5], self.chance.randrange(4)):
            value = self.value(depth - 1)
            if self.chance.random() < 0.5:
                found[name] = value
            else:
                digests.append(self.hidden(name if not self._slips() else self.chance.choice(NAMES), value))
        digests += [digest_of(f"decoy{self.chance.random()}") for _ in range(self.chance.randrange(2))]
        if digests or self._slips():
            found["_sd"] = digests if not self._slips() else self.chance.choice([digests * 2, [1], "x", None])
        return found

    def value(self, depth: int) -> Any:
        """Some value; an array may have hidden elements."""
        if depth <= 0 or self.chance.random() < 0.4:
            return self.chance.choice(VALUES)
        if self.chance.random() < 0.5:
            return self.members(depth)
        elements: list[Any] = []
        for _ in range(self.chance.randrange(3)):
            value = self.value(depth - 1)
            hidden = self.chance.random() < 0.5
            elements.append({"...": self.hidden(None, value)} if hidden else value)
        if self._slips():
            elements.append(self.chance.choice([{"...": 1}, {"...": "x", "y": 1}]))
        return elements

    def hidden(self, name: str | None, value: Any) -> str:
        """The digest of a disclosure, which is made."""
        salt = f"salt{len(self.texts)}"
        text = b64u_encode(json_bytes([salt, value] if name is None else [salt, name, value]))
        self.texts.append(text)
        return digest_of(text)

    def confused(self, shown: list[str]) -> list[str]:
        """The disclosures in another order, one twice, one that belongs nowhere, or one of another shape."""
        stray = b64u_encode(json_bytes(self.chance.choice([["s", "n", 1], ["s"], {}, [1, 2, 3], ["s", "n", 1, 2]])))
        self.chance.shuffle(shown)
        return shown + self.chance.choice([[], shown[:1], [stray], ["!"], [""], [stray, stray]])

    def _slips(self) -> bool:
        return self.wrong and self.chance.random() < 0.05


def _composed(wrong: bool) -> Iterator[str]:
    chance = random.Random(f"composed {wrong}")
    for _ in range(CASES):
        yield _Maker(chance, wrong).text()


def test_composed_tokens_mean_the_same() -> None:
    """Nested, hidden, in arrays, with decoys, partly shown: a child without its parent is all that differs."""
    stricter = {
        "a disclosure that the token does not refer to": "they drop what no shown digest names (RFC 9901 §7.1, 5)",
    }

    compared = compare(_composed(wrong=False), _ours, _theirs, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same > CASES / 2


def test_tokens_against_the_rules_are_judged_alike() -> None:
    """RFC 9901 §7.1 has the verifier refuse all of these; they overlook some."""
    stricter = {
        "a disclosure that the token does not refer to": "they drop what no shown digest names",
        "a disclosed name that may not stand here": "they take disclosed members named _sd and ...",
        "a member named ... outside an array": "they take it as a claim",
        "_sd is not an array": "they walk through the letters of a text",
        "a digest that is no string": "they compare digests of any kind, and array digests not at all",
        "a digest occurs twice": "they look for doubles among members of objects only",
        "an array digest with company": "they take it as an element",
        "not an array of": "they look at a disclosure only where its digest is met",
        "_sd_alg is not": "they take a `_sd_alg` of null",
    }

    compared = compare(_composed(wrong=True), _ours, _theirs, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same > CASES / 10


def test_damaged_tokens_are_never_read_differently() -> None:
    """Bytes changed anywhere: where both still read one, they read the same."""
    stricter = {
        "a disclosure that the token does not refer to": "they drop what no shown digest names",
        "longer than": "they set no limits",
        "an empty or oversized": "they set no limits",
        "not JSON in base64url": "they skip letters that are not of the alphabet, and stray bits",
        "not JSON with unique": "they take the last of several members of one name",
        "a NUL": "they take every text",
        "not an array of": "they look at a disclosure only where its digest is met",
        "not base64url without padding": "they skip letters that are not of the alphabet",
        "not the canonical encoding": "they skip stray bits",
    }
    chance = random.Random("damaged")
    seeds = [_Maker(chance, wrong=False).text().encode() for _ in range(8)]
    texts = [data.decode("ascii", "replace") for data in mutants("sd-jwt", seeds, CASES, 8192)]

    compared = compare([*(seed.decode() for seed in seeds), *texts], _ours, _theirs, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same >= len(seeds) / 2


def test_status_lists_are_inflated_alike() -> None:
    """A list is one whole zlib stream; they take what stands behind it, and other alphabets."""
    chance = random.Random("status")
    seeds = []
    for bits in (1, 2, 4, 8):
        values = {chance.randrange(800): chance.randrange(1 << bits) for _ in range(40)}
        seeds.append(compress(pack(values, 800, bits)).encode())

    def ours(text: str) -> list[int]:
        return list(inflate(text))

    def theirs(text: str) -> list[int]:
        return list(BitArray.from_b64(8, text).lst)

    stricter = {
        "lst is not a zlib stream": "they skip letters that are not of the alphabet, padding and stray bits",
        "lst is cut, has a tail": "they take an empty list",
    }
    texts = [data.decode("ascii", "replace") for data in mutants("lst", seeds, CASES, 4096)]

    compared = compare([*(seed.decode() for seed in seeds), *texts], ours, theirs, stricter)

    print(compared)
    assert compared.unexplained == []
    assert compared.same >= len(seeds)
    assert b64u_decode(seeds[0].decode())[:1] == b"\x78"
