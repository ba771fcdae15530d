"""Trust lists: one form, one path to the pinned root, never backwards."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.issuer import BASE, FOOD, MARKET, NOW, ORIGIN, Issuer
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import encode_segment, read_json
from verifiers.members import Members
from verifiers.note import KeyType, NoteKey
from verifiers.trust_document import Position, Revocation, TrustedLog, Witness
from verifiers.trust_list import TrustDocument, TrustList, open_trust_list

ISSUER = Issuer(watchers=3, quorum=2)


def opened(token: str, **changes: Any) -> TrustList:
    """The list in `token` for a verifier that pinned the example root."""
    arguments: dict[str, Any] = {"root_fingerprint": ISSUER.pin, "at": NOW} | changes
    return open_trust_list(token, **arguments)


def refusal(token: str, **changes: Any) -> Reason:
    """Why `token` is refused."""
    with pytest.raises(VerificationError) as caught:
        opened(token, **changes)
    return caught.value.reason


def rewritten(**changes: Any) -> str:
    """A list, signed by the list key, whose payload was changed; `None` stays null, `...` removes a member."""
    head, body, _ = ISSUER.trust_token().split(".")
    payload = read_json(b64u_decode(body), Reason.TRUST) | changes
    payload = {name: value for name, value in payload.items() if value is not ...}
    signing_input = f"{head}.{encode_segment(payload)}"
    return f"{signing_input}.{b64u_encode(ISSUER.sign('list', signing_input.encode()))}"


def test_a_document_reads_back_as_it_was_written() -> None:
    """Every row is a pair of reading and writing, optional members included."""
    end = ISSUER.position()
    document = ISSUER.document(
        prev=bytes(32),
        former=("https://old.example",),
        keys=ISSUER.key_change(f"{MARKET}/licence", log_to=end, revoked=Revocation(NOW, "compromised", end)),
        departments=(
            *ISSUER.document().departments[:1],
            replace(ISSUER.document().departments[1], status="merged", successor=MARKET),
        ),
        logs=(replace(ISSUER.document().logs[0], to=end),),
        grants=tuple(replace(grant, log_to=end) for grant in ISSUER.document().grants),
    )

    read = TrustDocument.read(Members(document.to_json(), Reason.TRUST))

    assert read.to_json() == document.to_json()
    assert read == replace(document, keys=read.keys) and set(read.keys) == set(document.keys)


def test_an_opened_list_finds_what_verifiers_ask_for() -> None:
    """By certificate, key id, number and URI."""
    trust = opened(ISSUER.trust_token())
    certificate = ISSUER.certificate(f"{MARKET}/licence")
    key = trust.key_of_certificate(certificate)
    code_key = ISSUER.public(f"{MARKET}/code")

    assert key is not None and key.department == MARKET and key.purpose == "licence"
    assert trust.key_of_certificate(certificate + b"x") is None
    assert [one.public_key for one in trust.code_keys(code_key.key_id[:8])] == [code_key]
    assert trust.code_keys(bytes(8)) == ()
    assert trust.check_certificate(certificate).san_uri == f"{BASE}/d/{MARKET}"
    assert trust.type_of(f"{BASE}/types/{FOOD}/1") is trust.type_number(1)
    assert trust.department(MARKET) is trust.department_number(1)
    assert trust.status_uri(1) in trust.status_uris
    assert (trust.epoch(ORIGIN), trust.epoch("other")) == (0, -1)
    assert (trust.pinned, trust.region) == (True, "610000")


def test_without_a_pin_a_list_opens_but_says_so() -> None:
    """No verdict under it is better than undetermined."""
    assert not opened(ISSUER.trust_token(), root_fingerprint=None).pinned


def test_types_of_a_former_address_stay_known() -> None:
    """A region may move; licences keep the type URI they were issued with."""
    trust = ISSUER.trust(former=("https://old.example",))

    assert trust.type_of(f"https://old.example/types/{FOOD}/1") is trust.type_number(1)


def test_a_list_of_another_root_is_refused() -> None:
    """Whoever signs it, the pin decides."""
    assert refusal(Issuer().trust_token()) is Reason.ROOT_MISMATCH


def test_a_list_signed_by_any_other_key_of_the_region_is_refused() -> None:
    """A department's certificate, or the status key's, chains to the root too."""
    for name in (f"{MARKET}/licence", "status"):
        assert refusal(ISSUER.trust_token(key=name)) is Reason.TRUST_CERTIFICATE


def test_a_list_under_a_certificate_of_another_root_is_refused() -> None:
    """[list certificate, root] must be a path."""
    other = Issuer()
    token = other.trust_token()
    header = read_json(b64u_decode(token.split(".")[0]), Reason.TRUST)
    header["x5c"][1] = read_json(b64u_decode(ISSUER.trust_token().split(".")[0]), Reason.TRUST)["x5c"][1]
    forged = ".".join((encode_segment(header), *token.split(".")[1:]))

    assert refusal(forged) is Reason.TRUST_CERTIFICATE


def test_a_list_whose_certificate_has_expired_is_refused() -> None:
    """The list key's own term."""
    assert refusal(ISSUER.trust_token(), at=NOW + dt.timedelta(days=19_500)) is Reason.TRUST_CERTIFICATE


