"""X.509 certificates of a region, made: the root, requests, and leaves issued from requests.

The root signs through a `Signer`, so it may lie in a file store on an offline machine or in a token. What a
certificate says is laid down in docs/formats/certificates.md and checked by `keys.certificates`.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import NameOID

from keys.certificates import (
    CERTIFICATE_BYTES_MAX,
    FOREIGN_ERRORS,
    NAME_LENGTH_MAX,
    LeafSubject,
    assemble,
    check_leaf,
    check_root,
    is_ip,
    read_subject,
)
from keys.errors import BadCertificate, BadKey
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.signer import Signer
from keys.suites import ES256


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose sender holds the private half of `public_key`."""

    public_key: PublicKey
    subject: LeafSubject


def write_request(private: PrivateKey, subject: LeafSubject) -> str:
    """A PKCS#10 request (RFC 2986, PEM) for `subject`, signed by the key it asks a certificate for.

    Raises `BadKey` for another suite than ES256.
    """
    if private.public_key.suite != ES256:
        raise BadKey("certified keys are ES256")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    builder = builder.add_extension(_alternative_names(subject), critical=False)
    return builder.sign(private.held, SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def read_request(pem: str) -> Request:
    """The key and subject a PEM request asks for, after checking the sender's signature. Raises `BadCertificate`."""
    if len(pem) > CERTIFICATE_BYTES_MAX:
        raise BadCertificate("the certificate request is too long")
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        if not request.is_signature_valid:
            raise BadCertificate("the request is not signed by the key it is for")
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        spki = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key, name = PublicKey.from_spki(spki), request.subject
    except (*FOREIGN_ERRORS, BadKey):
        raise BadCertificate("not a certificate request of this project") from None
    if key.suite != ES256:
        raise BadCertificate("certified keys are ES256")
    return Request(key, read_subject(name, names)[0])


async def create_root(root: Signer, *, region: str, name: str, not_before: datetime, not_after: datetime) -> bytes:
    """The self-signed DER certificate of a region root; `region` is its GB/T 2260 code, `name` its name in words.

    Raises `BadKey` for another suite than ES256, `ValueError` for a reversed validity.
    """
    if root.public_key.suite != ES256:
        raise BadKey("a region root is ES256")
    subject = _x509_name(
        [
            (NameOID.COUNTRY_NAME, "CN"),
            (NameOID.ORGANIZATION_NAME, name),
            (NameOID.SERIAL_NUMBER, region),
            (NameOID.COMMON_NAME, f"{region} root"),
        ]
    )
    builder = _builder(root.public_key, subject, not_before, not_after).issuer_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(certificates=True), critical=True)
    certificate = await _signed(builder, root)
    check_root(certificate)
    return certificate


async def issue_leaf(
    root: Signer, root_certificate: bytes, request: Request, *, not_before: datetime, not_after: datetime
) -> bytes:
    """The DER leaf for `request`, signed by `root`; the result has passed `check_leaf`.

    Whoever calls decides that the requester is who the subject says. Raises `BadCertificate`, for one when the
    validity leaves the root's or `root` is not its key, `ValueError` for a reversed one.
    """
    check_root(root_certificate)
    issuer = x509.load_der_x509_certificate(root_certificate)
    issuer_key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(request.public_key, _name(request.subject), not_before, not_after).issuer_name(issuer.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(certificates=False), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
    )
    builder = builder.add_extension(_alternative_names(request.subject), critical=False)
    certificate = await _signed(builder, root)
    check_leaf(certificate, root_certificate)
    return certificate


def to_pem(certificate: bytes) -> str:
    """A DER certificate as PEM text."""
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM).decode("ascii")


def from_pem_or_der(data: bytes) -> bytes:
    """The DER of a certificate that is given as PEM or DER. Raises `BadCertificate`."""
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    try:
        return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    except ValueError:
        raise BadCertificate("not a certificate in PEM") from None


def _name(subject: LeafSubject) -> x509.Name:
    attributes = [(NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, subject.organisation)]
    if subject.department is not None:
        # ETSI EN 319 412-1 §5.1.4: NTR, the country, the number in that country's register.
        attributes += [
            (NameOID.ORGANIZATION_IDENTIFIER, f"NTRCN-{subject.department}"),
            (NameOID.SERIAL_NUMBER, subject.department),
        ]
    attributes.append((NameOID.COMMON_NAME, subject.purpose))
    return _x509_name(attributes)


def _x509_name(attributes: list[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    if any(len(value) > NAME_LENGTH_MAX for _, value in attributes):
        raise BadCertificate(f"X.509 has room for {NAME_LENGTH_MAX} characters in each part of a name")
    try:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    except ValueError:
        raise BadCertificate("a part of the subject is empty or no text") from None


def _alternative_names(subject: LeafSubject) -> x509.SubjectAlternativeName:
    host = subject.host
    named = x509.IPAddress(ip_address(host)) if is_ip(host) else x509.DNSName(host)
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject.uri), named])


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(key: PublicKey, subject: x509.Name, not_before: datetime, not_after: datetime) -> x509.CertificateBuilder:
    public = load_der_public_key(key.spki)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise BadKey("certified keys are ES256")
    builder = x509.CertificateBuilder().subject_name(subject).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(not_before).not_valid_after(not_after)
    # RFC 7093 §2 method 4: the hash of the SPKI, which is also this project's key id.
    return builder.add_extension(x509.SubjectKeyIdentifier(key.key_id), critical=False)


async def _signed(builder: x509.CertificateBuilder, root: Signer) -> bytes:
    """Sign through a `Signer`, which takes bytes: `cryptography` itself signs only with a key object in hand.

    The part to be signed names the algorithm but nothing of the signing key, so a throw-away key of the same suite
    brings out exactly the bytes that `root` has to sign.
    """
    unsigned = builder.sign(_throwaway(), SHA256()).tbs_certificate_bytes
    [signature] = await root.sign([unsigned])
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    return assemble(unsigned, der)


@lru_cache(maxsize=1)
def _throwaway() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
