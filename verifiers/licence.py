"""Licences as SD-JWT VC (RFC 9901; draft-ietf-oauth-sd-jwt-vc): `build` and `parse`, the two ends of one format.

The department signs the type, the identifier, dates and status slot openly; face fields, number, object and what is
known of each holder lie in disclosures, so the holder shows what a matter needs and no more. Disclosure salts are
derived from one seed per holder and one for the rest (HMAC-SHA-256 over the claim's path), so the compact form can be
written again byte for byte from fields and signature. See docs/formats/licence.md.

    unsigned = build(face, header=header_segment(certificate_der))
    compact = unsigned.compact(signature_over(unsigned.signing_input))
"""

import datetime as dt
import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from verifiers import canonical
from verifiers.encoding import b64_decode
from verifiers.errors import Malformed, Reason
from verifiers.jws import compact as join_jws
from verifiers.jws import encode_segment
from verifiers.legal_dates import day_begins
from verifiers.members import Members
from verifiers.sd_jwt import Path, SdJwt, join, make_disclosure, parse_sd_jwt, resolve, select

TYP: Final = "dc+sd-jwt"
HOLDER_KINDS: Final = frozenset({"person", "organisation"})
ASSURANCES: Final = frozenset({"declared", "checked"})
_SALT_LENGTH = 16
_SEED_LENGTH = 32
_URI = re.compile(r"https?://[!-~]{1,500}")
_INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_REGION = re.compile(r"[0-9]{6}")
_IDENTIFIER = re.compile(r"[0-9A-Z.]{8,160}")


@dataclass(frozen=True, slots=True)
class Holder:
    """One holder (持证主体) as the licence states it; `seed` is 32 random bytes from which its salts come."""

    kind: str
    name: str
    id_type: str
    id: str
    seed: bytes = field(repr=False)
    role: str | None = None
    share: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What is said of a licence that was issued elsewhere before and taken over: by whom, when, how sure we are."""

    issuer: str
    issued_on: dt.date
    assurance: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Face:
    """Everything one version of a licence says, before signing.

    `iss` and `vct` are URIs, `vct_integrity` an SRI digest, `iat` seconds since 1970; dates are calendar dates in
    China and `valid_until` the last valid day (absent: 长期). Members of `fields` named in `always_shown` are signed
    openly. `seed` is 32 random bytes.
    """

    iss: str
    vct: str
    vct_integrity: str
    iat: int
    identifier: str
    version: int
    region: str
    issued_on: dt.date
    valid_from: dt.date
    valid_until: dt.date | None
    status_uri: str
    status_idx: int
    holders: tuple[Holder, ...]
    fields: Mapping[str, Any]
    seed: bytes = field(repr=False)
    number: str | None = None
    object: str | None = None
    always_shown: frozenset[str] = frozenset()
    imported: Imported | None = None


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A licence that only lacks its signature over `signing_input`.

    `common` are the disclosures of number, object and fields, `by_holder` those of each holder in order.
    """

    signing_input: bytes
    common: tuple[str, ...]
    by_holder: tuple[tuple[str, ...], ...]

    @property
    def disclosures(self) -> tuple[str, ...]:
        """All disclosures in the order of the compact form."""
        return self.common + tuple(text for group in self.by_holder for text in group)

    def compact(self, signature: bytes) -> str:
        """The whole licence with all its disclosures; `signature` is 64 bytes r‖s."""
        return join(join_jws(self.signing_input, signature), self.disclosures)


def header_segment(certificate: bytes) -> str:
    """The protected header for a department's licence certificate (DER) in base64url, one for all its licences."""
    return encode_segment({"alg": "ES256", "typ": TYP, "x5c": [b64encode(certificate).decode("ascii")]})


