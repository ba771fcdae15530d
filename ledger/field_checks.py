"""Does a request fit its licence type: holders and their numbers, fields, number, object and validity.

Strict, for what this ledger issues itself. Import looks with the same eyes and may keep what it sees as warnings
(`ledger.importing`). Every refusal points at the member that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final

from ledger.errors import Code, Refusal
from ledger.issue_requests import HolderRequest
from ledger.type_definition import TypeDefinition
from verifiers.identity import HOLDER_ID_TYPES, ORGANISATION_ID_TYPES, NumberFinding, holder_findings

LAST_DAY: Final = "2150-12-31"
"""Latest end of a validity: the static code counts days in two bytes."""

# Honest numbers have these too: the table of old region codes has gaps, and some codes given out after 2015 do not keep
# the inner check character.
_TOLERATED: Final = frozenset({NumberFinding.REGION, NumberFinding.INNER_CHECKSUM})
_SERIAL = re.compile(r"[0-9A-Z]{1,40}")


def check_face(
    definition: TypeDefinition,
    holders: Sequence[HolderRequest],
    fields: dict[str, Any],
    number: str | None,
    object_: str | None,
    today: date,
) -> None:
    """Refuse the first thing that does not fit `definition`."""
    for refusal in face_faults(definition, holders, fields, number, object_, today):
        raise refusal


def face_faults(
    definition: TypeDefinition,
    holders: Sequence[HolderRequest],
    fields: dict[str, Any],
    number: str | None,
    object_: str | None,
    today: date,
) -> Iterator[Refusal]:
    """Yield everything that does not fit, in the order in which people read a form."""
    yield from _holder_faults(definition, holders, today)
    yield from field_faults(definition, fields)
    if number is None:
        if definition.number_required:
            yield Refusal(Code.REQUEST_MEMBER_MISSING, "/number")
    elif definition.number_pattern is not None and not definition.number_pattern.fullmatch(number):
        yield Refusal(Code.NUMBER_INVALID, "/number", pattern=definition.number_pattern.pattern)
    elif definition.serial_from == "number" and not _SERIAL.fullmatch(number):
        yield Refusal(Code.NUMBER_INVALID, "/number", pattern=_SERIAL.pattern)
    if (object_ is None and definition.object_rule == "required") or (
        object_ is not None and definition.object_rule == "none"
    ):
        yield Refusal(Code.OBJECT_INVALID, "/object", rule=definition.object_rule)


def field_faults(definition: TypeDefinition, fields: dict[str, Any]) -> Iterator[Refusal]:
    """Yield the fields that are unknown, wrong or missing."""
    by_name = definition.by_name
    for name, value in fields.items():
        field = by_name.get(name)
        if field is None:
            yield Refusal(Code.FIELD_UNKNOWN, _pointer(name))
        elif fault := field.fault(value):
            yield Refusal(Code.FIELD_INVALID, _pointer(name), fault=fault)
    if not definition.required <= fields.keys():
        for name in sorted(definition.required - fields.keys()):
            yield Refusal(Code.FIELD_MISSING, _pointer(name))


def check_validity(definition: TypeDefinition, valid_from: str, valid_until: str | None) -> None:
    """Refuse a validity that is reversed or not what the type allows. Raises validity.reversed, validity.rule."""
    if valid_until is None:
        if definition.validity_rule == "fixed":
            raise Refusal(Code.VALIDITY_RULE, "/valid_until", rule="fixed", max_months=definition.validity_max_months)
        return
    if valid_until < valid_from:
        raise Refusal(Code.VALIDITY_REVERSED, "/valid_until", valid_from=valid_from)
    if definition.validity_rule == "open" or valid_until > LAST_DAY:
        raise Refusal(Code.VALIDITY_RULE, "/valid_until", rule=definition.validity_rule, latest=LAST_DAY)
    months = definition.validity_max_months
    if months is not None and valid_until > add_months(valid_from, months):
        raise Refusal(Code.VALIDITY_RULE, "/valid_until", rule=definition.validity_rule, max_months=months)


def add_months(day: str, months: int) -> str:
    """Return the calendar day `months` later; the last of the month where that day does not exist."""
    year, month, number = int(day[:4]), int(day[5:7]), int(day[8:])
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    last = date.fromordinal(first_of_next.toordinal() - 1).day
    return f"{year:04d}-{month:02d}-{min(number, last):02d}"


def number_faults(holder: HolderRequest, today: date) -> tuple[NumberFinding, ...]:
    """Return what is wrong with a holder's number beyond what honest numbers have."""
    return tuple(f for f in holder_findings(holder.id_type, holder.id, today) if f not in _TOLERATED)


def _holder_faults(definition: TypeDefinition, holders: Sequence[HolderRequest], today: date) -> Iterator[Refusal]:
    if len(holders) > 1:
        if not definition.several_holders:
            yield Refusal(Code.HOLDER_COUNT, "/holders", most=1)
        if len({(holder.id_type, holder.id) for holder in holders}) != len(holders):
            yield Refusal(Code.HOLDER_REPEATED, "/holders")
    for position, holder in enumerate(holders):
        where = f"/holders/{position}"
        if holder.kind not in definition.holder_kinds:
            yield Refusal(Code.HOLDER_KIND, f"{where}/kind", allowed=sorted(definition.holder_kinds))
        organisation = holder.id_type in ORGANISATION_ID_TYPES
        if holder.id_type not in HOLDER_ID_TYPES or organisation != (holder.kind == "organisation"):
            yield Refusal(Code.HOLDER_ID_TYPE, f"{where}/id_type")
        elif findings := number_faults(holder, today):
            yield Refusal(Code.HOLDER_NUMBER, f"{where}/id", findings=[str(finding) for finding in findings])


def _pointer(name: str) -> str:
    return f"/fields/{name.replace('~', '~0').replace('/', '~1')}"
