"""Requests to other services over HTTP: what a slow, broken or hostile one can cost is bounded here.

One deadline covers a whole call, from looking up the name to the last byte, so an answer that drips costs no more time
than one that never comes. Bodies are read no further than the caller allows and never inflated, redirects are not
followed, names are checked against certificates, and nothing of the environment (proxies, credentials, cookies) is
used or kept.
"""

import asyncio
import ssl
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx

from ledger.outside import NO_HEADERS, Answer, Unreachable

TIMEOUT_S: Final = 10.0
"""Longest call, in seconds: the largest trust list allowed comes through within it at 30 Mbit/s."""

CONNECTIONS: Final = 64
"""Most connections at once to all services together; a caller that finds none free waits within its own deadline."""

USER_AGENT: Final = "elicence"
_KEPT_S: Final = 15.0
_LONGEST_TAG: Final = 256


class HttpOutside:
    """The real `ledger.outside.Outside`; `ca` is a PEM file of certificate authorities to believe instead of the
    system's, `timeout_s` the deadline of each call, `proxy` the address of an HTTP proxy to go through.

    Raises `OSError` where `ca` cannot be read, `ssl.SSLError` where it holds no certificate.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S, ca: Path | None = None, proxy: str | None = None) -> None:
        self._timeout_s = timeout_s
        self._closed = False
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=None if ca is None else str(ca)),
            trust_env=False,
            proxy=proxy,
            follow_redirects=False,
            http2=False,
            timeout=None,  # noqa: S113 - every call has one deadline for all it does
            limits=httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS // 2, keepalive_expiry=_KEPT_S
            ),
            # Inflating is where a small answer becomes a large one.
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch `url`, reading at most `limit` bytes; with `etag`, only if it changed (304). Raises `Unreachable`."""
        return await self._call("GET", url, limit, {} if etag is None else {"If-None-Match": etag})

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send `body` to `url`, reading at most `limit` bytes of the answer. Raises `Unreachable`."""
        return await self._call("POST", url, limit, {"Content-Type": media_type, **headers}, body)

    async def close(self) -> None:
        """Give back connections; calls after this raise `Unreachable`."""
        self._closed = True
        await self._client.aclose()

    async def _call(
        self, method: str, url: str, limit: int, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        if self._closed:
            raise Unreachable("no more calls are made")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(method, _allowed(url), limit, headers, body)
        except TimeoutError:
            raise Unreachable(f"no whole answer within {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise Unreachable(_said(error)) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Unreachable("not an address that can be called") from error

    async def _exchange(
        self, method: str, url: str, limit: int, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        async with self._client.stream(method, url, headers=dict(headers), content=body) as answer:
            status = answer.status_code
            if 300 <= status < 400 and status != 304:
                raise Unreachable(f"the answer is a redirect ({status}), and those are not followed")
            return Answer(
                status=status,
                body=b"" if status == 304 else await _read(answer, limit),
                etag=_tag(answer),
                media_type=answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
            )


async def _read(answer: httpx.Response, limit: int) -> bytes:
    """The body as it came over the wire. Raises `Unreachable` as soon as it cannot end within `limit`."""
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise Unreachable("the answer is compressed, though that was not asked for")
    announced = answer.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > limit:
        raise Unreachable(f"an answer of {announced[:20]} bytes where {limit} are the most")
    read = bytearray()
    async for part in answer.aiter_raw():
        read += part
        if len(read) > limit:
            raise Unreachable(f"an answer longer than {limit} bytes")
    return bytes(read)


def _allowed(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest or "@" in rest.partition("/")[0]:
        raise Unreachable("not an http or https address")
    return url


def _tag(answer: httpx.Response) -> str | None:
    tag = answer.headers.get("etag")
    return tag if tag and len(tag) <= _LONGEST_TAG and tag.isascii() and tag.isprintable() else None


def _said(error: httpx.HTTPError) -> str:
    """What went wrong by kind, without text that the other side has written."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate does not hold: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return f"the exchange failed: {type(error).__name__}"
