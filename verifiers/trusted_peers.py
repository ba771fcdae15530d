"""What a trust list says of other regions: whom we recognise, what of theirs counts as what of ours, and by which rule.

Rows of the trust list's payload, each read and written as a pair, as those in `trust_document`. A peer is known by the
fingerprint of its root, which operators took from somewhere else than the network; everything else about it is said by
its own trust list, under that root. See docs/formats/trust-list.md.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import format_time
from verifiers.members import Members
from verifiers.note import NoteKey
from verifiers.trust_document import REGION, TYPE_CODE, URI, Names, Witness

PEER_STATES: Final = frozenset({"active", "suspended", "withdrawn"})
RECOGNITION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ROOT = re.compile(r"[0-9a-f]{64}")
_FIELDS_MAX = 256
_VERSION_MAX = 999_999


@dataclass(frozen=True, slots=True)
class WitnessRule:
    """How many (`quorum`) of which witnesses must have cosigned a peer's checkpoint before we rely on it."""

    quorum: int
    witnesses: tuple[Witness, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"k": self.quorum, "keys": [one.to_json() for one in self.witnesses]}

    @classmethod
    def read(cls, members: Members) -> "WitnessRule":
        """The rule in `members`."""
        rule = cls(members.integer("k", 0, 64), members.objects("keys", Witness.read, 64))
        if rule.quorum > len({one.name for one in rule.witnesses}):
            raise Malformed(Reason.TRUST, "a quorum larger than its witnesses")
        return rule

    def note_keys(self) -> tuple[NoteKey, ...]:
        """The witnesses' verifier keys. Raises `Malformed` where one is none."""
        return tuple(NoteKey.from_text(one.vkey) for one in self.witnesses)


@dataclass(frozen=True, slots=True)
class WitnessService:
    """The region's own witness for other regions' logs: its name, verifier keys (vkey texts) and address."""

    name: str
    vkeys: tuple[str, ...]
    url: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "url": self.url, "vkeys": list(self.vkeys)}

    @classmethod
    def read(cls, members: Members) -> "WitnessService":
        """The witness in `members`; every key bears its name."""
        service = cls(members.text("name"), members.texts("vkeys", 8), members.text("url", URI))
        try:
            named = {NoteKey.from_text(vkey).name for vkey in service.vkeys}
        except Malformed as error:
            raise Malformed(Reason.TRUST, error.detail) from None
        if named != {service.name}:
            raise Malformed(Reason.TRUST, "a witness without keys, or with keys of another name")
        return service


@dataclass(frozen=True, slots=True)
class Intervals:
    """What the region promises: how often it publishes what is new, signs again what is not, and renews status lists.

    A log that shows no newly signed checkpoint for longer than `republish_s` is held back, whatever the cause.
    """

    publish_ms: int
    republish_s: int
    status_ttl_s: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"publish_ms": self.publish_ms, "republish_s": self.republish_s, "status_ttl_s": self.status_ttl_s}

    @classmethod
    def read(cls, members: Members) -> "Intervals":
        """The intervals in `members`."""
        return cls(
            members.integer("publish_ms", 1, 3_600_000),
            members.integer("republish_s", 1, 31_622_400),
            members.integer("status_ttl_s", 1, 31_622_400),
        )


@dataclass(frozen=True, slots=True)
class TrustedPeer:
    """Another region: its code, address and the fingerprint of its root (64 hex digits), and whether it counts now.

    `witnesses` is what we demand of its checkpoints; `None` leaves that to what its own trust list declares.
    """

    region: str
    names: Names
    base: str
    root: str
    status: str = "active"
    witnesses: WitnessRule | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "base": self.base,
            "names": self.names.to_json(),
            "region": self.region,
            "root": self.root,
            "status": self.status,
            "witnesses": None if self.witnesses is None else self.witnesses.to_json(),
        }

    @classmethod
    def read(cls, members: Members) -> "TrustedPeer":
        """The peer in `members`."""
        rule = members.nullable("witnesses", lambda name: members.object(name, WitnessRule.read))
        try:
            if rule is not None:
                rule.note_keys()
        except Malformed as error:
            raise Malformed(Reason.TRUST, error.detail) from None
        return cls(
            members.text("region", REGION),
            members.object("names", Names.read),
            members.text("base", URI),
            members.text("root", _ROOT),
            members.one_of("status", PEER_STATES),
            rule,
        )


@dataclass(frozen=True, slots=True)
class RuleName:
    """One version of one rule."""

    id: str
    version: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"id": self.id, "version": self.version}

    @classmethod
    def read(cls, members: Members) -> "RuleName":
        """The name in `members`."""
        return cls(members.text("id", RECOGNITION_ID), members.integer("version", 1, _VERSION_MAX))


@dataclass(frozen=True, slots=True)
class TrustedEquivalence:
    """From `valid_from` on, and before `valid_until` if there is one, a peer's licence type counts as one of ours.

    `rule` names the conditions (`None`: none), `fields` says which of their fields fills which of ours.
    """

    id: str
    version: int
    peer: str
    their_type: str
    their_major: int
    our_type: str
    our_major: int
    valid_from: dt.datetime
    valid_until: dt.datetime | None = None
    rule: RuleName | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "fields": dict(self.fields),
            "id": self.id,
            "ours": {"major": self.our_major, "type": self.our_type},
            "peer": self.peer,
            "rule": None if self.rule is None else self.rule.to_json(),
            "theirs": {"major": self.their_major, "type": self.their_type},
            "valid_from": format_time(self.valid_from),
            "valid_until": None if self.valid_until is None else format_time(self.valid_until),
            "version": self.version,
        }

    @classmethod
    def read(cls, members: Members) -> "TrustedEquivalence":
        """The equivalence in `members`."""
        theirs, ours = (members.object(name, _type_of) for name in ("theirs", "ours"))
        fields = members.take("fields", dict)
        if len(fields) > _FIELDS_MAX or any(type(one) is not str for one in fields.values()):
            raise Malformed(Reason.TRUST, "a mapping of fields that is none")
        return cls(
            id=members.text("id", RECOGNITION_ID),
            version=members.integer("version", 1, _VERSION_MAX),
            peer=members.text("peer", REGION),
            their_type=theirs[0],
            their_major=theirs[1],
            our_type=ours[0],
            our_major=ours[1],
            valid_from=members.time("valid_from"),
            valid_until=members.nullable("valid_until", members.time),
            rule=members.nullable("rule", lambda name: members.object(name, RuleName.read)),
            fields=MappingProxyType(fields),
        )

    def in_force(self, at: dt.datetime) -> bool:
        """Whether it counts at the time `at`."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True)
class TrustedRule:
    """One immutable version of the conditions of recognition; `logic` is judged by `verifiers.rule` when it is used."""

    name: RuleName
    logic: Any = field(repr=False)
    names: Names

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"logic": self.logic, "names": self.names.to_json(), **self.name.to_json()}

    @classmethod
    def read(cls, members: Members) -> "TrustedRule":
        """The rule in `members`."""
        return cls(RuleName.read(members), members.take("logic", dict), members.object("names", Names.read))


def _type_of(members: Members) -> tuple[str, int]:
    return members.text("type", TYPE_CODE), members.integer("major", 1, 999)
