"""Signed requests between regions (RFC 9421): what is signed opens, and nothing else does."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from api.http_signatures import LABEL, BadRequestSignature, Fault, Opened, open_request, sign_request
from keys.public_key import PublicKey
from keys.signer import Signer
from keys.suites import ED25519, ES256
from tests.region import memory_store

AT = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)
URL = "https://b.example/peer/scans"
BODY = b'{"code":"C"}'

Headers = dict[str, str]


@pytest.fixture
def signer() -> Signer:
    """A region's key for calls to others."""
    store = memory_store()
    store.create("peer", ES256)
    return store.signer("peer")


async def signed(signer: Signer, **changes: Any) -> Headers:
    """The headers of a request to `URL` that carries `BODY`."""
    given: dict[str, Any] = {"region": "610000", "method": "POST", "url": URL, "body": BODY, "at": AT}
    return await sign_request(signer, **(given | changes))


def opened(headers: Headers | list[tuple[str, str]], key: PublicKey | None, **changes: Any) -> Opened:
    """Open that request with `key`."""
    lines = list(headers.items()) if isinstance(headers, dict) else headers
    given: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "at": AT}
    return open_request(
        lines, key_of=lambda kid: key if key is not None and kid == key.kid else None, **given | changes
    )


def fault_of(headers: Headers | list[tuple[str, str]], key: PublicKey | None, **changes: Any) -> Fault:
    """Say why a request is refused."""
    with pytest.raises(BadRequestSignature) as refused:
        opened(headers, key, **changes)
    return refused.value.fault


async def test_what_one_region_signs_another_opens(signer: Signer) -> None:
    """Key id, nonce and end of a request come out as they went in, and every request has a nonce of its own."""
    first, second = await signed(signer), await signed(signer)
    found = opened(first, signer.public_key)
    assert found.kid == signer.public_key.kid
    assert found.until == AT + timedelta(seconds=120)
    assert found.nonce != opened(second, signer.public_key).nonce


async def test_the_signature_is_over_the_base_the_standard_describes(signer: Signer) -> None:
    """Judged without the library: the signature base of RFC 9421 §2.5 put together by hand, and plain ECDSA."""
    headers = await signed(signer)
    parameters = headers["Signature-Input"].removeprefix(f"{LABEL}=")
    base = "\n".join(
        [
            '"@method": POST',
            f'"@target-uri": {URL}',
            '"elicence-region": 610000',
            f'"content-digest": {headers["Content-Digest"]}',
            f'"@signature-params": {parameters}',
        ]
    )
    raw = base64.b64decode(headers["Signature"].removeprefix(f"{LABEL}=:").removesuffix(":"))
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = load_der_public_key(signer.public_key.spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, base.encode(), ec.ECDSA(SHA256()))
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert headers["Content-Digest"] == f"sha-256=:{digest}:"


def _without(name: str) -> Callable[[Headers], Any]:
    return lambda headers: {each: value for each, value in headers.items() if each != name}


def _with(name: str, change: Callable[[str], str]) -> Callable[[Headers], Any]:
    return lambda headers: headers | {name: change(headers[name])}


def _twice(name: str) -> Callable[[Headers], Any]:
    return lambda headers: [*headers.items(), (name, headers[name])]


def _second_label(headers: Headers) -> Headers:
    """The same signature once more under another label, in the same header lines."""
    more = dict(headers)
    for name in ("Signature", "Signature-Input"):
        more[name] += ", other" + headers[name].removeprefix(LABEL)
    return more


