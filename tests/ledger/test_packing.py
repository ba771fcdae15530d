"""Record parts come back from their small form byte for byte, also those that were written by an older program."""

from hashlib import sha256
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.packing import DICTIONARY, pack, unpack, unpack_payload
from verifiers import canonical, statement
from verifiers.encoding import b64u_encode

DICTIONARIES = {1: "6511224e2d6b703b9edade5bed5e71f71bf83aae0b5ca99aa61119d9105dff61"}
"""SHA-256 of every dictionary a record may name; a line is added here, never changed."""

KID = "A" * 22
PAYLOAD = {
    "by": "116100000100000474",
    "event": "licence.issued",
    "kind": "licence.issued",
    "origin": "ledger.example/610000/1",
    "ref": b64u_encode(bytes(16)),
    "secret": b64u_encode(bytes(range(32))),
    "v": 1,
}
SIGNATURE = bytes(range(64))
STATEMENT = statement.assemble(statement.signing_input(KID, PAYLOAD), SIGNATURE)

KEPT_STATEMENT = bytes.fromhex(
    "0701004d40000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233"
    "3435363738393a3b3c3d3e3f0000400000000000000000000000000000000000000000000000000000000000000000000102030405060708090a"
    "0b0c0d0e0f101112131415161718191a1b1c1d1e1f20bed5010093c207202a0b3e18eb0effff550b6b375a0d6ffcfffff5ffffabaef5030b3e24"
    "650107fc751902363c7c0d8019890cec6f5ea8afeca429b02f02"
)
KEPT_BODY = bytes.fromhex(
    "01012088f5010023c309203efcffd77bb9ae37f75da5d068aef0d2831622cd5bffebd7ffde6bfdfa35c69126131e4c1c0406fc16753e95e94f03"
    "bcb21cba2644e1a7d88160"
)
BODY = {
    "fields": {"level": "本科"},
    "holder": {"id": "610101199001010013", "id_type": "111", "name": "示例甲"},
    "iat": 1_795_316_833,
    "region": "610000",
}

ids = st.sampled_from([16, 32, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(b64u_encode)
printable = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
texts = st.one_of(ids, printable, st.text("Aw_-", min_size=22, max_size=22))
payloads = st.dictionaries(st.text("abc", max_size=6), texts | st.integers(0, 99) | st.lists(texts, max_size=4))


@settings(max_examples=150, deadline=None)
@given(payloads, st.binary(max_size=80), st.binary(max_size=300))
def test_a_token_comes_back(payload: dict[str, object], signature: bytes, junk: bytes) -> None:
    """Whether it came in segments or as text, with whatever in it that looks like an identifier or a mark."""
    header, body = b'{"alg":"ES256"}', canonical.encode(payload)
    for segments in ((header, body, signature), (header, junk, signature), (junk, body, signature)):
        token = ".".join(map(b64u_encode, segments)).encode()
        assert unpack(pack(token)) == unpack(pack(token, segments)) == token
        assert unpack_payload(pack(token)) == (segments[1] if segments[0] else None)
    assert unpack(pack(junk)) == junk


def test_what_was_written_before_can_still_be_read() -> None:
    """These bytes stand in databases: a later program reads them, whatever it would write itself."""
    assert unpack(KEPT_STATEMENT) == STATEMENT
    assert unpack(KEPT_BODY) == canonical.encode(BODY)


def test_no_dictionary_ever_changes() -> None:
    """A record names its dictionary, so each is there for ever, and the newest is the one in use."""
    folder = resources.files("ledger").joinpath("dictionaries")
    found = {
        int(file.name.split("-")[1].split(".")[0]): sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()
    }
    assert found == DICTIONARIES and max(found) == DICTIONARY


@pytest.mark.parametrize(
    "data", [b"", b"\x01\xff" + KEPT_BODY[2:], KEPT_BODY[:-9], b"\x07\x01\x00\x4d\x40", b"\x03\x01"]
)
def test_what_nobody_packed_is_a_value_error(data: bytes) -> None:
    """An unknown dictionary, a frame cut short, lengths that lead nowhere."""
    with pytest.raises(ValueError):
        unpack(data)


def test_a_licence_statement_takes_little_more_than_its_random_bytes() -> None:
    """Identifiers and signature are all that cannot be made smaller; the frame around them is in the dictionary."""
    assert len(pack(STATEMENT)) < 64 + 64 + 100 < len(STATEMENT)


def test_only_a_token_has_a_payload() -> None:
    """A personal part is none, and what was never packed is refused."""
    assert unpack_payload(pack(canonical.encode(BODY))) is None
    assert unpack_payload(KEPT_STATEMENT) == canonical.encode(PAYLOAD)
    with pytest.raises(ValueError, match="nothing was packed"):
        unpack_payload(b"")
