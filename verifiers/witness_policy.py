"""C2SP tlog-policy: which witnesses watch a log, and how many of them make a checkpoint witnessed.

::

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name> …
    quorum <name>|none

Only flat quorums are taken, k of n witnesses, because that is what a trust list can say; the format itself allows
groups of groups. The one group of a group we do take is a witness with several keys (one of type 0x04, one of type
0x06): an `any` group of witnesses whose keys bear the same name. See `docs/formats/witness-policy.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from verifiers.errors import Malformed, Reason
from verifiers.note import KeyType, NoteKey

MAX_BYTES: Final = 256 * 1024
"""Longest policy: an ML-DSA-44 key takes 1.8 kB, so this leaves room for `MAX_EACH` of each and comments."""

MAX_EACH: Final = 64
"""Most logs, witnesses, groups; C2SP asks readers to take at least 32."""

NONE: Final = "none"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile(r"[ \t]+")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}\Z", re.ASCII)
_URL = re.compile(r"https?://[!-~]{1,500}")
_LABEL = re.compile(r"[^ \t\n\x00-\x1f\x7f#][^ \t\n\x00-\x1f\x7f]*\Z")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that the policy is for."""

    key: NoteKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness: `label` is its name inside the policy, `keys` share the name it signs under.

    `url` is its submission prefix. One that does not `count` is known and may be asked, but is not of the quorum.
    """

    label: str
    keys: tuple[NoteKey, ...]
    url: str | None = None
    counts: bool = True

    @property
    def name(self) -> str:
        """The name it signs under."""
        return self.keys[0].name


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """`quorum` of those `witnesses` that count; 0 asks for nobody. Raises `Malformed` on one that cannot be meant."""

    witnesses: tuple[PolicyWitness, ...] = ()
    quorum: int = 0
    logs: tuple[PolicyLog, ...] = ()

    def __post_init__(self) -> None:
        counting = sum(one.counts for one in self.witnesses)
        if not 0 <= self.quorum <= counting or (self.quorum == 0) != (counting == 0):
            raise _bad(f"a quorum of {self.quorum} among {counting} witnesses")
        labels = [one.label for one in self.witnesses]
        if any(not _LABEL.match(label) or label == NONE for label in labels) or len(set(labels)) != len(labels):
            raise _bad("witness names that are none, or that stand twice")
        for one in self.witnesses:
            if not one.keys or {key.name for key in one.keys} != {one.name}:
                raise _bad(f"witness {one.label} has no key, or keys of several names")
            if not all(key.timed for key in one.keys):
                raise _bad(f"the key of witness {one.label} cannot cosign")
            _check_url(one.url)
        for log in self.logs:
            if log.key.type is KeyType.ED25519_COSIGNATURE:
                raise _bad(f"the key of log {log.key.name} cannot sign for a log")
            _check_url(log.url)
        names = [one.name for one in self.witnesses]
        if len(set(names)) != len(names):
            raise _bad("two witnesses sign under one name; put the keys of one into an `any` group of their own")
        known = [log.key for log in self.logs] + [key for one in self.witnesses for key in one.keys]
        if len({key.public_key.key_id for key in known}) != len(known):
            raise _bad("a key that stands twice")
        if set(names) & {log.key.name for log in self.logs}:
            raise _bad("a witness that signs under the name of a log")
        if max(len(self.logs), sum(len(one.keys) for one in self.witnesses)) > MAX_EACH:
            raise _bad(f"more than {MAX_EACH} logs or witness keys")

    @property
    def counting(self) -> tuple[PolicyWitness, ...]:
        """The witnesses the quorum is taken from."""
        return tuple(one for one in self.witnesses if one.counts)

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """All keys of the witnesses that count."""
        return tuple(key for one in self.counting for key in one.keys)

    def to_rows(self) -> tuple[int, tuple[tuple[str, str, str], ...]]:
        """Give the trust list's `k`, and name, vkey and URL of each key. Raises `Malformed` where a URL is missing."""
        rows: list[tuple[str, str, str]] = []
        for one in self.counting:
            if one.url is None:
                raise _bad(f"witness {one.label} has no URL")
            rows.extend((key.name, key.to_text(), one.url) for key in one.keys)
        return self.quorum, tuple(rows)


