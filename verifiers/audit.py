"""Replay of a whole log: is what is stored today what was signed, entry by entry, and if not, what was changed?

A `Replay` is fed the entries in order, with their records where the auditor may read them, and gives back findings
that name the thing and the fault. It holds one frontier, one row of tiles and the checkpoints it was given, so a log of
any length takes the same memory. It reads nothing itself: stored files come through the `read_tile` it was given.

A finding about an entry row shows at the entry after it (`entry.chain`), at the first checkpoint over it
(`checkpoint.root`) and at its bundle (`tile.differs`); one about a file alone shows at that file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from keys.public_key import PublicKey
from verifiers import commitment, statement, tiles
from verifiers.checkpoint import Checkpoint
from verifiers.encoding import b64u_decode
from verifiers.entry import FIRST_PREV, Leaf, follow, parse
from verifiers.errors import Malformed, OpeningFailed, Reason, VerificationError
from verifiers.merkle import Frontier, leaf_hash, root
from verifiers.tiles import ENTRIES, WIDTH, Tile

CLOCK_TOLERANCE: Final = timedelta(seconds=60)
"""How far an entry may lie before the first cosignature on a checkpoint that did not yet have it."""


class Fault(StrEnum):
    """What can be wrong with a stored log; stable codes that programs may compare."""

    ENTRY_MISSING = "entry.missing"
    ENTRY_MALFORMED = "entry.malformed"
    ENTRY_KIND = "entry.kind"
    ENTRY_CHAIN = "entry.chain"
    ENTRY_TIME = "entry.time"
    ENTRY_BACKDATED = "entry.backdated"
    RECORD_MISSING = "record.missing"
    RECORD_PART = "record.part"
    RECORD_OPENING = "record.opening"
    RECORD_STATEMENT = "record.statement"
    CHECKPOINT_ROOT = "checkpoint.root"
    CHECKPOINT_BEYOND = "checkpoint.beyond"
    TILE_MISSING = "tile.missing"
    TILE_DIFFERS = "tile.differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was signed: `where` is `entry 17`, `record 17 part 2`, `checkpoint 300` or a path."""

    fault: Fault
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.fault}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a record as stored: its digest, and salt and content unless erased or closed to the auditor."""

    digest: bytes
    salt: bytes | None = None
    content: bytes | None = None


ReadTile = Callable[[Tile], bytes | None]
"""Gives the stored bytes of a tile or bundle, None when there is no such file."""

KeyAt = Callable[[str, int], PublicKey | None]
"""Gives the statement key with a `kid` that was good for the entry of an index."""


class Replay:
    """One pass over a log, entry by entry from 0.

    `checkpoints` are all heads known from anywhere (ours, witnesses', trust lists'); `cosigned` pairs tree sizes with
    the time of their first cosignature; files are compared up to the published size `tiles_up_to` through `read_tile`;
    `key_at` checks the signatures of statements.
    """

    def __init__(
        self,
        origin: str,
        *,
        checkpoints: Iterable[Checkpoint] = (),
        cosigned: Iterable[tuple[int, datetime]] = (),
        key_at: KeyAt | None = None,
        read_tile: ReadTile | None = None,
        tiles_up_to: int = 0,
    ) -> None:
        self._origin = origin
        self._key_at = key_at
        self._roots: dict[int, list[Checkpoint]] = {}
        for head in checkpoints:
            self._roots.setdefault(head.size, []).append(head)
        self._floors = sorted(cosigned, reverse=True)
        self._floor: datetime | None = None
        self._next = 0
        self._frontier = Frontier()
        self._chain = FIRST_PREV
        self._last_at: datetime | None = None
        self._forked_at: int | None = None
        self._erased = 0
        self._files = _Files(read_tile, tiles_up_to) if read_tile else None

    @property
    def size(self) -> int:
        """Number of entries so far."""
        return self._frontier.size

    @property
    def frontier(self) -> Frontier:
        """A copy of the compact range so far, to compare with the stored head."""
        return self._frontier.copy()

    @property
    def chain(self) -> bytes:
        """Leaf hash of the last entry, which the next one's `prev` must be."""
        return self._chain

    @property
    def last_at(self) -> datetime | None:
        """Time of the last entry that could be read."""
        return self._last_at

    @property
    def erased(self) -> int:
        """Number of record parts whose content is no longer there; each needs its `record.erased`."""
        return self._erased

    def begin(self) -> list[Finding]:
        """Check the checkpoints of the empty tree; call before the first entry."""
        return self._check_roots()

    def cosigned(self, at: datetime) -> None:
        """Take down that the tree of the entries so far was cosigned at `at`.

        What comes after must not claim to be older (protocol 7); for who reads cosignatures as the entries pass.
        """
        floor = at - CLOCK_TOLERANCE
        self._floor = floor if self._floor is None else max(self._floor, floor)

    def feed(self, index: int, data: bytes, record: Sequence[Part] | None = None) -> list[Finding]:
        """Take entry `index` with its bytes, and its record unless records are left out of this audit."""
        findings: list[Finding] = []
        if index != self._next:
            detail = f"entry {index} stands in its place: rows are missing, doubled or out of order"
            findings.append(Finding(Fault.ENTRY_MISSING, f"entry {self._next}", detail))
        self._next = index + 1
        try:
            leaf = parse(data)
        except Malformed as error:
            findings.append(Finding(Fault.ENTRY_MALFORMED, f"entry {index}", error.detail))
        else:
            self._check_leaf(index, leaf, findings)
            if record is not None:
                self._check_record(index, leaf, record, findings)
        hashed = self._chain = leaf_hash(data)
        self._frontier.append(hashed)
        if self._files is not None:
            findings.extend(self._files.feed(data, hashed))
        if self.size in self._roots:
            findings.extend(self._check_roots())
        return findings

    def feed_run(self, index: int, run: Sequence[bytes]) -> list[Finding] | None:
        """Take the entries from `index` on, without records, several times as fast as one by one.

        None, with nothing taken, where one of them is not as it should be or a head known from outside lies among
        them: `feed` finds out which. Otherwise gives what is wrong with the files they complete.
        """
        end = index + len(run)
        known = any(index < size <= end for size in self._roots) or any(size <= end for size, _ in self._floors)
        if index != self._next or index != self.size or known:
            return None
        times = [at for at in (self._last_at, self._floor) if at is not None]
        # The floor is a cosigner's, and may lie between two seconds; leaves know whole ones.
        since = max(times, default=None)
        if since is not None and since.microsecond:
            since = since.replace(microsecond=0) + timedelta(seconds=1)
        followed = follow(run, self._chain, since)
        if followed is None:
            return None
        hashes, last_at = followed
        if not hashes:
            return []
        self._next, self._chain, self._last_at = end, hashes[-1], last_at
        self._frontier.extend(hashes)
        return [] if self._files is None else self._files.feed_run(run, hashes)

    def finish(self) -> list[Finding]:
        """Say what should have come after the last entry."""
        findings: list[Finding] = []
        beyond = sorted(size for size in self._roots if size > self.size)
        if beyond:
            detail = f"a checkpoint of size {beyond[-1]} was signed, and the log ends at {self.size}"
            findings.append(Finding(Fault.CHECKPOINT_BEYOND, f"checkpoint {beyond[0]}", detail))
        if self._files is not None:
            findings.extend(self._files.finish())
        return findings

    def _check_leaf(self, index: int, leaf: Leaf, findings: list[Finding]) -> None:
        where = f"entry {index}"
        if (leaf.kind == "log.opened") is not (index == 0):
            findings.append(Finding(Fault.ENTRY_KIND, where, "`log.opened` is entry 0 and no other"))
        if leaf.prev != self._chain:
            detail = f"`prev` is not the hash of entry {index - 1}: that entry, this one or their order was changed"
            findings.append(Finding(Fault.ENTRY_CHAIN, where, detail))
        while self._floors and self._floors[-1][0] <= index:
            self.cosigned(self._floors.pop()[1])
        if self._last_at is not None and leaf.at < self._last_at:
            findings.append(Finding(Fault.ENTRY_TIME, where, "earlier than the entry before it"))
        elif self._floor is not None and leaf.at < self._floor:
            detail = "more than a minute earlier than a witness saw the log without it"
            findings.append(Finding(Fault.ENTRY_BACKDATED, where, detail))
        self._last_at = leaf.at

    def _check_record(self, index: int, leaf: Leaf, record: Sequence[Part], findings: list[Finding]) -> None:
        self._erased += sum(part.content is None for part in record)
        if not record or record[0].content is None:
            detail = "no facts are stored for this entry" if not record else "the facts are never erased, and are gone"
            findings.append(Finding(Fault.RECORD_MISSING, f"record {index}", detail))
            return
        altered = [number for number, part in enumerate(record) if not _intact(part)]
        findings.extend(
            Finding(Fault.RECORD_PART, f"record {index} part {number}", "not what its digest says")
            for number in altered
        )
        if altered:
            return
        try:
            found = open_record(record, origin=self._origin, leaf=leaf)
            if self._key_at is not None:
                key_at = self._key_at
                statement.check_signature(found, lambda kid: key_at(kid, index))
        except VerificationError as error:
            opening = error.reason is Reason.RECEIPT_OPENING
            fault = Fault.RECORD_OPENING if opening else Fault.RECORD_STATEMENT
            findings.append(Finding(fault, f"record {index}", error.detail))

    def _check_roots(self) -> list[Finding]:
        heads = self._roots.get(self.size, [])
        if not heads or self._forked_at is not None:
            return []
        found = self._frontier.root()
        for head in heads:
            if head.origin != self._origin or head.root != found:
                self._forked_at = self.size  # every later root differs too and says nothing new
                detail = f"the entries below {self.size} are not those that were signed"
                return [Finding(Fault.CHECKPOINT_ROOT, f"checkpoint {self.size}", detail)]
        return []


