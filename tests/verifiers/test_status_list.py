"""Token status lists: published vectors, any size and width, and tokens that do not count."""

import datetime as dt
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.public_key import PublicKey
from tests.vectors import vectors
from tests.verifiers.issuer import LIST_URI, MARKET, NOW, ORIGIN, SLOTS, Issuer
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.jws import encode_segment, parse_jws
from verifiers.status_list import TYP, AsOf, StatusList, compress, inflate, open_status_list, pack, read_status_list
from verifiers.trust_document import Position, Revocation

ISSUER = Issuer()
TRUST = ISSUER.trust()


def of(packed: bytes, bits: int) -> StatusList:
    """A list of these bytes."""
    return StatusList("https://a.example/1", bits, NOW, None, None, None, packed)


@pytest.mark.parametrize(
    ("bits", "values"),
    [(1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]), (2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3])],
)
def test_the_short_lists_of_the_draft_decode_and_encode(bits: int, values: list[int]) -> None:
    """The two worked examples of draft-ietf-oauth-status-list §4."""
    vector = vectors("sd_jwt_rfc_vectors")["tsl_short"][f"bits{bits}"]
    packed = inflate(vector["lst"])

    assert packed.hex() == vector["bytes_hex"]
    assert [of(packed, bits).get(idx) for idx in range(len(values))] == values
    assert pack(dict(enumerate(values)), len(values), bits) == packed
    assert zlib.decompress(bytes.fromhex(vector["compressed_hex"])) == packed


DRAFT_SLOTS = {0: 1, 1993: 2, 25460: 1, 159495: 3, 495669: 1, 554353: 1, 645645: 2, 723232: 1}
DRAFT_SLOTS |= {854545: 1, 934534: 2, 1000345: 3}
DRAFT_SLOTS_OF_FOUR = {0: 1, 1993: 2, 35460: 3, 459495: 4, 595669: 5, 754353: 6, 845645: 7, 923232: 8, 924445: 9}
DRAFT_SLOTS_OF_FOUR |= {934534: 10, 1004534: 11, 1000345: 12, 1030203: 13, 1030204: 14, 1030205: 15}


@pytest.mark.parametrize(
    ("bits", "name", "expected"),
    [
        (1, "status_list_encoding1_long_json", dict.fromkeys(DRAFT_SLOTS, 1)),
        (2, "status_list_encoding2_long_json", DRAFT_SLOTS),
        (4, "status_list_encoding4_json", DRAFT_SLOTS_OF_FOUR),
    ],
)
def test_the_long_lists_of_the_draft_decode_and_encode(bits: int, name: str, expected: dict[int, int]) -> None:
    """The lists of 2^20 entries among the draft's test vectors."""
    packed = inflate(vectors("status_list_vectors")[name])

    assert len(of(packed, bits)) == 1 << 20
    assert pack(expected, 1 << 20, bits) == packed


def test_the_signed_token_of_the_draft_is_read() -> None:
    """Signature and content of the example token."""
    vector = vectors("status_list_token")
    jws = parse_jws(vector["status_list_token"], typ=TYP, reason=Reason.STATUS, limit=10_000)
    PublicKey.from_jwk(vector["jwk"]).check(jws.signing_input, jws.signature)
    jws.payload.pop("iss")

    status_list = read_status_list(jws)

    assert (status_list.uri, status_list.bits, status_list.ttl) == ("https://example.com/statuslists/1", 1, 43200)
    assert len(status_list) == 16 and status_list.get(0) == 1 and status_list.get(1) == 0


