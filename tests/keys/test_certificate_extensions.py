"""Certificates made by hand: each extension that is missing, other or unknown is refused."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keys.certificates import (
    check_leaf,
)
from keys.errors import BadCertificate
from keys.private_key import PrivateKey
from tests.keys.chain import (
    DEPARTMENT,
    DNS,
    END,
    START,
    Chain,
    names,
)

Builder = x509.CertificateBuilder


def hand_made(
    chain: Chain,
    without: type[x509.ExtensionType] | None = None,
    instead: x509.ExtensionType | None = None,
    critical: bool = False,
    subject: x509.Name | None = None,
    signed: Callable[[Builder, PrivateKey], x509.Certificate] = lambda b, key: b.sign(key.held, SHA256()),
) -> bytes:
    """Return a leaf like the chain's own but for one extension, its subject or the way it is signed."""
    good, root = map(x509.load_der_x509_certificate, (chain.leaf, chain.root))
    builder = Builder().subject_name(subject or good.subject).issuer_name(root.subject)
    builder = builder.public_key(chain.leaf_key.held.public_key()).serial_number(7)
    builder = builder.not_valid_before(START).not_valid_after(END)
    for extension in good.extensions:
        if not isinstance(extension.value, without or type(instead)):
            builder = builder.add_extension(extension.value, extension.critical)
    if instead is not None:
        builder = builder.add_extension(instead, critical)
    return signed(builder, chain.root_key).public_bytes(Encoding.DER)


def usage(**uses: bool) -> x509.KeyUsage:
    """Return a KeyUsage with only `uses`."""
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    return x509.KeyUsage(
        **{use: uses.get(use, False) for use in every.split()}, encipher_only=False, decipher_only=False
    )


@pytest.mark.parametrize(
    "instead",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        usage(key_encipherment=True),
        usage(digital_signature=True, key_cert_sign=True),
        usage(digital_signature=True, crl_sign=True),
        x509.AuthorityKeyIdentifier(bytes(32), None, None),
        x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(x509.Name([]))], 1),
        names(),
        names(DNS, x509.DNSName("other.example")),
        names(x509.DNSName("other.example")),
        names(DNS, x509.RFC822Name("a@ledger.example")),
        names(DNS, x509.UniformResourceIdentifier("https://ledger.example/d/other")),
        x509.SubjectAlternativeName([DNS]),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:no-host"), DNS]),
    ],
    ids=lambda extension: repr(extension)[1:70],
)
def test_a_leaf_with_another_extension_is_refused(chain: Chain, instead: x509.ExtensionType) -> None:
    """Signed by the true root, but not of the profile."""
    with pytest.raises(BadCertificate):
        check_leaf(hand_made(chain, instead=instead), chain.root)


@pytest.mark.parametrize(
    "missing",
    [
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
        x509.SubjectAlternativeName,
    ],
)
def test_a_leaf_without_one_of_the_five_extensions_is_refused(chain: Chain, missing: type[x509.ExtensionType]) -> None:
    """Each of them is needed by some verifier."""
    with pytest.raises(BadCertificate, match="lacks"):
        check_leaf(hand_made(chain, without=missing), chain.root)


def test_unknown_extensions_are_refused_only_when_critical(chain: Chain) -> None:
    """A note in the margin is allowed; a restriction we do not understand is not."""
    extra = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])

    check_leaf(hand_made(chain, instead=extra), chain.root)
    with pytest.raises(BadCertificate, match="critical"):
        check_leaf(hand_made(chain, instead=extra, critical=True), chain.root)


def test_other_signature_algorithms_are_refused(chain: Chain) -> None:
    """The algorithm is not for the certificate to choose."""
    with pytest.raises(BadCertificate, match="ES256"):
        check_leaf(hand_made(chain, signed=lambda builder, key: builder.sign(key.held, SHA384())), chain.root)
    stranger = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(BadCertificate, match="ES256"):
        check_leaf(hand_made(chain, signed=lambda builder, _: builder.sign(stranger, None)), chain.root)


@pytest.mark.parametrize(
    "attributes",
    [
        [(NameOID.COMMON_NAME, "licence")],
        [(NameOID.ORGANIZATION_NAME, "示例局")],
        [(NameOID.COMMON_NAME, "licence"), (NameOID.COMMON_NAME, "list"), (NameOID.ORGANIZATION_NAME, "示例局")],
        [
            (NameOID.COMMON_NAME, "licence"),
            (NameOID.ORGANIZATION_NAME, "示例局"),
            (NameOID.SERIAL_NUMBER, DEPARTMENT),
            (NameOID.ORGANIZATION_IDENTIFIER, "NTRCN-91330106EXAMPLE002"),
        ],
    ],
)
def test_subjects_that_are_incomplete_or_contradict_themselves_are_refused(
    chain: Chain, attributes: list[tuple[x509.ObjectIdentifier, str]]
) -> None:
    """One purpose, one organisation, and at most one department number in its two places."""
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])

    with pytest.raises(BadCertificate):
        check_leaf(hand_made(chain, subject=subject, without=x509.UnrecognizedExtension), chain.root)
