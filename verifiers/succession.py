"""What may never change from one version of a region's trust list to a later one (protocol 14, 16).

Numbers are never given to something else, what has ended stays ended where it ended, a revocation stays, and what it
leaves good only becomes less. Everything follows from the two documents, so anybody who has seen an older version can
judge a newer one, also where versions between them were missed. See docs/formats/trust-list.md.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from verifiers.trust_document import Position, TrustedGrant, TrustedKey, TrustedLog
from verifiers.trust_list import TrustDocument
from verifiers.trusted_peers import TrustedEquivalence

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What a later list says of `member` that one before it rules out; `detail` says it in English."""

    member: str
    detail: str

    def __str__(self) -> str:
        return f"{self.member}: {self.detail}"


def check_succession(old: TrustDocument, new: TrustDocument) -> tuple[Contradiction, ...]:
    """Return everything in which `new` may not follow `old`; empty where it may.

    Both are of one region under one root, which the caller has checked, as well as `prev` where they are neighbours.
    """
    return tuple(
        Contradiction(member, detail)
        for member, check in (
            ("region", _region),
            ("logs", _logs),
            ("departments", _departments),
            ("keys", _keys),
            ("grants", _grants),
            ("types", _types),
            ("status_lists", _status_lists),
            ("equivalences", _equivalences),
            ("rules", _rules),
        )
        for detail in check(old, new)
    )


def _region(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    if new.region != old.region:
        yield f"the list of {new.region} cannot follow that of {old.region}"
    if new.seq <= old.seq:
        yield f"list {new.seq} is not later than list {old.seq}"
    lost = {*old.former, old.iss} - {*new.former, new.iss}
    if lost:
        yield f"an address it had is no longer named: {min(lost)}"


def _logs(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    if len(new.logs) < len(old.logs):
        yield "a log is no longer named"
    for before, after in zip(old.logs, new.logs, strict=False):
        yield from _log(before, after)
    if any(log.to is None for log in new.logs[:-1]):
        yield "a log opens while the one before has not ended"


def _log(before: TrustedLog, after: TrustedLog) -> Iterator[str]:
    if (before.origin, before.keys, before.from_size) != (after.origin, after.keys, after.from_size):
        yield f"the keys of the log {before.origin} are changed in place"
    if before.to is not None and before.to != after.to:
        yield f"the end of the log {before.origin} is moved"


def _departments(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    now = {row.id: row for row in new.departments}
    for row in old.departments:
        after = now.get(row.id)
        if after is None:
            yield f"department {row.id} is no longer named"
            continue
        if after.number != row.number or not _same_address(row.iss, after.iss, old, new):
            yield f"department {row.id} has another number or another name in licences"
        if row.status != "active" and (after.status, after.successor) != (row.status, row.successor):
            yield f"the end of department {row.id} is changed"
    yield from _reassigned(
        {row.number: row.id for row in old.departments}, {row.number: row.id for row in new.departments}, "department"
    )


def _keys(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    now = {row.public_key.kid: row for row in new.keys}
    epochs = {log.origin: place for place, log in enumerate(new.logs)}
    for row in old.keys:
        after = now.get(row.public_key.kid)
        if after is None:
            yield f"key {row.public_key.kid} is no longer named"
        else:
            yield from _key(row, after, epochs)


def _key(before: TrustedKey, after: TrustedKey, epochs: Mapping[str, int]) -> Iterator[str]:
    kid = before.public_key.kid
    if replace(before, log_to=None, revoked=None) != replace(after, log_to=None, revoked=None):
        yield f"key {kid} has another purpose, owner, certificate or beginning"
    if before.log_to is not None and before.log_to != after.log_to:
        yield f"the end of key {kid} is moved"
    if before.revoked is None:
        return
    if after.revoked is None:
        yield f"the revocation of key {kid} is taken back"
        return
    if not _no_later(after.revoked.trust_before, before.revoked.trust_before, epochs):
        yield f"more of what key {kid} signed is to count than before"
    if after.revoked.at > before.revoked.at:
        yield f"the compromise of key {kid} is said to have begun later"


def _no_later(after: Position | None, before: Position | None, epochs: Mapping[str, int]) -> bool:
    """Whether `after` leaves no more good than `before`; nothing at all is `None`."""
    if after is None or after == before:
        return True
    if before is None:
        return False
    if after.origin != before.origin:
        return after.origin in epochs and epochs[after.origin] < epochs.get(before.origin, -1)
    return after.size < before.size


def _grants(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    """Grants have no name of their own, so as many of each kind must be there, and as many that ended at each place."""
    for lost in (_given(old.grants) - _given(new.grants), _ended(old.grants) - _ended(new.grants)):
        for row in lost:
            yield f"a grant of {row.type}@{row.major} to {row.department} is no longer named, or its end is moved"


def _given(rows: Iterable[TrustedGrant]) -> Counter[TrustedGrant]:
    return Counter(replace(row, acts=tuple(sorted(row.acts)), log_to=None) for row in rows)


def _ended(rows: Iterable[TrustedGrant]) -> Counter[TrustedGrant]:
    return Counter(replace(row, acts=tuple(sorted(row.acts))) for row in rows if row.log_to is not None)


def _types(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    now = {(row.code, row.major): row for row in new.types}
    for row in old.types:
        after = now.get((row.code, row.major))
        if after is None:
            yield f"type {row.code}@{row.major} is no longer named"
            continue
        if after.number != row.number or not _same_address(row.vct, after.vct, old, new):
            yield f"type {row.code}@{row.major} has another number or another address"
        if not set(row.integrity) <= set(after.integrity):
            yield f"a minor version of type {row.code}@{row.major} is no longer named"
    yield from _reassigned(
        {row.number: (row.code, row.major) for row in old.types},
        {row.number: (row.code, row.major) for row in new.types},
        "type",
    )


def _status_lists(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    """A list that was announced and never used may go; a number never means another list."""
    now = {row.number: row.uri for row in new.status_lists}
    for row in old.status_lists:
        if not _same_address(row.uri, now.get(row.number, row.uri), old, new):
            yield f"number {row.number} is given to another status list"


def _equivalences(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    now = {(row.id, row.version): row for row in new.equivalences}
    for row in old.equivalences:
        after = now.get((row.id, row.version))
        if after is None or _without_end(after) != _without_end(row):
            yield f"version {row.version} of equivalence {row.id} is changed or no longer named"
        elif row.valid_until is not None and (after.valid_until is None or after.valid_until > row.valid_until):
            yield f"version {row.version} of equivalence {row.id} is to count for longer than before"


def _without_end(row: TrustedEquivalence) -> dict[str, object]:
    return row.to_json() | {"valid_until": None}


def _rules(old: TrustDocument, new: TrustDocument) -> Iterator[str]:
    now = {row.name: row for row in new.rules}
    for row in old.rules:
        if now.get(row.name) != row:
            yield f"version {row.name.version} of rule {row.name.id} is changed or no longer named"


def _reassigned(old: Mapping[int, K], new: Mapping[int, K], what: str) -> Iterator[str]:
    for number, owner in old.items():
        if new.get(number, owner) != owner:
            yield f"number {number} is given to another {what}"


def _same_address(before: str, after: str, old: TrustDocument, new: TrustDocument) -> bool:
    """Whether two addresses are the same, apart from a move of the whole region to another base address."""
    return after == before or (new.iss != old.iss and after == new.iss + before.removeprefix(old.iss))
