"""Judging what is left when a region has stopped: our own audit, a stranger's reader of logs, and every signature."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader

from ledger.auditing import Stored, audit_stored
from ledger.tables.log import entries
from tests.faults.subject import Place
from tests.region import region_config
from verifiers.checkpoint import parse_checkpoint
from verifiers.errors import Malformed
from verifiers.merkle import Frontier, leaf_hash


def judge(place: Place, shown: Sequence[str] | None = None) -> None:
    """Fail unless the audit passes, the stranger reads every entry, and nothing that was signed says otherwise.

    With `shown` only these checkpoints count: what was signed and never left the process.
    """
    stored = Stored.open(region_config(place.url, place.folder), place.store())
    try:
        report = audit_stored(stored)
        assert report.passed, [str(each) for each in report.findings[:8]]
        with stored.database.reading() as tx:
            rows = [bytes(row) for row in tx.execute(select(entries.c.bytes).order_by(entries.c.idx)).scalars()]
    finally:
        stored.database.close()
    roots = _roots(rows)
    reader = TilesReader(LocalBackend(place.public))
    head = reader.get_checkpoint()
    assert (head.size, head.root_hash) == (len(rows), roots[-1])
    assert reader.calculate_root_hash() == roots[-1]
    assert [reader.get_entry(index) for index in range(head.size)] == rows
    for text in signed(place) if shown is None else shown:
        said = parse_checkpoint(text)
        assert said.size < len(roots), f"a tree of {said.size} was signed, and {len(rows)} entries are left"
        assert roots[said.size] == said.root, f"two trees of {said.size} entries"
    assert not (place.folder / "witness.accusation").exists(), "the witness was shown a fork"


def _roots(rows: list[bytes]) -> list[bytes]:
    frontier = Frontier()
    roots = [frontier.root()]
    for row in rows:
        frontier.append(leaf_hash(row))
        roots.append(frontier.root())
    return roots


def signed(place: Place) -> list[str]:
    """Return the text of every checkpoint that any life of this place has signed, whether or not it was shown."""
    found: list[str] = []
    for line in (place.folder / "signed").read_bytes().splitlines():
        text: Any = json.loads(line)
        try:
            parse_checkpoint(text)
        except Malformed:
            continue
        found.append(text)
    assert found, "nothing was ever signed"
    return found
