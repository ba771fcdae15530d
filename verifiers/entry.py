"""The public half of an event: one leaf of the log, canonical JSON of seven members.

``{"at":…,"by":…,"commit":…,"kind":…,"prev":…,"ref":…,"v":1}``

A leaf says that something of a coarse kind was recorded by a department at a time; what it was lies behind `commit`.
`prev` is the leaf hash of the entry before, so the table alone is a hash chain. See `docs/formats/entry.md`.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from verifiers import canonical
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError

VERSION: Final = 1
MAX_BYTES: Final = 4096
"""Longest leaf; one of today is about 220 bytes."""

KINDS: Final = frozenset(
    {
        "department",
        "equivalence",
        "grant",
        "key",
        "licence.imported",
        "licence.issued",
        "licence.status",
        "log.opened",
        "matter",
        "peer",
        "record.erased",
        "rule",
        "seal",
        "sealed",
        "trust.published",
        "type",
    }
)
"""Every kind a leaf may have; submissions, fraud, credit, objections and recognition all look alike: `sealed`."""

_FOLLOWING: Final = frozenset(kind.encode("ascii") for kind in KINDS if kind != "log.opened")

REGION: Final = "region"
"""Stands in `by` where the region itself acts and no department does."""

FIRST_PREV: Final = sha256(b"").digest()
"""`prev` of entry 0."""

_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_TO_URL = bytes.maketrans(b"+/", b"-_")
_B64U_16 = rb"[A-Za-z0-9_-]{21}[AQgw]"
_B64U_32 = rb"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z", re.ASCII)
_BY = re.compile(r"[0-9A-Z]{18}\Z|region\Z")
_LEAF = re.compile(
    rb'\{"at":"([0-9TZ:-]{20})","by":"([0-9A-Z]{18}|region)","commit":"(%b)","kind":"([a-z.]{1,32})",'
    rb'"prev":"(%b)","ref":"(%b)","v":1\}\Z' % (_B64U_32, _B64U_32, _B64U_16)
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry as everybody may read it.

    `at` is UTC to the second, `by` a department's unified social credit code or `REGION`, `ref` 16 bytes, `commit` and
    `prev` 32 bytes.
    """

    kind: str
    at: datetime
    by: str
    ref: bytes
    commit: bytes
    prev: bytes
    v: int = VERSION


def encode(leaf: Leaf) -> bytes:
    """Give the leaf's bytes. Raises `ValueError` when a member is outside its domain: our own mistake."""
    fault = _fault(leaf)
    if fault is not None:
        raise ValueError(fault)
    return (
        f'{{"at":"{format_at(leaf.at)}","by":"{leaf.by}","commit":"{b64u_encode(leaf.commit)}","kind":"{leaf.kind}",'
        f'"prev":"{b64u_encode(leaf.prev)}","ref":"{b64u_encode(leaf.ref)}","v":1}}'
    ).encode("ascii")


class Encoder:
    """Encodes the leaves of one moment, to the bytes that `encode` gives: what many leaves share is written once.

    Raises `ValueError` as `encode` does.
    """

    __slots__ = ("_at", "_frames")

    def __init__(self, at: datetime) -> None:
        self._at = format_at(at)
        self._frames: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def encode(self, kind: str, by: str, ref: bytes, commit: bytes, prev: bytes) -> bytes:
        """Give the bytes of one leaf; `ref` is 16 bytes, `commit` and `prev` are 32."""
        frame = self._frames.get((kind, by)) or self._frame(kind, by)
        if len(commit) != 32 or len(prev) != 32 or len(ref) != 16:
            raise ValueError("`ref`, `commit` and `prev` are 16, 32 and 32 bytes")
        # One call for all three: a zero byte after 32 completes the last group of three, whose last letter it spells.
        text = b2a_base64(b"%b\0%b\0%b" % (commit, prev, ref), newline=False).translate(_TO_URL)
        return b'%b%b%b%b","ref":"%b","v":1}' % (frame[0], text[:43], frame[1], text[44:87], text[88:110])

    def _frame(self, kind: str, by: str) -> tuple[bytes, bytes]:
        fault = _fault(Leaf(kind, _SOME_TIME, by, bytes(16), bytes(32), bytes(32)))
        if fault is not None:
            raise ValueError(fault)
        before = f'{{"at":"{self._at}","by":"{by}","commit":"'.encode("ascii")
        between = f'","kind":"{kind}","prev":"'.encode("ascii")
        self._frames[kind, by] = before, between
        return before, between