def replay(entries: Iterable[tuple[int, bytes, Sequence[Part] | None]], run: Replay) -> Iterator[Finding]:
    """Give all findings of one pass: begin, every entry, finish."""
    yield from run.begin()
    for index, data, record in entries:
        yield from run.feed(index, data, record)
    yield from run.finish()


def open_record(record: Sequence[Part], *, origin: str, leaf: Leaf) -> statement.Statement:
    """Give the statement of a record whose part 0 is readable, once the record opens the entry `leaf`.

    Its signature is not checked here. Raises `OpeningFailed` or `Malformed`.
    """
    facts = record[0].content
    if facts is None:
        raise OpeningFailed(Reason.RECORD, "the facts are not readable")
    found = statement.parse(facts)
    statement.check_belongs(found, origin=origin, leaf=leaf)
    check_committed(found, [part.digest for part in record], leaf)
    return found


def check_committed(found: statement.Statement, digests: Sequence[bytes], leaf: Leaf) -> None:
    """Check that `leaf` commits to the record with this statement and with parts of these digests, its own the first.

    Raises `OpeningFailed`, or `Malformed` where the statement has no digests.
    """
    salt_d, jws, code = (_digest(found, name) for name in ("salt_d", "jws", "code"))
    if any(len(digest) != commitment.DIGEST_SIZE for digest in digests):
        raise OpeningFailed(Reason.RECEIPT_OPENING, "a part of the record is cut off within its digest")
    if commitment.commit(commitment.doc_hash(salt_d, jws, code), commitment.record_hash(digests)) != leaf.commit:
        raise OpeningFailed(Reason.RECEIPT_OPENING, "the entry commits to another record")


