"""Changes to inputs that are the same in every run: what `make test` tries where no coverage guides it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

_DATE = re.compile(rb"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(rb"-?\d+")
_TELLING = (
    b"", b"\x00", b"\xff", b"\n", b"\n\n", b" ", b"\"", b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",",
    b":", b"null", b"true", b"{}", b"[]", b"\"\"", b"-0", b"1e400", b"0.5", b"NaN", b"9007199254740992",
    b"=", b"+", b"-", b"_", b".", b"~", b"~~", b"#", b"/", b"\xe2\x80\x94 ", b"\xed\xa0\x80", b"\xc3", b"0000-00-00",
    b"9999-12-31", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"\xd9\xa1", b"\xc2\xb2", b"[" * 300, b"A" * 300,
)  # fmt: skip
_DATES = (b"9999-12-31", b"0001-01-01", b"1900-02-29", b"2024-02-29", b"2026-13-01", b"10000-01-01", b"1969-12-31")
_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64)

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutants(name: str, corpus: Sequence[bytes], count: int, limit: int) -> Iterator[bytes]:
    """Yield `count` inputs of at most `limit` bytes made from `corpus`, always the same for a target's `name`."""
    chance = random.Random(sha256(name.encode()).digest())
    for _ in range(count):
        yield changed(chance, chance.choice(corpus) if corpus else b"", corpus)[:limit]


def changed(chance: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Give `data` after one to eight changes, some of which take parts of other inputs in `corpus`."""
    for _ in range(1 << chance.randrange(4)):
        data = chance.choice(_CHANGES)(chance, data, corpus)
    return data


def _flip(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place, telling = _place(chance, data), chance.choice(_TELLING)
    return data[:place] + telling + data[place + len(telling) :]


def _insert(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(chance, data)
    return data[:place] + chance.choice(_TELLING) + data[place:]


def _delete(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 40)) + data[end:]


def _swap(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    place = _place(chance, data)
    moved, rest = data[start:end], data[:start] + data[end:]
    return rest[:place] + moved + rest[place:]


def _date(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = [*_DATE.finditer(data)]
    if not found:
        return data
    hit = chance.choice(found)
    return data[: hit.start()] + chance.choice(_DATES) + data[hit.end() :]


def _number(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = [*_NUMBER.finditer(data)]
    if not found:
        return data
    hit = chance.choice(found)
    return data[: hit.start()] + str(chance.choice(_NUMBERS)).encode() + data[hit.end() :]


def _value(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put a JSON value of another kind after some colon, up to the next comma or bracket."""
    colons = [at for at, byte in enumerate(data) if byte == 0x3A]
    if not colons:
        return data
    start = chance.choice(colons) + 1
    end = next((at for at in range(start, len(data)) if data[at] in b",}]"), len(data))
    return data[:start] + chance.choice((b"null", b"[]", b"{}", b"0", b'""', b"true", b"[[]]", b"1.5")) + data[end:]


def _cross(chance: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = chance.choice(corpus) if corpus else data
    return data[: _place(chance, data)] + other[_place(chance, other) :]


_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _overwrite, _insert, _delete, _repeat, _swap, _number, _date, _value, _value, _cross,
)  # fmt: skip


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _span(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(chance, data)
    return start, min(len(data), start + 1 + chance.randrange(1 << chance.randrange(8)))
