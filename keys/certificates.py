"""X.509 certificates of a region, checked: one self-signed root and leaves directly under it, nothing between.

Pure: bytes in, facts out; whether "now" lies inside a validity period is for the caller, who knows the time.
The profile is described in docs/formats/certificates.md; it is a subset of RFC 5280.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from keys.errors import BadCertificate, BadKey, BadSignature
from keys.public_key import PublicKey
from keys.suites import ES256

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# A certificate of this profile has about 700 bytes; more is somebody trying something.
CERTIFICATE_BYTES_MAX = 8192
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier, RFC 5758 §3.2
# What the parser of `cryptography` raises on hostile bytes; only our own errors leave this package.
FOREIGN_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
# X.520 upper bound for names of organisations, in characters.
NAME_LENGTH_MAX = 64
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}


@dataclass(frozen=True, slots=True)
class LeafSubject:
    """Whom a leaf names and for what: `uri` is the `iss` of what the key signs.

    `organisation` is the department or region in words, `department` its USCC (None for services of the region
    itself), `purpose` one word such as `licence`, `code`, `statement`, `list` or `status`.
    """

    purpose: str
    organisation: str
    uri: str
    department: str | None = None

    @property
    def host(self) -> str:
        """The host of `uri`, which stands in the certificate as DNS name or IP address. Raises `BadCertificate`."""
        try:
            host = urlsplit(self.uri).hostname
        except ValueError:
            host = None
        if not host or not self.uri.isascii():
            raise BadCertificate(f"the URI {self.uri!r} names no host")
        return host


def department_subject(base: str, department: str, organisation: str, purpose: str) -> LeafSubject:
    """The subject of a department's key: `iss` is `<base>/d/<USCC>`."""
    return LeafSubject(purpose, organisation, f"{base.rstrip('/')}/d/{department}", department)


def service_subject(base: str, purpose: str, organisation: str) -> LeafSubject:
    """The subject of a key of the region's own services: the URI is `<base>/<purpose>`."""
    return LeafSubject(purpose, organisation, f"{base.rstrip('/')}/{purpose}")


@dataclass(frozen=True, slots=True)
class Root:
    """A region root that is well formed and signed by itself; `region` is its GB/T 2260 code, times are aware UTC."""

    public_key: PublicKey
    region: str
    name: str
    not_before: datetime
    not_after: datetime
    sha256: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf that chains to the root it was checked with; times are aware UTC, `sha256` is hex of the DER.

    `san_dns` is None when the host of `san_uri` is an IP address.
    """

    public_key: PublicKey
    subject: LeafSubject
    san_uri: str
    san_dns: str | None
    not_before: datetime
    not_after: datetime
    sha256: str


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of the DER certificate as 64 lower-case hex digits."""
    return sha256(certificate).hexdigest()