def format_policy(policy: WitnessPolicy) -> str:
    """Give the policy as a file: logs, witnesses, groups, quorum."""
    lines = [_line("log", log.key.to_text(), log.url) for log in policy.logs]
    taken = {one.label for one in policy.witnesses}
    groups = []
    for one in policy.witnesses:
        labels = [one.label] if len(one.keys) == 1 else _free(one.label, len(one.keys), taken)
        for label, key in zip(labels, one.keys, strict=True):
            lines.append(_line("witness", label, key.to_text(), one.url))
        if len(labels) > 1:
            groups.append(_line("group", one.label, "any", *labels))
    quorum = NONE
    counting = [one.label for one in policy.counting]
    if counting:
        [quorum] = _free("quorum", 1, taken) if len(counting) > 1 else counting
    if len(counting) > 1:
        threshold = "all" if policy.quorum == len(counting) else "any" if policy.quorum == 1 else str(policy.quorum)
        groups.append(_line("group", quorum, threshold, *counting))
    return "\n".join([*lines, *groups, _line("quorum", quorum)]) + "\n"


def parse_policy(data: str | bytes) -> WitnessPolicy:
    """Read a policy file. Raises `Malformed` with `witness.policy`, naming the line."""
    text = _text_of(data)
    reading = _Reading()
    for number, line in enumerate(text[:-1].split("\n"), 1):
        items = _BLANK.split(line.strip(" \t"))
        if not items[0] or items[0].startswith("#"):
            continue
        try:
            reading.take(items)
        except Malformed as error:
            raise _bad(f"line {number}: {error.detail}") from error
    return reading.finished()


@dataclass(slots=True)
class _Group:
    """A group as written: `members` are witnesses (one that has several keys is one); `label` its name."""

    label: str
    threshold: int
    members: list[PolicyWitness]
    nested: bool

    def as_witness(self) -> PolicyWitness | None:
        """Give the witness this group is, when it is nothing but the keys of one."""
        if self.nested or self.threshold != 1 or len({(one.name, one.url) for one in self.members}) != 1:
            return None
        keys = tuple(key for one in self.members for key in one.keys)
        return replace(self.members[0], label=self.label, keys=keys) if len(keys) > 1 else None


