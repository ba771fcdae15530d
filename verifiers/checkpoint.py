"""C2SP tlog-checkpoint: the signed head of a log, who must have signed it and who watched.

::

    <origin>            schemeless URL of the log
    <size>              decimal
    <root>              base64 of 32 bytes

as the text of a note. All keys the policy lists for the log must have signed (a stripped post-quantum line is a
failure); witnesses' cosignatures raise the grade from `published` to `witnessed` once a quorum is there. Extension
lines are refused, because 0x06 signatures do not cover them. See `docs/formats/checkpoint.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from verifiers.encoding import b64_decode, b64_encode
from verifiers.errors import Malformed, Reason, SignatureFailed
from verifiers.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE
from verifiers.note import (
    MAX_NAME,
    KeyType,
    Note,
    NoteKey,
    Signature,
    SignatureLine,
    check_lines,
    format_note,
    mldsa_message,
    parse_note,
    signature_line,
    text_message,
)

_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_SCHEME = re.compile(r"https?://")
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: `origin` names the log, `size` its leaves, `root` (32 bytes) the tree over them."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """Give the note text, three lines. Raises `ValueError` when a member cannot be written."""
        if not _is_origin(self.origin) or not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_SIZE:
            message = "not an origin, size and root"
            raise ValueError(message)
        return f"{self.origin}\n{self.size}\n{b64_encode(self.root)}\n"


def parse_checkpoint(text: str, *, any_root: bool = False) -> Checkpoint:
    """Read the text of a checkpoint note. Raises `Malformed` unless `Checkpoint.to_text` gives the same text.

    `any_root` lets a tree of size 0 have another root than the empty tree's: a witness tells such a head, which a log
    may have signed, from one that cannot be read.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Malformed(Reason.CHECKPOINT, "not exactly origin, size and root (extension lines are not accepted)")
    origin, size, encoded, _ = lines
    if not _is_origin(origin):
        raise Malformed(Reason.CHECKPOINT, "not an origin")
    if not _SIZE.match(size) or int(size) > MAX_SIZE:
        raise Malformed(Reason.CHECKPOINT, "not a tree size")
    try:
        root = b64_decode(encoded, HASH_SIZE)
    except Malformed as error:
        raise Malformed(Reason.CHECKPOINT, f"the root is {error.detail}") from error
    if size == "0" and root != EMPTY_ROOT and not any_root:
        raise Malformed(Reason.CHECKPOINT, "size 0 with another root than that of the empty tree")
    return Checkpoint(origin, int(size), root)


def origin_of(url: str) -> str:
    """Give the origin of the log served below `url`: the URL without scheme and closing slash."""
    origin = _SCHEME.sub("", url, count=1).rstrip("/")
    if not _is_origin(origin) or "://" in origin or re.search(r"[\s+?#]", origin):
        message = "not a URL a log can be named after"
        raise ValueError(message)
    return origin


# --- signing: which bytes, then which lines --------------------------------------------------------------------------


def message(key: NoteKey, text: str, timestamp: int) -> bytes:
    """Give what `key` signs for the checkpoint `text` at `timestamp` (POSIX seconds, unused by 0x01 keys)."""
    if key.type is KeyType.MLDSA44_COSIGNATURE:
        head = parse_checkpoint(text, any_root=True)  # whether it can be is judged when it is read
        return mldsa_message(key.name, timestamp, head.origin, head.size, head.root)
    return text_message(key, text, timestamp)


def sign_checkpoint(
    checkpoint: Checkpoint, signers: Sequence[tuple[NoteKey, Callable[[bytes], bytes]]], timestamp: int = 0
) -> str:
    """Give the checkpoint signed by each of `signers` in turn, for keys at hand; remote ones use the pair above.

    `timestamp` 0 in a log's own 0x06 line claims nothing about time.
    """
    text = checkpoint.to_text()
    lines = [signature_line(key, sign(message(key, text, timestamp)), timestamp) for key, sign in signers]
    return format_note(text, lines)


def add_cosignatures(note_text: str, lines: Sequence[SignatureLine]) -> str:
    """Give the note with `lines` after those it has, without any that is there already."""
    note = parse_note(note_text)
    there = {(line.name, line.key_id) for line in note.lines}
    fresh = [line for line in lines if (line.name, line.key_id) not in there]
    return format_note(note.text, [*note.lines, *fresh])


