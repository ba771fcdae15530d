"""The quick readers give what the plain ones give, whatever is put before them: compared on what is nearly right."""

from __future__ import annotations

import base64
import copy
import json
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import Jws
from verifiers.licence_claims import read_claims, read_status, usual_claims
from verifiers.members import Members
from verifiers.sd_jwt import DEPTH_MAX, SdJwt, plain_members, resolve

USUAL: dict[str, Any] = {
    "_sd_alg": "sha-256",
    "exp": 1952956800,
    "fields": {"scope": "x"},
    "holders": [{"kind": "organisation"}],
    "iat": 1795248000,
    "identifier": "1.2.156.3005.2.11610000MB0DEMA10W001.2026.001.F",
    "iss": "https://ledger.example/d/11610000MB0DEMA10W",
    "issued_on": "2026-11-21",
    "region": "610000",
    "status": {"status_list": {"idx": 7, "uri": "https://ledger.example/status-lists/1"}},
    "valid_from": "2026-11-21",
    "valid_until": "2031-11-20",
    "vct": "https://ledger.example/types/11610000MB0DEMA10W001/1",
    "vct#integrity": "sha256-" + "A" * 43 + "=",
    "version": 1,
}
ODD = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 999, 1000, 2**37, 2**37 + 1, 2**53, -(2**40) - 1, 1.0, "", "x", "2026-11-21",
        "2026-1-1", "2026-02-30", "9999-12-31", "20261121", "https://a.example", "http://", "https://a\n", "610000\n",
        [], {}, [1], {"idx": 1}, {"status_list": {"idx": True, "uri": "https://a.example"}},
        {"status_list": {"idx": 2**53, "uri": "https://a.example"}}, {"status_list": {"idx": 1, "uri": "x"}},
        {"status_list": {"idx": 1, "uri": "https://a.example"}, "_sd": []},
        {"status_list": {"idx": 1, "uri": "https://a.example", "_sd": ["x"]}}, {"status_list": [1, 2]},
    ]
)  # fmt: skip
NAMES = st.sampled_from([*USUAL, "nbf", "imported", "cnf"])


@given(st.dictionaries(NAMES, ODD, max_size=3), st.sets(NAMES, max_size=2))
def test_usual_claims_are_what_the_plain_reader_reads(changes: dict[str, Any], absent: set[str]) -> None:
    """Where the quick reader gives anything, the plain one gives the same; it never takes what that refuses."""
    payload = {name: value for name, value in (USUAL | changes).items() if name not in absent}

    quick = usual_claims(copy.deepcopy(payload))

    if quick is not None:
        members = Members(payload, Reason.LICENCE)
        assert read_claims(members, read_status(members)) == quick


def test_usual_claims_are_read_quickly() -> None:
    """Or the comparison above would compare nothing."""
    assert usual_claims(USUAL) is not None


def printed(one: tuple[Any, ...]) -> bytes:
    """The JSON of a disclosure, by the one or the other printer."""
    try:
        return orjson.dumps(one)
    except TypeError:  # larger than its integers, or half a pair of surrogates
        return json.dumps(one).encode()


PLAIN = st.none() | st.booleans() | st.integers(-(2**64), 2**65) | st.floats() | st.text('a\0\n,{}[]"', max_size=3)
ONE = st.tuples(st.text(max_size=2), st.sampled_from(["a", "_sd", "...", "b"]), PLAIN).map(printed)
ODDLY = st.sampled_from(
    [
        b"",
        b" ",
        b"[]",
        b'["s","n"]',
        b'["s","n",1,2]',
        b'["s","n",[]]',
        b'["s","n",{}]',
        b'"abc"',
        b"{}",
        b"7",
        b"nul",
        b'["s","n",1],0,["s","n",1]',
        b'["s","n",1],0,["s","n"',
        b'["s"',
        b"2]",
        b"0",
        b'["s","n",1],{},["s","n",1]',
        b'["s","n",1],{},["s","n",[[1]',
        b'["x"]]]',
        b'["s","n","',
        b'"]',
        b'["s","n",{"a":',
        b"1}]",
        b"]",
        b"[",
        b'[1,"n",1]',
        b'["s",1,1]',
        b'["s","n",1]\n',
        b' ["s","n",1.5e3]',
        b'["s","n",NaN]',
        b'["s"',
        b'"n",1]',
        b'["s","n",-0]',
        b'["s","n","\\u0000"]',
        b'["s","n","\\\\u0000"]',
        b'["s","n","\xff"]',
        b'["s","n",1e999]',
        b'\xef\xbb\xbf["s","n",1]',
        b'["s","n","\\ud800"]',
        b'{"a":["s","n",1]}',
        b'["s","n",1]\0',
        b'["s","n",1],',
    ]
)
TEXTS = (
    (ONE | ODDLY).map(b64u_encode)
    | st.text("AQgwZ09-_+/=! é~", max_size=9)
    | st.tuples(ONE.map(b64u_encode), st.sampled_from(["=", "A", "AA", "oK", "K", "Cg", "\n", "z"])).map("".join)
    | ONE.map(b64u_encode).flatmap(lambda text: st.sampled_from("BCDEFK0z-_").map(lambda last: text[:-1] + last))
)