def parse(data: bytes) -> Leaf:
    """Read a leaf. Raises `Malformed` on anything but the exact bytes `encode` gives."""
    match = _LEAF.match(data)
    if match is None:
        raise _explain(data)
    at, by, commit, kind, prev, ref = match.groups()
    name = kind.decode("ascii")
    if name not in KINDS:
        raise Malformed(Reason.ENTRY, f"unknown kind {name}")
    # The pattern fixes alphabet, length and spare bits, so these decode in one way only.
    values = (urlsafe_b64decode(ref + b"=="), urlsafe_b64decode(commit + b"="), urlsafe_b64decode(prev + b"="))
    return Leaf(name, parse_at(at.decode("ascii")), by.decode("ascii"), *values)


def follow(entries: Iterable[bytes], prev: bytes, since: datetime | None) -> tuple[list[bytes], datetime | None] | None:
    """Give the leaf hashes of `entries`, each of which names the one before it, and the time of the last.

    `prev` is the leaf hash of the entry before the first, `since` the time that none may be earlier than. None where
    any of them is not a leaf of its one form, does not follow, or opens a log: then each has to be looked at by itself.
    """
    match, hashes = _LEAF.match, []
    newest = b"" if since is None else format_at(since).encode("ascii")
    named = _text(prev)
    for data in entries:
        found = match(data)
        if found is None:
            return None
        at, kind, before = found.group(1, 4, 5)
        # Times of one form sort as text; one that was not there before is read, because 31 February sorts too.
        if before != named or at < newest or kind not in _FOLLOWING or (at != newest and not _is_time(at)):
            return None
        newest = at
        hashed = sha256(b"\x00" + data).digest()
        hashes.append(hashed)
        named = _text(hashed)
    return hashes, since if not newest else parse_at(newest.decode("ascii"))


def _text(hashed: bytes) -> bytes:
    return b2a_base64(hashed, newline=False).translate(_TO_URL)[:43]


def _is_time(text: bytes) -> bool:
    try:
        parse_at(text.decode("ascii"))
    except Malformed:
        return False
    return True


@lru_cache(maxsize=1024)  # all entries of a batch share one time
def parse_at(text: str) -> datetime:
    """Read a time such as `2026-11-21T08:00:00Z`. Raises `Malformed` on any other form or an impossible time."""
    if not _AT.match(text):
        raise Malformed(Reason.ENTRY, "not a UTC time in whole seconds")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(Reason.ENTRY, "not a possible time") from error


@lru_cache(maxsize=1024)
def format_at(at: datetime) -> str:
    """Give a time such as `2026-11-21T08:00:00Z`. Raises `ValueError` unless `at` has a zone and is whole seconds."""
    if at.tzinfo is None or at.microsecond:
        message = "a time of the log has a zone and is whole seconds"
        raise ValueError(message)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _fault(leaf: Leaf) -> str | None:
    if leaf.v != VERSION:
        return f"version {leaf.v}"
    if leaf.kind not in KINDS:
        return f"unknown kind {leaf.kind!r}"
    if not _BY.match(leaf.by):
        return "`by` is neither a unified social credit code nor `region`"
    if (len(leaf.ref), len(leaf.commit), len(leaf.prev)) != (16, 32, 32):
        return "`ref`, `commit` and `prev` are 16, 32 and 32 bytes"
    return None


def _explain(data: bytes) -> Malformed:
    """Find words for bytes that are not a leaf; slow, and only for them."""
    try:
        document = canonical.decode_object(data, MAX_BYTES)
    except VerificationError as error:
        return Malformed(Reason.ENTRY, error.detail)
    wanted = {"at", "by", "commit", "kind", "prev", "ref", "v"}
    if document.keys() != wanted:
        return Malformed(Reason.ENTRY, f"members {sorted(document)} instead of {sorted(wanted)}")
    if document["v"] != VERSION:
        return Malformed(Reason.ENTRY, f"version {document['v']}")
    return Malformed(Reason.ENTRY, "a member is not in its one form")
