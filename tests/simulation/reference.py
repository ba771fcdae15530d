"""What logs and status lists must look like, computed anew in the plainest way; shares no code with what it judges."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any


def tree_root(leaves: list[bytes]) -> bytes:
    """The root of RFC 6962 §2.1 over these entries."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + tree_root(leaves[:half]) + tree_root(leaves[half:])).digest()


class Look:
    """Reads what a region has stored, past its code; kept open through its crashes."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)
        self._leaves: list[bytes] = []
        self._roots: dict[int, bytes] = {}

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self._connection.execute(query, values).fetchall()

    def leaves(self) -> list[bytes]:
        """All entries; those read before are read again by whoever doubts them, see `entries_from`."""
        self._leaves += self.entries_from(len(self._leaves))
        return self._leaves

    def entries_from(self, start: int) -> list[bytes]:
        """The entries from `start` on as they are stored now."""
        return [bytes(row[0]) for row in self.rows("SELECT bytes FROM entries WHERE idx >= ? ORDER BY idx", start)]

    def root_at(self, size: int) -> bytes | None:
        """The root of the first `size` entries, None where there are not so many."""
        if size > len(self.leaves()):
            return None
        if size not in self._roots:
            self._roots[size] = tree_root(self._leaves[:size])
        return self._roots[size]


def slot_value(packed: bytes, slot: int) -> int:
    """The two bits of a slot, the lowest first (draft-ietf-oauth-status-list)."""
    return packed[slot // 4] >> (slot % 4 * 2) & 3
