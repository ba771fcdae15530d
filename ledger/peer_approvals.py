"""Who approves what a region trusts: two different operators' clients, each with a registered key of its own.

They are looked up when the approvals come in and once more under the head lock, so that a client that was shut out in
between approves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from keys.public_key import PublicKey
from ledger import clients
from ledger.clients import Client
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from verifiers import approval
from verifiers.approval import Approval
from verifiers.encoding import b64u_encode
from verifiers.errors import VerificationError

SCOPE: Final = "operate"
_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class ApproverStands:
    """The client may still operate, and this key (text form) is still its key under `kid`."""

    client: str
    kid: str
    key: str

    @classmethod
    def check(cls, tx: Writing, conditions: Sequence[ApproverStands]) -> dict[ApproverStands, Refusal]:
        """Look each approver up again; there are two of them a proposal."""
        found: dict[ApproverStands, Refusal] = {}
        for each in conditions:
            try:
                key = _key_of(tx, each.client, each.kid)
            except Refusal as refusal:
                found[each] = refusal
                continue
            if key.to_text() != each.key:
                found[each] = _invalid("the key has changed", each.client)
        return found

    def to_json(self) -> dict[str, str]:
        """What the record keeps, so that the approval can be checked without us."""
        return {"client": self.client, "key": self.key, "kid": self.kid}


def check(
    tx: Reading, proposal: dict[str, Any], expires: datetime, texts: Sequence[str], at: datetime
) -> tuple[ApproverStands, ...]:
    """Return who approved `proposal`, if two different operators did, as conditions for the head lock.

    Raises `Refusal` peer.proposal_expired, peer.approvals_missing, peer.same_approver or peer.approval_invalid.
    """
    try:
        approval.check_proposal_time(proposal, at)
    except VerificationError as error:
        code = Code.PEER_PROPOSAL_EXPIRED if expires < at else Code.PEER_PROPOSAL_INVALID
        raise Refusal(code, "/proposal/expires", why=error.detail) from None
    if len(texts) > _MOST:
        raise _invalid("more than it takes")
    given = [_parsed(text, position) for position, text in enumerate(texts)]
    approvers = [_checked(tx, proposal, each, position, at) for position, each in enumerate(given)]
    if len(given) < approval.NEEDED:
        raise Refusal(Code.PEER_APPROVALS_MISSING, "/approvals", given=len(given), needed=approval.NEEDED)
    if len({each.client for each in approvers}) < len(approvers) or len({e.key for e in approvers}) < len(approvers):
        raise Refusal(Code.PEER_SAME_APPROVER, "/approvals", approvers=[each.client for each in approvers])
    keys = {(each.client, each.kid): PublicKey.from_text(each.key) for each in approvers}
    try:
        # What an auditor will ask of the record, asked once now.
        approval.check_approvals(proposal, given, key_of=lambda name, kid: keys.get((name, kid)), at=at)
    except VerificationError as error:
        raise _invalid(error.detail) from None
    return tuple(approvers)


def _parsed(text: str, position: int) -> Approval:
    try:
        return approval.parse(text)
    except VerificationError as error:
        raise Refusal(Code.PEER_APPROVAL_INVALID, f"/approvals/{position}", why=error.detail) from None


def _checked(tx: Reading, proposal: dict[str, Any], given: Approval, position: int, at: datetime) -> ApproverStands:
    """Say precisely what is wrong with one approval, which `check_approvals` would only refuse."""
    pointer = f"/approvals/{position}"
    if given.proposal != approval.digest_of(proposal) or given.origin != proposal["origin"]:
        raise _invalid("it approves something else", given.approver, pointer)
    key = _key_of(tx, given.approver, given.kid, pointer)
    try:
        approval.check_in_time(given.at, at)
        approval.check_signature(given, key)
    except VerificationError as error:
        raise _invalid(error.detail, given.approver, pointer) from None
    return ApproverStands(given.approver, given.kid, key.to_text())


def _key_of(tx: Reading, name: str, kid: str, pointer: str | None = "/approvals") -> PublicKey:
    client = clients.find(tx, name)
    if client is None or client.disabled or SCOPE not in client.scopes:
        raise _invalid("no client in good standing that may operate", name, pointer)
    key = registered_key(client, kid)
    if key is None:
        raise _invalid("not a key of this client", name, pointer)
    return key


def registered_key(client: Client, kid: str) -> PublicKey | None:
    """Return the client's key that is called `kid`: as registered, as we name keys, or by its RFC 7638 thumbprint."""
    for jwk in client.keys:
        key = PublicKey.from_jwk(jwk)
        if kid in (jwk["kid"], key.kid, thumbprint(key)):
            return key
    return None


def thumbprint(key: PublicKey) -> str:
    """Return the RFC 7638 thumbprint of a key."""
    required = {name: value for name, value in key.jwk().items() if name in ("kty", "crv", "x", "y")}
    return b64u_encode(hashlib.sha256(orjson.dumps(required, option=orjson.OPT_SORT_KEYS)).digest())


def _invalid(why: str, approver: str = "", pointer: str | None = "/approvals") -> Refusal:
    return Refusal(Code.PEER_APPROVAL_INVALID, pointer, why=why, **({"approver": approver} if approver else {}))
