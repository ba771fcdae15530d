"""What another region shows before it is trusted, opened under the root that operators took from somewhere else.

Nothing here is believed because the network said so: the description is only compared, and the trust list counts only
if it chains to the root that was given. What comes back is for two people to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ledger.errors import Code, Refusal
from ledger.outside import Answer, Outside, Unreachable
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import read_object
from verifiers.legal_dates import format_time
from verifiers.trust_document import Department, TrustedKey, TrustedType
from verifiers.trust_list import LENGTH_MAX, TrustList, open_trust_list

if TYPE_CHECKING:
    from ledger.region import Region

DESCRIPTION: Final = "/.well-known/elicence-region"
_DESCRIPTION_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Shown:
    """A peer's trust list as it came, and opened; `text` is the compact JWT."""

    trust: TrustList
    text: str


async def look(outside: Outside | None, base: str, root: str, at: datetime, seen_seq: int = 0) -> Shown:
    """Fetch description and newest trust list of the region at `base`, and open the list under `root` (hex).

    `seen_seq` is the highest version ever seen under that root: a region that comes back does not begin anew.

    Raises `Refusal` peer.unreachable, peer.root_mismatch, or peer.list_invalid where list, description and address do
    not say the same, or the list does not hold up.
    """
    described = _description(await _fetch(outside, base + DESCRIPTION, _DESCRIPTION_MAX))
    shown = _opened(await _fetch(outside, f"{base}/trust-list", LENGTH_MAX), root, at, seen_seq)
    document = shown.trust.document
    if document.iss != base:
        raise _invalid("the list names another address", named=document.iss)
    origins = [log.origin for log in document.logs]
    if described.get("region") != document.region or described.get("origin") not in origins:
        raise _invalid("list and description name another region or log")
    if document.expires_at < at:
        raise _invalid("the list has expired", expired=format_time(document.expires_at))
    return shown


async def look_again(outside: Outside | None, base: str, root: str, seq: int, digest: bytes, at: datetime) -> Shown:
    """Fetch the version `seq` that was shown to those who approved, and see that it is that one.

    Raises `Refusal` peer.unreachable, peer.root_mismatch, peer.list_invalid.
    """
    shown = _opened(await _fetch(outside, f"{base}/trust-list/{seq}", LENGTH_MAX), root, at)
    if shown.trust.digest != digest or shown.trust.document.seq != seq or shown.trust.document.iss != base:
        raise _invalid("not the version that was approved", seq=seq)
    return shown


def told(shown: Shown, region: Region) -> dict[str, Any]:
    """Return, for people to read, everything that would be trusted once this region is admitted."""
    trust, document = shown.trust, shown.trust.document
    own_witness = document.witness
    return {
        "region": document.region,
        "names": document.names.to_json(),
        "base": document.iss,
        "root": trust.root_fingerprint,
        "list": {
            "seq": document.seq,
            "digest": b64u_encode(trust.digest),
            "issued_at": format_time(document.issued_at),
            "next_update": format_time(document.next_update),
            "expires_at": format_time(document.expires_at),
        },
        "logs": [log.to_json() for log in document.logs],
        "departments": [_department(each, trust) for each in document.departments],
        "keys": [_key(each) for each in document.keys if each.department is None],
        "types": [_type(each) for each in document.types],
        "status_lists": [each.uri for each in document.status_lists],
        "witness": None if own_witness is None else own_witness.to_json(),
        "intervals": None if document.intervals is None else document.intervals.to_json(),
        "peers": [each.region for each in document.peers],
        "recognises_us": any(each.region == region.config.region for each in document.peers),
    }


def _opened(answer: Answer, root: str, at: datetime, seen_seq: int = 0) -> Shown:
    try:
        text = answer.body.decode("ascii").strip()
        return Shown(open_trust_list(text, root_fingerprint=root, at=at, seen_seq=seen_seq, source="fetched"), text)
    except UnicodeDecodeError:
        raise _invalid("not a token") from None
    except VerificationError as error:
        if error.reason is Reason.ROOT_MISMATCH:
            raise Refusal(Code.PEER_ROOT_MISMATCH, "/root") from None
        raise _invalid(error.detail, reason=str(error.reason)) from None


async def _fetch(outside: Outside | None, url: str, limit: int) -> Answer:
    if outside is None:
        raise Refusal(Code.PEER_UNREACHABLE, "/base", url=url, why="this region has no way to the network")
    try:
        answer = await outside.get(url, limit=limit)
    except Unreachable as unreachable:
        raise Refusal(Code.PEER_UNREACHABLE, "/base", url=url, why=unreachable.detail) from None
    if answer.status != 200:
        raise Refusal(Code.PEER_UNREACHABLE, "/base", url=url, why=f"answered {answer.status}")
    return answer


def _description(answer: Answer) -> dict[str, Any]:
    try:
        found = read_object(answer.body, Reason.TRUST)
    except VerificationError as error:
        raise _invalid(f"its description is {error.detail}") from None
    log = found.get("log")
    return {"region": found.get("region"), "origin": log.get("origin") if isinstance(log, dict) else None}


def _department(each: Department, trust: TrustList) -> dict[str, Any]:
    keys = [_key(key) for key in trust.document.keys if key.department == each.id]
    types = sorted({f"{grant.type}@{grant.major}" for grant in trust.document.grants if grant.department == each.id})
    return {"id": each.id, "names": each.names.to_json(), "status": each.status, "keys": keys, "types": types}


def _key(key: TrustedKey) -> dict[str, Any]:
    ended = key.log_to is not None or key.revoked is not None
    return {"kid": key.public_key.kid, "purpose": key.purpose, "suite": key.public_key.suite, "ended": ended}


def _type(each: TrustedType) -> dict[str, Any]:
    return {"code": each.code, "major": each.major, "names": each.names.to_json(), "vct": each.vct}


def _invalid(why: str, **facts: Any) -> Refusal:
    return Refusal(Code.PEER_LIST_INVALID, "/base", why=why, **facts)