@settings(deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_every_slot_comes_back(bits: int, data: st.DataObject) -> None:
    """Pack, compress, inflate and get are each other's inverse for any width."""
    slots = data.draw(st.integers(1, 40)) * 8
    values = data.draw(st.dictionaries(st.integers(0, slots - 1), st.integers(0, (1 << bits) - 1), max_size=20))
    status_list = of(inflate(compress(pack(values, slots, bits))), bits)

    assert len(status_list) == slots
    assert [status_list.get(idx) for idx in range(slots)] == [values.get(idx, 0) for idx in range(slots)]


@pytest.mark.parametrize("idx", [-1, 16, 2**40])
def test_a_slot_outside_the_list_is_refused(idx: int) -> None:
    """The draft: an index beyond the list means the token is rejected."""
    with pytest.raises(VerificationError) as caught:
        of(bytes(4), 2).get(idx)

    assert caught.value.reason is Reason.STATUS_INDEX


@pytest.mark.parametrize("arguments", [({8: 1}, 8, 2), ({0: 4}, 8, 2), ({}, 3, 2), ({}, 8, 3), ({-1: 1}, 8, 2)])
def test_what_does_not_fit_cannot_be_packed(arguments: tuple[dict[int, int], int, int]) -> None:
    """Our own mistake is a `ValueError`."""
    with pytest.raises(ValueError):
        pack(*arguments)


@pytest.mark.parametrize(
    "lst",
    [
        "!",
        b64u_encode(b"not zlib"),
        b64u_encode(zlib.compress(bytes(100))[:-3]),
        b64u_encode(zlib.compress(bytes(100)) + b"x"),
        b64u_encode(zlib.compress(b"")),
        b64u_encode(zlib.compress(bytes(16_777_217))),
    ],
)
def test_a_stream_that_is_not_one_whole_list_is_refused(lst: str) -> None:
    """Cut, trailing, empty and bombs."""
    with pytest.raises(Malformed) as caught:
        inflate(lst)

    assert caught.value.reason is Reason.STATUS


def test_a_token_of_the_region_opens() -> None:
    """From the status key of the trust list, about a list that it names."""
    status_list = open_status_list(ISSUER.status_token(values={5: 2}), TRUST)

    assert (status_list.uri, len(status_list), status_list.ttl) == (LIST_URI, SLOTS, 30)
    assert status_list.get(5) == 2 and status_list.get(6) == 0
    assert status_list.as_of == AsOf(ORIGIN, 1)


def refusal(token: str, **changes: Any) -> Reason:
    """Why `token` does not count under a trust list with `changes`."""
    with pytest.raises(VerificationError) as caught:
        open_status_list(token, ISSUER.trust(**changes))
    return caught.value.reason


def test_a_token_from_any_other_key_does_not_count() -> None:
    """A department's key, a retired or revoked status key, a key nobody knows."""
    assert refusal(ISSUER.status_token(key=f"{MARKET}/licence")) is Reason.STATUS_KEY
    assert refusal(Issuer().status_token()) is Reason.STATUS_KEY
    revoked = ISSUER.key_change("status", revoked=Revocation(NOW, "compromised"))
    assert refusal(ISSUER.status_token(), keys=revoked) is Reason.STATUS_KEY
    ended = ISSUER.key_change("status", log_to=Position.start(ORIGIN))
    assert refusal(ISSUER.status_token(), keys=ended) is Reason.STATUS_KEY


def test_a_token_about_another_list_or_log_does_not_count() -> None:
    """`sub` is a URI, and `as_of` a log, that the trust list names."""
    assert refusal(ISSUER.status_token(uri="https://other.example/1")) is Reason.STATUS_KEY
    assert refusal(ISSUER.status_token(as_of=AsOf("other.example/log", 1))) is Reason.STATUS_KEY


def test_a_token_with_a_wrong_signature_does_not_count() -> None:
    """One flipped bit in the signature."""
    token = ISSUER.status_token()
    head, _, tail = token.rpartition(".")

    assert refusal(f"{head}.{'A' if tail[0] != 'A' else 'B'}{tail[1:]}") is Reason.STATUS_SIGNATURE


def test_a_token_without_end_is_refused() -> None:
    """Times beyond any calendar are malformed."""
    late = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)

    assert refusal(ISSUER.status_token(expires_at=late)) is Reason.STATUS


@pytest.mark.parametrize("member", ["iat", "exp"])
def test_times_beyond_2_to_the_37_are_refused(member: str) -> None:
    """The year 6325: whoever names a later one has counted in milliseconds."""
    for seconds, good in ((2**37, True), (2**37 + 1, False)):
        payload = {"sub": LIST_URI, "status_list": {"bits": 1, "lst": compress(b"\0")}, "iat": 0, "exp": 0}
        head, body = ({"alg": "ES256", "typ": TYP}, payload | {member: seconds})
        token = f"{encode_segment(head)}.{encode_segment(body)}.{b64u_encode(bytes(64))}"
        jws = parse_jws(token, typ=TYP, reason=Reason.STATUS, limit=10_000)
        if good:
            assert read_status_list(jws).bits == 1
        else:
            with pytest.raises(Malformed):
                read_status_list(jws)
