"""Calls to other regions: signed with this region's key `peer` (RFC 9421) and sent through its port to the outside."""

from __future__ import annotations

from typing import Any, Final

import orjson

from api.http_signatures import sign_request
from ledger.outside import Answer, Outside, Unreachable
from ledger.peer_calls import PeerRefused
from ledger.recognised import Peer
from ledger.region import Region
from verifiers.errors import Malformed, Reason
from verifiers.jws import read_object

ANSWER_MAX: Final = 8_388_608
"""Longest answer in bytes: twenty licences with their receipts take a few hundred KiB."""

_JSON: Final = "application/json"


class SignedCalls:
    """Calls other regions in the name of `region`."""

    def __init__(self, region: Region, outside: Outside) -> None:
        self._region = region
        self._outside = outside

    async def call(self, peer: Peer, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Send `document` to `path` below the peer's address and return its answer, a JSON object.

        Raises `Unreachable` where nobody answers, the peer is too busy or its answer is of no use, `PeerRefused` where
        it says no, and `Refusal` key.unknown where this region has no key for calls yet.
        """
        region, url, body = self._region, f"{peer.base}{path}", orjson.dumps(document)
        headers = await sign_request(
            region.signer(None, "peer"),
            region=region.config.region,
            method="POST",
            url=url,
            body=body,
            at=region.clock.now(),
        )
        return _read(await self._outside.post(url, body, media_type=_JSON, limit=ANSWER_MAX, headers=headers))


def _read(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        if answer.status == 429 or not 400 <= answer.status < 500:
            raise Unreachable(f"the peer answered {answer.status}")
        raise PeerRefused(_code(answer), answer.status)
    try:
        return read_object(answer.body, Reason.CANONICAL)
    except Malformed as error:
        raise Unreachable(f"the peer's answer is not JSON: {error.detail}") from None


def _code(answer: Answer) -> str:
    """The refusal code in a problem document; empty where the answer is something else."""
    try:
        code = read_object(answer.body, Reason.CANONICAL).get("code")
    except Malformed:
        return ""
    return code if type(code) is str and code.isascii() and len(code) <= 64 else ""
