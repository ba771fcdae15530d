"""Which causes are to stand here on a licence of another region: a pure function of what is known of it.

The peer's status list says *that* its licence is not valid; its signed notices say *why*, by the id of a root cause. So
the bit alone decides whether anything stands, and notices decide under which name. A cause of our own that comes back
through another region is recognised by its name: it stands as long as our own decision does and no longer, so that no
circle of regions holds itself up. Protocol rule 23; docs/lineage.md has the reasoning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

ROOT_MAX = 200
"""Longest id of a root cause in table `causes`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one foreign licence at one moment.

    `value` is its status bit in the newest verified list. `named` maps each root cause that the peer's notices name,
    and have not called restored, to the causes it means here (`meaning_of`). `open` are the causes that stand now.
    `waited`: the bit has been unexplained long enough, and `stand_in` takes the place of the missing name.
    """

    value: int
    named: Mapping[str, frozenset[str]]
    open: frozenset[str]
    stand_in: str
    waited: bool = False

    @property
    def unexplained(self) -> bool:
        """Whether the bit is set and no notice says why."""
        return self.value != 0 and not self.named

    def wanted(self) -> frozenset[str]:
        """Return the causes that are to stand."""
        if self.value == 0:
            return frozenset()
        if self.named:
            return frozenset().union(*self.named.values())
        # What stands is kept until the name of what comes next is known, so there is no gap between two causes.
        return frozenset({self.stand_in}) if self.waited else self.open


def stand_in_of(origin: str, uri: str, slot: int) -> str:
    """Return the id of a cause that nobody has named: the place where it was seen, in the log `origin`."""
    return f"{origin}:status:{uri}#{slot}"


def place_of(cause: str, origin: str) -> tuple[str, int] | None:
    """Return the list and slot of *ours* (whose log is `origin`) that a stand-in names, None for any other cause."""
    start = f"{origin}:status:"
    if not cause.startswith(start):
        return None
    uri, mark, slot = cause[len(start) :].rpartition("#")
    return (uri, int(slot)) if mark and slot.isascii() and slot.isdigit() and len(slot) < 16 else None


def entry_of(cause: str, origin: str) -> int | None:
    """Return the entry of *our* log (`origin`) that a cause names as its root, None for any other cause."""
    start = f"{origin}:"
    entry = cause[len(start) :] if cause.startswith(start) else ""
    return int(entry) if entry.isascii() and entry.isdigit() and len(entry) < 16 else None


def root_of(cause: str) -> str:
    """Return a cause's id as table `causes` holds it: itself, or its digest where it is longer than `ROOT_MAX`."""
    return cause if len(cause) <= ROOT_MAX else f"sha256:{hashlib.sha256(cause.encode()).hexdigest()}"


def over_limit(limit: int, lately: int, effects: int) -> bool:
    """Whether `effects` more licences are too many where `lately` fell within the hour: hold them for an operator."""
    return lately + effects > limit
