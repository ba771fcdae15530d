"""Licences as SD-JWT VC: what `build` writes, `parse` reads, and nothing else."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.issuer import Issuer, derived_salt, seed
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import encode_segment, read_json
from verifiers.legal_dates import day_begins
from verifiers.licence import ErasedHolder, Face, Holder, Imported, Unsigned, build, header_segment, parse, present

ISSUER = Issuer()
HEADER = header_segment(b"certificate")
SIGNATURE = bytes(range(64))

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12).filter(lambda name: name != "_sd")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
VALUES = st.one_of(TEXTS, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none(), st.lists(TEXTS, max_size=3))


def holders(names: list[str]) -> tuple[Holder, ...]:
    """Holders with made-up numbers."""
    return tuple(
        Holder("person", name, "999", f"N{place}", seed(place), "role" if place % 2 else None, "1/2" if place else None)
        for place, name in enumerate(names)
    )


def payload_of(unsigned: Unsigned) -> dict[str, Any]:
    """The signed payload."""
    payload: dict[str, Any] = read_json(b64u_decode(unsigned.signing_input.decode().split(".")[1]), Reason.LICENCE)
    return payload


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(NAMES, VALUES, max_size=12),
    st.lists(TEXTS.filter(bool), min_size=1, max_size=4),
    st.sets(NAMES, max_size=4),
    st.none() | TEXTS,
)
def test_parse_reads_what_build_writes(
    fields: dict[str, Any], names: list[str], shown: set[str], number: str | None
) -> None:
    """Every value comes back, whichever way it is disclosed, with any text and any number of holders."""
    face = ISSUER.face(fields=fields, holders=holders(names), always_shown=frozenset(shown), number=number)

    licence = parse(build(face, header=HEADER).compact(SIGNATURE))

    assert licence.claims["fields"] == fields
    assert [holder["name"] for holder in licence.claims["holders"]] == names
    assert licence.claims.get("number") == number
    assert (licence.iss, licence.vct, licence.identifier) == (face.iss, face.vct, face.identifier)
    assert (licence.valid_from, licence.valid_until) == (face.valid_from, face.valid_until)
    assert licence.certificate == b"certificate"


def test_build_writes_the_same_bytes_again() -> None:
    """Salts come from seeds, so a licence needs not be stored to be given out again, byte for byte."""
    face = ISSUER.face()

    assert build(face, header=HEADER) == build(face, header=HEADER)
    other = build(replace(face, seed=seed("other")), header=HEADER)
    assert other.signing_input != build(face, header=HEADER).signing_input


def test_salts_are_derived_from_the_seed_and_the_path() -> None:
    """HMAC-SHA-256 of the claim's path as canonical JSON, first 16 bytes."""
    face = ISSUER.face()
    (holder,) = (each for each in face.holders if isinstance(each, Holder))
    unsigned = build(face, header=HEADER)
    salts = {}
    for text in unsigned.disclosures:
        salt, name, _ = read_json(b64u_decode(text), Reason.DISCLOSURE)
        salts[name] = b64u_decode(salt)

    assert salts["premises"] == derived_salt(face.seed, b'["fields","premises"]')
    assert salts["number"] == derived_salt(face.seed, b'["number"]')
    assert salts["id"] == derived_salt(holder.seed, b'["holders",0,"id"]')
    assert len(set(salts.values())) == len(salts)


def test_what_is_hidden_leaves_no_trace_but_a_digest() -> None:
    """The payload names neither hidden fields nor holders, and digests stand in sorted order."""
    unsigned = build(ISSUER.face(), header=HEADER)
    text = unsigned.signing_input.decode()
    payload = payload_of(unsigned)
    signed = b64u_decode(text.split(".")[1]).decode()

    assert "premises" not in signed and "示例食品有限公司" not in signed and "预包装食品销售" in signed
    assert payload["fields"]["_sd"] == sorted(payload["fields"]["_sd"])
    assert len(unsigned.by_holder) == 1 and len(unsigned.by_holder[0]) == 3
    assert unsigned.disclosures == unsigned.common + unsigned.by_holder[0]


