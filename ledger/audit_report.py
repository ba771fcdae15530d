"""What an audit found: which stored thing is not as it was signed, and what was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from verifiers import audit as replayed

KEPT: Final = 1000
"""Findings that are kept one by one; beyond that they are only counted, so a ruined database cannot fill the memory."""


class Artefact(StrEnum):
    """The classes of stored things; every one of them is audited."""

    ENTRY = "entry"
    RECORD = "record"
    KEY = "wrapped key"
    HEAD = "head"
    PROJECTION = "projection"
    CHECKPOINT = "checkpoint"
    TILE = "tile"
    BUNDLE = "bundle"
    STATUS_LIST = "status list"
    TRUST_LIST = "trust list"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was changed, or is missing: `where` names it so that it can be looked at."""

    artefact: Artefact
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.artefact} · {self.where}: {self.detail}"


@dataclass(slots=True)
class Report:
    """The result of an audit; `passed` is the verdict, `counts` says what it rests on.

    `unchecked` names what could not be judged because something it depends on was damaged.
    """

    origin: str
    size: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything stored is what was signed."""
        return self.found == 0

    def add(self, artefact: Artefact, where: str, detail: str) -> None:
        """Take down a finding."""
        self.found += 1
        if len(self.findings) < KEPT:
            self.findings.append(Finding(artefact, where, detail))

    def count(self, what: str, number: int = 1) -> None:
        """Say that `number` more of something were looked at."""
        self.counts[what] = self.counts.get(what, 0) + number

    def add_replayed(self, finding: replayed.Finding) -> None:
        """Take down what the replay of the public log found, under the class of the thing it names."""
        kind = finding.fault.split(".")[0]
        artefact = Artefact(kind) if kind in ("entry", "record", "checkpoint") else Artefact.TILE
        if finding.where.startswith("tile/entries/"):
            artefact = Artefact.BUNDLE
        self.add(artefact, finding.where, finding.detail)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `elicence audit --json` prints it."""
        return {
            "passed": self.passed,
            "origin": self.origin,
            "size": self.size,
            "found": self.found,
            "findings": [
                {"artefact": each.artefact, "where": each.where, "detail": each.detail} for each in self.findings
            ],
            "counts": dict(sorted(self.counts.items())),
            "unchecked": list(self.unchecked),
        }
