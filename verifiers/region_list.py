"""The list of regions a hub gives out: who there is, where, under which root. It signs nothing but itself.

Two lines, each a compact JWS (ES256): the list (`typ: elicence-regions+jwt`), signed by an anchor key that lies
offline, and a countersignature over exactly that line (`typ: elicence-regions-countersignature+jwt`) by a second
person's key. Who reads it has pinned both keys. It saves asking each region for its root in person; admitting a region
still takes the region's own two operators. See docs/formats/region-list.md.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from keys.errors import BadKey, BadSignature
from keys.public_key import PublicKey
from verifiers import canonical
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import Jws, compact, parse_jws
from verifiers.members import Members
from verifiers.trust_document import REGION, URI, Names

TYP: Final = "elicence-regions+jwt"
COUNTERSIGNATURE: Final = "elicence-regions-countersignature+jwt"
MAX_CHARACTERS: Final = 1_048_576
"""Longest list; one of all provinces has about ten thousand characters."""

_REGIONS_MAX = 4096
_SECONDS_MAX = 2**37
_ROOT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ListedRegion:
    """One region: its code, names, address and the fingerprint of its root certificate (64 hex digits)."""

    region: str
    names: Names
    base: str
    root: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"base": self.base, "names": self.names.to_json(), "region": self.region, "root": self.root}

    @classmethod
    def read(cls, members: Members) -> ListedRegion:
        """The region in `members`."""
        return cls(
            members.text("region", REGION),
            members.object("names", Names.read),
            members.text("base", URI),
            members.text("root", _ROOT),
        )


@dataclass(frozen=True, slots=True)
class RegionList:
    """One version of the list; `prev` is the SHA-256 of the first line of the version before (`None`: the first)."""

    seq: int
    prev: bytes | None
    issued_at: dt.datetime
    next_update: dt.datetime
    expires_at: dt.datetime
    regions: tuple[ListedRegion, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The payload, regions in the order of their codes."""
        return {
            "exp": int(self.expires_at.timestamp()),
            "iat": int(self.issued_at.timestamp()),
            "next_update": int(self.next_update.timestamp()),
            "prev": None if self.prev is None else b64u_encode(self.prev),
            "regions": [each.to_json() for each in sorted(self.regions, key=lambda each: each.region)],
            "seq": self.seq,
            "v": 1,
        }

    @classmethod
    def read(cls, members: Members) -> RegionList:
        """The list in `members`. Raises `Malformed`."""
        members.integer("v", 1, 1)
        return cls(
            seq=members.integer("seq", 1),
            prev=members.nullable("prev", lambda name: members.octets(name, 32)),
            issued_at=_instant(members, "iat"),
            next_update=_instant(members, "next_update"),
            expires_at=_instant(members, "exp"),
            regions=members.objects("regions", ListedRegion.read, _REGIONS_MAX),
        )

    def find(self, wanted: str) -> ListedRegion | None:
        """The region with this code or address."""
        return next((each for each in self.regions if wanted.rstrip("/") in (each.region, each.base)), None)


def signing_input(document: RegionList, key: PublicKey) -> bytes:
    """What the anchor key signs for `document`. Raises `ValueError` for values that are no canonical JSON."""
    return _segments(_header(TYP, key), document.to_json())


def countersigning_input(line: str, key: PublicKey) -> bytes:
    """What the second key signs for the list in `line`, the compact JWS of the anchor."""
    return _segments(_header(COUNTERSIGNATURE, key), {"list": b64u_encode(digest_of(line)), "v": 1})


def digest_of(line: str) -> bytes:
    """SHA-256 of the anchor's compact JWS, which `prev` of the next version and the countersignature name."""
    return sha256(line.encode("ascii")).digest()


def format_region_list(line: str, countersignature: str) -> str:
    """The file: the anchor's line and the countersignature."""
    return f"{line}\n{countersignature}\n"


def read_draft(line: str, *, anchor: str | None = None) -> RegionList:
    """The list in the anchor's line before it is countersigned, or to make the next version of it.

    Its signature is that of the pinned `anchor`, or without a pin of whoever the header names. Raises
    `VerificationError`.
    """
    jws = _parsed(line, TYP)
    key = _key_in(jws)
    if anchor is not None and key.key_id.hex() != anchor:
        raise SignatureFailed(Reason.REGION_LIST_SIGNATURE, "signed with another key than the pinned one")
    _check(jws, key)
    return _document(jws)


