"""What a peer's licence type looks like, from its own trust list and the type metadata that the list pins by digest.

Both are the peer's word about itself, good enough to catch a slip of the pen in an equivalence and nothing more. What
is not at hand is reported as unchecked, never refused: a peer that is out of reach stops no decision here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ledger.errors import Code, Refusal
from ledger.outside import Unreachable
from ledger.peer_calls import trust_list_of
from verifiers.encoding import b64_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import read_json

if TYPE_CHECKING:
    from ledger.region import Region
    from verifiers.trust_document import TrustedType
    from verifiers.trust_list import TrustList

TYPE_UNCHECKED: Final = "their_type_unchecked"
FIELDS_UNCHECKED: Final = "their_fields_unchecked"

_METADATA_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class ForeignType:
    """`fields`: the face fields by name, and whether each is always shown; `None` where nobody could look."""

    fields: Mapping[str, bool] | None
    warnings: tuple[str, ...]

    @property
    def open_fields(self) -> frozenset[str]:
        """The fields that a holder cannot withhold."""
        return frozenset(name for name, always in (self.fields or {}).items() if always)


async def look_up(region: Region, peer: str, code: str, major: int) -> ForeignType:
    """Find the type `code`@`major` of `peer` in its newest trust list that is known here.

    Raises `Refusal` equivalence.type_unknown where there is such a list and the type is not in it.
    """
    named = region.catalogue.recognised.peers.get(peer)
    trust = None if named is None else await trust_list_of(region, named, region.clock.now())
    if trust is None:
        return ForeignType(None, (TYPE_UNCHECKED, FIELDS_UNCHECKED))
    kind = next((each for each in trust.document.types if (each.code, each.major) == (code, major)), None)
    if kind is None:
        known = sorted(f"{each.code}@{each.major}" for each in trust.document.types)[:100]
        raise Refusal(Code.EQUIVALENCE_TYPE_UNKNOWN, "/their/type", peer=peer, known=known)
    fields = await _fields(region, trust, kind)
    return ForeignType(fields, () if fields is not None else (FIELDS_UNCHECKED,))


async def _fields(region: Region, trust: TrustList, kind: TrustedType) -> Mapping[str, bool] | None:
    known = region.catalogue.recognised.peers.get(trust.region)
    # Never anywhere but below the address that was admitted: a peer must not send us round our own network.
    if region.outside is None or known is None or not kind.vct.startswith(f"{known.base.rstrip('/')}/"):
        return None
    try:
        answer = await region.outside.get(kind.vct, limit=_METADATA_BYTES)
        document = read_json(answer.body, Reason.TYPE_INTEGRITY)
    except (Unreachable, Malformed):
        return None
    pinned = "sha256-" + b64_encode(sha256(answer.body).digest()) in kind.integrity
    return read_fields(document) if answer.status == 200 and pinned else None


def read_fields(metadata: Any) -> Mapping[str, bool] | None:
    """Read the face fields out of SD-JWT VC type metadata: each name, and whether it is always shown.

    `None` where the document has no list of claims. Its `extends` is not read: it decides nothing here.
    """
    claims = metadata.get("claims") if type(metadata) is dict else None
    if type(claims) is not list:
        return None
    found: dict[str, bool] = {}
    for claim in claims:
        path = claim.get("path") if type(claim) is dict else None
        if type(path) is list and len(path) == 2 and path[0] == "fields" and type(path[1]) is str:
            found[path[1]] = claim.get("sd") == "never" and claim.get("mandatory") is True
    return found
