"""Approvals: two named operators, each with a key of its own, sign that exactly this is to be done.

An approval is a compact JWS (`typ: elicence-approval+jwt`, ES256) over the SHA-256 of a canonical *proposal*, any
object of ours with `act`, `origin` and `expires`. It names act, origin and approver besides, so that it moves to no
other region, act or person. Proposal, approvals and public keys are kept in the record of the entry that did it, and
whoever audits it calls `check_approvals` again. See docs/formats/approval.md.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from keys.errors import BadSignature
from keys.public_key import PublicKey
from verifiers import canonical
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import parse_jws
from verifiers.legal_dates import format_time, parse_time
from verifiers.members import Members

TYP: Final = "elicence-approval+jwt"
VERSION: Final = 1
MAX_CHARACTERS: Final = 4096
"""Longest compact approval; one has about six hundred characters."""
NEEDED: Final = 2
"""Approvers, and keys, that a proposal takes."""
LIFETIME: Final = dt.timedelta(days=7)
"""How long an approval may wait for the other one, and a proposal for both."""
CLOCK_SLACK: Final = dt.timedelta(seconds=60)

_ACT = re.compile(r"[a-z]+\.[a-z]+")
_TEXT = re.compile(r"[!-~]{1,200}")
_APPROVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

KeyOf = Callable[[str, str], PublicKey | None]
"""Gives the public key with a key id (second) of an approver (first), or None where there is none in good standing."""


@dataclass(frozen=True, slots=True)
class Approval:
    """One parsed approval, believed only once `check_approvals` took it; `proposal` is a digest of 32 bytes.

    `signing_input` is what the 64-byte `signature` (r‖s) is over.
    """

    kid: str
    proposal: bytes
    act: str
    origin: str
    approver: str
    at: dt.datetime
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def digest_of(proposal: Mapping[str, Any]) -> bytes:
    """SHA-256 of the canonical form of a proposal. Raises `ValueError` where it is no canonical JSON."""
    return sha256(canonical.encode(dict(proposal))).digest()


def signing_input(proposal: Mapping[str, Any], *, approver: str, kid: str, at: dt.datetime) -> bytes:
    """The bytes that the approver's ES256 key `kid` signs for `proposal`: ASCII `header.payload`."""
    payload = {
        "act": proposal["act"],
        "approver": approver,
        "at": format_time(at),
        "origin": proposal["origin"],
        "proposal": b64u_encode(digest_of(proposal)),
        "v": VERSION,
    }
    return f"{b64u_encode(_header(kid))}.{b64u_encode(canonical.encode(payload))}".encode("ascii")


def parse(text: str) -> Approval:
    """Read a compact approval without believing it. Raises `Malformed` on anything but its one form."""
    jws = parse_jws(text, typ=TYP, reason=Reason.APPROVAL, limit=MAX_CHARACTERS)
    members = Members(jws.payload, Reason.APPROVAL)
    members.integer("v", VERSION, VERSION)
    kid = jws.header.get("kid")
    if not isinstance(kid, str) or not _TEXT.fullmatch(kid):
        raise Malformed(Reason.APPROVAL, "the header names no key")
    approval = Approval(
        kid=kid,
        proposal=members.octets("proposal", 32),
        act=members.text("act", _ACT),
        origin=members.text("origin", _TEXT),
        approver=members.text("approver", _APPROVER),
        at=members.time("at"),
        signing_input=jws.signing_input,
        signature=jws.signature,
    )
    members.done()
    once_more = f"{b64u_encode(_header(kid))}.{b64u_encode(canonical.encode(jws.payload))}"
    if once_more.encode("ascii") != jws.signing_input:
        raise Malformed(Reason.APPROVAL, "not in its one form")
    return approval


def check_approvals(
    proposal: Mapping[str, Any], approvals: Sequence[Approval], *, key_of: KeyOf, at: dt.datetime
) -> None:
    """Return if two different approvers, with different keys, approved exactly `proposal`, and in time, at `at`.

    `at` is when the approvals were used: now, or for an audit the time of the entry that did it. `key_of` gives the
    keys as they were then. Raises `VerificationError` with `approval.malformed` for what does not belong to the
    proposal, came too early or late, or is one person's alone, and `SignatureFailed` with `approval.signature`.
    """
    digest = digest_of(proposal)
    for each in approvals:
        if each.proposal != digest or each.act != proposal["act"] or each.origin != proposal["origin"]:
            raise VerificationError(Reason.APPROVAL, f"{each.approver} approved something else")
        check_in_time(each.at, at)
    check_proposal_time(proposal, at)
    keys = {_key_behind(each, key_of).key_id for each in approvals}
    people = {each.approver for each in approvals}
    if len(approvals) != NEEDED or len(keys) != NEEDED or len(people) != NEEDED:
        raise VerificationError(Reason.APPROVAL, "not two different approvers with different keys")


def check_in_time(given: dt.datetime, at: dt.datetime) -> None:
    """Return if an approval given at `given` still counts at `at`. Raises `VerificationError`."""
    if given > at + CLOCK_SLACK:
        raise VerificationError(Reason.APPROVAL, "given in the future")
    if at > given + LIFETIME:
        raise VerificationError(Reason.APPROVAL, "given too long ago")


def check_proposal_time(proposal: Mapping[str, Any], at: dt.datetime) -> None:
    """Return if a proposal may still be carried out at `at`. Raises `VerificationError`."""
    try:
        expires = parse_time(proposal["expires"])
    except (KeyError, TypeError, ValueError):
        raise Malformed(Reason.APPROVAL, "the proposal does not say when it expires") from None
    if not at <= expires <= at + LIFETIME + CLOCK_SLACK:
        raise VerificationError(Reason.APPROVAL, "the proposal has expired, or would live too long")


def check_signature(approval: Approval, key: PublicKey) -> None:
    """Return if `key`, an ES256 key, signed `approval`. Raises `SignatureFailed`."""
    if key.suite != "ES256":
        raise SignatureFailed(Reason.APPROVAL_SIGNATURE, "approvals are signed with ES256")
    try:
        key.check(approval.signing_input, approval.signature)
    except BadSignature:
        raise SignatureFailed(Reason.APPROVAL_SIGNATURE, f"not signed by {approval.approver}") from None


def _key_behind(approval: Approval, key_of: KeyOf) -> PublicKey:
    key = key_of(approval.approver, approval.kid)
    if key is None:
        raise SignatureFailed(Reason.APPROVAL_SIGNATURE, f"no key {approval.kid} of {approval.approver}")
    check_signature(approval, key)
    return key


def _header(kid: str) -> bytes:
    return canonical.encode({"alg": "ES256", "kid": kid, "typ": TYP})
