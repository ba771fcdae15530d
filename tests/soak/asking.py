"""Asking again: each accepted request is sent once more under its key, and its answer must have the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from benchmarks.load import HOST, read_answer
from tests.soak.offering import digest, issue_request

LINES = 32


def asked_again(port: int, headers: list[tuple[str, str]], accepted: Iterable[tuple[int, str]]) -> int:
    """Send the licences with these numbers again; return how many answers do not have the digest they had."""
    return asyncio.run(_all(port, headers, iter(accepted)))


async def _all(port: int, headers: list[tuple[str, str]], accepted: Iterator[tuple[int, str]]) -> int:
    return sum(await asyncio.gather(*(_line(port, headers, accepted) for _ in range(LINES))))


async def _line(port: int, headers: list[tuple[str, str]], accepted: Iterator[tuple[int, str]]) -> int:
    reader, writer = await asyncio.open_connection(HOST, port)
    differing = 0
    for number, expected in accepted:
        writer.write(issue_request(number, headers))
        status, body = await read_answer(reader)
        differing += status >= 300 or digest(body) != expected
    writer.close()
    return differing