def test_where_nothing_is_hidden_there_is_no_sd() -> None:
    """SD-JWT VC asks to leave `_sd` out then."""
    face = ISSUER.face(always_shown=frozenset({"scope", "premises", "person_in_charge", "area_m2"}), number=None)
    payload = payload_of(build(face, header=HEADER))

    assert "_sd" not in payload and "_sd" not in payload["fields"]


def test_legal_dates_become_machine_times_in_china() -> None:
    """`exp` is the start of the day after the last valid day at UTC+8; open-ended licences have none."""
    face = ISSUER.face(valid_from=dt.date(2026, 12, 1), valid_until=dt.date(2031, 11, 20))
    payload = payload_of(build(face, header=HEADER))

    assert dt.datetime.fromtimestamp(payload["exp"], dt.UTC) == dt.datetime(2031, 11, 20, 16, tzinfo=dt.UTC)
    assert dt.datetime.fromtimestamp(payload["nbf"], dt.UTC) == dt.datetime(2026, 11, 30, 16, tzinfo=dt.UTC)
    assert "exp" not in payload_of(build(ISSUER.face(valid_until=None), header=HEADER))
    assert day_begins(dt.date(1970, 1, 1)) == -8 * 3600


def test_an_imported_licence_says_so_openly() -> None:
    """Original issuer, date, assurance and warnings are never hidden."""
    imported = Imported("示例原发证机关", dt.date(2001, 1, 1), "declared", ("identifier.check",))
    licence = parse(build(ISSUER.face(imported=imported), header=HEADER).compact(SIGNATURE))

    assert licence.imported == imported


def test_present_shows_only_what_is_asked_for() -> None:
    """The holder chooses paths; the rest stays hidden behind the same signature."""
    compact = build(ISSUER.face(), header=HEADER).compact(SIGNATURE)

    part = parse(present(compact, [("fields", "premises"), ("holders", 0, "name")]))

    assert part.claims["fields"] == {"scope": "预包装食品销售", "premises": "示例路1号"}
    assert part.claims["holders"] == [{"kind": "organisation", "name": "示例食品有限公司"}]
    assert part.signing_input == parse(compact).signing_input
    assert "number" not in part.claims


@pytest.mark.parametrize("value", [1.5, "\0", "\ud800", 2**53, {"深": 1}, float("nan"), b"x"])
def test_a_value_that_canonical_json_does_not_hold_cannot_be_built(value: object) -> None:
    """Our own mistake is a `ValueError`."""
    with pytest.raises(ValueError):
        build(ISSUER.face(fields={"x": value}), header=HEADER)


def test_a_short_seed_cannot_be_used() -> None:
    """Salts of too little randomness would let names be guessed."""
    with pytest.raises(ValueError):
        build(ISSUER.face(seed=bytes(16)), header=HEADER)


