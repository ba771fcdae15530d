"""One thing to fuzz: which parsers it drives, how it feeds them bytes, and what it holds them to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

LENGTH_MAX = 4096
"""Longest input in bytes unless a target says otherwise; a parser's own limits are tried by its own tests."""


class Escape(AssertionError):
    """A parser accepted something that it writes in another way, or answered what it must not."""


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes any bytes and returns, or raises what must never leave the parsers named in `covers`.

    `covers` are dotted names, `seeds` gives inputs that are accepted or nearly; `served` targets call a whole region
    and are slow; one of `weight` 8 is tried an eighth as often as one of 1.
    """

    name: str
    covers: tuple[str, ...]
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    limit: int = LENGTH_MAX
    served: bool = False
    weight: int = 1


def same(found: object, wanted: object) -> None:
    """Return if what was written again is what was read. Raises `Escape`."""
    if found != wanted:
        raise Escape(f"{wanted!r:.300} was accepted and is written {found!r:.300}")


def text_of(data: bytes) -> str:
    """Give the text a caller may hand on: what is not UTF-8 becomes lone surrogates, which JSON can spell as well."""
    return data.decode("utf-8", "surrogateescape")


def json_of(data: bytes) -> Any:
    """Give the JSON value that `data` spells, however loosely, or the text where it spells none."""
    try:
        return json.loads(text_of(data))
    except (ValueError, RecursionError):
        return text_of(data)


def json_bytes(value: object) -> bytes:
    """Give the bytes that `json_of` reads back."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def spliced(base: bytes, script: bytes) -> bytes:
    """Give `base` changed as `script` says: place (2 bytes), how many to leave out (1), how many follow to put in (1).

    So an input stays meaningful where what it changes is signed with keys that no two runs share. The place counts
    from the front, or from the end above half of 65,536.
    """
    at = 0
    while at + 4 <= len(script) and base:
        place, out, put = int.from_bytes(script[at : at + 2], "big"), script[at + 2], script[at + 3]
        place = (place - 65_536 if place >= 32_768 else place) % (len(base) + 1)
        base = base[:place] + script[at + 4 : at + 4 + put] + base[place + out :]
        at += 4 + put
    return base
