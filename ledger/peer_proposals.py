"""What two operators are asked to approve about another region: one value, its digest, and what it may say.

A proposal is bound to our own log, to how many entries this log has about the peer, and to the trust list that was
shown; so approvals serve once, here, for what was seen. See docs/formats/approval.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from keys.certificates import parse_fingerprint
from keys.errors import BadCertificate
from ledger.errors import Code, Refusal
from verifiers import approval
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.legal_dates import format_time
from verifiers.members import Members
from verifiers.trust_document import ORIGIN, REGION, URI, Names
from verifiers.trusted_peers import WitnessRule

ADMIT: Final = "peer.admit"
CHANGE: Final = "peer.change"
RESUME: Final = "peer.resume"

_ACTS: Final = frozenset({ADMIT, CHANGE, RESUME})
_ROOT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Seen:
    """The version of a peer's trust list that was shown to those who approve; `digest` is its SHA-256."""

    seq: int
    digest: bytes

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"digest": b64u_encode(self.digest), "seq": self.seq}

    @classmethod
    def read(cls, members: Members) -> Seen:
        """The version in `members`."""
        return cls(members.integer("seq", 1), members.octets("digest", 32))


@dataclass(frozen=True, slots=True)
class PeerProposal:
    """One act on a peer that takes two approvals; `n` is how many entries about the peer our log has before it."""

    act: str
    origin: str
    region: str
    names: Names
    base: str
    root: str
    witnesses: WitnessRule | None
    seen: Seen | None
    n: int
    expires: datetime

    def to_json(self) -> dict[str, Any]:
        """The JSON form, whose canonical bytes are what is approved."""
        return {
            "act": self.act,
            "base": self.base,
            "expires": format_time(self.expires),
            "n": self.n,
            "names": self.names.to_json(),
            "origin": self.origin,
            "region": self.region,
            "root": self.root,
            "seen": None if self.seen is None else self.seen.to_json(),
            "v": 1,
            "witnesses": None if self.witnesses is None else self.witnesses.to_json(),
        }

    @property
    def digest(self) -> bytes:
        """What an approval signs, 32 bytes."""
        return approval.digest_of(self.to_json())

    @classmethod
    def read(cls, value: Any) -> PeerProposal:
        """The proposal in a request. Raises `Refusal` peer.proposal_invalid."""
        try:
            members = Members(value, Reason.APPROVAL)
            members.integer("v", 1, 1)
            proposal = cls(
                act=members.one_of("act", _ACTS),
                origin=members.text("origin", ORIGIN),
                region=members.text("region", REGION),
                names=members.object("names", Names.read),
                base=members.text("base", URI),
                root=members.text("root", _ROOT),
                witnesses=members.nullable("witnesses", lambda name: members.object(name, _rule)),
                seen=members.nullable("seen", lambda name: members.object(name, Seen.read)),
                n=members.integer("n"),
                expires=members.time("expires"),
            )
            members.done()
            approval.digest_of(value)
        except VerificationError as error:
            raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal", why=error.detail) from None
        except ValueError as error:
            raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal", why=str(error)) from None
        if (proposal.seen is None) == (proposal.act == ADMIT):
            raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal/seen", why="an admission, and nothing else, names it")
        return proposal


def read_witnesses(value: Any, pointer: str = "/witnesses") -> WitnessRule | None:
    """The rule `{"k", "keys": [{"name", "vkey", "url"}]}` of a request, `None` for null.

    Raises `Refusal` peer.witnesses_invalid.
    """
    if value is None:
        return None
    try:
        members = Members({"witnesses": value}, Reason.TRUST)
        return members.object("witnesses", _rule)
    except VerificationError as error:
        raise Refusal(Code.PEER_WITNESSES_INVALID, pointer, why=error.detail) from None


def witnesses_of(kept: Mapping[str, Any] | None) -> WitnessRule | None:
    """The rule of a peer that was admitted."""
    return read_witnesses(None if kept is None else dict(kept))


def plain_address(text: str, pointer: str = "/base") -> str:
    """The base address of a region in the form in which its documents name it, without a final slash.

    Raises `Refusal` peer.address for anything with a user, query or fragment in it, of another scheme, or for plain
    `http` anywhere but at a private address: answers between regions are not signed one by one.
    """
    address = text.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        secure = parts.scheme == "https" or (parts.scheme == "http" and ip_address(parts.hostname or "").is_private)
        plain = secure and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        plain = False
    if not plain or not URI.fullmatch(address) or any(character in address for character in "@?#\\"):
        raise Refusal(Code.PEER_ADDRESS, pointer)
    return address


def pinned_root(text: str, pointer: str = "/root") -> str:
    """The fingerprint that people wrote down, as 64 lower-case hex digits. Raises `Refusal` peer.root_malformed."""
    try:
        return parse_fingerprint(text)
    except BadCertificate:
        raise Refusal(Code.PEER_ROOT_MALFORMED, pointer) from None


def _rule(members: Members) -> WitnessRule:
    rule = WitnessRule.read(members)
    # A key that is none, or can only sign for logs, would make every receipt of the peer fail later.
    if not all(key.timed for key in rule.note_keys()):
        raise Malformed(Reason.TRUST, "a verifier key that cannot cosign")
    return rule
