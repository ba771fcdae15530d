"""Token Status List (draft-ietf-oauth-status-list): who has been withdrawn, as a signed, compressed array of bits.

Entry `i` lies in byte `i * bits // 8`, lowest bits first; `lst` is base64url of a zlib stream. Besides what the draft
names, our tokens carry `as_of` {origin, size}: the state is that after the first `size` entries of the log, so nobody
can hand out an older list unseen, and an auditor can compute the same bits. See docs/formats/status-list.md.

Values: 0 not withdrawn, 1 invalid for good, 2 invalid for now, 3 refused.
"""

import datetime as dt
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from keys.errors import BadSignature
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import Jws, encode_segment, parse_jws
from verifiers.members import Members
from verifiers.trust_document import Position
from verifiers.trust_list import TrustList

TYP: Final = "statuslist+jwt"
LENGTH_MAX: Final = 16_777_216
"""Longest token in characters: ten million slots with one in a hundred set take 230,000."""

PACKED_MAX: Final = 16_777_216
"""Most bytes a list may inflate to (67 million slots of two bits), so that a small token cannot fill the memory."""

NOT_WITHDRAWN, INVALID, SUSPENDED, REFUSED = range(4)

_URI = re.compile(r"https?://[!-~]{1,500}")


@dataclass(frozen=True, slots=True)
class AsOf:
    """The log position whose state a list shows: the first `size` entries of the log named `origin`."""

    origin: str
    size: int


@dataclass(frozen=True, slots=True)
class StatusList:
    """One list that was verified when it was opened, inflated once; `ttl` in seconds.

    `root` is the fingerprint of the region root under whose trust list it was opened; it counts for no other region.
    """

    uri: str
    bits: int
    issued_at: dt.datetime
    expires_at: dt.datetime | None
    ttl: int | None
    as_of: AsOf | None
    packed: bytes = field(repr=False)
    source: str = "given"
    root: str | None = None

    def __len__(self) -> int:
        return len(self.packed) * 8 // self.bits

    def get(self, idx: int) -> int:
        """The value of slot `idx`. Raises `VerificationError` with `status.index` where the list has no such slot."""
        place, shift = divmod(idx * self.bits, 8)
        if not 0 <= place < len(self.packed):
            raise VerificationError(Reason.STATUS_INDEX, f"slot {idx} lies outside a list of {len(self)}")
        return self.packed[place] >> shift & (1 << self.bits) - 1


