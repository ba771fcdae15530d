"""One licence as a window is shown it: its verdict, cut down to what the matter needs, and how the look is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from verifiers.verdict import Verdict

ALWAYS_SHOWN: Final = ("identifier", "version", "type", "issuer", "region", "issued_on", "valid_from", "valid_until")
"""What a window must see of any licence it is shown, whatever was chosen."""

BESIDE_FACE: Final = ("holders", "number", "object")


@dataclass(frozen=True, slots=True)
class Abroad:
    """A licence of another region; `uri` and `slot` say where its status bit lies, where that was verified."""

    region: str
    identifier: str
    type: str
    major: int
    uri: str | None = None
    slot: int | None = None

    @property
    def id(self) -> str:
        """How lineage and access records name the licence."""
        return f"{self.region}:{self.identifier}"


@dataclass(slots=True)  # not frozen: made for every scan
class Look:
    """One licence as it will be shown: its verdict, what is `shown` of it, and under which names that is written down.

    `licence` is the id of one of ours; `abroad` is there for one of another region.
    """

    licence: str | None
    verdict: Verdict = field(repr=False)
    shown: dict[str, Any] | None = field(repr=False)
    fields: tuple[str, ...]
    abroad: Abroad | None = None

    def to_json(self, language: str) -> dict[str, Any]:
        """Return it as a scan answers it, titles in `language`."""
        verdict = self.verdict.to_json(language) | {"licence": self.shown}
        return {"licence": self.licence, "verdict": verdict, "fields": list(self.fields)}


def shown_of(content: Mapping[str, Any] | None, fields: frozenset[str]) -> dict[str, Any] | None:
    """Cut what a verdict discloses down to `fields` and what is `ALWAYS_SHOWN`."""
    if content is None:
        return None
    shown = {name: content[name] for name in ALWAYS_SHOWN if name in content}
    shown |= {name: content[name] for name in BESIDE_FACE if name in fields and name in content}
    face = content.get("fields") or {}
    return shown | {"fields": {name: face[name] for name in sorted(fields) if name in face}}