@dataclass(slots=True)
class _Reading:
    """What the lines so far have defined."""

    logs: list[PolicyLog] = field(default_factory=list)
    named: dict[str, PolicyWitness | _Group] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)
    quorum: str | None = None
    witnesses: int = 0

    def take(self, items: list[str]) -> None:
        """Take one line that says something."""
        keyword, rest = items[0], items[1:]
        if keyword == "log" and len(rest) in (1, 2):
            self.logs.append(PolicyLog(self.unique(_key(rest[0])), _url(rest[1:])))
        elif keyword == "witness" and len(rest) in (2, 3):
            self.define(rest[0], PolicyWitness(rest[0], (self.unique(_key(rest[1])),), _url(rest[2:]), counts=False))
            self.witnesses += 1
        elif keyword == "group" and len(rest) >= 3:
            self.define(rest[0], self.group(rest[0], rest[1], rest[2:]))
        elif keyword == "quorum" and len(rest) == 1:
            if self.quorum is not None:
                raise _bad("a second quorum")
            if rest[0] != NONE and rest[0] not in self.named:
                raise _bad(f"{rest[0]!r} is not defined before this line")
            self.quorum = rest[0]
        else:
            raise _bad(f"not a line of a policy: {keyword!r} with {len(rest)} items")
        if max(len(self.logs), self.witnesses, len(self.named) - self.witnesses) > MAX_EACH:
            raise _bad(f"more than {MAX_EACH} logs, witnesses or groups")

    def define(self, label: str, value: PolicyWitness | _Group) -> None:
        """Give `label` its meaning."""
        if label == NONE or label in self.named:
            raise _bad(f"the name {label!r} is taken")
        self.named[label] = value

    def group(self, label: str, threshold: str, names: list[str]) -> _Group:
        """Make a group of things defined before."""
        members: list[PolicyWitness] = []
        nested = False
        for name in names:
            found = self.named.get(name)
            if found is None:
                raise _bad(f"{name!r} is not defined before this line")
            if name in self.grouped:
                raise _bad(f"{name!r} is a member of a group already")
            self.grouped.add(name)
            witness = found.as_witness() if isinstance(found, _Group) else found
            if witness is None:
                raise _bad(f"{name!r} is a group: only k of n witnesses can be asked for, not groups of groups")
            nested = nested or isinstance(found, _Group)
            members.append(witness)
        count = {"all": len(names), "any": 1}.get(threshold)
        if count is None:
            count = int(threshold) if _THRESHOLD.match(threshold) else 0
        if not 1 <= count <= len(names):
            raise _bad(f"a threshold of {threshold!r} among {len(names)}")
        return _Group(label, count, members, nested)

    def unique(self, key: NoteKey) -> NoteKey:
        """Give `key`, which must not have been named before, under whatever name."""
        if key.public_key.key_id in self.keys:
            raise _bad("a key that stands twice")
        self.keys.add(key.public_key.key_id)
        return key

    def finished(self) -> WitnessPolicy:
        """Give the policy once all lines are read."""
        if self.quorum is None:
            raise _bad("no quorum line")
        owners: dict[NoteKey, PolicyWitness] = {}
        for each in self.named.values():
            # A group that is one witness takes the place of its keys, also where the quorum does not need it.
            witness = each.as_witness() if isinstance(each, _Group) else each
            if witness is not None:
                owners.update(dict.fromkeys(witness.keys, witness))
        chosen = self.named.get(self.quorum)
        counting = {self.quorum}
        quorum = 0 if chosen is None else 1
        if isinstance(chosen, _Group) and chosen.as_witness() is None:
            counting, quorum = {one.label for one in chosen.members}, chosen.threshold
        found = {one.label: replace(one, counts=one.label in counting) for one in owners.values()}
        return WitnessPolicy(tuple(found.values()), quorum, tuple(self.logs))


def _text_of(data: str | bytes) -> str:
    if len(data) > MAX_BYTES:  # what is far too long is not even decoded; letters may be several bytes, so again below
        raise _bad(f"longer than {MAX_BYTES} bytes")
    try:
        raw, text = (data.encode(), data) if isinstance(data, str) else (data, data.decode())
    except UnicodeError as error:
        raise _bad("not UTF-8") from error
    if len(raw) > MAX_BYTES or _FORBIDDEN.search(text):
        raise _bad("too long, or with control characters")
    if not text.endswith("\n"):
        raise _bad("the last line does not end")
    return text


def _key(text: str) -> NoteKey:
    try:
        return NoteKey.from_text(text)
    except Malformed as error:
        raise _bad(error.detail) from error


def _url(items: list[str]) -> str | None:
    return items[0] if items else None


def _check_url(url: str | None) -> None:
    if url is not None and not _URL.fullmatch(url):
        raise _bad("a URL that is none")


def _free(label: str, count: int, taken: set[str]) -> list[str]:
    """Give `count` names not in `taken`, and take them."""
    found: list[str] = []
    number = 0 if count == 1 else 1
    while len(found) < count:
        name = f"{label}.{number}" if number else label
        if name not in taken:
            found.append(name)
            taken.add(name)
        number += 1
    return found


def _line(*items: str | None) -> str:
    return " ".join(item for item in items if item is not None)


def _bad(detail: str) -> Malformed:
    return Malformed(Reason.WITNESS_POLICY, detail)
