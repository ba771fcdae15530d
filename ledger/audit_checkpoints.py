"""Auditing what was said about the tree: every stored checkpoint, the publication row, the head row and
the served file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from ledger import witnessed
from ledger.audit_files import Arrivals
from ledger.audit_report import Artefact, Report
from ledger.database import Reading
from ledger.precompressed import wrong_copies
from ledger.public_files import CHECKPOINT, PublicFiles, served_size
from ledger.publication import Publication, checkpoint_at, read_publication
from ledger.tables.log import head
from ledger.tables.publishing import checkpoints
from verifiers.checkpoint import LogPolicy, open_checkpoint
from verifiers.errors import Malformed, VerificationError
from verifiers.merkle import HASH_SIZE, Frontier
from verifiers.tiles import ENTRIES, WIDTH, Tile, format_bundle, parse_bundle, parse_path


class CheckpointAudit:
    """Compares every stored checkpoint with the tree of its size as the replay passes it; memory does
    not grow with them.
    """

    def __init__(self, tx: Reading, policy: LogPolicy, report: Report) -> None:
        self._policy = policy
        self._report = report
        rows = tx.execute(select(checkpoints).order_by(checkpoints.c.size).execution_options(yield_per=500))
        self._rows: Iterator[Any] = iter(rows)
        self._next: Any = next(self._rows, None)

    @property
    def next_size(self) -> int | None:
        """The size of the next stored checkpoint, so that the caller stops there."""
        return None if self._next is None else self._next.size

    def reached(self, frontier: Frontier) -> None:
        """Check the stored checkpoint of this very size, if there is one."""
        while self._next is not None and self._next.size <= frontier.size:
            row, self._next = self._next, next(self._rows, None)
            where = f"checkpoint {row.size}"
            if row.size == frontier.size and bytes(row.root) != frontier.root():
                self._report.add(Artefact.CHECKPOINT, where, "its root is not that of the entries")
            check_note(row.note, frontier if row.size == frontier.size else None, self._policy, where, self._report)
            self._report.count("checkpoints")

    def finish(self, size: int) -> None:
        """Name the checkpoints of trees larger than the log."""
        while self._next is not None:
            self._report.add(Artefact.CHECKPOINT, f"checkpoint {self._next.size}", f"the log has only {size} entries")
            self._next = next(self._rows, None)


def check_note(note: str, frontier: Frontier | None, policy: LogPolicy, where: str, report: Report) -> int | None:
    """Check a signed checkpoint under the log's policy, and its root if the tree of its size is at hand;
    returns its size.
    """
    try:
        opened = open_checkpoint(note, policy)
    except VerificationError as error:
        report.add(Artefact.CHECKPOINT, where, error.detail or str(error.reason))
        return None
    if frontier is not None and opened.size == frontier.size and opened.root != frontier.root():
        report.add(Artefact.CHECKPOINT, where, "the note is of another tree")
    return opened.size


def check_head(
    tx: Reading, frontier: Frontier, chain: bytes, at: datetime | None, catalogue_idx: int | None, report: Report
) -> None:
    """Compare the head row with what the entries give; `catalogue_idx` is None where nobody looked at their kinds."""
    row = tx.execute(select(head)).one()
    expected: dict[str, object] = {
        "size": frontier.size,
        "chain": chain,
        "frontier": frontier.to_bytes(),
        "origin": report.origin,
    }
    if catalogue_idx is not None:
        expected["catalogue_idx"] = catalogue_idx
    if at is not None:
        expected["at"] = at
    changed = [name for name, value in expected.items() if getattr(row, name) != value]
    if changed:
        report.add(Artefact.HEAD, "head", f"changed: {', '.join(sorted(changed))}")


def check_published(
    tx: Reading,
    served: str | None,
    arrivals: Arrivals,
    policy: LogPolicy,
    frontier: Frontier,
    report: Report,
    *,
    closed: bool = False,
) -> None:
    """Check the publication row and the checkpoint file, which must be the row's note or one that was stored before it.

    Where the region is `closed`, the file is a witnessed one, and there may be none yet.
    """
    current = read_publication(tx)
    if current.note is None:
        return
    there = frontier if current.size == frontier.size else None
    size = check_note(current.note, there, policy, "publication row", report)
    if size is not None and (size != current.size or size > frontier.size):
        report.add(Artefact.CHECKPOINT, "publication row", f"it says size {current.size}, its note {size}")
    if served == current.note:
        return
    if served is not None and (size := check_note(served, frontier, policy, "checkpoint file", report)) is None:
        return
    newest = witnessed.newest(tx)
    if closed and served is None and newest is None:
        return
    kept: list[str | None] = []
    if served is not None and size is not None:
        cosigned = witnessed.at_size(tx, size)
        kept = [checkpoint_at(tx, size), None if cosigned is None else cosigned.note]
    if served is None or served not in kept:
        # The file may be a moment behind the row of a running region, or ahead of the snapshot this audit looks at.
        shown = [current.note, None if newest is None else newest.note]
        later = arrivals.wait(CHECKPOINT, lambda data: _follows(data, shown, current))
        if not later:
            what = "it is missing" if served is None else "it is not what was published"
            report.add(Artefact.CHECKPOINT, "checkpoint file", what)


def _follows(data: bytes, shown: Sequence[str | None], current: Publication) -> bool:
    note = data.decode("utf-8", "replace")
    return note in shown or served_size(note) > current.size


def check_leftovers(files: PublicFiles, published: int, report: Report) -> None:
    """Compare partial tiles that are kept for readers of older checkpoints, and compressed bundles, with what is whole.

    A partial tile is a part of the wider one that has taken its place.
    """
    for path in wrong_copies(files):
        report.add(Artefact.BUNDLE, path, "does not hold what the bundle beside it holds")
    wrong = {finding.where for finding in report.findings}
    for folder in sorted(files.root.glob("tile/**/*.p")):
        for file in sorted(folder.iterdir(), key=lambda each: each.name):
            path = file.relative_to(files.root).as_posix()
            try:
                tile = parse_path(path)
            except Malformed:
                continue  # a temporary file, or none of ours: nobody is ever sent there
            wider = _wider(tile, published)
            if tile.end > published or wider.path() in wrong:
                continue
            report.count("superseded tiles")
            if files.read(path) != _cut_out(files, tile, wider):
                artefact = Artefact.BUNDLE if tile.level == ENTRIES else Artefact.TILE
                report.add(artefact, path, "not a part of the tile that has taken its place")


def _wider(tile: Tile, published: int) -> Tile:
    """Return the widest tile of the same place, which the replay has compared with the entries."""
    count = published >> (8 * max(tile.level, 0))
    return Tile(tile.level, tile.place, min(WIDTH, count - tile.place * WIDTH))


def _cut_out(files: PublicFiles, tile: Tile, wider: Tile) -> bytes | None:
    data = files.read(wider.path())
    if data is None or wider.width == tile.width:
        return data
    if tile.level != ENTRIES:
        return data[: tile.width * HASH_SIZE]
    try:
        return format_bundle(parse_bundle(data, wider.width)[: tile.width])
    except Malformed:
        return None