# --- checking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """What a checkpoint of one log must carry, from a trust list.

    Every one of `keys` must have signed. `quorum` different names among `witnesses` make it `witnessed`; 0 means that
    nobody watches this log. Raises `Malformed` on a policy that could not mean what it says.
    """

    origin: str
    keys: tuple[NoteKey, ...]
    quorum: int = 0
    witnesses: tuple[NoteKey, ...] = ()

    def __post_init__(self) -> None:
        names = {key.name for key in self.witnesses}
        public = [key.public_key.key_id for key in (*self.keys, *self.witnesses)]
        if not self.keys or not all(key.type is not KeyType.ED25519_COSIGNATURE for key in self.keys):
            raise Malformed(Reason.VKEY, "a log signs with keys of type 0x01 and 0x06")
        if any(not key.timed for key in self.witnesses) or names & {key.name for key in self.keys}:
            raise Malformed(Reason.VKEY, "a witness signs with keys of type 0x04 and 0x06 under a name of its own")
        if len(set(public)) != len(public):
            raise Malformed(Reason.VKEY, "one key under two names")
        if not 0 <= self.quorum <= len(names):
            raise Malformed(Reason.VKEY, f"a quorum of {self.quorum} among {len(names)} witnesses")


class Grade(StrEnum):
    """How far a checkpoint has come: signed by its log, or also cosigned by the policy's quorum."""

    PUBLISHED = "published"
    WITNESSED = "witnessed"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's word that at `at` (UTC) this was the largest tree of the log it had seen."""

    witness: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that was checked against a policy; it comes from `open_checkpoint` only.

    `cosigned_at` is the time by which the quorum was complete, None for grade `published`; `cosignatures` are all that
    were checked, earliest first; `text` is the whole note.
    """

    checkpoint: Checkpoint
    grade: Grade
    cosigned_at: datetime | None
    cosignatures: tuple[Cosignature, ...]
    text: str

    @property
    def origin(self) -> str:
        """Name of the log."""
        return self.checkpoint.origin

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """Root of the tree, 32 bytes."""
        return self.checkpoint.root


def open_checkpoint(data: str | bytes, policy: LogPolicy) -> SignedCheckpoint:
    """Read a signed checkpoint and check it against the policy of its log.

    Raises `Malformed`, or `SignatureFailed` with `checkpoint.origin` (another log), `checkpoint.unsigned` (a log
    key has not signed) or `checkpoint.signature` (a known line fails). The caller judges whether `published` will do.
    """
    note = parse_note(data)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != policy.origin:
        raise SignatureFailed(Reason.CHECKPOINT_ORIGIN, f"a checkpoint of {checkpoint.origin}")
    try:
        signatures = check_lines(note, (*policy.keys, *policy.witnesses), message)
    except SignatureFailed as error:
        raise SignatureFailed(Reason.CHECKPOINT_SIGNATURE, error.detail) from error
    signed = {signature.key for signature in signatures}
    for key in policy.keys:
        if key not in signed:
            raise SignatureFailed(Reason.CHECKPOINT_UNSIGNED, f"{key.name} ({key.type:#04x}) has not signed")
    return _graded(note, checkpoint, policy, signatures)


def _graded(note: Note, checkpoint: Checkpoint, policy: LogPolicy, signatures: Sequence[Signature]) -> SignedCheckpoint:
    first: dict[str, int] = {}
    for signature in signatures:
        # A time of 0 claims nothing about other trees, so it is no witness's word.
        if signature.key in policy.witnesses and signature.timestamp:
            if signature.timestamp > _LAST_SECOND:
                raise SignatureFailed(Reason.CHECKPOINT_SIGNATURE, f"{signature.key.name} signed after the year 9999")
            first[signature.key.name] = min(signature.timestamp, first.get(signature.key.name, signature.timestamp))
    cosignatures = sorted(
        (Cosignature(name, datetime.fromtimestamp(time, UTC)) for name, time in first.items()),
        key=lambda cosignature: (cosignature.at, cosignature.witness),
    )
    watched = 0 < policy.quorum <= len(cosignatures)
    return SignedCheckpoint(
        checkpoint,
        Grade.WITNESSED if watched else Grade.PUBLISHED,
        cosignatures[policy.quorum - 1].at if watched else None,
        tuple(cosignatures),
        note.to_text(),
    )


def _is_origin(origin: str) -> bool:
    return bool(origin) and len(origin.encode(errors="replace")) <= MAX_NAME and min(origin) >= " "
