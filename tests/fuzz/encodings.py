"""Targets for the smallest formats: encodings, canonical JSON, tokens, dates, numbers, codes, tiles, entries."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from contextlib import suppress

from tests.fuzz.target import Target, json_bytes, json_of, same, text_of
from tests.verifiers import log_world
from tests.verifiers.issuer import DRIVER, FOOD, MARKET, NOW, Issuer
from verifiers import (
    canonical,
    cascade,
    code,
    commitment,
    dynamic_code,
    encoding,
    entry,
    identity,
    jws,
    legal_dates,
    merkle,
    tiles,
)
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.identifier import Identifier, identifier_findings, parse_identifier

LOG = log_world.Log.of(5)


def _encoding(name: str, encode: Callable[[bytes], str], decode: Callable[[str, int | None], bytes]) -> Target:
    def run(data: bytes) -> None:
        text = text_of(data)
        with suppress(Malformed):
            found = decode(text, None)
            same(encode(found), text)
            same(decode(text, len(found)), found)
        same(decode(encode(data), len(data)), data)

    texts = (b"", b"\x00", b"ab", b"abc", bytes(range(40)))
    seeds = [encode(each).encode() for each in texts]
    return Target(f"encoding.{name}", (f"verifiers.encoding.{name}_decode",), run, lambda: seeds)


def _canonical(data: bytes) -> None:
    with suppress(Malformed):
        same(canonical.encode(canonical.decode(data)), data)
        same(canonical.decode_object(data), canonical.decode(data))


def _read_json(data: bytes) -> None:
    with suppress(Malformed):
        found = jws.read_json(data, Reason.LICENCE)
        same(json.dumps(found, sort_keys=True), json.dumps(json.loads(data), sort_keys=True))
        jws.read_object(data, Reason.LICENCE)


def _parse_jws(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        found = jws.parse_jws(text, typ="dc+sd-jwt", reason=Reason.LICENCE, limit=4096)
        same(jws.compact(found.signing_input, found.signature), text)


def _jws_seeds() -> Iterable[bytes]:
    for payload in (b'{"iss":"https://a.example"}', b'{ "b":1, "a":[1.5e3,null] }', b"[]"):
        header = jws.encode_segment({"alg": "ES256", "typ": "dc+sd-jwt", "kid": "x"})
        body = encoding.b64u_encode(payload)
        yield f"{header}.{body}.{encoding.b64u_encode(bytes(64))}".encode()


def _legal_dates(data: bytes) -> None:
    text = text_of(data)
    with suppress(ValueError):
        same(legal_dates.format_time(legal_dates.parse_time(text)), text)
    with suppress(ValueError):
        same(legal_dates.parse_date(text).isoformat(), text)


def _identifier(data: bytes) -> None:
    text = text_of(data)
    findings = identifier_findings(text)
    try:
        same(parse_identifier(text).text, text)
    except ValueError:
        if not findings:
            raise


def _identity(data: bytes) -> None:
    text = text_of(data)
    identity.uscc_findings(text)
    identity.citizen_findings(text, dt.date(2026, 11, 21))
    for kind in ("001", "111", "099"):
        identity.holder_findings(kind, text, dt.date(2026, 11, 21))
    identity.region_known(text)
    identity.region_name(text)
    with suppress(ValueError):
        identity.expand_citizen_number(text)


def _effect(data: bytes) -> None:
    text = text_of(data)
    with suppress(ValueError):
        same(cascade.Effect.parse(text).word, text)


def _consequence(data: bytes) -> None:
    value = json_of(data)
    with suppress(ValueError):
        same(cascade.Consequence.from_row(value).to_row(), value)


CONSEQUENCE = ["a" * 22, "revoked", "inherited", "prerequisite", ["licence", "b" * 22], MARKET, None]
CODES = Issuer()
SIGNED_CODE = CODES.sign_code(CODES.code_payload(CODES.face(7)))
OPEN_CODE = CODES.sign_code(CODES.code_payload(CODES.face(8), valid_until=None, several_holders=True))


def _cose(text: str) -> bytes:
    return encoding.b32_decode(text.partition("#")[2])


def _code(data: bytes) -> None:
    with suppress(Malformed):
        found = code.parse_code(data)
        same(code.build_code(found.payload, found.kid, found.signature), data)
        same(code.sig_structure(found.payload, found.kid), found.sig_structure)


def _code_text(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        code.parse_code_text(text)
        same("".join(part for _, part in code.segments(text)), text.strip())


def _payload(data: bytes) -> None:
    with suppress(Malformed):
        same(code.format_payload(code.parse_payload(data)), data)


DYNAMIC = dynamic_code.mint("https://ledger.example", bytes(range(10)), bytes(32), NOW)


def _dynamic(data: bytes) -> None:
    text = text_of(data)
    with suppress(VerificationError):
        found = dynamic_code.parse_dynamic_code(text)
        whole = bytes((dynamic_code.VERSION,)) + found.handle + bytes((found.slice_low,)) + found.mac
        same(text.strip().endswith(encoding.b32_encode(whole)), True)
        dynamic_code.match(found, bytes(32), NOW)


def _entry(data: bytes) -> None:
    with suppress(Malformed):
        same(entry.encode(entry.parse(data)), data)
    text = text_of(data)
    with suppress(Malformed):
        same(entry.format_at(entry.parse_at(text)), text)


def _opening(data: bytes) -> None:
    with suppress(VerificationError):
        opening = commitment.Opening.from_bytes(data)
        same(opening.to_bytes(), data)
        commitment.open_leaf(opening)


def _frontier(data: bytes) -> None:
    with suppress(Malformed):
        found = merkle.Frontier.from_bytes(data)
        same(found.to_bytes(), data)
        found.root()


def _frontier_seeds() -> Iterable[bytes]:
    frontier = merkle.Frontier()
    for number in range(8):
        yield frontier.to_bytes()
        frontier.append(merkle.leaf_hash(b"%d" % number))


def _tile_path(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        same(tiles.parse_path(text).path(), text)


def _tile_contents(data: bytes) -> None:
    """The first byte says how wide the tile is meant to be."""
    width, contents = (data[0] or 256, data[1:]) if data else (1, b"")
    with suppress(Malformed):
        same(tiles.format_bundle(tiles.parse_bundle(contents, width)), contents)
    with suppress(Malformed):
        same(tiles.format_hashes(tiles.parse_hashes(contents, width)), contents)


TILE_PATHS = (b"tile/entries/000", b"tile/0/x001/x234/067.p/8", b"tile/7/255.p/255", b"tile/entries/x123/456")
IDENTIFIERS = (
    Identifier(FOOD, MARKET, "2026000007", 1).text.encode(),
    Identifier(DRIVER, MARKET, "A1", 999).text.encode(),
)
VALUES = (b"{}", b'{"a":[1,true,null],"b":{"c":"\xe7\x94\xb2"}}', b'"\\u0000"', b"[-1]", b"[[[[]]]]", b"1.5")

TARGETS = (
    _encoding("b64u", encoding.b64u_encode, encoding.b64u_decode),
    _encoding("b64", encoding.b64_encode, encoding.b64_decode),
    _encoding("b32", encoding.b32_encode, encoding.b32_decode),
    Target(
        "canonical", ("verifiers.canonical.decode", "verifiers.canonical.decode_object"), _canonical, lambda: VALUES
    ),
    Target("jws.json", ("verifiers.jws.read_json", "verifiers.jws.read_object"), _read_json, lambda: VALUES),
    Target("jws", ("verifiers.jws.parse_jws", "verifiers.jws.read_header"), _parse_jws, _jws_seeds),
    Target(
        "legal_dates",
        ("verifiers.legal_dates.parse_time", "verifiers.legal_dates.parse_date"),
        _legal_dates,
        lambda: (b"2026-11-21T08:00:00Z", b"2026-11-21", b"0001-01-01", b"9999-12-31T23:59:59Z"),
    ),
    Target("identifier", ("verifiers.identifier.parse_identifier",), _identifier, lambda: IDENTIFIERS),
    Target(
        "identity",
        ("verifiers.identity.expand_citizen_number", "verifiers.identity.holder_findings"),
        _identity,
        lambda: (MARKET.encode(), b"610101199001010013", b"610101900101001", b"11610000MB0DEMA10W"),
    ),
    Target("cascade.effect", ("verifiers.cascade.Effect.parse",), _effect, lambda: (b"revoked", b"none")),
    Target(
        "cascade.row",
        ("verifiers.cascade.Consequence.from_row",),
        _consequence,
        lambda: (json_bytes(CONSEQUENCE), json_bytes([*CONSEQUENCE[:4], None, *CONSEQUENCE[5:]])),
    ),
    Target("code", ("verifiers.code.parse_code",), _code, lambda: (_cose(SIGNED_CODE[1]), _cose(OPEN_CODE[1]))),
    Target(
        "code.text", ("verifiers.code.parse_code_text",), _code_text, lambda: (SIGNED_CODE[1].encode(), b"HTTPS://A/V#")
    ),
    Target(
        "code.payload",
        ("verifiers.code.parse_payload",),
        _payload,
        lambda: (code.format_payload(CODES.code_payload(CODES.face(7))),),
    ),
    Target(
        "dynamic_code",
        ("verifiers.dynamic_code.parse_dynamic_code",),
        _dynamic,
        lambda: (DYNAMIC.encode(), DYNAMIC.rpartition("/")[2].encode()),
    ),
    Target(
        "entry",
        ("verifiers.entry.parse", "verifiers.entry.parse_at"),
        _entry,
        lambda: (LOG.entries[0], LOG.entries[1], b"2026-11-21T08:00:00Z"),
    ),
    Target(
        "commitment",
        ("verifiers.commitment.Opening.from_bytes", "verifiers.commitment.open_leaf"),
        _opening,
        lambda: (LOG.openings[0].to_bytes(), LOG.openings[3].to_bytes()),
    ),
    Target("merkle.frontier", ("verifiers.merkle.Frontier.from_bytes",), _frontier, _frontier_seeds),
    Target("tiles.path", ("verifiers.tiles.parse_path",), _tile_path, lambda: TILE_PATHS),
    Target(
        "tiles.contents",
        ("verifiers.tiles.parse_bundle", "verifiers.tiles.parse_hashes"),
        _tile_contents,
        lambda: (
            b"\x05" + tiles.format_bundle(LOG.entries),
            b"\x02" + bytes(64),
            b"\x01\x00\x00",
        ),
    ),
)