def build(face: Face, *, header: str) -> Unsigned:
    """The signing input and disclosures of `face` under the protected header `header`.

    Raises `ValueError` where a value is outside what canonical JSON holds (floats, NUL, lone surrogates, integers
    from 2**53), or a seed has not 32 bytes.
    """
    canonical.encode(dict(face.fields))
    shown: dict[str, Any] = {}
    hidden: list[tuple[str, Any]] = []
    for name, value in face.fields.items():
        if name in face.always_shown:
            shown[name] = value
        else:
            hidden.append((name, value))
    field_texts, field_digests = _conceal(face.seed, ("fields",), hidden)
    top = [(name, value) for name, value in (("number", face.number), ("object", face.object)) if value is not None]
    top_texts, top_digests = _conceal(face.seed, (), top)
    holders, by_holder = [], []
    for position, holder in enumerate(face.holders):
        texts, digests = _conceal(holder.seed, ("holders", position), _holder_members(holder))
        by_holder.append(tuple(texts))
        stated: dict[str, Any] = {"_sd": digests, "kind": holder.kind}
        if holder.role is not None:
            stated["role"] = holder.role
        holders.append(stated)
    if field_digests:
        shown["_sd"] = field_digests
    payload = _open_claims(face)
    payload["fields"] = shown
    payload["holders"] = holders
    if top_digests:
        payload["_sd"] = top_digests
    signing_input = f"{header}.{encode_segment(payload)}".encode("ascii")
    return Unsigned(signing_input, (*top_texts, *field_texts), tuple(by_holder))


def _open_claims(face: Face) -> dict[str, Any]:
    """The members that every reader sees. `nbf` and `exp` repeat the legal dates for generic verifiers."""
    payload: dict[str, Any] = {
        "_sd_alg": "sha-256",
        "iat": face.iat,
        "identifier": face.identifier,
        "iss": face.iss,
        "issued_on": face.issued_on.isoformat(),
        "region": face.region,
        "status": {"status_list": {"idx": face.status_idx, "uri": face.status_uri}},
        "valid_from": face.valid_from.isoformat(),
        "vct": face.vct,
        "vct#integrity": face.vct_integrity,
        "version": face.version,
    }
    if (begins := day_begins(face.valid_from)) > face.iat:
        payload["nbf"] = begins
    if face.valid_until is not None:
        payload["valid_until"] = face.valid_until.isoformat()
        payload["exp"] = day_begins(face.valid_until + dt.timedelta(days=1))
    if face.imported is not None:
        payload["imported"] = {
            "assurance": face.imported.assurance,
            "issued_on": face.imported.issued_on.isoformat(),
            "issuer": face.imported.issuer,
            "warnings": list(face.imported.warnings),
        }
    return payload


def _holder_members(holder: Holder) -> list[tuple[str, Any]]:
    members: list[tuple[str, Any]] = [("name", holder.name), ("id_type", holder.id_type), ("id", holder.id)]
    if holder.share is not None:
        members.append(("share", holder.share))
    return members


def _conceal(seed: bytes, path: Path, members: Iterable[tuple[str, Any]]) -> tuple[list[str], list[str]]:
    """The disclosures of `members` below `path`, and their digests sorted so that the order tells nothing."""
    if len(seed) != _SEED_LENGTH:
        raise ValueError("a seed has 32 bytes")
    texts, digests = [], []
    for name, value in members:
        salt = hmac.digest(seed, orjson.dumps([*path, name]), "sha256")[:_SALT_LENGTH]
        text, digest = make_disclosure(salt, name, value)
        texts.append(text)
        digests.append(digest)
    digests.sort()
    return texts, digests


@dataclass(frozen=True, slots=True)
class UnverifiedLicence:
    """A licence as presented, parsed and with its disclosures in place, but believed by nobody yet.

    `certificate` is the leaf in its header (DER), `claims` all claims that are shown.
    """

    sd_jwt: SdJwt
    certificate: bytes
    claims: dict[str, Any]
    iss: str
    iat: int
    nbf: int | None
    exp: int | None
    vct: str
    vct_integrity: str
    identifier: str
    version: int
    region: str
    issued_on: dt.date
    valid_from: dt.date
    valid_until: dt.date | None
    status_uri: str
    status_idx: int
    imported: Imported | None

    @property
    def issued_at(self) -> dt.datetime:
        """The time the signer claims to have signed at; no evidence of anything."""
        return dt.datetime.fromtimestamp(self.iat, dt.UTC)

    @property
    def signing_input(self) -> bytes:
        """The ASCII bytes that the signature is over; the log commits to their SHA-256."""
        return self.sd_jwt.jws.signing_input


