"""What a verifier decides for itself before it looks at anything, and what it remembers from one time to the next."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from verifiers.errors import Reason
from verifiers.legal_dates import format_time
from verifiers.members import Members

_SEEN_LISTS_MAX = 10_000
_SOMETHING = re.compile(r".+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a key binding JWT must name for the holder's possession to count: us, and the nonce we gave."""

    audience: str
    nonce: str
    age_max_s: int = 300


@dataclass(frozen=True, slots=True)
class Policy:
    """A verifier's own choices.

    `root` is the pinned fingerprint of the region root (64 hex digits). `grade` is the least a receipt must reach where
    the log has witnesses; `liars` how many of them may collude. `binding` asks for proof of possession. `historical`
    says that `at` is a moment in the past that the caller chose and not the clock's time, so the clock is not judged
    and the status list must cover that moment. `clock_tolerance_s` is the five minutes of protocol 24.
    """

    root: str | None = None
    grade: Literal["published", "witnessed"] = "published"
    liars: int = 0
    binding: Binding | None = None
    historical: bool = False
    clock_tolerance_s: int = 300


@dataclass(frozen=True, slots=True)
class SeenList:
    """The newest state of a status list seen: `size` entries of the log `origin`."""

    origin: str
    size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a verifier has seen so far, so that nobody can show it something older: an input and an output of `verify`.

    `trust` holds the highest trust list number of each region, by `REGION/ROOT` (the fingerprint, for two regions may
    claim one code; earlier versions wrote `REGION` alone, which counts for any root). `lists` holds the newest state of
    each status list, by URI for the region's own and by `ROOT URI` for another's, which could name any URI. `newest` is
    the newest time vouched for by the region itself. `kits` holds the highest version of an offline kit used, by
    `REGION/ROOT` of the region that made it.
    """

    trust: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    lists: Mapping[str, SeenList] = field(default_factory=lambda: MappingProxyType({}))
    newest: dt.datetime | None = None
    kits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def highest(self, region: str, root: str) -> int:
        """The highest number seen of a trust list of `region` under the root with this fingerprint; 0 for none."""
        if not self.trust:
            return 0
        return max(self.trust.get(region, 0), self.trust.get(f"{region}/{root}", 0))

    def with_trust(self, region: str, root: str, seq: int) -> "Seen":
        """This, and trust list `seq` of `region` under the root with this fingerprint."""
        if not (self.trust or self.lists or self.kits) and self.newest is None:
            return _first_seen(region, root, seq)
        name, highest = f"{region}/{root}", max(seq, self.highest(region, root))
        if self.trust.get(name) == highest:
            return self
        kept = {known: number for known, number in self.trust.items() if known != region}
        kept[name] = highest
        return Seen(kept, self.lists, self.newest, self.kits)

    def with_list(self, uri: str, origin: str, size: int) -> "Seen":
        """This, with the list `uri` now seen at `size` entries of `origin`."""
        known = self.lists.get(uri)
        if known is not None and known.size == size and known.origin == origin:
            return self
        return Seen(self.trust, {**self.lists, uri: SeenList(origin, size)}, self.newest, self.kits)

    def with_time(self, at: dt.datetime) -> "Seen":
        """This, and the time `at`."""
        if self.newest is not None and self.newest >= at:
            return self
        return Seen(self.trust, self.lists, at, self.kits)

    def with_kit(self, region: str, root: str, version: int) -> "Seen":
        """This, and kit `version` made by `region` under the root with this fingerprint."""
        name = f"{region}/{root}"
        if self.kits.get(name, 0) >= version:
            return self
        return Seen(self.trust, self.lists, self.newest, {**self.kits, name: version})

    def to_json(self) -> dict[str, Any]:
        """The JSON form, as a state file keeps it."""
        kits = [_region_row(name, self.kits[name]) for name in sorted(self.kits)]
        return {
            **({"kits": kits} if kits else {}),
            "lists": [
                {"origin": self.lists[uri].origin, "size": self.lists[uri].size, "uri": uri}
                for uri in sorted(self.lists)
            ],
            "newest": None if self.newest is None else format_time(self.newest),
            "trust": [_region_row(name, self.trust[name]) for name in sorted(self.trust)],
            "v": 1,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Seen":
        """What `to_json` wrote. Raises `Malformed` with `canonical.malformed` for anything else."""
        members = Members(document, Reason.CANONICAL)
        members.integer("v", 1, 1)
        lists = members.objects(
            "lists",
            lambda row: (row.text("uri"), SeenList(row.text("origin"), row.integer("size"))),
            _SEEN_LISTS_MAX,
        )
        trust = members.objects("trust", lambda row: (_region_name(row), row.integer("seq")), _SEEN_LISTS_MAX)
        kits: tuple[tuple[str, int], ...] = ()
        if members.has("kits"):  # earlier versions knew none
            kits = members.objects("kits", lambda row: (_region_name(row), row.integer("seq")), _SEEN_LISTS_MAX)
        seen = cls(dict(trust), dict(lists), members.nullable("newest", members.time), dict(kits))
        members.done()
        return seen


@lru_cache(maxsize=1024)
def _first_seen(region: str, root: str, seq: int) -> Seen:
    """What a verifier has seen that saw nothing but one trust list; many begin anew with each licence."""
    return Seen(MappingProxyType({f"{region}/{root}": max(seq, 0)}))


def _region_row(name: str, seq: int) -> dict[str, Any]:
    region, _, root = name.partition("/")
    return {"region": region, "root": root, "seq": seq} if root else {"region": region, "seq": seq}


def _region_name(row: Members) -> str:
    region = row.text("region")
    return f"{region}/{row.text('root', _SOMETHING)}" if row.has("root") else region