def pack(values: Mapping[int, int], slots: int, bits: int = 2) -> bytes:
    """The array of `slots` entries in which only those in `values` are not zero.

    Raises `ValueError` for a slot or value that does not fit.
    """
    if bits not in (1, 2, 4, 8) or slots * bits % 8:
        raise ValueError("bits are 1, 2, 4 or 8, and a list fills whole bytes")
    packed = bytearray(slots * bits // 8)
    for idx, value in values.items():
        if not 0 <= idx < slots or not 0 <= value < 1 << bits:
            raise ValueError(f"slot {idx} cannot hold {value}")
        place, shift = divmod(idx * bits, 8)
        packed[place] |= value << shift
    return bytes(packed)


def compress(packed: bytes, level: int = 6) -> str:
    """The `lst` member for `packed`. Level 6 takes 4 ms for a million slots; level 9 saves 17 % in 50 ms."""
    return b64u_encode(zlib.compress(packed, level))


def inflate(lst: str) -> bytes:
    """The packed array of an `lst` member. Raises `Malformed` on anything but one whole zlib stream in the limit."""
    try:
        engine = zlib.decompressobj()
        packed = engine.decompress(b64u_decode(lst), PACKED_MAX)
    except (zlib.error, Malformed):
        raise Malformed(Reason.STATUS, "lst is not a zlib stream in base64url") from None
    if not engine.eof or engine.unused_data or not packed:
        raise Malformed(Reason.STATUS, "lst is cut, has a tail, is empty or inflates too far")
    return packed


def header_segment(kid: str, certificate: bytes) -> str:
    """The protected header for the region's status key `kid` and its certificate (DER), as base64url."""
    return encode_segment({"alg": "ES256", "kid": kid, "typ": TYP, "x5c": [b64encode(certificate).decode("ascii")]})


def signing_input(
    *,
    header: str,
    uri: str,
    lst: str,
    bits: int = 2,
    issued_at: dt.datetime,
    expires_at: dt.datetime,
    ttl: int,
    as_of: AsOf,
) -> bytes:
    """The bytes to sign for one status list token; `lst` as from `compress`, `ttl` in seconds."""
    payload = {
        "as_of": {"origin": as_of.origin, "size": as_of.size},
        "exp": int(expires_at.timestamp()),
        "iat": int(issued_at.timestamp()),
        "status_list": {"bits": bits, "lst": lst},
        "sub": uri,
        "ttl": ttl,
    }
    return f"{header}.{encode_segment(payload)}".encode("ascii")


def open_status_list(token: str, trust: TrustList, source: str = "given") -> StatusList:
    """The list in `token`, signed by a key that `trust` names for status lists, about a list that `trust` names.

    Age is judged later, in `verify`. Raises `VerificationError` with `status.malformed`, `token.type`, `status.key` or
    `status.signature`.
    """
    jws = parse_jws(token, typ=TYP, reason=Reason.STATUS, limit=LENGTH_MAX)
    kid = jws.header.get("kid")
    key = trust.key(kid) if type(kid) is str else None
    if key is None or key.purpose != "status" or key.revoked is not None:
        raise VerificationError(Reason.STATUS_KEY, "not signed by a status key of this region", "status")
    try:
        key.public_key.check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.STATUS_SIGNATURE, "the signature does not fit", "status") from None
    status_list = replace(read_status_list(jws, source), root=trust.root_fingerprint)
    if status_list.as_of is None or status_list.expires_at is None:
        raise Malformed(Reason.STATUS, "as_of and exp are missing")
    if status_list.uri not in trust.status_uris or trust.epoch(status_list.as_of.origin) < 0:
        raise VerificationError(Reason.STATUS_KEY, "not a list or log that this region names", "status")
    if key.log_to is not None and _after(trust, status_list.as_of, key.log_to):
        raise VerificationError(Reason.STATUS_KEY, "signed after the end of the key's term", "status")
    return status_list


def read_status_list(jws: Jws, source: str = "given") -> StatusList:
    """The list in a parsed token whose signature the caller has checked; also reads other makers' tokens.

    Raises `Malformed` with `status.malformed`.
    """
    members = Members(jws.payload, Reason.STATUS)
    bits, lst = members.object("status_list", _bits_and_list)
    return StatusList(
        uri=members.text("sub", _URI),
        bits=bits,
        issued_at=_instant(members.integer("iat", 0, 2**37)),
        expires_at=_instant(members.integer("exp", 0, 2**37)) if members.has("exp") else None,
        ttl=members.optional("ttl", members.integer),
        as_of=members.object("as_of", _as_of) if members.has("as_of") else None,
        packed=inflate(lst),
        source=source,
    )


def _after(trust: TrustList, as_of: AsOf, end: Position) -> bool:
    return (trust.epoch(as_of.origin), as_of.size) > (trust.epoch(end.origin), end.size)


def _bits_and_list(members: Members) -> tuple[int, str]:
    bits = members.integer("bits", 1, 8)
    if bits not in (1, 2, 4, 8):
        raise Malformed(Reason.STATUS, "bits are 1, 2, 4 or 8")
    members.optional("aggregation_uri", members.text)
    return bits, members.text("lst")


def _as_of(members: Members) -> AsOf:
    return AsOf(members.text("origin"), members.integer("size"))


def _instant(seconds: int) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed(Reason.STATUS, "a time that no calendar holds") from None