def open_region_list(text: str, *, anchor: str, countersigner: str, at: dt.datetime, seen_seq: int = 0) -> RegionList:
    """The list in a file, for somebody who pinned both keys (SHA-256 of their SubjectPublicKeyInfo, 64 hex digits).

    Raises `VerificationError` with `region_list.malformed`, also for one that has expired, `region_list.signature`
    where either signature is not that of the pinned key or both keys are one, or `region_list.rollback`.
    """
    if len(text) > MAX_CHARACTERS:
        raise Malformed(Reason.REGION_LIST, f"longer than {MAX_CHARACTERS} characters")
    lines = text.split("\n")
    if len(lines) != 3 or lines[2]:
        raise Malformed(Reason.REGION_LIST, "not two lines")
    if anchor == countersigner:
        raise SignatureFailed(Reason.REGION_LIST_SIGNATURE, "two different keys have to be pinned")
    signed, second = _parsed(lines[0], TYP), _parsed(lines[1], COUNTERSIGNATURE)
    for jws, pinned in ((signed, anchor), (second, countersigner)):
        key = _key_in(jws)
        if key.key_id.hex() != pinned:
            raise SignatureFailed(Reason.REGION_LIST_SIGNATURE, "signed with another key than the pinned one")
        _check(jws, key)
    members = Members(second.payload, Reason.REGION_LIST)
    members.integer("v", 1, 1)
    if members.octets("list", 32) != digest_of(lines[0]):
        raise SignatureFailed(Reason.REGION_LIST_SIGNATURE, "the countersignature is over another list")
    members.done()
    document = _document(signed)
    if document.seq < seen_seq:
        detail = f"list {document.seq} after list {seen_seq} had been seen"
        raise VerificationError(Reason.REGION_LIST_ROLLBACK, detail)
    if at > document.expires_at:
        raise VerificationError(Reason.REGION_LIST, "the list has expired")
    return document


def finish(to_sign: bytes, signature: bytes) -> str:
    """The compact JWS of a signing input and its 64-byte signature."""
    return compact(to_sign, signature)


def _document(jws: Jws) -> RegionList:
    members = Members(jws.payload, Reason.REGION_LIST)
    document = RegionList.read(members)
    members.done()
    codes = [each.region for each in document.regions]
    if len(set(codes)) != len(codes) or document.to_json() != jws.payload:
        raise Malformed(Reason.REGION_LIST, "a region that stands twice, or not in order")
    if not document.issued_at <= document.next_update <= document.expires_at:
        raise Malformed(Reason.REGION_LIST, "times in the wrong order")
    return document


def _parsed(line: str, typ: str) -> Jws:
    jws = parse_jws(line, typ=typ, reason=Reason.REGION_LIST, limit=MAX_CHARACTERS)
    try:
        again = _segments(_header(typ, _key_in(jws)), jws.payload)
    except ValueError:
        raise Malformed(Reason.REGION_LIST, "no canonical JSON") from None
    if again != jws.signing_input:
        raise Malformed(Reason.REGION_LIST, "not in its one form")
    return jws


def _key_in(jws: Jws) -> PublicKey:
    try:
        return PublicKey.from_jwk(Members(jws.header, Reason.REGION_LIST).take("jwk", dict))
    except BadKey as error:
        raise Malformed(Reason.REGION_LIST, str(error)) from None


def _check(jws: Jws, key: PublicKey) -> None:
    try:
        key.check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.REGION_LIST_SIGNATURE, "the signature does not fit") from None


def _header(typ: str, key: PublicKey) -> dict[str, Any]:
    return {"alg": "ES256", "jwk": key.jwk(), "kid": key.kid, "typ": typ}


def _segments(header: dict[str, Any], payload: dict[str, Any]) -> bytes:
    return f"{b64u_encode(canonical.encode(header))}.{b64u_encode(canonical.encode(payload))}".encode("ascii")


def _instant(members: Members, name: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(members.integer(name, 0, _SECONDS_MAX), dt.UTC)
