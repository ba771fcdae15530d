"""The port through which a region reaches other services: bounded requests over the public network.

The `ledger` package knows no HTTP library. `api.outside_http.HttpOutside` is the real implementation;
tests route by base address to regions in the same process, or to services that lie.

Everything an implementation returns was written by somebody else and is unverified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer: status code, body within the limit asked for, entity tag and media type as sent.

    A status of 4xx or 5xx is an answer too; 304 has an empty body. Redirects are never answers.
    """

    status: int
    body: bytes
    etag: str | None = None
    media_type: str = ""


class Unreachable(Exception):
    """Nobody answered in time, or not within the limits; `detail` is safe to show and names no secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Outside(Protocol):
    """Requests to other services, each with a total deadline and a limit to what is read."""

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch `url`, reading at most `limit` bytes; with `etag`, only if it changed (304). Raises Unreachable."""
        ...

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send `body` to `url`, reading at most `limit` bytes of the answer. Raises Unreachable."""
        ...

    async def close(self) -> None:
        """Give back connections; calls after this raise Unreachable."""
        ...
