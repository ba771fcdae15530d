"""A notice from one region to another: licences of ours that you rely on have fallen or come back.

A compact JWS (`typ: elicence-notice+jwt`, ES256) by the sending region's key for purpose `peer`. It names sender,
receiver and the entry of the sender's log that it follows from, so it cannot be turned to anybody else and a second
copy is known as one. It is a hint to fetch, and the name of a cause: what is so, only the sender's status lists say
(protocol 23). See docs/formats/notice.md.
"""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from keys.errors import BadSignature
from keys.public_key import PublicKey
from verifiers import canonical
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed
from verifiers.jws import encode_segment, parse_jws
from verifiers.legal_dates import format_time
from verifiers.members import Members
from verifiers.trust_document import ORIGIN, REGION, URI

TYP: Final = "elicence-notice+jwt"
LENGTH_MAX: Final = 196_608
"""Longest notice in characters: room for every licence it may name."""

LICENCES_MAX: Final = 500
"""Licences one notice names; what goes beyond is found in the status list."""

EVENTS: Final = frozenset({"fell", "restored"})

EFFECTS: Final = frozenset({"none", "suspended", "revoked"})
CAUSE: Final = re.compile(r"[!-~]{1,700}")
_IDENTIFIER = re.compile(r"[^\x00-\x1f]{1,150}")

KeyOf = Callable[[str], PublicKey | None]
"""Gives the sender's key with a `kid` where its purpose is `peer` and nothing speaks against it, else None."""


@dataclass(frozen=True, slots=True)
class NamedLicence:
    """A licence by the identifier that its document bears, and its place in the sender's status lists."""

    identifier: str
    uri: str
    slot: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"identifier": self.identifier, "slot": self.slot, "uri": self.uri}

    @classmethod
    def read(cls, members: Members) -> "NamedLicence":
        """The licence in `members`."""
        return cls(members.text("identifier", _IDENTIFIER), members.text("uri", URI), members.integer("slot"))


@dataclass(frozen=True, slots=True)
class Notice:
    """What a region tells another; `sender` and `receiver` are region codes.

    `entry` is the index in the log `origin` (the sender's) that it follows from, `cause` the id of the root cause,
    wherever that lies, `effect` what it did to each of `licences`.
    """

    sender: str
    receiver: str
    origin: str
    entry: int
    cause: str
    event: str
    effect: str
    licences: tuple[NamedLicence, ...]
    at: dt.datetime

    def to_json(self) -> dict[str, Any]:
        """The payload; licences in the order of their identifiers."""
        named = sorted(self.licences, key=lambda each: each.identifier)
        return {
            "at": format_time(self.at),
            "cause": self.cause,
            "effect": self.effect,
            "entry": self.entry,
            "event": self.event,
            "from": self.sender,
            "licences": [each.to_json() for each in named],
            "origin": self.origin,
            "to": self.receiver,
            "v": 1,
        }

    @classmethod
    def read(cls, members: Members) -> "Notice":
        """The notice in `members`. Raises `Malformed` with `notice.malformed`."""
        members.integer("v", 1, 1)
        notice = cls(
            sender=members.text("from", REGION),
            receiver=members.text("to", REGION),
            origin=members.text("origin", ORIGIN),
            entry=members.integer("entry"),
            cause=members.text("cause", CAUSE),
            event=members.one_of("event", EVENTS),
            effect=members.one_of("effect", EFFECTS),
            licences=members.objects("licences", NamedLicence.read, LICENCES_MAX),
            at=members.time("at"),
        )
        members.done()
        identifiers = [each.identifier for each in notice.licences]
        if not identifiers or identifiers != sorted(set(identifiers)):
            raise Malformed(Reason.NOTICE, "licences are none, named twice or out of order")
        return notice


def signing_input(notice: Notice, kid: str) -> bytes:
    """The bytes that the sender's `peer` key with this `kid` signs."""
    header = encode_segment({"alg": "ES256", "kid": kid, "typ": TYP})
    return f"{header}.{b64u_encode(canonical.encode(notice.to_json()))}".encode("ascii")


def open_notice(text: str, *, sender: str, receiver: str, key_of: KeyOf) -> Notice:
    """The notice in `text`, which `sender` must have signed and addressed to `receiver`.

    Raises `Malformed` with `notice.malformed` or `token.type`, `SignatureFailed` with `notice.signature` for a key
    that is not the sender's or a signature that does not fit.
    """
    jws = parse_jws(text, typ=TYP, reason=Reason.NOTICE, limit=LENGTH_MAX)
    kid = jws.header.get("kid")
    if not isinstance(kid, str) or set(jws.header) != {"alg", "kid", "typ"}:
        raise Malformed(Reason.NOTICE, "not the header of a notice")
    key = key_of(kid)
    if key is None or key.suite != "ES256":
        raise SignatureFailed(Reason.NOTICE_SIGNATURE, f"no key {kid} of region {sender} for calls between regions")
    try:
        key.check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.NOTICE_SIGNATURE, f"not signed by {kid}") from None
    notice = Notice.read(Members(jws.payload, Reason.NOTICE))
    if notice.sender != sender or notice.receiver != receiver:
        detail = f"from {notice.sender} to {notice.receiver}, not from {sender} to {receiver}"
        raise Malformed(Reason.NOTICE, detail)
    return notice