def _digest(found: statement.Statement, name: str) -> bytes:
    text = found.payload.get(name)
    if text is None and name != "salt_d":
        return commitment.NO_DOCUMENT
    if not isinstance(text, str):
        raise Malformed(Reason.RECORD, f"no `{name}` among the facts")
    return b64u_decode(text, commitment.DIGEST_SIZE)


def _intact(part: Part) -> bool:
    if len(part.digest) != commitment.DIGEST_SIZE:
        return False
    if part.content is None:
        return True
    salt = part.salt
    return salt is not None and len(salt) == 32 and commitment.part_digest(salt, part.content) == part.digest


class _Files:
    """Builds the tiles as the entries pass, one open row a level, and compares each with what is stored."""

    def __init__(self, read: ReadTile, size: int) -> None:
        self._read = read
        self._size = size
        self._count = 0
        self._bundle: list[bytes] = []
        self._rows: list[list[bytes]] = [[]]

    def feed(self, entry: bytes, hashed: bytes) -> list[Finding]:
        """Take one entry; gives what is wrong with the files that it completes."""
        if self._count >= self._size:
            return []
        self._count += 1
        self._bundle.append(entry[: tiles.MAX_ENTRY])  # a longer one was reported as malformed
        self._rows[0].append(hashed)
        findings: list[Finding] = []
        if self._count % WIDTH == 0:
            self._full(findings)
        if self._count == self._size:
            self._partial(findings)
        return findings

    def feed_run(self, run: Sequence[bytes], hashes: Sequence[bytes]) -> list[Finding]:
        """Take many entries, none longer than a bundle can carry."""
        findings: list[Finding] = []
        at = 0
        while at < len(run) and self._count < self._size:
            end = min(len(run), at + WIDTH - self._count % WIDTH, at + self._size - self._count)
            self._bundle += run[at:end]
            self._rows[0] += hashes[at:end]
            self._count += end - at
            at = end
            if self._count % WIDTH == 0:
                self._full(findings)
            if self._count == self._size:
                self._partial(findings)
        return findings

    def finish(self) -> list[Finding]:
        """Say that the log ended before the files did."""
        if self._count == self._size:
            return []
        detail = f"files were published up to {self._size}, and the log ends at {self._count}"
        return [Finding(Fault.CHECKPOINT_BEYOND, f"checkpoint {self._size}", detail)]

    def _full(self, findings: list[Finding]) -> None:
        place = self._count // WIDTH - 1
        self._compare(Tile(ENTRIES, place), tiles.format_bundle(self._bundle), findings)
        self._bundle = []
        level = 0
        while len(self._rows[level]) == WIDTH:
            self._compare(Tile(level, place), tiles.format_hashes(self._rows[level]), findings)
            if level + 1 == len(self._rows):
                self._rows.append([])
            self._rows[level + 1].append(root(self._rows[level]))
            self._rows[level] = []
            level, place = level + 1, place // WIDTH

    def _partial(self, findings: list[Finding]) -> None:
        for tile in tiles.edge_tiles(self._size):
            items, bundle = (self._bundle, True) if tile.level == ENTRIES else (self._rows[tile.level], False)
            self._compare(tile, tiles.format_bundle(items) if bundle else tiles.format_hashes(items), findings)

    def _compare(self, tile: Tile, expected: bytes, findings: list[Finding]) -> None:
        stored = self._read(tile)
        if stored is None:
            findings.append(Finding(Fault.TILE_MISSING, tile.path(), "the file is not there"))
        elif stored != expected:
            findings.append(Finding(Fault.TILE_DIFFERS, tile.path(), "not what the entries give"))
