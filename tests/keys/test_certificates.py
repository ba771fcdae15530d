"""Certificates: what we make, others accept; what we accept is exactly a root and one leaf under it."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.certificates import (
    LeafSubject,
    certified_key,
    check_leaf,
    check_root,
    fingerprint,
    parse_fingerprint,
    service_subject,
)
from keys.certification import from_pem_or_der, issue_leaf, read_request, to_pem, write_request
from keys.errors import BadCertificate, BadKey
from keys.local_signer import LocalSigner
from keys.private_key import PrivateKey
from keys.suites import ES256
from tests.keys.chain import (
    DEPARTMENT,
    DNS,
    END,
    PINNED,
    REQUEST,
    START,
    SUBJECT,
    Chain,
    flipped,
    make_leaf,
    make_root,
    names,
    read_der_request,
)


def test_a_leaf_says_who_signs_for_what(chain: Chain) -> None:
    """Key, department, purpose, `iss` and dates come out of the leaf as they went in."""
    leaf = check_leaf(chain.leaf, chain.root)

    assert leaf.public_key == chain.leaf_key.public_key
    assert leaf.subject == SUBJECT
    assert leaf.san_uri == f"https://ledger.example/d/{DEPARTMENT}"
    assert leaf.san_dns == "ledger.example"
    assert (leaf.not_before, leaf.not_after) == (START, START + timedelta(days=400))
    assert leaf.sha256 == fingerprint(chain.leaf)


def test_a_root_says_its_name_and_dates(chain: Chain) -> None:
    """The root's key, name, dates and fingerprint are read from it."""
    root = check_root(chain.root)

    assert root.public_key == chain.root_key.public_key
    assert (root.region, root.name, root.not_before, root.not_after) == ("330106", "示例区", START, END)
    assert root.sha256 == fingerprint(chain.root)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8000", "https://[2001:db8::1]", "https://ledger.example:8443/x/"])
async def test_hosts_may_be_addresses_and_have_ports(chain: Chain, base: str) -> None:
    """A region on a bare address gets an IP alternative name instead of a DNS name."""
    subject = service_subject(base, "status", "示例区")

    leaf = check_leaf(await make_leaf(chain.root_key, chain.root, chain.leaf_key, subject), chain.root)

    assert leaf.san_uri == f"{base.rstrip('/')}/status"
    assert leaf.san_dns == ("ledger.example" if "example" in base else None)
    assert leaf.subject.department is None


def test_the_verifier_of_cryptography_accepts_the_chain(chain: Chain) -> None:
    """A strict Web-PKI path builder, as other credential verifiers use it, finds nothing to refuse."""
    root, leaf = map(x509.load_der_x509_certificate, (chain.root, chain.leaf))
    policy = PolicyBuilder().store(Store([root])).time(START + timedelta(days=1))

    assert policy.build_server_verifier(x509.DNSName("ledger.example")).verify(leaf, []) == [leaf, root]
    assert policy.build_client_verifier().verify(leaf, []).chain == [leaf, root]
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("other.example")).verify(leaf, [])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_openssl_accepts_the_chain(chain: Chain, tmp_path: Path) -> None:
    """`openssl verify -x509_strict` is content."""
    (tmp_path / "root.pem").write_text(to_pem(chain.root))
    (tmp_path / "leaf.pem").write_text(to_pem(chain.leaf))
    at = str(int((START + timedelta(days=1)).timestamp()))

    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", "root.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "leaf.pem: OK\n"), done.stderr


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_any_flipped_byte_in_a_leaf_or_root_is_refused(chain: Chain) -> None:
    """Names, dates, key, extensions, signature: no position is slack, not even the count of unused bits."""
    for position in range(len(chain.leaf)):
        with pytest.raises(BadCertificate):
            check_leaf(flipped(chain.leaf, position), chain.root)
    for position in range(len(chain.root)):
        with pytest.raises(BadCertificate):
            check_leaf(chain.leaf, flipped(chain.root, position))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_certificates_and_requests_of_mangled_bytes_raise_only_our_error(mangled: Random) -> None:
    """Whatever the parser underneath stumbles over, it comes out as `BadCertificate`."""
    for good, read in ((PINNED.leaf, certified_key), (PINNED.root, check_root), (REQUEST, read_der_request)):
        data = bytearray(good)
        for _ in range(mangled.randint(1, 6)):
            data[mangled.randrange(len(data))] = mangled.randrange(256)
        try:
            read(bytes(data))
        except BadCertificate:
            continue
        # `certified_key` looks at the form only; the other two check a signature over nearly every byte.
        assert bytes(data) == good or read is certified_key


def test_truncated_extended_and_oversized_certificates_are_refused(chain: Chain) -> None:
    """Only the exact DER is a certificate."""
    for bad in (b"", b"\x30", chain.leaf[:-1], chain.leaf + b"\0", chain.leaf * 20, to_pem(chain.leaf).encode()):
        with pytest.raises(BadCertificate):
            check_leaf(bad, chain.root)
        with pytest.raises(BadCertificate):
            check_leaf(chain.leaf, bad)