@given(st.lists(TEXTS, max_size=5))
def test_many_disclosures_are_read_as_one_by_one(texts: list[str]) -> None:
    """Where the quick reader gives anything, each of them by itself says the same."""
    quick = plain_members(texts)

    if quick is not None:
        assert orjson.dumps(quick) == orjson.dumps([orjson.loads(b64u_decode(text)) for text in texts])
        for salt, name, value in quick:
            assert isinstance(salt, str)
            assert isinstance(name, str)
            assert name not in ("_sd", "...")
            assert not isinstance(value, list | dict)


def test_usual_disclosures_are_read_quickly() -> None:
    """Or the comparison above would compare nothing; of every length that fills a group of four otherwise."""
    for length in range(9):
        members = [[salt, "n" * length, length] for salt in ("a", "bc", "证")]
        assert plain_members([b64u_encode(orjson.dumps(one)) for one in members]) == members


def test_one_disclosure_cannot_be_spread_over_two() -> None:
    """What lies between two of them may not become a part of either."""
    for first, second in (
        ('["a","b",1],{},["c","d",[1', "2]]"),
        ('["a","b",1],{},["c","d","', '"]'),
        ('["a","b",1', "2]"),
        ('["a","b",1],{},["c"', '"d"]'),
        ('["a","b",1],{"c":[1', "1]}"),
        ('["a","b",1],0,["c","d",[1', "2]]"),
        ('["a","b",1],0,["c","d","', '"]'),
        ('["a","b",1],0,["c"', "2]"),
        ('["a","b",1],0,["c","d"', "2]"),
        ('["a","b",1],[1', "1]"),
    ):
        assert plain_members([b64u_encode(first.encode()), b64u_encode(second.encode())]) is None


# --- the walk of RFC 9901 §7.1, told again as plainly as it can be ------------------------------------------------


class Refused(Exception):
    """What the plain walk raises; holds the reason."""


class Plain:
    """Puts disclosures in their places, one rule after the other."""

    def __init__(self, payload: dict[str, Any], disclosures: tuple[str, ...]) -> None:
        self.given: dict[str, str] = {}
        for text in disclosures:
            digest = base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
            if digest in self.given:
                raise Refused(Reason.DISCLOSURE_DUPLICATE)
            self.given[digest] = text
        self.seen: list[str] = []
        self.used: set[str] = set()
        self.claims: dict[str, Any] = self.walk(payload, 0)
        self.claims.pop("_sd_alg", None)
        if self.used != set(self.given):
            raise Refused(Reason.DISCLOSURE_UNREFERENCED)

    def elements(self, digest: Any, count: int) -> list[Any] | None:
        """What the disclosure with this digest holds; `None` for a hidden claim or a decoy."""
        if not isinstance(digest, str):
            raise Refused(Reason.DISCLOSURE)
        if digest in self.seen:
            raise Refused(Reason.DISCLOSURE_DUPLICATE)
        self.seen.append(digest)
        if digest not in self.given:
            return None
        self.used.add(digest)
        try:
            read = orjson.loads(b64u_decode(self.given[digest]))
        except (Malformed, orjson.JSONDecodeError):
            raise Refused(Reason.DISCLOSURE) from None
        if not isinstance(read, list) or len(read) != count or not isinstance(read[0], str):
            raise Refused(Reason.DISCLOSURE)
        return read

    def walk(self, value: Any, depth: int) -> Any:
        """A value with everything below it in place."""
        if not isinstance(value, dict | list):
            return value
        if depth > DEPTH_MAX:
            raise Refused(Reason.DISCLOSURE)
        return self.array(value, depth) if isinstance(value, list) else self.object(value, depth)

    def array(self, elements: list[Any], depth: int) -> list[Any]:
        """An array with the elements that are shown."""
        found = []
        for each in elements:
            if not isinstance(each, dict) or "..." not in each:
                found.append(self.walk(each, depth + 1))
                continue
            if len(each) != 1:
                raise Refused(Reason.DISCLOSURE)
            read = self.elements(each["..."], 2)
            if read is not None:
                found.append(self.walk(read[1], depth + 1))
        return found

    def object(self, members: dict[str, Any], depth: int) -> dict[str, Any]:
        """An object with the members that are shown."""
        if "..." in members:
            raise Refused(Reason.DISCLOSURE)
        shown = {name: self.walk(each, depth + 1) for name, each in members.items() if name != "_sd"}
        if not isinstance(members.get("_sd", []), list):
            raise Refused(Reason.DISCLOSURE)
        for digest in members.get("_sd", []):
            read = self.elements(digest, 3)
            if read is None:
                continue
            if not isinstance(read[1], str) or read[1] in ("_sd", "...") or read[1] in shown:
                raise Refused(Reason.DISCLOSURE)
            shown[read[1]] = self.walk(read[2], depth + 1)
        return shown


