"""Calls to services that misbehave: each ends as unreachable, having cost a bounded number of bytes."""

import asyncio
import datetime as dt
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.outside_http import HttpOutside
from ledger.outside import Answer, Unreachable

LIMIT = 10_000
SLACK = 8 * 1024 * 1024
"""What the buffers of two sockets on one machine may hold at most."""

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "Seen"], Awaitable[None]]


@dataclass
class Seen:
    """What a server saw: the heads of requests, and how many bytes it got rid of."""

    heads: list[str] = field(default_factory=list)
    sent: int = 0

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send and count."""
        writer.write(data)
        await writer.drain()
        self.sent += len(data)


@asynccontextmanager
async def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, Seen]]:
    """Serve with `behave` after the head of each request; gives the base address and what was seen."""
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                seen.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await behave(reader, writer, seen)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await server.wait_closed()


@asynccontextmanager
async def calling(timeout_s: float = 20.0, ca: Path | None = None) -> AsyncIterator[HttpOutside]:
    """Give the real port to the outside for the block."""
    outside = HttpOutside(timeout_s=timeout_s, ca=ca)
    try:
        yield outside
    finally:
        await outside.close()


async def refused(behave: Behaviour, *, timeout_s: float = 20.0) -> tuple[str, Seen]:
    """Call a server that behaves so; give why there was no answer, and what it had sent by then."""
    async with serving(behave) as (base, seen), calling(timeout_s) as outside, asyncio.timeout(60):
        with pytest.raises(Unreachable) as caught:
            await outside.get(f"{base}/log/checkpoint", limit=LIMIT)
        return caught.value.detail, seen


def answers(text: bytes) -> Behaviour:
    """A server that sends `text` and leaves the connection open."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, text)

    return behave


def answers_and_hangs_up(text: bytes) -> Behaviour:
    """A server that sends `text` and closes the connection."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, text)
        writer.close()

    return behave


def drips(start: bytes, drop: bytes) -> Behaviour:
    """A server that sends `start` and then, for ever, one `drop` after another."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, start)
        while True:
            await seen.send(writer, drop)
            await asyncio.sleep(0.01)

    return behave


async def test_an_answer_comes_whole_with_its_tag_and_kind() -> None:
    """What a well-behaved service says is handed over, a 404 like a 200, and 304 without a body."""
    body = b'HTTP/1.1 200 OK\r\nETag: "t"\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello'
    async with serving(answers(body)) as (base, seen), calling() as outside:
        assert await outside.get(base, limit=5) == Answer(200, b"hello", '"t"', "text/plain")
        assert await outside.get(base, limit=5, etag='"t"') == Answer(200, b"hello", '"t"', "text/plain")
        await outside.post(base, b"body", media_type="application/json", limit=5, headers={"X-One": "1"})
    assert 'if-none-match: "t"' in seen.heads[1].lower()
    assert "user-agent: elicence" in seen.heads[0].lower() and "accept-encoding: identity" in seen.heads[0].lower()
    assert "x-one: 1" in seen.heads[2].lower() and "content-type: application/json" in seen.heads[2].lower()
    async with (
        serving(answers(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno")) as (absent, _),
        serving(answers(b"HTTP/1.1 304 Same\r\n\r\n")) as (same, _),
        calling() as outside,
    ):
        assert await outside.get(absent, limit=5) == Answer(404, b"no")
        assert await outside.get(same, limit=5) == Answer(304, b"")


async def test_an_endless_body_is_read_to_the_limit_and_no_further() -> None:
    """A body without end costs its limit and what buffers hold, whether chunked or not."""
    chunk = b"x" * 65_536

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await seen.send(writer, chunk)

    async def endless_chunks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await seen.send(writer, b"10000\r\n" + chunk + b"\r\n")

    for behave in (endless, endless_chunks):
        detail, seen = await refused(behave)
        assert detail == "an answer longer than 10000 bytes"
        assert seen.sent < SLACK


async def test_a_body_announced_too_long_is_not_begun() -> None:
    """A Content-Length above the limit ends the call before the body; one that is a lie ends it too."""
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"
    assert "where 10000 are the most" in (await refused(answers(huge)))[0]
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    assert "RemoteProtocolError" in (await refused(answers_and_hangs_up(short)))[0]
    negative = b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"
    assert "RemoteProtocolError" in (await refused(answers(negative)))[0]


async def test_a_compressed_answer_is_never_inflated() -> None:
    """A gzip bomb of ten kilobytes stays one, because what was not asked for is not opened."""
    bomb = gzip.compress(b"\x00" * 9_000_000)
    assert len(bomb) < LIMIT
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert "compressed" in (await refused(answers(head + bomb)))[0]


async def test_a_redirect_is_not_followed() -> None:
    """A peer cannot send us to an address that nobody admitted."""
    async with serving(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (inside, victim):
        moved = f"HTTP/1.1 302 Found\r\nLocation: {inside}/secret\r\nContent-Length: 0\r\n\r\n".encode()
        assert "redirect (302)" in (await refused(answers(moved)))[0]
        assert victim.heads == []


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x", id="body"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="only promises"),
        pytest.param(b"", b"", id="silence"),
    ],
)
async def test_an_answer_that_drips_ends_with_the_deadline(start: bytes, drop: bytes) -> None:
    """However an answer is drawn out, one deadline covers it all."""
    detail, seen = await refused(drips(start, drop), timeout_s=0.3)
    assert detail == "no whole answer within 0.3 s"
    assert seen.sent < SLACK


async def test_headers_without_end_are_cut_off() -> None:
    """Headers that never end are given up on after a hundred kilobytes."""
    line = b"X: " + b"y" * 4000 + b"\r\n"

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await seen.send(writer, b"HTTP/1.1 200 OK\r\n")
        while True:
            await seen.send(writer, line)

    detail, seen = await refused(endless)
    assert "RemoteProtocolError" in detail
    assert seen.sent < SLACK


async def test_resets_and_garbage_are_no_answers() -> None:
    """A connection that is dropped, and bytes that are no HTTP, are told apart from an answer."""

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _seen: Seen) -> None:
        writer.transport.abort()

    for behave in (reset, answers_and_hangs_up(b""), answers_and_hangs_up(b"SSH-2.0-OpenSSH\r\n\r\n")):
        assert "the exchange failed" in (await refused(behave))[0]
    async with calling() as outside:
        with pytest.raises(Unreachable, match="the exchange failed: ConnectError"):
            await outside.get("http://127.0.0.1:1/", limit=1)