def parse(compact: str) -> UnverifiedLicence:
    """The licence that `compact` spells, with all or some of its disclosures.

    Raises `Malformed` with `licence.malformed`, `token.type` or a `disclosure.…` reason.
    """
    sd_jwt = parse_sd_jwt(compact, typ=TYP, reason=Reason.LICENCE)
    payload = sd_jwt.jws.payload
    chain = sd_jwt.jws.header.get("x5c")
    if type(chain) is not list or not 1 <= len(chain) <= 3 or type(chain[0]) is not str:
        raise Malformed(Reason.LICENCE, "the header carries no certificate (x5c)")
    certificate = _read_certificate(chain[0])
    members = Members(payload, Reason.LICENCE)
    status_idx, status_uri = members.object("status", _status)
    licence = UnverifiedLicence(
        sd_jwt=sd_jwt,
        certificate=certificate,
        claims=resolve(sd_jwt),
        iss=members.text("iss", _URI),
        iat=members.integer("iat", 0, 2**37),
        nbf=members.optional("nbf", members.integer),
        exp=members.integer("exp", -(2**40)) if members.has("exp") else None,
        vct=members.text("vct", _URI),
        vct_integrity=members.text("vct#integrity", _INTEGRITY),
        identifier=members.text("identifier", _IDENTIFIER),
        version=members.integer("version", 1, 999),
        region=members.text("region", _REGION),
        issued_on=members.date("issued_on"),
        valid_from=members.date("valid_from"),
        valid_until=members.optional("valid_until", members.date),
        status_uri=status_uri,
        status_idx=status_idx,
        imported=members.object("imported", _imported) if members.has("imported") else None,
    )
    _check_holders(payload.get("holders"))
    if type(payload.get("fields")) is not dict:
        raise Malformed(Reason.LICENCE, "/fields is not an object")
    _check_dates(licence)
    return licence


def present(compact: str, paths: Iterable[Path]) -> str:
    """The licence showing only the claims at `paths`, such as `("fields", "scope")` or `("holders", 0, "name")`.

    Raises `Malformed` where `compact` is no licence.
    """
    wanted = frozenset(paths)
    return select(compact, wanted.__contains__, typ=TYP, reason=Reason.LICENCE)


@lru_cache(maxsize=128)
def _read_certificate(text: str) -> bytes:
    try:
        return b64_decode(text)
    except Malformed as error:
        raise Malformed(Reason.LICENCE, error.detail) from None


def _status(members: Members) -> tuple[int, str]:
    _skip_decoys(members)
    return members.object("status_list", _status_reference)


def _status_reference(members: Members) -> tuple[int, str]:
    _skip_decoys(members)
    return members.integer("idx"), members.text("uri", _URI)


def _skip_decoys(members: Members) -> None:
    """Other makers put decoy digests into every object; what must be open is still read from the open members."""
    members.optional("_sd", members.texts)


def _imported(members: Members) -> Imported:
    _skip_decoys(members)
    return Imported(
        members.text("issuer"),
        members.date("issued_on"),
        members.one_of("assurance", ASSURANCES),
        members.texts("warnings", 32),
    )


def _check_holders(holders: Any) -> None:
    if type(holders) is not list or not 1 <= len(holders) <= 64:
        raise Malformed(Reason.LICENCE, "/holders is not an array of 1 to 64 holders")
    for holder in holders:
        if type(holder) is not dict or holder.get("kind") not in HOLDER_KINDS:
            raise Malformed(Reason.LICENCE, "/holders has an element without a known kind")


def _check_dates(licence: UnverifiedLicence) -> None:
    """The machine times must say what the legal dates say, or two verifiers would disagree."""
    until = licence.valid_until
    expected_exp = None if until is None else day_begins(until + dt.timedelta(days=1))
    begins = day_begins(licence.valid_from)
    expected_nbf = begins if begins > licence.iat else None
    if licence.exp != expected_exp or licence.nbf != expected_nbf:
        raise Malformed(Reason.LICENCE, "nbf or exp differ from the legal dates")
    if until is not None and until < licence.valid_from:
        raise Malformed(Reason.LICENCE, "valid_until lies before valid_from")