@st.composite
def presented(draw: st.DrawFn) -> SdJwt:
    """Draw a token and disclosures that refer to each other, with a fault here and there."""
    made: list[str] = []
    usual = draw(st.booleans())
    digests: list[Any] = ["decoy"] if usual else ["decoy", 7]
    for number in range(draw(st.integers(0, 5))):
        plain = st.sampled_from(["v", 1, None]) if usual else st.sampled_from(["v", 1, None, [1], {"a": 1}])
        value = draw(plain) if usual or draw(st.booleans()) else _holding(draw, digests)
        name = draw(st.sampled_from(["b", f"n{number}"] if usual else ["a", "b", f"n{number}", "_sd", "...", 3]))
        odd = [] if usual else [[f"s{number}", value], ["s"], [1, name, value]]
        shape = draw(st.sampled_from([[f"s{number}", name, value], *odd]))
        text = b64u_encode(orjson.dumps(shape)) + draw(st.sampled_from(["", "", "", "=", "A"] if not usual else [""]))
        made.append(text)
        digests.append(b64u_encode(sha256(text.encode()).digest()))
    if usual:
        top, below = draw(st.permutations(digests)), draw(st.integers(0, len(digests)))
        inner, outer = {"_sd": top[:below], "deep": [[{"q": 1}]]}, {"_sd": top[below:]}
    else:
        inner, outer = _holding(draw, digests), _holding(draw, digests)
    payload = {"_sd_alg": "sha-256", "x": 1, "a": inner} | outer
    shown = [text for text in made if draw(st.integers(0, 4))]
    if shown and not draw(st.integers(0, 9)):
        shown.append(shown[0])
    return SdJwt(Jws({}, payload, b"", b""), "", tuple(shown), None)


def _holding(draw: st.DrawFn, digests: list[Any]) -> dict[str, Any]:
    some = st.lists(st.sampled_from(digests), max_size=3)
    listed: list[Any] = [{"...": each} for each in draw(some)]
    return {"_sd": draw(some), "list": [0, *listed], "plain": {"deep": [[{"q": 1}]]}}


@given(presented())
def test_disclosures_are_put_where_the_plain_walk_puts_them(token: SdJwt) -> None:
    """The same claims in the same order, or a refusal for the same reason."""
    before = copy.deepcopy(token.jws.payload)
    try:
        expected: Any = orjson.dumps(Plain(before, token.disclosures).claims)
    except Refused as refused:
        expected = refused.args[0]
    try:
        found: Any = orjson.dumps(resolve(token))
    except Malformed as error:
        found = error.reason

    assert found == expected
    assert token.jws.payload == before


def test_claims_are_no_deeper_than_they_may_be() -> None:
    """Arrays count as objects do, whichever reader looks."""
    inner: Any = "x"
    for _ in range(DEPTH_MAX + 1):
        inner = [inner]

    for fields in ({"a": inner}, {"a": {"b": inner[0]}}):
        with pytest.raises(Malformed):
            resolve(SdJwt(Jws({}, USUAL | {"fields": fields}, b"", b""), "", (), None))


@pytest.mark.parametrize("value", ["a\x00b", "a"])
def test_no_name_or_value_holds_a_null(value: str) -> None:
    """JSON can spell one; no document of ours holds one."""
    text = b64u_encode(json.dumps(["AAAAAAAAAAAAAAAAAAAAAA", "name", value]).encode())
    payload = USUAL | {"fields": {"_sd": [b64u_encode(sha256(text.encode()).digest())]}}
    sd_jwt = SdJwt(Jws({}, payload, b"", b""), "", (text,), None)

    if value == "a":
        assert resolve(sd_jwt)["fields"] == {"name": "a"}
    else:
        with pytest.raises(Malformed):
            resolve(sd_jwt)
