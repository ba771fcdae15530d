"""Who may do what, as one immutable value: departments, keys, grants, types, matters and peers at one log position.

Requests are authorised against a snapshot without touching the database; the writer runs `Proposal.authorise` again
when the catalogue has moved on (`head.catalogue_idx`). Nothing in here changes after `load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson
from sqlalchemy import select

from keys.public_key import PublicKey
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.recognised import Recognised
from ledger.tables import catalogue as tables
from ledger.tables.log import head
from ledger.type_definition import TypeDefinition, parse_definition

ACTS: Final = frozenset({"issue", "change", "suspend", "annul", "penalty", "seal", "read", "scan"})
"""What a grant can allow (protocol 18a)."""


@dataclass(frozen=True, slots=True)
class Department:
    """A department: `id` is its USCC, `num` what the static code writes, `iss` the issuer URI of its licences."""

    id: str
    num: int
    names: Mapping[str, str]
    iss: str
    status: str
    successor: str | None
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key the log knows. It signs from its entry on until `closed_idx`; `log_from` is a trust list position."""

    kid: str
    purpose: str
    department: str | None
    key: PublicKey
    certificate: bytes | None
    log_from: Mapping[str, Any]
    closed_idx: int | None
    revoked: Mapping[str, Any] | None
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a department may do with one licence type in one area; ended from `closed_idx` on."""

    id: str
    department: str
    type: str
    major: int
    area: str
    acts: frozenset[str]
    log_from: Mapping[str, Any]
    closed_idx: int | None
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LicenceType:
    """One immutable version of a licence type, with its small number and the address and digest of its metadata."""

    definition: TypeDefinition
    num: int
    vct: str
    integrity: str
    idx: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Matter:
    """One version of a matter (事项): what it needs, and its JSON `definition` in the contract's shape."""

    code: str
    version: int
    department: str
    area: str
    definition: Mapping[str, Any]
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Instruction:
    """A department's standing instruction: what fraud does to its licences of one type, basis by basis."""

    department: str
    type: str
    major: int
    version: int
    effects: Mapping[str, str]
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The snapshot. `idx` is the entry that last changed it (-1: none); look-ups refuse what is not there."""

    idx: int
    departments: Mapping[str, Department]
    keys: Mapping[str, RegisteredKey]
    grants: Mapping[str, Grant]
    types: Mapping[tuple[str, int], tuple[LicenceType, ...]]
    instructions: Mapping[tuple[str, str, int], Instruction]
    matters: Mapping[str, tuple[Matter, ...]]
    recognised: Recognised
    _open_grants: Mapping[tuple[str, str, int], tuple[Grant, ...]]
    _active_keys: Mapping[tuple[str | None, str], RegisteredKey]

    @classmethod
    def load(cls, tx: Reading) -> Catalogue:
        """Read the catalogue as it stands in `tx`."""
        keys = _keys(tx)
        grants = _grants(tx)
        by_scope: dict[tuple[str, str, int], tuple[Grant, ...]] = {}
        for grant in grants.values():
            if grant.closed_idx is None:
                scope = (grant.department, grant.type, grant.major)
                by_scope[scope] = (*by_scope.get(scope, ()), grant)
        active = {
            (key.department, key.purpose): key
            for key in sorted(keys.values(), key=lambda key: key.idx)
            if key.closed_idx is None and key.revoked is None
        }
        return cls(
            idx=_position(tx),
            departments=_departments(tx),
            keys=MappingProxyType(keys),
            grants=MappingProxyType(grants),
            types=_types(tx),
            instructions=_instructions(tx),
            matters=_matters(tx),
            recognised=Recognised.load(tx),
            _open_grants=MappingProxyType(by_scope),
            _active_keys=MappingProxyType(active),
        )

    def department(self, id_: str, pointer: str | None = None) -> Department:
        """Return the department with this USCC. Raises `Refusal` department.unknown."""
        found = self.departments.get(id_)
        if found is None:
            raise Refusal(Code.DEPARTMENT_UNKNOWN, pointer, department=id_)
        return found

    def active_department(self, id_: str) -> Department:
        """Return a department that still acts. Raises `Refusal` department.unknown or department.closed."""
        found = self.department(id_)
        if found.status != "active":
            raise Refusal(Code.DEPARTMENT_CLOSED, department=id_, successor=found.successor or "")
        return found

    def type(self, code: str, major: int | None = None, pointer: str | None = "/type") -> LicenceType:
        """Return the newest version of a type (of its newest major unless one is given). Raises type.unknown."""
        if major is None:
            majors = [number for known, number in self.types if known == code]
            major = max(majors, default=0)
        versions = self.types.get((code, major))
        if versions is None:
            raise Refusal(Code.TYPE_UNKNOWN, pointer, licence_type=code, major=major)
        return versions[-1]

    def type_version(self, code: str, major: int, minor: int) -> LicenceType:
        """Return exactly this version of a type. Raises `Refusal` type.unknown."""
        for version in self.types.get((code, major), ()):
            if version.definition.minor == minor:
                return version
        raise Refusal(Code.TYPE_UNKNOWN, None, licence_type=code, major=major, minor=minor)

    def matter(self, code: str, pointer: str | None = "/matter") -> Matter:
        """Return the newest version of a matter. Raises `Refusal` matter.unknown."""
        versions = self.matters.get(code)
        if versions is None:
            raise Refusal(Code.MATTER_UNKNOWN, pointer, matter=code)
        return versions[-1]

    def active_key(self, department: str | None, purpose: str) -> RegisteredKey:
        """Return the key that signs for this purpose now; `None` as department is the region. Raises key.unknown."""
        found = self._active_keys.get((department, purpose))
        if found is None:
            raise Refusal(Code.KEY_UNKNOWN, None, department=department or "", purpose=purpose)
        return found

    def open_grants(self, department: str, code: str, major: int) -> tuple[Grant, ...]:
        """Return the grants of a department for a type that have not ended."""
        return self._open_grants.get((department, code, major), ())

    def require(self, department: str, code: str, major: int, area: str, act: str) -> Grant:
        """Return the grant that lets `department` do `act` there. Raises `Refusal` grant.exceeded."""
        self.active_department(department)
        held = self.open_grants(department, code, major)
        for grant in held:
            if act in grant.acts and covers(grant.area, area):
                return grant
        lacking = "type" if not held else "act" if not any(act in g.acts for g in held) else "area"
        raise Refusal(
            Code.GRANT_EXCEEDED,
            department=department,
            licence_type=code,
            major=major,
            area=area,
            act=act,
            lacking=lacking,
        )


def covers(outer: str, inner: str) -> bool:
    """Whether GB/T 2260 area `outer` contains `inner`: trailing zero pairs stand for all below, 000000 for all."""
    if outer == "000000":
        return True
    return inner.startswith(outer[:2] if outer[2:] == "0000" else outer[:4] if outer[4:] == "00" else outer)


def require_area(areas: frozenset[str], area: str) -> None:
    """Refuse where a client that is limited to `areas` acts outside them; empty is no limit. Raises area.invalid."""
    if areas and not any(covers(each, area) for each in areas):
        raise Refusal(Code.AREA_INVALID, "/area", allowed=sorted(areas))


def _position(tx: Reading) -> int:
    found = tx.execute(select(head.c.catalogue_idx)).scalar_one_or_none()
    return -1 if found is None else int(found)


def _departments(tx: Reading) -> Mapping[str, Department]:
    rows = tx.execute(select(tables.departments))
    return MappingProxyType(
        {
            row.id: Department(
                row.id, row.num, orjson.loads(row.names), row.iss, row.status, row.successor, bytes(row.secret)
            )
            for row in rows
        }
    )


def _keys(tx: Reading) -> dict[str, RegisteredKey]:
    return {
        row.kid: RegisteredKey(
            kid=row.kid,
            purpose=row.purpose,
            department=row.department,
            key=PublicKey(row.suite, bytes(row.spki)),
            certificate=None if row.certificate is None else bytes(row.certificate),
            log_from=orjson.loads(row.log_from),
            closed_idx=row.closed_idx,
            revoked=None if row.revoked is None else orjson.loads(row.revoked),
            idx=row.idx,
            secret=bytes(row.secret),
        )
        for row in tx.execute(select(tables.registered_keys))
    }


def _grants(tx: Reading) -> dict[str, Grant]:
    return {
        row.id: Grant(
            row.id,
            row.department,
            row.type,
            row.major,
            row.area,
            frozenset(orjson.loads(row.acts)),
            orjson.loads(row.log_from),
            row.closed_idx,
            bytes(row.secret),
        )
        for row in tx.execute(select(tables.grants).order_by(tables.grants.c.idx, tables.grants.c.id))
    }


def _types(tx: Reading) -> Mapping[tuple[str, int], tuple[LicenceType, ...]]:
    found: dict[tuple[str, int], tuple[LicenceType, ...]] = {}
    table = tables.licence_types
    for row in tx.execute(select(table).order_by(table.c.code, table.c.major, table.c.minor)):
        definition = parse_definition(orjson.loads(row.definition))
        version = LicenceType(definition, row.num, row.vct, row.integrity, row.idx, bytes(row.secret))
        found[row.code, row.major] = (*found.get((row.code, row.major), ()), version)
    return MappingProxyType(found)


def _instructions(tx: Reading) -> Mapping[tuple[str, str, int], Instruction]:
    table = tables.standing_instructions
    return MappingProxyType(
        {
            (row.department, row.type, row.major): Instruction(
                row.department, row.type, row.major, row.version, orjson.loads(row.effects), bytes(row.secret)
            )
            for row in tx.execute(select(table).order_by(table.c.version))
        }
    )


def _matters(tx: Reading) -> Mapping[str, tuple[Matter, ...]]:
    found: dict[str, tuple[Matter, ...]] = {}
    for row in tx.execute(select(tables.matters).order_by(tables.matters.c.code, tables.matters.c.version)):
        matter = Matter(
            row.code, row.version, row.department, row.area, orjson.loads(row.definition), bytes(row.secret)
        )
        found[row.code] = (*found.get(row.code, ()), matter)
    return MappingProxyType(found)
