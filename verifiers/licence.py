"""Licences as SD-JWT VC (RFC 9901; draft-ietf-oauth-sd-jwt-vc): `build` and `parse`, the two ends of one format.

The department signs the type, the identifier, dates and status slot openly; face fields, number, object and what is
known of each holder lie in disclosures, so the holder shows what a matter needs and no more. Disclosure salts are
derived from one seed per holder and one for the rest (HMAC-SHA-256 over the claim's path), so the compact form can be
written again byte for byte from fields and signature. See docs/formats/licence.md.

    unsigned = build(face, header=header_segment(certificate_der))
    compact = unsigned.compact(signature_over(unsigned.signing_input))
"""

import datetime as dt
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from verifiers import canonical
from verifiers.encoding import b64_decode
from verifiers.errors import Malformed, Reason
from verifiers.jws import HEADER_LIMIT, Jws, encode_segment, read_header
from verifiers.jws import compact as join_jws
from verifiers.keyed_hash import KeyedHash
from verifiers.legal_dates import day_begins
from verifiers.licence_claims import ASSURANCES as ASSURANCES
from verifiers.licence_claims import Imported as Imported
from verifiers.licence_claims import check_claims, read_claims, read_status, usual_claims
from verifiers.members import Members
from verifiers.sd_jwt import (
    DISCLOSURE_LENGTH_MAX,
    DISCLOSURES_MAX,
    Path,
    SdJwt,
    join,
    make_disclosures,
    parse_sd_jwt,
    resolve,
    select,
)

TYP: Final = "dc+sd-jwt"
_SCALARS: Final = frozenset({str, int, bool, type(None)})
_SALT_LENGTH = 16
_SEED_LENGTH = 32


@dataclass(slots=True)  # not frozen: made for every row
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
class ErasedHolder:
    """A holder of whom nothing is known any more but what is signed openly, `digests` of the disclosures among it."""

    kind: str
    digests: tuple[str, ...]
    role: str | None = None


@dataclass(slots=True)  # not frozen: made for every row
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
    holders: tuple[Holder | ErasedHolder, ...]
    fields: Mapping[str, Any]
    seed: bytes = field(repr=False)
    number: str | None = None
    object: str | None = None
    always_shown: frozenset[str] = frozenset()
    imported: Imported | None = None


@dataclass(slots=True)  # not frozen: made for every row
class Unsigned:
    """A licence that only lacks its signature over `signing_input`.

    `common` are the disclosures of number, object and fields, `by_holder` those of each holder in order, none of an
    erased one; `holder_digests` are the digests by which the payload refers to a holder's, sorted; `payload` is what
    the signing input spells.
    """

    signing_input: bytes
    common: tuple[str, ...]
    by_holder: tuple[tuple[str, ...], ...]
    holder_digests: tuple[tuple[str, ...], ...] = ()
    payload: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def disclosures(self) -> tuple[str, ...]:
        """All disclosures in the order of the compact form."""
        return (*self.common, *chain.from_iterable(self.by_holder))

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
    return rebuild(face, header=header)


def rebuild(face: Face, *, header: str) -> Unsigned:
    """What `build` made of `face`, made again: whoever calls compares its digest, so the values are not looked at."""
    shown: dict[str, Any] = {}
    hidden: list[tuple[str, Any]] = []
    for name, value in face.fields.items():
        if name in face.always_shown:
            shown[name] = value
        else:
            hidden.append((name, value))
    salts = _salts_of(face.seed)
    top = [(name, value) for name, value in (("number", face.number), ("object", face.object)) if value is not None]
    groups: list[_Group] = [(salts, (), top), (salts, ("fields",), hidden)]
    for position, holder in enumerate(face.holders):
        if isinstance(holder, ErasedHolder):
            groups.append((salts, (), ()))
            continue
        theirs = salts if holder.seed == face.seed else _salts_of(holder.seed)
        groups.append((theirs, ("holders", position), _holder_members(holder)))
    (top_texts, top_digests), (field_texts, field_digests), *by_holder = _conceal(groups)
    payload = _open_claims(face)
    payload["fields"] = shown
    payload["holders"] = holders = [
        _holder_claims(holder, digests) for holder, (_, digests) in zip(face.holders, by_holder, strict=True)
    ]
    if field_digests:
        shown["_sd"] = field_digests
    if top_digests:
        payload["_sd"] = top_digests
    signing_input = f"{header}.{encode_segment(payload)}".encode("ascii")
    return Unsigned(
        signing_input,
        (*top_texts, *field_texts),
        tuple(texts for texts, _ in by_holder),
        tuple(tuple(each["_sd"]) for each in holders),
        payload,
    )


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
        payload["exp"] = day_begins(face.valid_until) + 86_400  # the last day that a calendar holds has none after it
    if face.imported is not None:
        payload["imported"] = {
            "assurance": face.imported.assurance,
            "issued_on": face.imported.issued_on.isoformat(),
            "issuer": face.imported.issuer,
            "warnings": list(face.imported.warnings),
        }
    return payload


