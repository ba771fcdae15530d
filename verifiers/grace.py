"""How long what a verifier holds will do: for each licence type, until when its status lists and trust lists count.

A window without network asks before it opens in the morning; `verify` uses the same rule for each verdict.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from verifiers.legal_dates import format_time
from verifiers.peer_view import PeerView
from verifiers.status_list import StatusList
from verifiers.trust_document import TrustedType
from verifiers.trust_list import TrustList


def allowed_age_s(ttl_s: int | None, kind: TrustedType | None) -> int:
    """How many seconds old a status list may be: its `ttl`, or the grace of the type where that is longer."""
    return max(ttl_s or 0, 0 if kind is None else kind.grace_s)


def allowed_age_abroad_s(ttl_s: int | None, kind: TrustedType | None, own: TrustList | None, ours: TrustedType) -> int:
    """The same for another region's list: not longer than our own type's grace, or our own lists' ttl."""
    intervals = None if own is None else own.document.intervals
    limit = max(ours.grace_s, 0 if intervals is None else intervals.status_ttl_s)
    return min(allowed_age_s(ttl_s, kind), limit)


@dataclass(frozen=True, slots=True)
class GraceRow:
    """Until when licences of one type of one region can be `valid` by what is at hand.

    `counts_as` is our type for another region's; `age_s` is that of the region's oldest status list and `until` the
    moment from which some verdict is `undetermined`; both are `None` where there is no status list at all.
    """

    region: str
    type: str
    major: int
    counts_as: tuple[str, int] | None
    grace_s: int
    age_s: int | None
    until: dt.datetime | None

    def good(self, at: dt.datetime) -> bool:
        """Whether a licence of this type can be valid at `at`."""
        return self.until is not None and at <= self.until

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        ours = self.counts_as
        return {
            "age_s": self.age_s,
            "counts_as": None if ours is None else {"major": ours[1], "type": ours[0]},
            "grace_s": self.grace_s,
            "major": self.major,
            "region": self.region,
            "type": self.type,
            "until": None if self.until is None else format_time(self.until),
        }


def grace_table(
    trust: TrustList,
    peers: Iterable[PeerView],
    status: Sequence[StatusList],
    at: dt.datetime,
    types: Collection[str] = (),
) -> tuple[GraceRow, ...]:
    """The rows of the region of `trust`, then those of its active peers by what counts as one of our types at `at`.

    `types` narrows it to these type codes of ours; empty means all.
    """
    own = {(kind.code, kind.major): kind for kind in trust.document.types if not types or kind.code in types}
    rows = [
        _row(trust, kind, None, allowed_age_s(_ttl(status, trust), kind), status, at, trust) for kind in own.values()
    ]
    for view in sorted(peers, key=lambda one: one.trust.region):
        admitted = trust.peer(view.trust.region)
        if admitted is None or admitted.status != "active" or admitted.root != view.trust.root_fingerprint:
            continue
        for kind, ours in _recognised(trust, view.trust, at):
            counts_as = own.get(ours)
            if counts_as is not None:
                allowed = allowed_age_abroad_s(_ttl(status, view.trust), kind, trust, counts_as)
                rows.append(_row(view.trust, kind, ours, allowed, status, at, trust))
    return tuple(rows)


def describe_table(rows: Sequence[GraceRow], at: dt.datetime, language: str = "zh") -> str:
    """The table as lines for people: ✓ for what will do at `at`, type, as what it counts, grace, age, until when."""
    chinese = language == "zh"
    lines = []
    for row in rows:
        kind = f"{row.region} {row.type}@{row.major}"
        ours = "" if row.counts_as is None else f" → {row.counts_as[0]}@{row.counts_as[1]}"
        if row.age_s is None or row.until is None:
            told = "没有状态列表" if chinese else "no status list"
        elif chinese:
            told = f"宽限 {row.grace_s} 秒，已过 {row.age_s} 秒，至 {format_time(row.until)}"
        else:
            told = f"grace {row.grace_s} s, age {row.age_s} s, until {format_time(row.until)}"
        lines.append(f"{'✓' if row.good(at) else '?'} {kind}{ours}: {told}")
    return "\n".join(lines)


def _recognised(own: TrustList, peer: TrustList, at: dt.datetime) -> Iterator[tuple[TrustedType, tuple[str, int]]]:
    for kind in peer.document.types:
        equivalences = own.equivalences_of(peer.region, kind.code, kind.major)
        found = next((one for one in equivalences if one.in_force(at)), None)
        if found is not None:
            yield kind, (found.our_type, found.our_major)


def _lists(status: Sequence[StatusList], trust: TrustList) -> list[StatusList]:
    return [one for one in status if one.root == trust.root_fingerprint]


def _ttl(status: Sequence[StatusList], trust: TrustList) -> int:
    return min((one.ttl or 0 for one in _lists(status, trust)), default=0)


def _row(
    trust: TrustList,
    kind: TrustedType,
    ours: tuple[str, int] | None,
    allowed_s: int,
    status: Sequence[StatusList],
    at: dt.datetime,
    own: TrustList,
) -> GraceRow:
    lists = _lists(status, trust)
    if not lists:
        return GraceRow(trust.region, kind.code, kind.major, ours, allowed_s, None, None)
    ends = [own.document.expires_at, trust.document.expires_at]
    ends += [one.issued_at + dt.timedelta(seconds=allowed_s) for one in lists]
    ends += [one.expires_at for one in lists if one.expires_at is not None]
    age = int((at - min(one.issued_at for one in lists)).total_seconds())
    return GraceRow(trust.region, kind.code, kind.major, ours, allowed_s, age, min(ends))