async def test_a_leaf_of_another_root_is_refused(chain: Chain) -> None:
    """Neither a stranger's root nor one of the same name with another key will do."""
    for name in ("别区", "示例区"):
        with pytest.raises(BadCertificate):
            check_leaf(chain.leaf, await make_root(PrivateKey.generate(ES256), name))


def test_root_and_leaf_do_not_stand_in_for_each_other(chain: Chain) -> None:
    """A root is no leaf, a leaf is no root."""
    for leaf, root in ((chain.root, chain.root), (chain.leaf, chain.leaf), (chain.root, chain.leaf)):
        with pytest.raises(BadCertificate):
            check_leaf(leaf, root)


async def test_a_leaf_cannot_issue(chain: Chain) -> None:
    """The path is exactly [leaf, root]: a department makes no certificates."""
    with pytest.raises(BadCertificate):
        await make_leaf(chain.leaf_key, chain.leaf, PrivateKey.generate(ES256))


async def test_a_leaf_stays_inside_its_roots_validity(chain: Chain) -> None:
    """A leaf that would outlive its root, or start before it, is not issued."""
    request = read_request(write_request(chain.leaf_key, SUBJECT))
    signer, second = LocalSigner("root", None, chain.root_key), timedelta(seconds=1)

    for not_before, not_after in ((START, END + second), (START - second, END)):
        with pytest.raises(BadCertificate, match="validity"):
            await issue_leaf(signer, chain.root, request, not_before=not_before, not_after=not_after)
    with pytest.raises(ValueError):
        await issue_leaf(signer, chain.root, request, not_before=END, not_after=START)
    leaf = await issue_leaf(signer, chain.root, request, not_before=START, not_after=END)
    assert check_leaf(leaf, chain.root).not_after == END


async def test_the_wrong_root_key_issues_nothing(chain: Chain) -> None:
    """Key and root certificate must belong together."""
    with pytest.raises(BadCertificate):
        await make_leaf(PrivateKey.generate(ES256), chain.root, chain.leaf_key)


async def test_only_es256_keys_are_certified(chain: Chain) -> None:
    """Roots and requests of other suites are refused."""
    ed = PrivateKey.generate("Ed25519")

    with pytest.raises(BadKey):
        await make_root(ed)
    with pytest.raises(BadKey):
        write_request(ed, SUBJECT)


def test_a_request_tells_its_key_and_subject(chain: Chain) -> None:
    """What goes to the root as PEM comes out unchanged."""
    request = read_request(write_request(chain.leaf_key, SUBJECT))

    assert (request.public_key, request.subject) == (chain.leaf_key.public_key, SUBJECT)


def test_a_request_must_be_signed_by_the_key_it_is_for(chain: Chain) -> None:
    """Nobody gets a certificate for a key that somebody else holds; rubbish is refused alike."""
    pem = write_request(chain.leaf_key, SUBJECT)
    lines = pem.splitlines()
    middle = len(lines) // 2
    other = "A" if lines[middle][10] != "A" else "B"
    lines[middle] = lines[middle][:10] + other + lines[middle][11:]

    for bad in ("\n".join(lines), pem[:-40], "", "示例", to_pem(chain.leaf), pem + "x" * 9000):
        with pytest.raises(BadCertificate):
            read_request(bad)


def test_requests_for_other_curves_and_without_names_are_refused() -> None:
    """A request comes from our own `request` or it is not signed."""
    held = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "licence")])
    p384 = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names(DNS), False)
    bare = x509.CertificateSigningRequestBuilder().subject_name(subject)

    for request in (
        p384.sign(held, SHA256()),
        bare.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()),
        p384.sign(ed25519.Ed25519PrivateKey.generate(), None),
    ):
        with pytest.raises(BadCertificate):
            read_request(request.public_bytes(Encoding.PEM).decode())


@pytest.mark.parametrize("uri", ["", "list", "https://", "https://示例/d", "https://[::1/d"])
def test_a_subject_without_a_plain_host_is_refused(uri: str) -> None:
    """The host becomes a DNS name, so there must be one, in ASCII."""
    with pytest.raises(BadCertificate):
        write_request(PrivateKey.generate(ES256), LeafSubject("list", "示例区", uri))


def test_an_organisation_too_long_for_x509_is_refused() -> None:
    """X.509 has room for 64 characters."""
    with pytest.raises(BadCertificate):
        write_request(PrivateKey.generate(ES256), service_subject("https://ledger.example", "list", "示" * 65))


def test_fingerprints_are_read_as_people_write_them(chain: Chain) -> None:
    """Colons, capitals and line breaks fall away; anything else is refused."""
    plain = fingerprint(chain.root)
    colons = ":".join(plain[n : n + 2] for n in range(0, 64, 2)).upper()

    assert parse_fingerprint(colons) == parse_fingerprint(f"{plain}\n") == plain
    for bad in ("", plain[:-1], plain + "0", plain.replace(plain[0], "g"), "0x" + plain):
        with pytest.raises(BadCertificate):
            parse_fingerprint(bad)


def test_certificates_are_read_as_pem_or_der(chain: Chain) -> None:
    """Both forms give the same DER; a broken PEM is refused."""
    assert from_pem_or_der(to_pem(chain.leaf).encode()) == from_pem_or_der(chain.leaf) == chain.leaf
    with pytest.raises(BadCertificate):
        from_pem_or_der(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