TAMPERED: dict[str, Callable[[Headers], Any]] = {
    "no signature": _without("Signature"),
    "no digest": _without("Content-Digest"),
    "no region": _without("Elicence-Region"),
    "another region": _with("Elicence-Region", lambda _: "620000"),
    "two signatures": _second_label,
    "a signature line twice": _twice("Signature"),
    "an input line twice": _twice("Signature-Input"),
    "a digest line twice": _twice("Content-Digest"),
    "a region line twice": _twice("Elicence-Region"),
    "a flipped signature": _with("Signature", lambda text: text[:7] + ("A" if text[7] != "A" else "B") + text[8:]),
    "a short signature": _with("Signature", lambda _: "peer=:AAAA:"),
    "another digest": _with("Content-Digest", lambda _: "sha-256=:" + "A" * 43 + "=:"),
    "a digest of no known kind": _with("Content-Digest", lambda text: text.replace("sha-256", "md5")),
    "another nonce": _with("Signature-Input", lambda text: text.replace('nonce="', 'nonce="x')),
    "a short nonce": _with(
        "Signature-Input", lambda text: text.partition(";nonce")[0] + ';nonce="x";tag="elicence-peer"'
    ),
    "a later end": _with(
        "Signature-Input", lambda text: text.replace(f"expires={int(AT.timestamp()) + 60}", "expires=1795248600")
    ),
    "another beginning": _with(
        "Signature-Input",
        lambda text: text.replace(f"created={int(AT.timestamp())}", f"created={int(AT.timestamp()) + 1}"),
    ),
    "another algorithm": _with("Signature-Input", lambda text: text.replace("ecdsa-p256-sha256", "ed25519")),
    "another tag": _with("Signature-Input", lambda text: text.replace("elicence-peer", "elicence-else")),
    "no tag": _with("Signature-Input", lambda text: text.replace(';tag="elicence-peer"', "")),
    "a foreign parameter": _with("Signature-Input", lambda text: text + ";more=1"),
    "a component less": _with("Signature-Input", lambda text: text.replace(' "content-digest"', "")),
    "a component more": _with(
        "Signature-Input", lambda text: text.replace('"content-digest")', '"content-digest" "@path")')
    ),
    "components turned round": _with(
        "Signature-Input", lambda text: text.replace('"@method" "@target-uri"', '"@target-uri" "@method"')
    ),
    "not a structured field": _with("Signature-Input", lambda _: "peer=("),
    "an endless header": _with("Signature-Input", lambda text: text + " " * 3000),
}


@pytest.mark.parametrize("tampering", TAMPERED.values(), ids=TAMPERED.keys())
async def test_no_part_of_a_signed_request_can_be_changed(signer: Signer, tampering: Callable[[Headers], Any]) -> None:
    """Headers that are missing, doubled, changed or added make the request unsigned."""
    headers = await signed(signer)
    changed = tampering(headers)
    assert changed != headers
    assert fault_of(changed, signer.public_key) is Fault.INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "PUT"),
        ("url", "https://b.example/peer/notices"),
        ("url", "https://c.example/peer/scans"),
        ("body", b"{}"),
    ],
    ids=["method", "path", "host", "body"],
)
async def test_a_signature_is_for_one_method_address_and_body(signer: Signer, name: str, value: Any) -> None:
    """A signed request cannot be sent elsewhere or with another body."""
    assert fault_of(await signed(signer), signer.public_key, **{name: value}) is Fault.INVALID


async def test_an_unsigned_request_is_told_so(signer: Signer) -> None:
    """No signature at all is another fault than a bad one."""
    assert fault_of({"Elicence-Region": "610000"}, signer.public_key) is Fault.MISSING


async def test_only_the_key_of_the_trust_list_counts(signer: Signer) -> None:
    """An unknown key id is told apart; another key under the same id, or of another suite, does not verify."""
    headers = await signed(signer)
    assert fault_of(headers, None) is Fault.KEY
    store = memory_store()
    kid = signer.public_key.kid
    other, ed25519 = store.create("peer", ES256), store.create("log", ED25519)
    for key in (other, ed25519):
        with pytest.raises(BadRequestSignature) as refused:
            open_request(headers.items(), method="POST", url=URL, body=BODY, at=AT, key_of={kid: key}.get)
        assert refused.value.fault is Fault.INVALID


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(-61, False), (-60, True), (0, True), (120, True), (121, False)],
    ids=["before", "clocks apart", "on time", "late", "too late"],
)
async def test_a_request_counts_for_a_minute_and_the_clocks_may_differ_by_one(
    signer: Signer, seconds: int, counts: bool
) -> None:
    """Outside of that it is stale, which says that a clock is wrong or that somebody kept it."""
    headers, at = await signed(signer), AT + timedelta(seconds=seconds)
    if counts:
        assert opened(headers, signer.public_key, at=at).kid == signer.public_key.kid
    else:
        assert fault_of(headers, signer.public_key, at=at) is Fault.STALE