async def test_only_addresses_of_the_web_are_called() -> None:
    """Files, other protocols, credentials in an address and nonsense never leave the process."""
    async with calling() as outside:
        for url in ("file:///etc/passwd", "ftp://a/b", "//a/b", "http://", "http://user:secret@a/", "http://\x00/"):
            with pytest.raises(Unreachable):
                await outside.get(url, limit=1)


async def test_cookies_are_neither_kept_nor_sent_back() -> None:
    """What a service sets is forgotten: it cannot tell one call of ours from another."""
    text = b"HTTP/1.1 200 OK\r\nSet-Cookie: track=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serving(answers(text)) as (base, seen), calling() as outside:
        await outside.get(base, limit=1)
        await outside.get(base, limit=1)
    assert len(seen.heads) == 2 and not any("cookie" in head.lower() for head in seen.heads)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a call goes is what the catalogue says, not what the environment says."""
    async with serving(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (base, _):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        async with calling() as outside:
            assert (await outside.get(base, limit=5)).body == b"hi"


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """A service must show a certificate for its own name from an authority that is believed."""
    hello = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    right, wrong = certified(tmp_path, "localhost"), certified(tmp_path, "elsewhere.example")
    async with serving(hello, right) as (base, _), calling(ca=tmp_path / "localhost.pem") as outside:
        assert (await outside.get(base.replace("127.0.0.1", "localhost"), limit=5)).body == b"hi"
    async with serving(hello, wrong) as (base, _), calling(ca=tmp_path / "elsewhere.example.pem") as outside:
        with pytest.raises(Unreachable, match=r"the certificate does not hold: .*mismatch"):
            await outside.get(base.replace("127.0.0.1", "localhost"), limit=5)
    async with serving(hello, right) as (base, _), calling() as outside:
        with pytest.raises(Unreachable, match="the certificate does not hold: self-signed"):
            await outside.get(base.replace("127.0.0.1", "localhost"), limit=5)


async def test_nothing_is_called_once_closed() -> None:
    """After the end there is no address anybody could be reached at."""
    outside = HttpOutside()
    await outside.close()
    with pytest.raises(Unreachable, match="no more calls"):
        await outside.get("http://127.0.0.1:1/", limit=1)


async def test_a_service_that_drips_does_not_hold_up_the_others() -> None:
    """Calls to others go through while one service keeps connections busy."""
    async with (
        serving(drips(b"", b"")) as (slow, _),
        serving(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (quick, _),
        calling(timeout_s=30) as outside,
    ):
        waiting = [asyncio.create_task(outside.get(slow, limit=1)) for _ in range(8)]
        assert (await outside.get(quick, limit=5)).body == b"hi"
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def certified(folder: Path, name: str) -> ssl.SSLContext:
    """Make a self-signed certificate for `name`, also as `<name>.pem` in `folder`, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context