def _holder_claims(holder: Holder | ErasedHolder, digests: list[str]) -> dict[str, Any]:
    """What is signed openly of a holder."""
    claims: dict[str, Any] = {"_sd": digests, "kind": holder.kind}
    if isinstance(holder, ErasedHolder):
        claims["_sd"] = list(holder.digests)
    if holder.role is not None:
        claims["role"] = holder.role
    return claims


def _holder_members(holder: Holder) -> list[tuple[str, Any]]:
    members: list[tuple[str, Any]] = [("name", holder.name), ("id_type", holder.id_type), ("id", holder.id)]
    if holder.share is not None:
        members.append(("share", holder.share))
    return members


def _salts_of(seed: bytes) -> KeyedHash:
    if len(seed) != _SEED_LENGTH:
        raise ValueError("a seed has 32 bytes")
    return KeyedHash(seed)


_Group = tuple[KeyedHash, Path, Sequence[tuple[str, Any]]]
"""Members to hide below one path: where their salts come from, the path, names and values."""


def _conceal(groups: Sequence[_Group]) -> list[tuple[tuple[str, ...], list[str]]]:
    """The disclosures of each group, and their digests sorted so that the order tells nothing."""
    salts = [
        theirs.digest(orjson.dumps([*path, name]))[:_SALT_LENGTH]
        for theirs, path, members in groups
        for name, _ in members
    ]
    texts, digests = make_disclosures(salts, [member for _, _, members in groups for member in members])
    done, start = [], 0
    for _, _, members in groups:
        end = start + len(members)
        done.append((tuple(texts[start:end]), sorted(digests[start:end])))
        start = end
    return done


class UnverifiedLicence(NamedTuple):
    """A licence as presented, parsed and with its disclosures in place, but believed by nobody yet.

    `certificate` is the leaf in its header (DER), `claims` all claims that are shown.
    """

    # A tuple, because a frozen dataclass takes four times as long to make, and every verification makes one.
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
    claims, usual = None, usual_claims(payload)
    if usual is None:
        members = Members(payload, Reason.LICENCE)
        status = read_status(members)
        claims = resolve(sd_jwt)
        usual = read_claims(members, status)
    licence = UnverifiedLicence(sd_jwt, certificate, resolve(sd_jwt) if claims is None else claims, *usual)
    check_claims(payload, licence.iat, licence.nbf, licence.exp, licence.valid_from, licence.valid_until)
    return licence


def parsed(face: Face, unsigned: Unsigned, signature: bytes) -> UnverifiedLicence:
    """What `parse` gives of `unsigned`, which was built from `face`, once it bears `signature`; without spelling it.

    What makes a licence good or bad is looked at as `parse` does; what is out of the usual way is left to that. Raises
    `Malformed` as `parse` does.
    """
    payload, disclosures = unsigned.payload, unsigned.disclosures
    usual = usual_claims(payload)
    head = unsigned.signing_input.partition(b".")[0].decode("ascii")
    length = len(unsigned.signing_input) + sum(map(len, disclosures))
    if (
        usual is None
        or not _is_flat(face.fields)
        or len(signature) != 64
        or len(head) > HEADER_LIMIT
        or length > DISCLOSURE_LENGTH_MAX
        or len(disclosures) > DISCLOSURES_MAX
    ):
        return parse(unsigned.compact(signature))
    header = read_header(head, Reason.LICENCE)
    token = join_jws(unsigned.signing_input, signature)
    sd_jwt = SdJwt(Jws(header, payload, unsigned.signing_input, signature), token, disclosures, None)
    licence = UnverifiedLicence(sd_jwt, _read_certificate(header["x5c"][0]), _claims_of(face, payload), *usual)
    check_claims(payload, licence.iat, licence.nbf, licence.exp, licence.valid_from, licence.valid_until)
    return licence


def _is_flat(fields: Mapping[str, Any]) -> bool:
    """Whether nothing among the fields could itself be taken for a place of disclosures."""
    if "_sd" in fields or "..." in fields:
        return False
    for value in fields.values():
        kind = type(value)
        if kind not in _SCALARS and not (kind is list and _SCALARS.issuperset(map(type, value))):
            return False
    return True


def _claims_of(face: Face, payload: dict[str, Any]) -> dict[str, Any]:
    """All claims of a licence, each in its place."""
    claims = payload.copy()
    claims.pop("_sd", None)
    del claims["_sd_alg"]
    if face.number is not None:
        claims["number"] = face.number
    if face.object is not None:
        claims["object"] = face.object
    claims["fields"] = dict(face.fields)
    claims["holders"] = holders = []
    for holder in face.holders:
        known: dict[str, Any] = {"kind": holder.kind}
        if holder.role is not None:
            known["role"] = holder.role
        if not isinstance(holder, ErasedHolder):
            known.update(_holder_members(holder))
        holders.append(known)
    return claims


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
