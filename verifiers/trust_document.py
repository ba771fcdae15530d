"""What a region's trust list says: the rows of its payload, each read and written as a pair.

Everything a verifier believes about a region is in here: which log keys must sign, which department holds which key
from which log position to which, what it may issue where, which licence types and status lists exist. Lists are kept
in one order, so two trust lists that say the same are the same bytes. See docs/formats/trust-list.md.
"""

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from keys.errors import BadKey
from keys.public_key import PublicKey
from verifiers.checkpoint import LogPolicy
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import format_time
from verifiers.members import Members
from verifiers.merkle import EMPTY_ROOT
from verifiers.note import NoteKey

PURPOSES: Final = frozenset({"licence", "code", "statement", "status", "list", "peer"})
DEPARTMENT_STATES: Final = frozenset({"active", "merged", "closed"})
RECEIPT_RULES: Final = frozenset({"required", "optional"})
ACTS: Final = frozenset({"issue", "change", "suspend", "annul", "penalty", "seal", "read", "scan"})

DEPARTMENT_ID: Final = re.compile(r"[0-9A-Z]{18}")
REGION: Final = re.compile(r"[0-9]{6}")
AREA: Final = re.compile(r"[0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12}")
TYPE_CODE: Final = re.compile(r"[0-9A-Z]{21}")
URI: Final = re.compile(r"https?://[!-~]{1,500}")
ORIGIN: Final = re.compile(r"[!-*,-~]{1,200}")
INTEGRITY: Final = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_KID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Names:
    """A name in Chinese and English."""

    zh: str
    en: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"en": self.en, "zh": self.zh}

    @classmethod
    def read(cls, members: Members) -> "Names":
        """The names in `members`."""
        return cls(members.text("zh"), members.text("en"))


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log: its first `size` entries have the 32-byte tree hash `root`."""

    origin: str
    size: int
    root: bytes

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"origin": self.origin, "root": b64u_encode(self.root), "size": self.size}

    @classmethod
    def read(cls, members: Members) -> "Position":
        """The position in `members`."""
        return cls(members.text("origin", ORIGIN), members.integer("size"), members.octets("root", 32))

    @classmethod
    def start(cls, origin: str) -> "Position":
        """The place before the first entry of the log `origin`."""
        return cls(origin, 0, EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Witness:
    """A region that cosigns our checkpoints: its name, verifier key (C2SP vkey text) and where it listens."""

    name: str
    vkey: str
    url: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "url": self.url, "vkey": self.vkey}

    @classmethod
    def read(cls, members: Members) -> "Witness":
        """The witness in `members`."""
        return cls(members.text("name"), members.text("vkey"), members.text("url", URI))


@dataclass(frozen=True, slots=True)
class TrustedLog:
    """One log of the region; **all** of `keys` (vkey texts) must have signed, and `quorum` of `witnesses`.

    `to` is the pinned final checkpoint of a log that has ended. Logs stand in the order in which they were opened.
    """

    origin: str
    keys: tuple[str, ...]
    from_size: int = 0
    to: Position | None = None
    quorum: int = 0
    witnesses: tuple[Witness, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "from": self.from_size,
            "keys": list(self.keys),
            "origin": self.origin,
            "to": None if self.to is None else self.to.to_json(),
            "witnesses": {"k": self.quorum, "keys": [one.to_json() for one in self.witnesses]},
        }

    @classmethod
    def read(cls, members: Members) -> "TrustedLog":
        """The log in `members`."""
        quorum, witnesses = members.object(
            "witnesses", lambda inner: (inner.integer("k", 0, 64), inner.objects("keys", Witness.read, 64))
        )
        keys = members.texts("keys", 8)
        if not keys or quorum > len(witnesses):
            raise Malformed(Reason.TRUST, "a log without keys, or a quorum larger than its witnesses")
        to = members.nullable("to", lambda name: members.object(name, Position.read))
        log = cls(members.text("origin", ORIGIN), keys, members.integer("from"), to, quorum, witnesses)
        try:
            log.policy()
        except Malformed as error:
            raise Malformed(Reason.TRUST, error.detail) from None
        return log

    def policy(self) -> LogPolicy:
        """Who must have signed a checkpoint of this log. Raises `Malformed` where a verifier key is none."""
        return _log_policy(self.origin, self.keys, self.quorum, tuple([witness.vkey for witness in self.witnesses]))


@lru_cache(maxsize=256)
def _log_policy(origin: str, keys: tuple[str, ...], quorum: int, witnesses: tuple[str, ...]) -> LogPolicy:
    """Every list that names a log is asked twice for the keys of it; most lists name the logs of the one before."""
    return LogPolicy(origin, tuple(map(NoteKey.from_text, keys)), quorum, tuple(map(NoteKey.from_text, witnesses)))


@dataclass(frozen=True, slots=True)
class Department:
    """A department (USCC `id`) with its small number for codes and its `iss`; `successor` after a merger."""

    id: str
    number: int
    names: Names
    iss: str
    status: str = "active"
    successor: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        row = {
            "id": self.id,
            "iss": self.iss,
            "names": self.names.to_json(),
            "num": self.number,
            "status": self.status,
        }
        return row if self.successor is None else row | {"successor": self.successor}

    @classmethod
    def read(cls, members: Members) -> "Department":
        """The department in `members`."""
        return cls(
            members.text("id", DEPARTMENT_ID),
            members.integer("num", 0, 0xFFFF),
            members.object("names", Names.read),
            members.text("iss", URI),
            members.one_of("status", DEPARTMENT_STATES),
            members.optional("successor", lambda name: members.text(name, DEPARTMENT_ID)),
        )


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that can no longer be relied on: when that began, why, and what in the log stays good."""

    at: dt.datetime
    reason: str
    trust_before: Position | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        row: dict[str, Any] = {"at": format_time(self.at), "reason": self.reason}
        return row if self.trust_before is None else row | {"trust_before": self.trust_before.to_json()}

    @classmethod
    def read(cls, members: Members) -> "Revocation":
        """The revocation in `members`."""
        return cls(
            members.time("at"),
            members.text("reason", _WORD),
            members.optional("trust_before", lambda name: members.object(name, Position.read)),
        )


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One key, its one purpose, the department it belongs to (`None`: the region) and its term in the log.

    `certificate_sha256` is the hash of its leaf certificate (32 bytes) where it has one.
    """

    purpose: str
    public_key: PublicKey
    log_from: Position
    department: str | None = None
    certificate_sha256: bytes | None = None
    log_to: Position | None = None
    revoked: Revocation | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        row: dict[str, Any] = {
            "kid": self.public_key.kid,
            "log_from": self.log_from.to_json(),
            "purpose": self.purpose,
            "spki": b64u_encode(self.public_key.spki),
            "suite": self.public_key.suite,
        }
        if self.department is not None:
            row["department"] = self.department
        if self.certificate_sha256 is not None:
            row["cert_sha256"] = b64u_encode(self.certificate_sha256)
        if self.log_to is not None:
            row["log_to"] = self.log_to.to_json()
        if self.revoked is not None:
            row["revoked"] = self.revoked.to_json()
        return row

    @classmethod
    def read(cls, members: Members) -> "TrustedKey":
        """The key in `members`."""
        try:
            key = PublicKey(members.text("suite"), members.octets("spki"))
        except BadKey as error:
            raise Malformed(Reason.TRUST, f"a key that is none: {error}") from None
        if members.text("kid", _KID) != key.kid:
            raise Malformed(Reason.TRUST, "a key id that is not that of its key")
        return cls(
            members.one_of("purpose", PURPOSES),
            key,
            members.object("log_from", Position.read),
            members.optional("department", lambda name: members.text(name, DEPARTMENT_ID)),
            members.optional("cert_sha256", lambda name: members.octets(name, 32)),
            members.optional("log_to", lambda name: members.object(name, Position.read)),
            members.optional("revoked", lambda name: members.object(name, Revocation.read)),
        )


@dataclass(frozen=True, slots=True)
class TrustedGrant:
    """Leave for a department to do `acts` on licences of `type`@`major` in `area` (a prefix of a region code)."""

    department: str
    type: str
    major: int
    area: str
    acts: tuple[str, ...]
    log_from: Position
    log_to: Position | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        row: dict[str, Any] = {
            "acts": sorted(self.acts),
            "area": self.area,
            "department": self.department,
            "log_from": self.log_from.to_json(),
            "major": self.major,
            "type": self.type,
        }
        return row if self.log_to is None else row | {"log_to": self.log_to.to_json()}

    @classmethod
    def read(cls, members: Members) -> "TrustedGrant":
        """The grant in `members`."""
        acts = members.texts("acts", 16)
        if not ACTS.issuperset(acts):
            raise Malformed(Reason.TRUST, "a grant of an act that is none")
        return cls(
            members.text("department", DEPARTMENT_ID),
            members.text("type", TYPE_CODE),
            members.integer("major", 1, 999),
            members.text("area", AREA),
            acts,
            members.object("log_from", Position.read),
            members.optional("log_to", lambda name: members.object(name, Position.read)),
        )


@dataclass(frozen=True, slots=True)
class TrustedType:
    """A licence type and major: its small number, `vct`, the SRI digests of all its minors, and how it is verified.

    `grace_s` is how old a status list may be for an offline `valid`; `receipt` is `required` or `optional`.
    """

    number: int
    code: str
    major: int
    vct: str
    integrity: tuple[str, ...]
    names: Names
    grace_s: int
    receipt: Literal["required", "optional"] = "required"

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "code": self.code,
            "grace_s": self.grace_s,
            "integrity": list(self.integrity),
            "major": self.major,
            "names": self.names.to_json(),
            "num": self.number,
            "receipt": self.receipt,
            "vct": self.vct,
        }

    @classmethod
    def read(cls, members: Members) -> "TrustedType":
        """The type in `members`."""
        integrity = members.texts("integrity", 1000)
        if not all(INTEGRITY.fullmatch(one) for one in integrity):
            raise Malformed(Reason.TRUST, "an integrity digest of the wrong form")
        optional = members.one_of("receipt", RECEIPT_RULES) == "optional"
        return cls(
            members.integer("num", 0, 0xFFFF),
            members.text("code", TYPE_CODE),
            members.integer("major", 1, 999),
            members.text("vct", URI),
            integrity,
            members.object("names", Names.read),
            members.integer("grace_s", 0, 31_622_400),
            "optional" if optional else "required",
        )


@dataclass(frozen=True, slots=True)
class StatusListName:
    """A status list of the region: its small number for codes and its URI."""

    number: int
    uri: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"num": self.number, "uri": self.uri}

    @classmethod
    def read(cls, members: Members) -> "StatusListName":
        """The list in `members`."""
        return cls(members.integer("num", 0, 0xFFFF), members.text("uri", URI))