def parse_fingerprint(text: str) -> str:
    """A fingerprint as people write it (colons, spaces, upper case), in the form of `fingerprint`.

    Raises `BadCertificate`.
    """
    digits = re.sub(r"[:\s]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise BadCertificate("a fingerprint is SHA-256 in hex: 64 digits")
    return digits


@lru_cache(maxsize=64)
def check_root(root: bytes) -> Root:
    """The facts of a DER root certificate after checking its form and its own signature.

    It proves nothing about who made it: compare `sha256` with a pinned fingerprint. Raises `BadCertificate`.
    """
    certificate = _parsed(root)
    key = _public_key(certificate)
    _check_signature(certificate, key)
    extensions = _extensions(certificate)
    basic, usage = _extension(extensions, x509.BasicConstraints), _extension(extensions, x509.KeyUsage)
    if not basic.ca or basic.path_length != 0:
        raise BadCertificate("the root is not a CA with path length 0")
    if not usage.key_cert_sign:
        raise BadCertificate("the root may not sign certificates")
    if certificate.issuer != certificate.subject:
        raise BadCertificate("the root is not self-issued")
    region, name = (_only(certificate.subject, oid) for oid in (NameOID.SERIAL_NUMBER, NameOID.ORGANIZATION_NAME))
    if region is None or name is None:
        raise BadCertificate("the root does not name its region")
    return Root(key, region, name, certificate.not_valid_before_utc, certificate.not_valid_after_utc, fingerprint(root))


@lru_cache(maxsize=1024)
def check_leaf(leaf: bytes, root: bytes) -> Leaf:
    """The facts of a DER leaf certificate after checking the path of exactly [leaf, root].

    Checks signature, issuer, key identifiers, BasicConstraints, KeyUsage and that the leaf's validity lies within
    the root's. Whether the root is the pinned one and the time is right is the caller's part.
    Raises `BadCertificate`.
    """
    trusted = check_root(root)
    certificate = _parsed(leaf)
    _check_signature(certificate, trusted.public_key)
    extensions = _extensions(certificate)
    key = _public_key(certificate)
    basic, usage = _extension(extensions, x509.BasicConstraints), _extension(extensions, x509.KeyUsage)
    if basic.ca:
        raise BadCertificate("the leaf is a CA")
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise BadCertificate("the leaf's key usage is not digitalSignature alone")
    issuer = _parsed(root)
    if certificate.issuer != issuer.subject:
        raise BadCertificate("another root issued this leaf")
    _check_key_identifiers(extensions, _extensions(issuer))
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not trusted.not_before <= not_before < not_after <= trusted.not_after:
        raise BadCertificate("the leaf's validity is reversed or outside the root's")
    subject, san_dns = read_subject(certificate.subject, _extension(extensions, x509.SubjectAlternativeName))
    return Leaf(key, subject, subject.uri, san_dns, not_before, not_after, fingerprint(leaf))


def certified_key(certificate: bytes) -> PublicKey:
    """The key a DER certificate is for, with nothing about it checked but its form. Raises `BadCertificate`."""
    return _public_key(_parsed(certificate))


def certified_until(certificate: bytes) -> datetime:
    """When a DER certificate ends (aware UTC), with nothing about it checked but its form. Raises `BadCertificate`."""
    return _parsed(certificate).not_valid_after_utc


def read_subject(name: x509.Name, names: x509.SubjectAlternativeName) -> tuple[LeafSubject, str | None]:
    """The subject in a certificate's or request's names, and its DNS name if it has one. Raises `BadCertificate`."""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    if len(uris) != 1 or len(hosts) != 1 or len(list(names)) != 2:
        raise BadCertificate("the alternative names are not one URI and its host")
    purpose = _only(name, NameOID.COMMON_NAME)
    organisation = _only(name, NameOID.ORGANIZATION_NAME)
    department = _only(name, NameOID.SERIAL_NUMBER)
    if _only(name, NameOID.ORGANIZATION_IDENTIFIER) != (department and f"NTRCN-{department}"):
        raise BadCertificate("serialNumber and organizationIdentifier name two organisations")
    if not purpose or not organisation:
        raise BadCertificate("the subject lacks a common name or an organisation")
    subject = LeafSubject(purpose, organisation, uris[0], department)
    if subject.host != hosts[0]:
        raise BadCertificate("the URI and the host in the alternative names differ")
    return subject, None if is_ip(hosts[0]) else hosts[0]


def assemble(signed_part: bytes, signature: bytes) -> bytes:
    """The DER certificate of its to-be-signed part and a DER ECDSA signature with SHA-256 (RFC 5280 §4.1)."""
    return _tagged(0x30, signed_part + _ECDSA_WITH_SHA256 + _tagged(0x03, b"\0" + signature))


def is_ip(host: str) -> bool:
    """Whether `host` is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _only(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    found = name.get_attributes_for_oid(oid)
    if len(found) > 1:
        raise BadCertificate("the subject repeats an attribute")
    return str(found[0].value) if found else None


def _parsed(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise BadCertificate("the certificate is too long")
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.version is not x509.Version.v3:
            raise BadCertificate("not an X.509 v3 certificate")
        if certificate.serial_number <= 0:
            raise BadCertificate("the serial number is not positive")
        # The parts outside the signed one have one encoding only, so that nobody can vary a certificate's bytes.
        if assemble(certificate.tbs_certificate_bytes, certificate.signature) != der:
            raise BadCertificate("the certificate is not DER, or not signed with ES256")
        # These are parsed when first read; reading them here keeps foreign errors behind this door.
        _ = certificate.issuer, certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except FOREIGN_ERRORS:
        raise BadCertificate("not an X.509 certificate") from None
    return certificate


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        extensions = certificate.extensions
    except FOREIGN_ERRORS:
        raise BadCertificate("the certificate's extensions are malformed") from None
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise BadCertificate(f"unknown critical extension {extension.oid.dotted_string}")
    return extensions


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        raise BadCertificate(f"the certificate lacks {kind.__name__}") from None


def _public_key(certificate: x509.Certificate) -> PublicKey:
    try:
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = PublicKey.from_spki(spki)
    except (*FOREIGN_ERRORS, BadKey):
        raise BadCertificate("the certificate holds no key of a suite we know") from None
    if key.suite != ES256:
        raise BadCertificate("certified keys are ES256")
    return key


def _check_key_identifiers(leaf: x509.Extensions, root: x509.Extensions) -> None:
    issuer = _extension(leaf, x509.AuthorityKeyIdentifier).key_identifier
    if issuer is None or issuer != _extension(root, x509.SubjectKeyIdentifier).digest:
        raise BadCertificate("the leaf names another issuer key")
    if not _extension(leaf, x509.SubjectKeyIdentifier).digest:
        raise BadCertificate("the leaf's own key identifier is empty")


def _check_signature(certificate: x509.Certificate, issuer: PublicKey) -> None:
    try:
        r, s = decode_dss_signature(certificate.signature)
        if encode_dss_signature(r, s) != certificate.signature:
            raise BadCertificate("the certificate's signature is not DER")
        issuer.check(certificate.tbs_certificate_bytes, r.to_bytes(32) + s.to_bytes(32))
    except (ValueError, OverflowError, BadSignature):
        raise BadCertificate("the certificate's signature does not fit its issuer") from None


def _tagged(tag: int, content: bytes) -> bytes:
    """One DER element (X.690 §8.1)."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes(-(-length.bit_length() // 8))
    return bytes([tag, 0x80 | len(size)]) + size + content