def test_a_wrong_key_id_or_signature_is_refused() -> None:
    """The header's key id is the certificate's, the signature the key's."""
    head, body, tail = ISSUER.trust_token().split(".")
    header = read_json(b64u_decode(head), Reason.TRUST) | {"kid": "A" * 22}

    assert refusal(f"{encode_segment(header)}.{body}.{tail}") is Reason.TRUST_CERTIFICATE
    assert refusal(f"{head}.{body}.{'A' * 84}AA") is Reason.TRUST_SIGNATURE


def test_an_older_list_than_seen_is_refused() -> None:
    """`seq` only rises."""
    assert refusal(ISSUER.trust_token(), seen_seq=2) is Reason.TRUST_ROLLBACK
    assert opened(ISSUER.trust_token(), seen_seq=1).document.seq == 1


ROWS = ISSUER.document().to_json()


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"seq": 0},
        {"seq": ...},
        {"region": "61"},
        {"prev": "x"},
        {"prev": ...},
        {"iat": "2026"},
        {"exp": 10**12},
        {"more": 1},
        {"peers": ["x"]},
        {"names": {"zh": "x"}},
        {"names": {"zh": "x", "en": "x", "fr": "x"}},
        {"former": [1]},
        {"departments": list(reversed(ROWS["departments"]))},
        {"departments": ROWS["departments"] + ROWS["departments"][:1]},
        {"departments": [ROWS["departments"][0], ROWS["departments"][1] | {"num": 1}]},
        {"departments": [ROWS["departments"][0] | {"status": "gone"}]},
        {"keys": [ROWS["keys"][0] | {"purpose": "all"}]},
        {"keys": [ROWS["keys"][0] | {"kid": "A" * 22}]},
        {"keys": [ROWS["keys"][0] | {"spki": "AAAA"}]},
        {"keys": [ROWS["keys"][0] | {"suite": "RS256"}]},
        {"keys": [ROWS["keys"][0] | {"revoked": {"at": "yesterday", "reason": "x"}}]},
        {"grants": [ROWS["grants"][0] | {"acts": ["rule"]}]},
        {"grants": [ROWS["grants"][0] | {"area": "everywhere"}]},
        {"types": [ROWS["types"][0] | {"integrity": ["md5-x"]}]},
        {"types": [ROWS["types"][0] | {"receipt": "maybe"}]},
        {"logs": [ROWS["logs"][0] | {"keys": []}]},
        {"logs": [ROWS["logs"][0] | {"keys": ["x"]}]},
        {"logs": [ROWS["logs"][0] | {"witnesses": {"k": 4, "keys": ROWS["logs"][0]["witnesses"]["keys"]}}]},
        {"logs": ROWS["logs"] * 2},
        {"logs": "x"},
        {"status_lists": [{"num": 1, "uri": "x"}]},
    ],
)
def test_a_list_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    """Even when the right key has signed it: one version, one form, one order, no two rows with one number."""
    assert refusal(rewritten(**changes)) is Reason.TRUST


@pytest.mark.parametrize("x5c", [None, [], ["AAAA"], [1, 2], ["!", "!"]])
def test_a_list_without_its_path_is_refused(x5c: Any) -> None:
    """The header carries list certificate and root."""
    _, body, tail = ISSUER.trust_token().split(".")
    header = encode_segment({"alg": "ES256", "kid": "x", "typ": "elicence-trust-list+jwt", "x5c": x5c})

    assert refusal(f"{header}.{body}.{tail}") is Reason.TRUST


def test_a_position_starts_with_the_empty_tree() -> None:
    """A fresh log has nothing in it."""
    assert Position.start(ORIGIN).to_json()["size"] == 0


def test_a_witness_may_not_be_the_log_itself() -> None:
    """One key under two names would make a quorum of one."""
    key = NoteKey("witness.example", KeyType.ED25519_COSIGNATURE, ISSUER.public("log-ed25519"))
    log = TrustedLog(ORIGIN, ISSUER.document().logs[0].keys, 0, None, 1, (Witness(key.name, key.to_text(), BASE),))

    assert refusal(rewritten(logs=[log.to_json()])) is Reason.TRUST