def rewritten(face: Face, **changes: Any) -> str:
    """A licence whose payload was changed afterwards; a `None` removes the member."""
    unsigned = build(face, header=HEADER)
    payload = payload_of(unsigned) | changes
    payload = {name: value for name, value in payload.items() if value is not None}
    signing_input = f"{HEADER}.{encode_segment(payload)}".encode()
    return Unsigned(signing_input, unsigned.common, unsigned.by_holder).compact(SIGNATURE)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "ledger.example"},
        {"iss": 1},
        {"iat": "2026"},
        {"iat": True},
        {"iat": -1},
        {"iat": 10**12},
        {"vct": "x y"},
        {"vct#integrity": "sha256-x"},
        {"identifier": "1.2 3"},
        {"version": 0},
        {"region": "61"},
        {"issued_on": "2026-1-1"},
        {"valid_from": "2026-02-30"},
        {"valid_until": "2026-11-19"},
        {"valid_until": None},
        {"valid_until": "9999-12-31"},
        {"exp": 1},
        {"exp": None},
        {"nbf": 1},
        {"status": None},
        {"status": {"status_list": {"idx": 1}}},
        {"status": {"status_list": {"idx": -1, "uri": "https://a.example"}}},
        {"status": {"status_list": {"idx": 1, "uri": "https://a.example", "x": 1}}},
        {"status": {}},
        {"holders": None},
        {"holders": []},
        {"holders": [{"kind": "cat"}]},
        {"holders": [{"kind": []}]},
        {"holders": [{"kind": {}}]},
        {"holders": ["x"]},
        {"fields": None},
        {"fields": []},
        {"imported": {"issuer": "x"}},
        {"imported": {"issuer": "x", "issued_on": "2001-01-01", "assurance": "sure", "warnings": []}},
    ],
)
def test_a_licence_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    """Members that every licence has, in their one form; a licence without status is none."""
    with pytest.raises(Malformed) as caught:
        parse(rewritten(ISSUER.face(), **changes))

    assert caught.value.reason is Reason.LICENCE or caught.value.reason is Reason.DISCLOSURE_UNREFERENCED


@pytest.mark.parametrize("x5c", [None, [], "x", [1], ["!"], ["AAAB"] * 4])
def test_a_licence_without_certificate_is_refused(x5c: object) -> None:
    """The leaf travels with the licence; which leaf counts is for the trust list to say."""
    header = encode_segment({"alg": "ES256", "typ": "dc+sd-jwt", "x5c": x5c})
    with pytest.raises(Malformed) as caught:
        parse(build(ISSUER.face(), header=header).compact(SIGNATURE))

    assert caught.value.reason is Reason.LICENCE


def test_decoys_in_what_must_be_open_are_passed_over() -> None:
    """Other makers put digests of nothing into every object (RFC 9901 §4.2.5)."""
    status = {"status_list": {"_sd": ["x"], "idx": 7, "uri": "https://a.example"}, "_sd": ["y"]}
    read = parse(rewritten(ISSUER.face(), status=status))

    assert (read.status_idx, read.status_uri) == (7, "https://a.example")
    with pytest.raises(Malformed):
        parse(rewritten(ISSUER.face(), status={**status, "other": ["y"]}))


def test_an_old_media_type_is_refused() -> None:
    """`vc+sd-jwt` of early drafts is another kind of token."""
    header = encode_segment({"alg": "ES256", "typ": "vc+sd-jwt", "x5c": [b64u_encode(b"abc")]})
    with pytest.raises(Malformed) as caught:
        parse(build(ISSUER.face(), header=header).compact(SIGNATURE))

    assert caught.value.reason is Reason.TOKEN_TYPE


def test_what_is_signed_openly_of_a_holder() -> None:
    """Kind and role; also of one that was erased, with the digests that were signed then."""
    known = Holder("person", "示例甲", "999", "N1", seed(1), "示例角色")
    unsigned = build(ISSUER.face(holders=(known, ErasedHolder("person", ("D",), "另一角色"))), header=HEADER)
    first, second = payload_of(unsigned)["holders"]

    assert first == {"_sd": list(unsigned.holder_digests[0]), "kind": "person", "role": "示例角色"}
    assert second == {"_sd": ["D"], "kind": "person", "role": "另一角色"}


def test_a_holder_is_written_under_these_names() -> None:
    """Other people's programs read them; what a holder lacks is left out."""
    whole = Holder("person", "示例甲", "111", "N1", seed(1), "owner", "1/2")
    bare = Holder("organisation", "示例公司", "001", "N2", seed(2))
    licence = parse(build(ISSUER.face(holders=(whole, bare)), header=HEADER).compact(SIGNATURE))

    assert licence.claims["holders"] == [
        {"kind": "person", "role": "owner", "name": "示例甲", "id_type": "111", "id": "N1", "share": "1/2"},
        {"kind": "organisation", "name": "示例公司", "id_type": "001", "id": "N2"},
    ]
